//! A few connections that only read, beside the writer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jobhook_engine::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        blocking(move || idle.read(permit, read)).await
    }

    /// Looks up a row or two by their key, right here where a connection is idle: to have another
    /// thread do it would take ten times as long. What may be large is [read](Self::read).
    pub(super) async fn glance<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => self.idle.read(permit, read),
            Err(_) => self.read(read).await,
        }
    }

    /// Closes the connections, once their readers have done.
    pub(super) async fn close(&self) {
        let _all = self.free.acquire_many(READERS).await;
        self.free.close();
        self.idle.lock().clear();
    }
}

/// A connection that goes back when its reader has done, whatever became of it.
struct Borrowed<'i>(Option<Connection>, &'i Idle);

impl<'i> Borrowed<'i> {
    fn of(idle: &'i Idle) -> Borrowed<'i> {
        Borrowed(idle.lock().pop(), idle)
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.1.lock().extend(self.0.take());
    }
}

impl Idle {
    fn read<T>(
        &self,
        permit: OwnedSemaphorePermit,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Given back last, also where the reader panics: a permit is worth a connection.
        let _permit = permit;
        let mut borrowed = Borrowed::of(self);
        read(borrowed.0.as_mut().ok_or_else(closed)?)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_panics_leaves_its_connection_to_the_next() {
        let readers = Readers::new(vec![Connection::open_in_memory().unwrap()]);
        let readers = Arc::new(readers);
        let panics = Arc::clone(&readers);
        let panicked = tokio::spawn(async move {
            let unread: Result<(), StoreError> = panics.read(|_| panic!("on purpose")).await;
            unread
        });
        assert!(panicked.await.unwrap_err().is_panic());
        assert!(readers.read(|_| Ok(())).await.is_ok());
    }
}
