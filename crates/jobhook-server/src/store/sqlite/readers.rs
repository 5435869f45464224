//! A few connections that only read, beside the writer.

use std::sync::{Arc, Mutex, PoisonError};

use jobhook_engine::store::StoreError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::blocking;

/// How many there are.
pub(super) const READERS: u32 = 4;

/// Connections that read, each for one reader at a time.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Idle>,
    /// One permit for each connection.
    free: Arc<Semaphore>,
}

/// The connections that nobody reads with.
#[derive(Debug)]
struct Idle(Mutex<Vec<Connection>>);

impl Readers {
    /// - `connections`: as many as [`READERS`].
    pub(super) fn new(connections: Vec<Connection>) -> Readers {
        Readers {
            free: Arc::new(Semaphore::new(connections.len())),
            idle: Arc::new(Idle(Mutex::new(connections))),
        }
    }

    /// Waits for a connection, and reads with it on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".into());
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        blocking(move || {
            let connection = idle.take().ok_or_else(closed)?;
            // A reader that panics takes its connection with it, and its permit.
            let outcome = read(&connection);
            idle.put(connection);
            drop(permit);
            outcome
        })
        .await
    }

    /// Closes the connections, once their readers have done.
    pub(super) async fn close(&self) {
        let _all = self.free.acquire_many(READERS).await;
        self.free.close();
        self.idle.clear();
    }
}

impl Idle {
    fn take(&self) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, connection: Connection) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }

    fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
