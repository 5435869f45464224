//! What an engine asks of its store while it waits for a scheduled time.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::store::StoreError;
use crate::testing::probed_store::{Probe, ProbedStore};
use crate::write::Write;

/// Counts how often the store is looked through for work.
#[derive(Debug, Default)]
struct Looks {
    claims: AtomicUsize,
    wakes: AtomicUsize,
}

#[async_trait]
impl Probe for Looks {
    async fn applying(&self, writes: &[Write]) -> Result<(), StoreError> {
        let claims = writes
            .iter()
            .filter(|write| matches!(write, Write::Claim(_)));
        self.claims.fetch_add(claims.count(), Ordering::SeqCst);
        Ok(())
    }

    fn waking(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn nobody_looks_for_work_while_a_scheduled_time_is_awaited() {
    let store = Arc::new(ProbedStore::new(Looks::default()));
    let clock = Arc::new(TestClock::at(NOW));
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 10);
    let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
    let settings = Settings::new("here", "http://127.0.0.1:1/async");
    let engine = Engine::new(
        store.clone(),
        vec![runner],
        keyring,
        clock.clone(),
        settings,
    );
    engine.start().await.unwrap();
    let later = Launch {
        scheduled: Some(NOW.plus(Duration::from_secs(3600))),
        ..of_type("Any")
    };
    engine.launch(vec![later]).await.unwrap();
    for _ in 0..3599 {
        clock.advance(Duration::from_secs(1));
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    // Each loop once when the engine starts and once for the launch, and maybe once more where a
    // hint falls between.
    let claims = store.probe.claims.load(Ordering::SeqCst);
    let wakes = store.probe.wakes.load(Ordering::SeqCst);
    assert!(claims <= 3 && wakes <= 6, "{claims} claims, {wakes} wakes");
    assert!(jobs.try_recv().is_err());
    clock.advance(Duration::from_secs(1));
    next(&mut jobs).await;
}
