//! Sends a blob to a bucket: at once if it is small, else in parts, of which a few are on
//! their way while the next is gathered.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jobhook_engine::blob::{BlobError, BlobName, BlobWriter};
use jobhook_protocol::Sha256Sum;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{Bucket, failed, name};

/// Parts on their way at once.
const PARALLEL: usize = 2;

/// Size of a part. An upload has at most 10,000 of them, so those of enormous files grow: there
/// is room for 156 GiB.
pub(super) fn part_size(number: usize) -> usize {
    (8 << 20) << (number / 4_000)
}

pub(super) struct Upload {
    bucket: Arc<Bucket>,
    name: BlobName,
    key: Path,
    gathered: BytesMut,
    parts: Option<Parts>,
}

/// An upload in parts. Unless it is completed, it is aborted.
struct Parts {
    begun: Option<Box<dyn MultipartUpload>>,
    number: usize,
    sending: JoinSet<Result<(), Error>>,
}

impl Upload {
    pub(super) fn new(bucket: Arc<Bucket>) -> Result<Upload, BlobError> {
        let name = name::draw()?;
        Ok(Upload {
            key: bucket.key(&name)?,
            bucket,
            name,
            gathered: BytesMut::new(),
            parts: None,
        })
    }

    /// Sends what is gathered on its way.
    async fn send(&mut self) -> Result<(), BlobError> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let begun = self.bucket.s3.put_multipart(&self.key).await;
                self.parts.insert(Parts {
                    begun: Some(begun.map_err(failed)?),
                    number: 0,
                    sending: JoinSet::new(),
                })
            }
        };
        parts.wait(PARALLEL).await?;
        parts.send(self.gathered.split().freeze());
        Ok(())
    }
}

impl Parts {
    /// Waits until fewer than so many are on their way.
    async fn wait(&mut self, fewer_than: usize) -> Result<(), BlobError> {
        while self.sending.len() >= fewer_than
            && let Some(sent) = self.sending.join_next().await
        {
            sent.map_err(|error| BlobError::Unavailable(Box::new(error)))?
                .map_err(failed)?;
        }
        Ok(())
    }

    fn send(&mut self, part: Bytes) {
        if let Some(begun) = &mut self.begun {
            self.number += 1;
            self.sending.spawn(begun.put_part(part.into()));
        }
    }
}

#[async_trait]
impl BlobWriter for Upload {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), BlobError> {
        for mut chunk in chunks {
            while !chunk.is_empty() {
                let number = self.parts.as_ref().map_or(0, |parts| parts.number);
                let room = part_size(number).saturating_sub(self.gathered.len());
                let fitting = chunk.split_to(chunk.len().min(room));
                self.gathered.extend_from_slice(&fitting);
                // One that is exactly full may be the whole blob.
                if !chunk.is_empty() {
                    self.send().await?;
                }
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, _sha256: &Sha256Sum) -> Result<BlobName, BlobError> {
        if self.parts.is_none() {
            let whole = self.gathered.split().freeze();
            let put = self.bucket.s3.put(&self.key, whole.into()).await;
            put.map_err(failed)?;
            return Ok(self.name.clone());
        }
        self.send().await?;
        if let Some(mut parts) = self.parts.take() {
            parts.wait(1).await?;
            if let Some(begun) = &mut parts.begun {
                begun.complete().await.map_err(failed)?;
            }
            parts.begun = None;
        }
        Ok(self.name.clone())
    }
}

/// Parts that are on their way are let go. One that arrives after all is the bucket's to clear
/// away, as is what a server that dies had begun.
impl Drop for Parts {
    fn drop(&mut self) {
        self.sending.abort_all();
        if let Some(mut begun) = self.begun.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = begun.abort().await {
                    tracing::warn!(%error, "An upload to the bucket that was given up cannot be aborted");
                }
            });
        }
    }
}
