//! The one connection that writes. Writers wait for each other here and not for the
//! database's lock.

use std::io;
use std::sync::Arc;

use jobhook_engine::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use super::checkpointer::Checkpointer;
use super::warm::Warm;
use super::{blocking, failure};

/// The connection, and who waits for it.
#[derive(Debug)]
pub(super) struct Writer {
    /// Nothing once it is closed.
    session: Arc<Mutex<Option<Session>>>,
}

/// The connection, and what need not be read with it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) warm: Warm,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Writer {
        let warm = Warm::default();
        Writer {
            session: Arc::new(Mutex::new(Some(Session { connection, warm }))),
        }
    }

    /// Has `connection` make the checkpoints, on a thread of its own. Blocks.
    pub(super) fn checkpoint_with(&self, connection: Connection) -> io::Result<Arc<Checkpointer>> {
        Checkpointer::start(connection, &self.session).map(Arc::new)
    }

    /// Waits for the connection; no transaction is open on it.
    pub(super) async fn session(
        &self,
    ) -> Result<OwnedMappedMutexGuard<Option<Session>, Session>, StoreError> {
        let session = Arc::clone(&self.session).lock_owned().await;
        OwnedMutexGuard::try_map(session, Option::as_mut)
            .map_err(|_| StoreError::Unavailable("the store is closed".into()))
    }

    /// Runs what writes on a thread that may wait for the disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut session = self.session().await?;
        blocking(move || write(&mut session.connection).map_err(failure)).await
    }

    /// Waits for what is under way and closes the connection.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let session = self.session.lock().await.take();
        blocking(move || match session {
            Some(session) => session
                .connection
                .close()
                .map_err(|(_, error)| failure(error)),
            None => Ok(()),
        })
        .await
    }
}
