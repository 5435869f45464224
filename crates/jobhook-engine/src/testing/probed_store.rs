//! A store in memory that asks somebody before it does anything: how a test counts what is asked
//! of a store, holds it, or makes it fail.

use std::fmt;

use async_trait::async_trait;

use crate::action::{Action, ActionId};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::memory::MemoryStore;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::store::{ActionQuery, Store, StoreError, Wake};
use crate::write::Write;

/// Is asked first.
#[async_trait]
pub(crate) trait Probe: fmt::Debug + Send + Sync + 'static {
    /// Before writes are applied; they are not, if it fails.
    async fn applying(&self, writes: &[Write]) -> Result<(), StoreError>;

    /// Before the next moment is looked for.
    fn waking(&self) {}
}

/// A store in memory, with a probe.
#[derive(Debug, Default)]
pub(crate) struct ProbedStore<P> {
    memory: MemoryStore,
    pub(crate) probe: P,
}

impl<P> ProbedStore<P> {
    pub(crate) fn new(probe: P) -> ProbedStore<P> {
        ProbedStore {
            memory: MemoryStore::default(),
            probe,
        }
    }
}

#[async_trait]
impl<P: Probe> Store for ProbedStore<P> {
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        self.probe.applying(writes).await?;
        self.memory.apply(writes, now).await
    }

    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        self.memory.action(id).await
    }

    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
        self.memory.attempts(id).await
    }

    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError> {
        self.memory.last_attempts(ids).await
    }

    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError> {
        self.memory.list(query).await
    }

    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        self.memory.lines(id, after, limit).await
    }

    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError> {
        self.memory.open_attempts().await
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError> {
        self.probe.waking();
        self.memory.next_wake(now).await
    }

    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.memory.expiring(now, limit).await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.memory.schedules().await
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.memory.schedule(name).await
    }

    async fn ticks(&self, query: &TickQuery) -> Result<Vec<Tick>, StoreError> {
        self.memory.ticks(query).await
    }

    async fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.memory.prune(rules, now, limit).await
    }

    fn installation(&self) -> &str {
        self.memory.installation()
    }
}
