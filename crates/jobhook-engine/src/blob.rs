//! Where bytes are kept: the contract of a blob store.
//!
//! A blob is the bytes of one content. It is written once, from its beginning to its end, is
//! there whole or not at all, and never changes. Which blobs are wanted is the
//! [store](crate::store)'s to know; a blob store knows no hashes, names or owners.
//! An implementation is right when [`crate::blob_suite!`] passes on it.
//!
//! A [small](BlobName::is_small) blob is in no blob store: the store keeps its bytes itself, beside
//! the row that names it, and both come and go in one transaction.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jobhook_protocol::Sha256Sum;

use crate::clock::Timestamp;

/// The most bytes of one piece of what is read.
pub const PIECE: usize = 1 << 20;

/// Names a blob within its blob store, which made the name: at most 200 letters, digits and
/// `.`, `-`, `_`, `/`. That of a small blob begins with `small/`, as no other does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(pub String);

impl BlobName {
    /// Draws a name for a small blob. Later ones are greater, so that they lie beside each other.
    pub fn small(now: Timestamp) -> BlobName {
        BlobName(format!("{SMALL}{}", now.draw_id()))
    }

    /// Whether the store keeps the bytes itself.
    pub fn is_small(&self) -> bool {
        self.0.starts_with(SMALL)
    }
}

/// What the names of small blobs begin with.
const SMALL: &str = "small/";

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps blobs.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Begins a blob. Nobody sees it before it is finished.
    ///
    /// # Errors
    ///
    /// [`BlobError::Full`], [`BlobError::Unavailable`].
    async fn begin(&self) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Reads a part of a blob, bytes `range.start` to before `range.end`, in pieces of at most
    /// [`PIECE`]. The next one is fetched while the last is used, and no more than a few are
    /// in memory.
    ///
    /// A blob that is deleted while it is read may end early, with an error.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] where the store did not make this name, has no such blob any
    /// more, or the blob ends before the range; [`BlobError::Unavailable`].
    async fn read(
        &self,
        name: &BlobName,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError>;

    /// Deletes a blob; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// [`BlobError::Unavailable`].
    async fn delete(&self, name: &BlobName) -> Result<(), BlobError>;

    /// Names up to `limit` finished blobs after `after` in the order of their names, with the
    /// time at which each was finished, by the clock of where it is kept. There are no more
    /// where these are fewer than `limit`.
    ///
    /// # Errors
    ///
    /// [`BlobError::Unavailable`].
    async fn list(
        &self,
        after: Option<&BlobName>,
        limit: usize,
    ) -> Result<Vec<(BlobName, Timestamp)>, BlobError>;

    /// Removes what was begun by others and never finished. Only to be called where nobody else
    /// uses the blob store.
    ///
    /// # Errors
    ///
    /// [`BlobError::Unavailable`].
    async fn clear_unfinished(&self) -> Result<(), BlobError>;

    /// How many bytes there is room for; `None` where nobody knows.
    ///
    /// # Errors
    ///
    /// [`BlobError::Unavailable`].
    async fn room(&self) -> Result<Option<u64>, BlobError>;

    /// An address at which a blob can be read by whoever has it, without this server; `None`
    /// where there are no such addresses. Whether the blob is there is not looked at.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] where the store did not make this name;
    /// [`BlobError::Unavailable`].
    async fn direct(
        &self,
        name: &BlobName,
        terms: &DirectTerms,
    ) -> Result<Option<String>, BlobError>;
}

/// A blob that is being written. One that is dropped leaves nothing, at the latest once its
/// store has [cleared away](BlobStore::clear_unfinished) what is unfinished.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends `chunks`, one after the other. They may be on their way when this returns, but
    /// no more than a bounded number of them: one who writes faster than the store can take it
    /// waits here.
    ///
    /// # Errors
    ///
    /// [`BlobError::Full`], [`BlobError::Unavailable`]; also for what came before. Nothing can
    /// be made of the blob then.
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), BlobError>;

    /// Makes the blob visible. Once this returns it survives a crash. Who does not wait for the
    /// answer does not learn whether it was too late.
    ///
    /// - `sha256`: of its bytes; a part of its name, where that helps people.
    ///
    /// # Errors
    ///
    /// [`BlobError::Full`], [`BlobError::Unavailable`].
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
