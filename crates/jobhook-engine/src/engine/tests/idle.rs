//! What an engine asks of its store while it waits for a scheduled time.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::attempt::Attempt;
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::store::{ActionQuery, StoreError, Wake};
use crate::write::Write;

/// Counts how often it is looked through for work.
#[derive(Debug)]
struct Counting {
    store: Arc<MemoryStore>,
    claims: AtomicUsize,
    wakes: AtomicUsize,
}

#[async_trait]
impl Store for Counting {
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        let claims = writes
            .iter()
            .filter(|write| matches!(write, Write::Claim(_)));
        self.claims.fetch_add(claims.count(), Ordering::SeqCst);
        self.store.apply(writes, now).await
    }

    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        self.store.action(id).await
    }

    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
        self.store.attempts(id).await
    }

    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError> {
        self.store.last_attempts(ids).await
    }

    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError> {
        self.store.list(query).await
    }

    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        self.store.lines(id, after, limit).await
    }

    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError> {
        self.store.open_attempts().await
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError> {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.store.next_wake(now).await
    }

    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.store.expiring(now, limit).await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.store.schedules().await
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.store.schedule(name).await
    }

    async fn ticks(&self, query: &TickQuery) -> Result<Vec<Tick>, StoreError> {
        self.store.ticks(query).await
    }

    async fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.store.prune(rules, now, limit).await
    }

    fn installation(&self) -> &str {
        self.store.installation()
    }
}

#[tokio::test]
async fn nobody_looks_for_work_while_a_scheduled_time_is_awaited() {
    let store = Arc::new(Counting {
        store: Arc::new(MemoryStore::new(LogLimits::default())),
        claims: AtomicUsize::new(0),
        wakes: AtomicUsize::new(0),
    });
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
    let claims = store.claims.load(Ordering::SeqCst);
    let wakes = store.wakes.load(Ordering::SeqCst);
    assert!(claims <= 3 && wakes <= 6, "{claims} claims, {wakes} wakes");
    assert!(jobs.try_recv().is_err());
    clock.advance(Duration::from_secs(1));
    next(&mut jobs).await;
}
