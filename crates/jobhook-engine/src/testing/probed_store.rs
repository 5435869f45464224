//! A store that asks somebody before it does anything: how a test counts what is asked of a
//! store, holds it, or makes it fail.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jobhook_protocol::{Md5Sum, Sha256Sum};

use crate::action::{Action, ActionId, Standing};
use crate::attempt::Attempt;
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Content, File, Object, ObjectRef, PropertyRef, Staged, Volume};
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::store::{ActionQuery, Store, StoreError, Wake};
use crate::write::Write;

/// Is asked first.
#[async_trait]
pub(crate) trait Probe: fmt::Debug + Send + Sync + 'static {
    /// Before writes are applied; they are not, if it fails.
    async fn applying(&self, writes: &[Write]) -> Result<(), StoreError>;

    /// When they were applied, and answered so.
    fn applied(&self, _writes: &[Write], _answers: &[Answer]) {}

    /// Before the next moment is looked for.
    fn waking(&self) {}
}

/// A store with a probe.
#[derive(Debug)]
pub(crate) struct ProbedStore<P> {
    store: Arc<dyn Store>,
    pub(crate) probe: P,
}

impl<P> ProbedStore<P> {
    pub(crate) fn on(store: Arc<dyn Store>, probe: P) -> ProbedStore<P> {
        ProbedStore { store, probe }
    }

    /// A store in memory.
    #[cfg(test)]
    pub(crate) fn new(probe: P) -> ProbedStore<P> {
        ProbedStore::on(Arc::new(crate::memory::MemoryStore::default()), probe)
    }
}

#[async_trait]
impl<P: Probe> Store for ProbedStore<P> {
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        self.probe.applying(writes).await?;
        let answers = self.store.apply(writes, now).await?;
        self.probe.applied(writes, &answers);
        Ok(answers)
    }

    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        self.store.action(id).await
    }

    async fn standing(&self, id: ActionId) -> Result<Option<Standing>, StoreError> {
        self.store.standing(id).await
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
        self.probe.waking();
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

    async fn contents(&self, md5: Md5Sum, challenge: Md5Sum) -> Result<Vec<Content>, StoreError> {
        self.store.contents(md5, challenge).await
    }

    async fn content(&self, sha256: Sha256Sum) -> Result<Option<Content>, StoreError> {
        self.store.content(sha256).await
    }

    async fn staged(&self, blob: &BlobName) -> Result<Option<Staged>, StoreError> {
        self.store.staged(blob).await
    }

    async fn stored(&self) -> Result<Volume, StoreError> {
        self.store.stored().await
    }

    async fn object(&self, at: &ObjectRef) -> Result<Option<Object>, StoreError> {
        self.store.object(at).await
    }

    async fn objects(
        &self,
        store: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError> {
        self.store.objects(store, after, limit).await
    }

    async fn file(&self, at: &PropertyRef, index: u64) -> Result<Option<File>, StoreError> {
        self.store.file(at, index).await
    }

    async fn files(
        &self,
        object: &ObjectRef,
        after: Option<(&str, u64)>,
        limit: usize,
    ) -> Result<Vec<File>, StoreError> {
        self.store.files(object, after, limit).await
    }

    async fn drop_object(&self, at: &ObjectRef, now: Timestamp) -> Result<bool, StoreError> {
        self.store.drop_object(at, now).await
    }

    async fn forget_unused(
        &self,
        idle_before: Timestamp,
        staged_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobName>, StoreError> {
        self.store
            .forget_unused(idle_before, staged_before, limit)
            .await
    }

    async fn small(&self, blob: &BlobName) -> Result<Option<Bytes>, StoreError> {
        self.store.small(blob).await
    }

    async fn wanted_blobs(&self, blobs: &[BlobName]) -> Result<Vec<BlobName>, StoreError> {
        self.store.wanted_blobs(blobs).await
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
