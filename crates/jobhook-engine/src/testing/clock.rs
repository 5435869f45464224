//! A clock that a test moves.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};

/// Stands still until it is moved.
#[derive(Debug)]
pub struct TestClock(watch::Sender<Timestamp>);

impl TestClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> TestClock {
        TestClock(watch::Sender::new(now))
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }

    /// Moves it, and wakes whoever waits for a moment up to the new one.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus(by));
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, moment: Timestamp) {
        // The sender is `self`, so it is still there.
        let _ = self.0.subscribe().wait_for(|now| *now >= moment).await;
    }
}
