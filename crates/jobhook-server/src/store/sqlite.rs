//! The store of one machine: an SQLite database.
//!
//! ```text
//! apply ──▶ writer (one connection, on the caller's thread) ──▶ transaction
//!             │ so many pages: checkpointer (a connection and a thread of its own)
//! reads ──▶ readers (a few connections, on threads of their own): a snapshot of the last commit
//! ```
//!
//! It decides how rows lie in tables, never what a write means: that is the ledger's. It runs
//! in WAL mode with `synchronous=FULL`: what `apply` answered survives a power cut.
//!
//! What makes it fast:
//!
//! - **A write calls SQLite where it stands.** Rows cost two microseconds each, and a message to
//!   another thread and back ten times that.
//! - **Narrow rows change, wide ones stay.** Arguments, results, details and error texts lie
//!   in `payloads`, so a heartbeat or a log line never rewrites them.
//! - **Keys are the 16 bytes of the id, in tables without rowid.** Ids are UUIDv7, so new
//!   actions and their attempts are appended at the right edge of one tree each; an integer
//!   in place of the id would need a second tree to find it, on every report.
//! - **What will be wanted again stays in memory.** The rows of open attempts are read once; see
//!   [`warm`].

mod binds;
mod checkpointer;
mod columns;
mod crash_points;
mod errors;
mod files;
mod flush;
mod open;
mod payload;
#[cfg(test)]
mod plans;
mod prune;
mod read;
mod readers;
mod schedules;
mod tokens;
mod transaction;
mod trim;
mod unused;
mod warm;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jobhook_engine::action::{Action, ActionId, Standing};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::blob::BlobName;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::file::{Content, File, Object, ObjectRef, PropertyRef, Staged, Volume};
use jobhook_engine::ledger::{self, Answer};
use jobhook_engine::log::{LogLimits, LogLine};
use jobhook_engine::retention::Retention;
use jobhook_engine::schedule::{Schedule, Tick, TickQuery};
use jobhook_engine::store::{ActionQuery, Store, StoreError, Wake};
use jobhook_engine::write::Write;
use jobhook_protocol::{Md5Sum, Sha256Sum};
use rusqlite::{CachedStatement, Connection};

use checkpointer::Checkpointer;
use errors::failure;
pub use open::OpenError;
use readers::Readers;
use tokens::NoTokens;
use transaction::SqliteTransaction;
use writer::{Session, Writer};

/// Keeps everything in one SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    checkpointer: Arc<Checkpointer>,
    readers: Readers,
    no_tokens: NoTokens,
    limits: LogLimits,
    installation: String,
}

impl SqliteStore {
    /// Opens the database at `path`, makes it if there is none, and brings an older one up
    /// to date.
    ///
    /// - `limits`: how much of each log is kept.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then.
    pub async fn open(path: &Path, limits: LogLimits) -> Result<SqliteStore, OpenError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let open::Opened {
                writer,
                checkpointer,
                readers,
                installation,
            } = open::open(&path)?;
            let writer = Writer::new(writer);
            let checkpointer = writer.checkpoint_with(checkpointer);
            Ok(SqliteStore {
                checkpointer: checkpointer.map_err(|source| OpenError::Unwritable {
                    path,
                    source: source.into(),
                })?,
                writer,
                readers: Readers::new(readers),
                no_tokens: NoTokens::default(),
                limits,
                installation,
            })
        });
        joined(opened.await)
    }

    /// Waits for what is under way and closes the database, which folds its log into it.
    pub async fn close(&self) {
        self.readers.close().await;
        let checkpointer = Arc::clone(&self.checkpointer);
        let _ = tokio::task::spawn_blocking(move || checkpointer.close()).await;
        if let Err(error) = self.writer.close().await {
            tracing::warn!(%error, "The database was not closed properly");
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.writer.session().await?;
        let Session { connection, warm } = &mut *session;
        crash_points::storing(writes);
        let mut transaction = SqliteTransaction::begin(connection, warm, self.limits)?;
        let answers = ledger::run(&mut transaction, writes, now).await?;
        transaction.commit()?;
        crash_points::stored(writes, &answers);
        Ok(answers)
    }

    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        self.readers
            .read(move |connection| read::action(connection, id))
            .await
    }

    async fn standing(&self, id: ActionId) -> Result<Option<Standing>, StoreError> {
        self.readers
            .glance(move |connection| read::standing(connection, id))
            .await
    }

    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
        self.readers
            .read(move |connection| read::attempts(connection, id))
            .await
    }

    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError> {
        let ids = ids.to_vec();
        self.readers
            .read(move |connection| read::last_attempts(connection, &ids))
            .await
    }

    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError> {
        let query = query.clone();
        self.readers
            .read(move |connection| read::list(connection, &query))
            .await
    }

    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        self.readers
            .read(move |connection| read::lines(connection, id, after, limit))
            .await
    }

    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError> {
        self.readers.read(read::open_attempts).await
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError> {
        self.readers
            .read(move |connection| read::next_wake(connection, now))
            .await
    }

    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.readers
            .read(move |connection| read::expiring(connection, now, limit))
            .await
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.readers.read(schedules::schedules).await
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        let name = name.to_owned();
        let found = self
            .readers
            .read(move |connection| schedules::schedule(connection, &name))
            .await?;
        Ok(found.filter(|schedule| schedule.deleted_at.is_none()))
    }

    async fn ticks(&self, query: &TickQuery) -> Result<Vec<Tick>, StoreError> {
        let query = query.clone();
        self.readers
            .read(move |connection| schedules::ticks(connection, &query))
            .await
    }

    async fn contents(&self, md5: Md5Sum, challenge: Md5Sum) -> Result<Vec<Content>, StoreError> {
        self.readers
            .glance(move |connection| files::contents(connection, md5, challenge))
            .await
    }

    async fn content(&self, sha256: Sha256Sum) -> Result<Option<Content>, StoreError> {
        self.readers
            .glance(move |connection| files::content(connection, sha256))
            .await
    }

    async fn staged(&self, blob: &BlobName) -> Result<Option<Staged>, StoreError> {
        let blob = blob.clone();
        self.readers
            .glance(move |connection| files::staged(connection, &blob))
            .await
    }

    async fn small(&self, blob: &BlobName) -> Result<Option<Bytes>, StoreError> {
        let blob = blob.clone();
        self.readers
            .glance(move |connection| files::small(connection, &blob))
            .await
    }

    async fn stored(&self) -> Result<Volume, StoreError> {
        self.readers.glance(files::stored).await
    }

    async fn object(&self, at: &ObjectRef) -> Result<Option<Object>, StoreError> {
        let at = at.clone();
        self.readers
            .glance(move |connection| files::object(connection, &at))
            .await
    }

    async fn objects(
        &self,
        store: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let (store, after) = (store.to_owned(), after.map(str::to_owned));
        self.readers
            .read(move |connection| files::objects(connection, &store, after.as_deref(), limit))
            .await
    }

    async fn file(&self, at: &PropertyRef, index: u64) -> Result<Option<File>, StoreError> {
        let at = at.clone();
        self.readers
            .glance(move |connection| files::file(connection, &at, index))
            .await
    }

    async fn files(
        &self,
        object: &ObjectRef,
        after: Option<(&str, u64)>,
        limit: usize,
    ) -> Result<Vec<File>, StoreError> {
        let object = object.clone();
        let after = after.map(|(property, index)| (property.to_owned(), index));
        self.readers
            .read(move |connection| files::files(connection, &object, after, limit))
            .await
    }

    async fn drop_object(&self, at: &ObjectRef, now: Timestamp) -> Result<bool, StoreError> {
        let at = at.clone();
        self.writer
            .run(move |connection| unused::drop_object(connection, &at, now))
            .await
    }

    async fn forget_unused(
        &self,
        idle_before: Timestamp,
        staged_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobName>, StoreError> {
        self.writer
            .run(move |connection| unused::forget(connection, idle_before, staged_before, limit))
            .await
    }

    async fn wanted_blobs(&self, blobs: &[BlobName]) -> Result<Vec<BlobName>, StoreError> {
        let blobs = blobs.to_vec();
        self.readers
            .read(move |connection| files::wanted(connection, &blobs))
            .await
    }

    async fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        prune::prune(self, rules, now, limit).await
    }

    fn installation(&self) -> &str {
        &self.installation
    }
}

/// Runs what may wait for the disk on a thread where it disturbs nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// A panic goes on where it was waited for; a task that was never run belonged to a runtime that
/// is shutting down, and so does who waits.
fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A statement, prepared once for each connection.
fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, StoreError> {
    connection.prepare_cached(sql).map_err(failure)
}

/// Runs a statement that finds nothing.
fn run(
    connection: &Connection,
    sql: &'static str,
    values: impl rusqlite::Params,
) -> Result<(), StoreError> {
    let mut statement = prepare(connection, sql)?;
    statement.execute(values).map(drop).map_err(failure)
}

/// A limit as SQLite takes it.
fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use jobhook_engine::memory::MemoryStore;
    use jobhook_engine::testing::store_suite::SMALL_LOG;
    use jobhook_engine::testing::{Clerk, factory, script};
    use jobhook_engine::write::{ReportWrite, Written};
    use proptest::prelude::*;

    use super::*;

    async fn open(directory: &Path, limits: LogLimits) -> SqliteStore {
        SqliteStore::open(&directory.join("jobhook.db"), limits)
            .await
            .unwrap()
    }

    jobhook_engine::store_suite!(open, reopens);

    #[tokio::test]
    async fn what_another_process_changed_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits::default();
        let one = Clerk::new(Arc::new(open(directory.path(), limits).await));
        let other = Clerk::new(Arc::new(open(directory.path(), limits).await));
        let at = one.running(factory::echo()).await;
        for n in 0..3 {
            one.say(at, factory::line(&format!("one {n}"))).await;
            other.say(at, factory::line(&format!("other {n}"))).await;
        }
        let texts = ["one 0", "other 0", "one 1", "other 1", "one 2", "other 2"];
        assert_eq!(one.log(at.action).await, texts);
    }

    #[tokio::test]
    async fn a_batch_that_is_given_up_is_kept_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(directory.path(), LogLimits::default()).await);
        let clerk = Clerk::new(store.clone());
        let at = clerk.running(factory::echo()).await;
        let at_once = std::time::Duration::ZERO;
        let given_up = tokio::time::timeout(at_once, clerk.say(at, factory::line("lost"))).await;
        clerk.say(at, factory::line("kept")).await;
        let log = clerk.log(at.action).await;
        // Who gives up does not learn whether it was too late.
        let without = given_up.is_err() && log == ["kept"];
        assert!(without || log == ["lost", "kept"], "{log:?}");
        assert_eq!(clerk.action(at.action).await.log.last, log.len() as u64);
    }

    #[tokio::test]
    async fn a_batch_that_the_database_refuses_leaves_nothing_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(directory.path(), LogLimits::default()).await);
        let clerk = Clerk::new(store.clone());
        let at = clerk.running(factory::echo()).await;
        clerk
            .say(at, factory::sent("r", 1, factory::line("one")))
            .await;
        let session = store.writer.session().await.unwrap();
        session
            .connection
            .execute_batch(
                "CREATE TEMP TRIGGER refuse BEFORE INSERT ON lines WHEN new.text = 'bad' \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END",
            )
            .unwrap();
        drop(session);
        let report = |seq, text: &str| {
            Write::Report(Box::new(ReportWrite {
                attempt: at,
                report: factory::sent("r", seq, factory::line(text)),
                job_time_ms: 0,
            }))
        };
        let writes = [report(2, "two"), report(3, "bad")];
        let refused = store.apply(&writes, factory::NOW).await;
        assert!(matches!(refused, Err(StoreError::Data(_))), "{refused:?}");
        // Sent again, it is not taken for a duplicate, and its line has the next number.
        let again = store.apply(&writes[..1], factory::NOW).await.unwrap();
        assert!(matches!(&again[0], Ok(Written::Reported(reported)) if !reported.duplicate));
        assert_eq!(clerk.log(at.action).await, ["one", "two"]);
        assert_eq!(clerk.action(at.action).await.log.last, 2);
    }

    #[tokio::test]
    async fn a_batch_that_does_not_fit_is_no_failure_of_the_store_and_what_fits_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(directory.path(), LogLimits::default()).await);
        let clerk = Clerk::new(store.clone());
        let at = clerk.running(factory::echo()).await;
        let session = store.writer.session().await.unwrap();
        let pages: i64 = session
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        let most = format!("PRAGMA max_page_count = {}", pages + 4);
        session.connection.query_row(&most, [], |_| Ok(())).unwrap();
        drop(session);
        let report = |text: &str| {
            Write::Report(Box::new(ReportWrite {
                attempt: at,
                report: factory::line(text),
                job_time_ms: 0,
            }))
        };
        let long = [report(&"x".repeat(1 << 20))];
        let full = store.apply(&long, factory::NOW).await;
        assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
        store.apply(&[report("x")], factory::NOW).await.unwrap();
        assert_eq!(clerk.log(at.action).await, ["x"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_answers_and_holds_what_the_store_in_memory_does(script in script::scripts()) {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let directory = tempfile::tempdir().unwrap();
            runtime.block_on(async {
                let memory = Arc::new(MemoryStore::new(SMALL_LOG));
                let sqlite = Arc::new(open(directory.path(), SMALL_LOG).await);
                script::play_on_both(memory, sqlite, &script).await;
            });
        }
    }
}
