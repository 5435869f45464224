//! The one connection that writes. Writers wait for each other here and not for the
//! database's lock.

use std::sync::Arc;

use jobhook_engine::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

use super::{blocking, failure};

/// The connection, and who waits for it.
#[derive(Debug)]
pub(super) struct Writer {
    /// Nothing once it is closed.
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Writer {
        Writer {
            connection: Arc::new(Mutex::new(Some(connection))),
        }
    }

    /// Waits for the connection; no transaction is open on it.
    pub(super) async fn connection(
        &self,
    ) -> Result<OwnedMappedMutexGuard<Option<Connection>, Connection>, StoreError> {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        OwnedMutexGuard::try_map(connection, Option::as_mut)
            .map_err(|_| StoreError::Unavailable("the store is closed".into()))
    }

    /// Runs what writes on a thread that may wait for the disk.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut connection = self.connection().await?;
        blocking(move || write(&mut connection).map_err(failure)).await
    }

    /// Waits for what is under way and closes the connection.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let connection = self.connection.lock().await.take();
        blocking(move || match connection {
            Some(connection) => connection.close().map_err(|(_, error)| failure(error)),
            None => Ok(()),
        })
        .await
    }
}
