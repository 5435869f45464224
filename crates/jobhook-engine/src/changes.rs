//! Hints that something changed, for those who wait: followers of an action, the dispatcher
//! and the scheduler.
//!
//! A hint says only "look again"; what there is to see is in the store. Hints are lost with
//! the process, so nobody may rely on one.

mod committed;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::action::ActionId;
use crate::live::Live;

/// Spreads hints within this process.
#[derive(Debug)]
pub struct Changes {
    followers: Mutex<HashMap<ActionId, watch::Sender<()>>>,
    work: watch::Sender<()>,
    later: watch::Sender<()>,
    expiring: watch::Sender<()>,
    schedules: watch::Sender<()>,
    /// The drivers: they too learn of a commit when it is made, whoever waits for its answer.
    pub(crate) live: Live,
}

impl Default for Changes {
    fn default() -> Changes {
        Changes {
            followers: Mutex::default(),
            work: watch::Sender::new(()),
            later: watch::Sender::new(()),
            expiring: watch::Sender::new(()),
            schedules: watch::Sender::new(()),
            live: Live::default(),
        }
    }
}

impl Changes {
    /// Hints about one action from now on.
    pub fn follow(&self, id: ActionId) -> watch::Receiver<()> {
        let mut followers = self
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // An action that has ended gives no more hints that would clean up behind its last
        // follower, so that happens when the table is full.
        if followers.len() == followers.capacity() {
            followers.retain(|_, sender| sender.receiver_count() > 0);
        }
        followers
            .entry(id)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    /// Hints that an action may wait for a runner.
    pub fn work(&self) -> watch::Receiver<()> {
        self.work.subscribe()
    }

    /// Hints that an action may wait for its time.
    pub(crate) fn later(&self) -> watch::Receiver<()> {
        self.later.subscribe()
    }

    /// Hints that an action may wait that will not do so for ever.
    pub(crate) fn expiring(&self) -> watch::Receiver<()> {
        self.expiring.subscribe()
    }

    /// Hints that a schedule was made, changed or decided.
    pub fn schedules(&self) -> watch::Receiver<()> {
        self.schedules.subscribe()
    }

    pub(crate) fn schedule_changed(&self) {
        self.schedules.send_replace(());
    }

    pub(crate) fn changed(&self, id: ActionId) {
        let mut followers = self
            .followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = followers.get(&id)
            && sender.send(()).is_err()
        {
            // The last follower has gone.
            followers.remove(&id);
        }
    }

    pub(crate) fn work_came(&self) {
        self.work.send_replace(());
    }

    pub(crate) fn later_came(&self) {
        self.later.send_replace(());
    }

    pub(crate) fn expiring_came(&self) {
        self.expiring.send_replace(());
    }
}
