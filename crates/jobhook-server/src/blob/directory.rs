//! Blobs as files of a directory that belongs to this server alone.
//!
//! ```text
//! files/temp/{generation}                          being written
//! files/{first two digits}/{sha256}.{generation}   finished
//! ```
//!
//! A blob is written in `temp/`, synced, renamed, and its new directory synced: it is there
//! whole or not at all. Directories are 0700 and files 0600. Names come from the database and
//! from tokens; one that is not of the form above is refused before a path is made of it.
//!
//! A blob of less than 1 MiB touches the disk only once it is finished, in one go. Syncs of
//! directories are not gathered: a file system with a journal does that already (of 32 at once,
//! on ext4, each has its own for a quarter of the speed).

mod name;
mod reader;
mod root;
mod unfinished;
mod writer;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jobhook_engine::blob::{BlobError, BlobName, BlobStore, BlobWriter, DirectTerms};
use jobhook_engine::clock::Timestamp;

use self::root::Root;
use crate::data_dir::DataDirError;

/// Keeps blobs in a directory.
#[derive(Clone, Debug)]
pub struct DirectoryBlobs {
    root: Arc<Root>,
}

impl DirectoryBlobs {
    /// Makes the directory if it is not there, private to this user.
    ///
    /// # Errors
    ///
    /// [`DataDirError`].
    pub fn open(path: &Path) -> Result<DirectoryBlobs, DataDirError> {
        Root::open(path).map(|root| DirectoryBlobs {
            root: Arc::new(root),
        })
    }

    /// Does something with the directory where it keeps nobody waiting.
    async fn aside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Root) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let root = Arc::clone(&self.root);
        aside(move || act(&root)).await
    }
}

/// What the system said, by what it means.
fn failed(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            BlobError::Full(Box::new(error))
        }
        _ => BlobError::Unavailable(Box::new(error)),
    }
}

async fn aside<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(error.into()))
        .map_err(failed)
}

#[async_trait]
impl BlobStore for DirectoryBlobs {
    async fn begin(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(writer::Writer::new(Arc::clone(&self.root))))
    }

    async fn read(
        &self,
        name: &BlobName,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        reader::read(Arc::clone(&self.root), name, range).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        if !name::is_ours(&name.0) {
            return Ok(());
        }
        let name = name.clone();
        // Not synced: what a crash brings back belongs to nothing, and is swept.
        self.aside(move |root| root.delete(&name)).await
    }

    async fn list(
        &self,
        after: Option<&BlobName>,
        limit: usize,
    ) -> Result<Vec<(BlobName, Timestamp)>, BlobError> {
        let after = after.cloned();
        self.aside(move |root| root.list(after.as_ref(), limit))
            .await
    }

    async fn clear_unfinished(&self) -> Result<(), BlobError> {
        self.aside(Root::clear_unfinished).await
    }

    async fn room(&self) -> Result<Option<u64>, BlobError> {
        self.aside(Root::room).await.map(Some)
    }

    async fn direct(
        &self,
        _name: &BlobName,
        _terms: &DirectTerms,
    ) -> Result<Option<String>, BlobError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
