//! Where bytes are kept: the contract of a blob store.
//!
//! A blob is the bytes of one content. It is written once, from its beginning to its end, is
//! there whole or not at all, and never changes. Which blobs are wanted is the
//! [store](crate::store)'s to know; a blob store knows no hashes, names or owners.
//! An implementation is right when [`crate::blob_suite!`] passes on it.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jobhook_protocol::Sha256Sum;

use crate::clock::Timestamp;

/// Names a blob within its blob store, which made the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(pub String);

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps blobs.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Begins a blob. Nobody sees it before it is finished.
    async fn begin(&self) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Reads a part of a blob: bytes `range.start` to before `range.end`.
    ///
    /// A blob that is deleted while it is read may end early, with an error.
    async fn read(
        &self,
        name: &BlobName,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError>;

    /// Deletes a blob; one that is not there is fine.
    async fn delete(&self, name: &BlobName) -> Result<(), BlobError>;

    /// Names up to `limit` finished blobs after `after` in the order of their names, with the
    /// time at which each was finished.
    async fn list(
        &self,
        after: Option<&BlobName>,
        limit: usize,
    ) -> Result<Vec<(BlobName, Timestamp)>, BlobError>;

    /// Removes what was begun by others and never finished. Only to be called where nobody else
    /// uses the blob store.
    async fn clear_unfinished(&self) -> Result<(), BlobError>;

    /// How many bytes there is room for; `None` where nobody knows.
    async fn room(&self) -> Result<Option<u64>, BlobError>;

    /// An address at which a blob can be read by whoever has it, without this server; `None`
    /// where there are no such addresses.
    async fn direct(
        &self,
        name: &BlobName,
        terms: &DirectTerms,
    ) -> Result<Option<String>, BlobError>;
}

/// A blob that is being written. One that is dropped leaves nothing.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends `chunks`, one after the other.
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), BlobError>;

    /// Makes the blob visible. Once this returns it survives a crash.
    ///
    /// - `sha256`: of its bytes; a part of its name, where that helps people.
    async fn finish(self: Box<Self>, sha256: &Sha256Sum) -> Result<BlobName, BlobError>;
}

/// How a blob is answered at a direct address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectTerms {
    /// The header `Content-Type`.
    pub content_type: String,
    /// The header `Content-Disposition`.
    pub content_disposition: String,
    /// How long the address is good.
    pub lasts: std::time::Duration,
}

/// Why a blob store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no such blob, or it has no such bytes.
    #[error("there is no such blob")]
    NotFound,
    /// There is no room for more.
    #[error("the file storage is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer, or failed.
    #[error("the file storage is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
