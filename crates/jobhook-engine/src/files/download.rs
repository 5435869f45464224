//! Downloading (clauses `DOWN-1` to `DOWN-3`): a job asks where a file is, and whoever has the
//! answer fetches it.

use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jobhook_protocol::Access;

use super::Files;
use super::error::FilesError;
use super::rights::Target;
use super::token::{Get, Purpose};
use crate::blob::{BlobError, DirectTerms};
use crate::clock::Timestamp;
use crate::file::{File, PropertyRef};
use crate::hook::Proven;

/// Where bytes are fetched.
const PATH: &str = "/download/data";

/// A file, and where its bytes are.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The file.
    pub file: File,
    /// Where.
    pub url: String,
    /// When the address ceases to be good.
    pub expires: Timestamp,
}

impl Files {
    /// Tells a job where a file is.
    ///
    /// - `index`: as the request has it.
    ///
    /// # Errors
    ///
    /// [`FilesError`].
    pub async fn locate(
        &self,
        proven: Proven,
        target: Target<'_>,
        index: &str,
    ) -> Result<Located, FilesError> {
        let by = proven.attempt();
        let (_, allowed) = self.allowed(by, target, Access::Read).await?;
        let index = read_index(index).ok_or(FilesError::NotFound)?;
        let file = self.file(&allowed.property, index).await?;
        let get = Get {
            by: by.into(),
            from: allowed.property.into(),
            index,
        };
        let (url, expires) = self.address(PATH, by, Purpose::Get(get)).await?;
        Ok(Located { file, url, expires })
    }

    /// The file that a token is good for.
    ///
    /// # Errors
    ///
    /// [`FilesError`].
    pub async fn fetch(&self, token: &str) -> Result<File, FilesError> {
        let Purpose::Get(get) = self.unseal(token)? else {
            return Err(FilesError::InvalidToken);
        };
        self.is_open(get.by.into()).await?;
        self.file(&get.from.into(), get.index).await
    }

    /// A file by its place.
    ///
    /// # Errors
    ///
    /// [`FilesError::NotFound`], or the store's.
    pub async fn file(&self, at: &PropertyRef, index: u64) -> Result<File, FilesError> {
        let file = self.0.store.file(at, index).await?;
        file.ok_or(FilesError::NotFound)
    }

    /// A part of a file's bytes: `range.start` to before `range.end`.
    ///
    /// # Errors
    ///
    /// [`FilesError::Blob`].
    pub async fn read(
        &self,
        file: &File,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, FilesError> {
        let blob = &file.content.blob;
        if !blob.is_small() {
            return Ok(self.0.settings.blobs.read(blob, range).await?);
        }
        let bytes = self.0.store.small(blob).await?;
        let part = bytes.and_then(|bytes| {
            let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
            let range = start.ok()?..end.ok()?;
            bytes.get(range.clone())?;
            Some(bytes.slice(range))
        });
        let part = part.ok_or(BlobError::NotFound)?;
        Ok(stream::iter((!part.is_empty()).then_some(Ok(part))).boxed())
    }

    /// An address of the blob store's own for a file, where there is one and it may be used.
    ///
    /// # Errors
    ///
    /// [`FilesError::Blob`].
    pub async fn direct(
        &self,
        file: &File,
        terms: &DirectTerms,
    ) -> Result<Option<String>, FilesError> {
        if !self.0.settings.direct || file.content.blob.is_small() {
            return Ok(None);
        }
        let blobs = &self.0.settings.blobs;
        Ok(blobs.direct(&file.content.blob, terms).await?)
    }
}

/// The number of a file, as an address has it (clause `DOWN-2`).
pub fn read_index(text: &str) -> Option<u64> {
    let is_index = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_index.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_digits_and_not_many() {
        assert_eq!(read_index("0"), Some(0));
        assert_eq!(read_index("1000000000"), Some(1_000_000_000));
        for none in ["", "-1", "+1", "1e9", "abc", " 1", "١", "12345678901"] {
            assert_eq!(read_index(none), None, "{none}");
        }
    }
}
