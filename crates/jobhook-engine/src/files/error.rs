//! Why files are not given or taken.

use crate::batcher::WriteFailure;
use crate::blob::BlobError;
use crate::hook::Disbelief;
use crate::store::StoreError;
use crate::write::{Refusal, Written};

/// Why files are not given or taken.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Not there, or not for who asks: all alike (clause `FILE-3`).
    #[error("there is no such file here, or it was not granted to this job")]
    NotFound,
    /// Uploading in one pass needs a signature over the whole request.
    #[error("an upload in one pass counts only with an X-Job-Signature")]
    SignatureRequired,
    /// No token, or none of this server for this.
    #[error("the address carries no token for this; use the address of the answer as it is")]
    InvalidToken,
    /// A token that is too old.
    #[error("the address has expired; ask for a new one")]
    TokenExpired,
    /// An attempt that is over.
    #[error(transparent)]
    Over(Disbelief),
    /// The bytes are not what was announced.
    #[error("{0}")]
    Mismatch(String),
    /// One file has too many bytes.
    #[error("the file has more than {most} bytes, which is the limit here")]
    TooLarge {
        /// The limit.
        most: u64,
    },
    /// There is no room for it on this server.
    #[error("{0}")]
    NoRoom(&'static str),
    /// Others are transferring, as many as may at once.
    #[error("as many files are on their way as may be at once; send it again later")]
    Busy,
    /// What was uploaded is not there any more.
    #[error("what was uploaded is not there any more; upload it again")]
    Gone,
    /// The ledger refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The blob store failed.
    #[error(transparent)]
    Blob(BlobError),
    /// The store could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store could not write.
    #[error(transparent)]
    Write(#[from] WriteFailure),
}

impl From<BlobError> for FilesError {
    fn from(error: BlobError) -> FilesError {
        match error {
            BlobError::Full(source) => {
                tracing::error!(error = %source, "The file storage is full");
                FilesError::NoRoom("the server's file storage is full")
            }
            other => FilesError::Blob(other),
        }
    }
}

/// An answer that its write does not have: a fault of the store.
pub(super) fn unexpected(written: &Written) -> FilesError {
    let what = format!("a write was answered with {written:?}");
    FilesError::Store(StoreError::Damaged(what))
}
