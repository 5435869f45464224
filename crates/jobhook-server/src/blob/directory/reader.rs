//! Reads a blob: while one piece is used, the next is read into memory that was used before.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use jobhook_engine::blob::{BlobError, BlobName};
use nix::fcntl::OFlag;
use tokio::task::{self, JoinHandle};

use super::failed;
use super::root::Root;
use super::unfinished::{LEAST, TOGETHER};

/// Read at once, where not many read.
const PIECE: usize = 512 << 10;
/// One is used, one is in somebody's queue, one is read into.
const BUFFERS: usize = 3;

struct Reader {
    root: Arc<Root>,
    file: Arc<File>,
    rest: Range<u64>,
    /// What was handed out, oldest first: memory to use again once nobody else has it.
    used: VecDeque<Bytes>,
    ahead: Option<JoinHandle<io::Result<BytesMut>>>,
}

pub(super) async fn read(
    root: Arc<Root>,
    name: &BlobName,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
    let name = name.clone();
    let opened = task::spawn_blocking(move || {
        // A link is none of ours, wherever it leads.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(root.path(&name)?)?;
        if range.end > file.metadata()?.len() {
            return Err(ErrorKind::NotFound.into());
        }
        let mut reader = Reader::new(root, file, range);
        // Most blobs are one piece; then nobody has to change threads again.
        let first = match reader.next() {
            Some((at, buffer)) => Some(fill(&reader.file, at, buffer)?.freeze()),
            None => None,
        };
        Ok((first, reader))
    })
    .await;
    let (first, mut reader) =
        opened
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(|error: io::Error| match error.kind() {
                ErrorKind::NotFound => BlobError::NotFound,
                _ => failed(error),
            })?;
    let Some(first) = first else {
        return Ok(stream::empty().boxed());
    };
    reader.hand_out(&first);
    let rest = stream::unfold(reader, |mut reader| async move {
        let piece = match reader.ahead.take()?.await {
            Ok(Ok(buffer)) => Ok(buffer.freeze()),
            Ok(Err(error)) => Err(failed(error)),
            Err(error) => Err(BlobError::Unavailable(Box::new(error))),
        };
        if let Ok(piece) = &piece {
            reader.hand_out(piece);
        }
        Some((piece, reader))
    });
    Ok(stream::iter([Ok(first)]).chain(rest).boxed())
}

fn fill(file: &File, at: u64, mut buffer: BytesMut) -> io::Result<BytesMut> {
    file.read_exact_at(&mut buffer, at)?;
    Ok(buffer)
}

/// How much is read at once, with so many who read: all of them together hold as much as writers
/// may, as long as each may have [`LEAST`].
fn piece(readers: usize) -> usize {
    (TOGETHER / BUFFERS / readers.max(1)).clamp(LEAST, PIECE)
}

impl Reader {
    fn new(root: Arc<Root>, file: File, rest: Range<u64>) -> Reader {
        root.readers.fetch_add(1, Ordering::Relaxed);
        Reader {
            root,
            file: Arc::new(file),
            rest,
            used: VecDeque::new(),
            ahead: None,
        }
    }

    /// Where the next piece begins, and memory of its size.
    fn next(&mut self) -> Option<(u64, BytesMut)> {
        let at = self.rest.start;
        let left = usize::try_from(self.rest.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let piece = piece(self.root.readers.load(Ordering::Relaxed));
        let size = left.min(piece);
        if size == 0 {
            return None;
        }
        self.rest.start += size as u64;
        let old = match self.used.pop_front() {
            Some(old) if self.used.len() + 1 >= BUFFERS => old.try_into_mut().ok(),
            Some(young) => {
                self.used.push_front(young);
                None
            }
            None => None,
        };
        // One of a time when fewer read is too large now.
        let old = old.filter(|old| old.capacity() <= piece);
        let mut buffer = old.unwrap_or_else(|| BytesMut::zeroed(size));
        buffer.resize(size, 0);
        Some((at, buffer))
    }

    /// Remembers a piece that goes out, and begins with the next one.
    fn hand_out(&mut self, piece: &Bytes) {
        self.used.push_back(piece.clone());
        self.ahead = self.next().map(|(at, buffer)| {
            let file = Arc::clone(&self.file);
            task::spawn_blocking(move || fill(&file, at, buffer))
        });
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.root.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_read_the_less_each_reads_at_once() {
        assert_eq!([0, 1, 42].map(piece), [PIECE; 3]);
        assert!((LEAST..PIECE).contains(&piece(100)));
        assert_eq!(piece(10_000), LEAST);
    }
}
