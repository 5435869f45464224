//! The store of one machine: an SQLite database.
//!
//! ```text
//! apply ──▶ writer (one connection): recent rows are enough? ──yes──▶ [foreseen], one trip
//!                                                            ──no───▶ [transaction], a few
//! reads ──▶ readers (a pool), each one statement: a snapshot of the last commit
//! ```
//!
//! It decides how rows lie in tables, never what a write means: that is the ledger's. It runs
//! in WAL mode with `synchronous=FULL`: what `apply` answered survives a power cut.
//!
//! What makes it fast, where every call of the database is a trip to another thread:
//!
//! - **A batch is a handful of statements** (see [`bulk`]): each handles all rows of its kind,
//!   and only those that changed. They make few trips together (see [`script`]).
//! - **Narrow rows change, wide ones stay.** Arguments, results, details and error texts lie
//!   in `payloads`, so a heartbeat or a log line never rewrites them.
//! - **What was written lately is not read again** (see [`recent`]), so a batch of reports is
//!   judged beforehand, and its whole transaction is one trip (see [`foreseen`]).
//! - **Keys are the 16 bytes of the id, in tables without rowid.** Ids are UUIDv7, so new
//!   actions and their attempts are appended at the right edge of one tree each; an integer
//!   in place of the id would need a second tree to find it, on every report.

mod binds;
mod bulk;
mod columns;
mod crash_points;
mod flush;
mod foreseen;
mod open;
mod payload;
#[cfg(test)]
mod plans;
mod read;
mod recent;
mod script;
mod tokens;
mod transaction;
mod trim;
mod writer;

use std::path::Path;

use async_trait::async_trait;
use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::ledger::Answer;
use jobhook_engine::log::{LogLimits, LogLine};
use jobhook_engine::store::{ActionQuery, Store, StoreError, Wake};
use jobhook_engine::write::Write;
use sqlx::SqlitePool;

pub use open::OpenError;
use writer::Writer;

/// Keeps everything in one SQLite database.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
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
        let open::Opened {
            writer,
            readers,
            installation,
        } = open::open(path).await?;
        Ok(SqliteStore {
            writer: Writer::new(writer),
            readers,
            limits,
            installation,
        })
    }

    /// Waits for what is under way and closes the database, which folds its log into it.
    pub async fn close(&self) {
        self.readers.close().await;
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
        crash_points::storing(writes);
        let answers = session.apply(self.limits, writes, now).await?;
        crash_points::stored(writes, &answers);
        Ok(answers)
    }

    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        read::action(&self.readers, id).await
    }

    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
        read::attempts(&self.readers, id).await
    }

    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError> {
        read::last_attempts(&self.readers, ids).await
    }

    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError> {
        read::list(&self.readers, query).await
    }

    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        read::lines(&self.readers, id, after, limit).await
    }

    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError> {
        read::open_attempts(&self.readers).await
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError> {
        read::next_wake(&self.readers, now).await
    }

    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        read::expiring(&self.readers, now, limit).await
    }

    fn installation(&self) -> &str {
        &self.installation
    }
}

/// SQLite's primary result code of an error, if it is one of SQLite's.
fn code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether the database refused what was to be written, and not to write it.
fn is_refused_data(error: &sqlx::Error) -> bool {
    const TOO_BIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;

    matches!(error, sqlx::Error::Encode(_))
        || matches!(code(error), Some(TOO_BIG | CONSTRAINT | MISMATCH))
}

/// What an error of the database means to who uses a store.
fn failure(error: sqlx::Error) -> StoreError {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;

    if is_refused_data(&error) {
        return StoreError::Data(error.into());
    }
    match (code(&error), &error) {
        (Some(CORRUPT | NOT_A_DATABASE), _)
        | (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
            StoreError::Damaged(error.to_string())
        }
        _ => StoreError::Unavailable(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use jobhook_engine::memory::MemoryStore;
    use jobhook_engine::testing::store_suite::SMALL_LOG;
    use jobhook_engine::testing::{Clerk, factory, script};
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
