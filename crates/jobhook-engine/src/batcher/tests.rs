//! The batcher against a store that can be held, and can be made to fail.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::Batcher;
use crate::action::{Action, ActionId, NewAction, Timeouts};
use crate::attempt::Attempt;
use crate::changes::Changes;
use crate::clock::Timestamp;
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::memory::MemoryStore;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::store::{ActionQuery, Store, StoreError, Wake};
use crate::testing::TestClock;
use crate::write::Write;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Keeps in memory, commits when it is let, and can refuse a type or everything.
#[derive(Debug)]
struct GatedStore {
    inner: MemoryStore,
    commits: Semaphore,
    sizes: Mutex<Vec<usize>>,
    refused_type: Option<&'static str>,
    down: bool,
}

#[async_trait]
impl Store for GatedStore {
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        self.sizes.lock().unwrap().push(writes.len());
        self.commits.acquire().await.unwrap().forget();
        if self.down {
            return Err(StoreError::Unavailable("down".into()));
        }
        let culprit = |write: &Write| matches!(write, Write::Insert(new) if Some(new.action_type.as_str()) == self.refused_type);
        if writes.iter().any(culprit) {
            return Err(StoreError::Data("bad data".into()));
        }
        self.inner.apply(writes, now).await
    }
    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        self.inner.action(id).await
    }
    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
        self.inner.attempts(id).await
    }
    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError> {
        self.inner.last_attempts(ids).await
    }
    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError> {
        self.inner.list(query).await
    }
    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        self.inner.lines(id, after, limit).await
    }
    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError> {
        self.inner.open_attempts().await
    }
    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError> {
        self.inner.next_wake(now).await
    }
    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.inner.expiring(now, limit).await
    }
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.inner.schedules().await
    }
    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.inner.schedule(name).await
    }
    async fn ticks(&self, query: &TickQuery) -> Result<Vec<Tick>, StoreError> {
        self.inner.ticks(query).await
    }

    async fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.inner.prune(rules, now, limit).await
    }
    fn installation(&self) -> &str {
        self.inner.installation()
    }
}

fn gated(refused_type: Option<&'static str>, down: bool) -> (Arc<GatedStore>, Batcher) {
    let store = Arc::new(GatedStore {
        inner: MemoryStore::default(),
        commits: Semaphore::new(0),
        sizes: Mutex::default(),
        refused_type,
        down,
    });
    let batcher = Batcher::start(
        store.clone(),
        Arc::new(Changes::default()),
        Arc::new(TestClock::at(NOW)),
    );
    (store, batcher)
}

fn insert(action_type: &str) -> Write {
    Write::Insert(Box::new(NewAction {
        id: ActionId::draw(NOW),
        action_type: action_type.into(),
        operation: false,
        schedule: None,
        arguments: None,
        attempts: 1,
        scheduled: None,
        timeouts: Timeouts::default(),
        retry_of: None,
        traceparent: None,
        refusal: None,
    }))
}

/// Starts a write for each type: the first commit is under way when this returns.
async fn start(
    store: &GatedStore,
    batcher: &Batcher,
    types: &[&str],
) -> Vec<tokio::task::JoinHandle<bool>> {
    let mut writes = Vec::new();
    for action_type in types {
        let (batcher, write) = (batcher.clone(), insert(action_type));
        writes.push(tokio::spawn(async move {
            matches!(batcher.write(write).await, Ok(Ok(_)))
        }));
        while store.sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
    // Tests run on one thread: each write is queued by the time the test is polled again.
    tokio::task::yield_now().await;
    writes
}

#[tokio::test]
async fn writes_that_come_while_a_commit_runs_share_the_next_one() {
    let (store, batcher) = gated(None, false);
    let writes = start(&store, &batcher, &["A"; 9]).await;
    store.commits.add_permits(2);
    for write in writes {
        assert!(write.await.unwrap());
    }
    assert_eq!(
        *store.sizes.lock().unwrap(),
        [1, 8],
        "one at once, the rest together"
    );
}

#[tokio::test]
async fn data_that_the_store_refuses_takes_nobody_with_it() {
    let (store, batcher) = gated(Some("Bad"), false);
    let writes = start(&store, &batcher, &["A", "B", "C", "Bad", "D", "E"]).await;
    store.commits.add_permits(100);
    let mut kept = Vec::new();
    for write in writes {
        kept.push(write.await.unwrap());
    }
    assert_eq!(kept, [true, true, true, false, true, true]);
}

#[tokio::test]
async fn a_store_that_fails_fails_the_whole_batch_and_the_next_is_tried() {
    let (store, batcher) = gated(None, true);
    let writes = start(&store, &batcher, &["A", "B", "C"]).await;
    store.commits.add_permits(100);
    for write in writes {
        assert!(!write.await.unwrap());
    }
}

#[tokio::test]
async fn writes_that_belong_together_are_committed_together() {
    let (store, batcher) = gated(None, false);
    store.commits.add_permits(1);
    let answers = batcher
        .write_all(vec![insert("A"), insert("B"), insert("C")])
        .await
        .unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*store.sizes.lock().unwrap(), [3]);
}
