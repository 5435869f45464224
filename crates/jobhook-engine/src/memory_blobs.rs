//! A blob store in memory: the fake that tests use, and the plainest reading of the contract.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jobhook_protocol::Sha256Sum;

use crate::blob::{BlobError, BlobName, BlobStore, BlobWriter, DirectTerms, PIECE};
use crate::clock::{Clock, SystemClock, Timestamp};

/// Keeps blobs in memory, and loses them with the process.
#[derive(Debug)]
pub struct MemoryBlobs {
    shelf: Arc<Mutex<Shelf>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Shelf {
    capacity: Option<u64>,
    used: u64,
    begun: u64,
    unfinished: BTreeMap<u64, Blob>,
    finished: BTreeMap<BlobName, (Blob, Timestamp)>,
}

#[derive(Debug, Default)]
struct Blob {
    chunks: Vec<Bytes>,
    size: u64,
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cleared_away() -> BlobError {
    BlobError::Unavailable("it was cleared away".into())
}

impl Default for MemoryBlobs {
    fn default() -> MemoryBlobs {
        MemoryBlobs::new(Arc::new(SystemClock))
    }
}

impl MemoryBlobs {
    /// An empty one, as large as the memory. `clock` says when a blob was finished.
    pub fn new(clock: Arc<dyn Clock>) -> MemoryBlobs {
        MemoryBlobs {
            shelf: Arc::default(),
            clock,
        }
    }

    /// The same, with room for so many bytes; what is unfinished counts too.
    #[must_use]
    pub fn with_capacity(self, bytes: u64) -> MemoryBlobs {
        lock(&self.shelf).capacity = Some(bytes);
        self
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn begin(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        let mut shelf = lock(&self.shelf);
        shelf.begun += 1;
        let number = shelf.begun;
        shelf.unfinished.insert(number, Blob::default());
        Ok(Box::new(Writer {
            shelf: Arc::clone(&self.shelf),
            clock: Arc::clone(&self.clock),
            number,
        }))
    }

    async fn read(
        &self,
        name: &BlobName,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let shelf = lock(&self.shelf);
        let (blob, _) = shelf.finished.get(name).ok_or(BlobError::NotFound)?;
        if range.end > blob.size {
            return Err(BlobError::NotFound);
        }
        let mut pieces = Vec::new();
        let mut start = 0;
        for chunk in &blob.chunks {
            let end = start + chunk.len() as u64;
            let wanted = range.start.clamp(start, end)..range.end.clamp(start, end);
            let mut rest = chunk.slice(within(&wanted, start));
            while !rest.is_empty() {
                pieces.push(Ok(rest.split_to(rest.len().min(PIECE))));
            }
            start = end;
        }
        Ok(stream::iter(pieces).boxed())
    }

    async fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        let mut shelf = lock(&self.shelf);
        if let Some((blob, _)) = shelf.finished.remove(name) {
            shelf.used -= blob.size;
        }
        Ok(())
    }

    async fn list(
        &self,
        after: Option<&BlobName>,
        limit: usize,
    ) -> Result<Vec<(BlobName, Timestamp)>, BlobError> {
        let shelf = lock(&self.shelf);
        let all = shelf.finished.iter();
        let rest = all.filter(|(name, _)| after.is_none_or(|after| *name > after));
        let page = rest.take(limit);
        Ok(page.map(|(name, (_, at))| (name.clone(), *at)).collect())
    }

    async fn clear_unfinished(&self) -> Result<(), BlobError> {
        let mut shelf = lock(&self.shelf);
        let unfinished = std::mem::take(&mut shelf.unfinished);
        shelf.used -= unfinished.values().map(|blob| blob.size).sum::<u64>();
        Ok(())
    }

    async fn room(&self) -> Result<Option<u64>, BlobError> {
        let shelf = lock(&self.shelf);
        Ok(shelf.capacity.map(|capacity| capacity - shelf.used))
    }

    async fn direct(
        &self,
        _name: &BlobName,
        _terms: &DirectTerms,
    ) -> Result<Option<String>, BlobError> {
        Ok(None)
    }
}

/// The part of a chunk that begins at `start`; both ends lie within it.
fn within(range: &Range<u64>, start: u64) -> Range<usize> {
    let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    place(range.start)..place(range.end.max(range.start))
}

#[derive(Debug)]
struct Writer {
    shelf: Arc<Mutex<Shelf>>,
    clock: Arc<dyn Clock>,
    number: u64,
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), BlobError> {
        let mut shelf = lock(&self.shelf);
        let size: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if let Some(capacity) = shelf.capacity
            && size > capacity - shelf.used
        {
            return Err(BlobError::Full(
                format!("there is room for {capacity} bytes in all").into(),
            ));
        }
        let blob = shelf.unfinished.get_mut(&self.number);
        let blob = blob.ok_or_else(cleared_away)?;
        blob.chunks.extend(chunks);
        blob.size += size;
        shelf.used += size;
        Ok(())
    }

    async fn finish(self: Box<Self>, sha256: &Sha256Sum) -> Result<BlobName, BlobError> {
        let mut shelf = lock(&self.shelf);
        let blob = shelf.unfinished.remove(&self.number);
        let blob = blob.ok_or_else(cleared_away)?;
        let name = BlobName(format!("{sha256}.{:016x}", self.number));
        let kept = (blob, self.clock.now());
        shelf.finished.insert(name.clone(), kept);
        Ok(name)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut shelf = lock(&self.shelf);
        if let Some(blob) = shelf.unfinished.remove(&self.number) {
            shelf.used -= blob.size;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing::TestClock;
    use crate::testing::blob_suite::Shelf;

    async fn open(_: &Path) -> MemoryBlobs {
        MemoryBlobs::default()
    }

    crate::blob_suite!(open);

    #[tokio::test]
    async fn what_exceeds_its_capacity_is_refused_until_something_goes() {
        let blobs = Arc::new(MemoryBlobs::default().with_capacity(5));
        let shelf = Shelf::new(blobs.clone());
        let kept = shelf.put(b"abc").await;
        let mut writer = blobs.begin().await.unwrap();
        writer.write(vec!["de".into()]).await.unwrap();
        assert_eq!(blobs.room().await.unwrap(), Some(0));
        let full = writer.write(vec!["f".into()]).await;
        assert!(matches!(full, Err(BlobError::Full(_))), "{full:?}");
        drop(writer);
        assert_eq!(blobs.room().await.unwrap(), Some(2));
        blobs.delete(&kept).await.unwrap();
        shelf.put(b"abcde").await;
    }

    #[tokio::test]
    async fn what_was_cleared_away_takes_no_room_and_cannot_be_finished() {
        let blobs = MemoryBlobs::default().with_capacity(2);
        let mut writer = blobs.begin().await.unwrap();
        writer.write(vec!["ab".into()]).await.unwrap();
        blobs.clear_unfinished().await.unwrap();
        assert_eq!(blobs.room().await.unwrap(), Some(2));
        let finished = writer.finish(&Sha256Sum([0; 32])).await;
        assert!(matches!(finished, Err(BlobError::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_blob_is_as_old_as_its_clock_says() {
        let clock = Arc::new(TestClock::at(Timestamp(7)));
        let blobs = Arc::new(MemoryBlobs::new(clock.clone()));
        let name = Shelf::new(blobs.clone()).put(b"a").await;
        clock.set(Timestamp(9));
        let listed = blobs.list(None, 10).await.unwrap();
        assert_eq!(listed, [(name, Timestamp(7))]);
    }
}
