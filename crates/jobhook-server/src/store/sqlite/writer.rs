//! The one connection that writes, and the transactions on it.
//!
//! A transaction that was given up half-way (its future was dropped, or a statement failed)
//! is rolled back before anything else happens on the connection, and what was kept of recent
//! rows is forgotten with it.

use jobhook_engine::clock::Timestamp;
use jobhook_engine::ledger::{self, Answer};
use jobhook_engine::log::LogLimits;
use jobhook_engine::store::StoreError;
use jobhook_engine::write::Write;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::recent::Recent;
use super::transaction::SqliteTransaction;
use super::{failure, foreseen, is_refused_data};

/// The connection; writers wait for each other here and not for the database's lock.
#[derive(Debug)]
pub(super) struct Writer {
    /// Nothing once it is closed.
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
pub(super) struct Session {
    connection: SqliteConnection,
    recent: Recent,
    /// A transaction was begun and its end is not known.
    open: bool,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Writer {
        let session = Session {
            connection,
            recent: Recent::default(),
            open: false,
        };
        Writer {
            session: Mutex::new(Some(session)),
        }
    }

    /// Waits for the connection; no transaction is open on it.
    pub(super) async fn session(&self) -> Result<MappedMutexGuard<'_, Session>, StoreError> {
        let session = MutexGuard::try_map(self.session.lock().await, Option::as_mut)
            .map_err(|_| StoreError::Unavailable("the store is closed".into()))?;
        let mut session = session;
        session.roll_back().await;
        Ok(session)
    }

    /// Waits for what is under way and closes the connection.
    pub(super) async fn close(&self) -> Result<(), sqlx::Error> {
        match self.session.lock().await.take() {
            Some(session) => session.connection.close().await,
            None => Ok(()),
        }
    }
}

impl Session {
    /// The connection, for a statement that stands alone.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Applies a batch in one transaction.
    pub(super) async fn apply(
        &mut self,
        limits: LogLimits,
        writes: &[Write],
        now: Timestamp,
    ) -> Result<Vec<Answer>, StoreError> {
        self.open = true;
        if let Some((script, answers)) =
            foreseen::foresee(&mut self.recent, limits, writes, now).await?
        {
            match script.run(&mut self.connection).await {
                Ok(()) => {
                    self.open = false;
                    return Ok(answers);
                }
                // Somebody else wrote, or the data is refused: reading tells which.
                Err(error) if is_refused_data(&error) => {
                    self.roll_back().await;
                    self.open = true;
                }
                Err(error) => {
                    self.roll_back().await;
                    return Err(failure(error));
                }
            }
        }
        let answers = self.apply_step_by_step(limits, writes, now).await;
        match &answers {
            Ok(_) => self.open = false,
            Err(_) => self.roll_back().await,
        }
        answers
    }

    async fn apply_step_by_step(
        &mut self,
        limits: LogLimits,
        writes: &[Write],
        now: Timestamp,
    ) -> Result<Vec<Answer>, StoreError> {
        let (connection, recent) = (&mut self.connection, &mut self.recent);
        let mut transaction = SqliteTransaction::begin(connection, limits, recent).await?;
        let answers = ledger::run(&mut transaction, writes, now).await?;
        transaction.commit().await?;
        Ok(answers)
    }

    /// Ends what was left open, if something was.
    async fn roll_back(&mut self) {
        if self.open {
            self.recent = Recent::default();
            // It fails where the transaction did end, which is as good.
            let _ = sqlx::query("ROLLBACK").execute(&mut self.connection).await;
            self.open = false;
        }
    }
}
