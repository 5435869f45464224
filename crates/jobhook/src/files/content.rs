//! What is uploaded: bytes, a file, or a reader; and how it becomes the body of a request.
//!
//! Bytes and files are read as often as needed, a reader once. Files are read, and everything is
//! hashed, on a thread that may block; a few pieces of 256 KiB are under way at a time, and so
//! memory does not grow with the content.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jobhook_protocol::{Handshake, HandshakeDigester, Sha256Digester, Sha256Sum};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::Error;
use crate::files::part::{PartFile, unwritable};

/// What has at most so many bytes is kept in memory, and hashed before it is announced.
pub(crate) const SMALL: usize = 256 << 10;
/// How much is read at once.
const PIECE: usize = 256 << 10;
/// How many pieces may wait for the connection.
const PIECES: usize = 4;

/// As the caller gave it.
pub(crate) enum Source {
    Path(PathBuf),
    Bytes(Bytes),
    Reader(Reader),
}

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// As it is uploaded.
pub(crate) enum Content {
    /// It can be sent again.
    Kept(Kept),
    /// It can be read once.
    Reader(Reader),
}

/// What can be read as often as needed.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Small(Bytes),
    Large(Bytes),
    File(LocalFile),
}

/// A file as it was when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct LocalFile {
    file: Arc<File>,
    path: PathBuf,
    pub(crate) len: u64,
    modified: Option<SystemTime>,
}

/// What a body held, as it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fed {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Sum,
    /// Whether all of it was asked for.
    pub(crate) is_whole: bool,
}

/// A body that is read and hashed while it is sent.
pub(crate) struct Feed {
    pub(crate) pieces: mpsc::Receiver<io::Result<Bytes>>,
    pub(crate) fed: JoinHandle<Result<Fed, Error>>,
}

impl Source {
    /// Opens what has to be opened, and reads what is small.
    pub(crate) async fn open(self) -> Result<Content, Error> {
        match self {
            Source::Bytes(bytes) if bytes.len() <= SMALL => Ok(Content::Kept(Kept::Small(bytes))),
            Source::Bytes(bytes) => Ok(Content::Kept(Kept::Large(bytes))),
            Source::Path(path) => on_thread(move || open(path)).await,
            Source::Reader(mut reader) => {
                let mut head = Vec::new();
                let mut limited = (&mut reader).take(SMALL as u64 + 1);
                limited.read_to_end(&mut head).await.map_err(given)?;
                if head.len() <= SMALL {
                    return Ok(Content::Kept(Kept::Small(head.into())));
                }
                let rest = AsyncReadExt::chain(io::Cursor::new(head), reader);
                Ok(Content::Reader(Box::new(rest)))
            }
        }
    }
}

fn open(path: PathBuf) -> Result<Content, Error> {
    let failed = |error: io::Error| unreadable(&path, &error);
    let file = File::open(&path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let file = if metadata.is_file() && metadata.len() > SMALL as u64 {
        return Ok(Content::Kept(Kept::File(LocalFile {
            file: file.into(),
            len: metadata.len(),
            modified: metadata.modified().ok(),
            path,
        })));
    } else if metadata.is_file() {
        let mut head = Vec::new();
        // Of what the system makes up, such as /proc, the size is not known before.
        let mut limited = file.take(SMALL as u64 + 1);
        limited.read_to_end(&mut head).map_err(failed)?;
        if head.len() <= SMALL {
            return Ok(Content::Kept(Kept::Small(head.into())));
        }
        let mut file = limited.into_inner();
        file.rewind().map_err(failed)?;
        file
    } else if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    } else {
        file
    };
    Ok(Content::Reader(Box::new(tokio::fs::File::from_std(file))))
}

impl Content {
    /// How many bytes it has, if that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Content::Kept(kept) => Some(kept.size()),
            Content::Reader(_) => None,
        }
    }

    /// What can be sent again: a reader goes into a file that nobody sees.
    pub(crate) async fn kept(self) -> Result<Kept, Error> {
        match self {
            Content::Kept(kept) => Ok(kept),
            Content::Reader(reader) => keep(reader).await,
        }
    }

    /// A body of it. A reader is empty afterwards.
    pub(crate) fn feed(&mut self) -> Feed {
        match self {
            Content::Kept(kept) => kept.feed(),
            Content::Reader(reader) => {
                feed_reader(std::mem::replace(reader, Box::new(tokio::io::empty())))
            }
        }
    }
}

async fn keep(mut reader: Reader) -> Result<Kept, Error> {
    let path = std::env::temp_dir();
    let directory = path.clone();
    let (pieces, mut taken) = mpsc::channel::<Bytes>(PIECES);
    let writing = on_thread(move || {
        let file = PartFile::create(&directory)?.nameless();
        let write = || -> io::Result<LocalFile> {
            let mut file = file?;
            while let Some(piece) = taken.blocking_recv() {
                file.write_all(&piece)?;
            }
            let metadata = file.metadata()?;
            Ok(LocalFile {
                file: file.into(),
                len: metadata.len(),
                modified: metadata.modified().ok(),
                path: directory.clone(),
            })
        };
        write().map_err(|error| unwritable(&directory, &error))
    });
    let reading = async move {
        while let Some(piece) = next_piece(&mut reader).await.map_err(given)? {
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    let (file, read) = futures_util::future::join(writing, reading).await;
    read?;
    Ok(Kept::File(file?))
}

impl Kept {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Kept::Small(bytes) | Kept::Large(bytes) => bytes.len() as u64,
            Kept::File(file) => file.len,
        }
    }

    /// What it is announced with.
    pub(crate) async fn handshake(&self) -> Result<Handshake, Error> {
        match self.clone() {
            Kept::Small(bytes) => Ok(HandshakeDigester::of(&bytes)),
            Kept::Large(bytes) => on_thread(move || Ok(HandshakeDigester::of(&bytes))).await,
            Kept::File(file) => {
                on_thread(move || {
                    let mut digester = HandshakeDigester::new();
                    file.read(|piece| {
                        digester.update(&piece);
                        true
                    })?;
                    Ok(digester.finish())
                })
                .await
            }
        }
    }

    fn feed(&self) -> Feed {
        let (to_body, pieces) = mpsc::channel(PIECES);
        let kept = self.clone();
        let fed = spawn_blocking(move || {
            let mut out = Out::new(to_body);
            match kept {
                Kept::Small(bytes) | Kept::Large(bytes) => {
                    let mut parts = (0..bytes.len()).step_by(PIECE);
                    parts.all(|at| out.give(bytes.slice(at..bytes.len().min(at + PIECE))));
                    Ok(out.finish(bytes.len() as u64))
                }
                Kept::File(file) => match file.read(|piece| out.give(piece)) {
                    Ok(()) => Ok(out.finish(file.len)),
                    Err(error) => Err(out.fail(error)),
                },
            }
        });
        Feed { pieces, fed }
    }
}

fn feed_reader(mut reader: Reader) -> Feed {
    let (to_body, pieces) = mpsc::channel(PIECES);
    let (to_thread, mut taken) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        loop {
            let piece = next_piece(&mut reader).await.transpose();
            let Some(piece) = piece else { return };
            let is_last = piece.is_err();
            if to_thread.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    let fed = spawn_blocking(move || {
        let mut out = Out::new(to_body);
        let mut size = 0;
        while let Some(piece) = taken.blocking_recv() {
            let piece = piece.map_err(|error| out.fail(given(error)))?;
            size += piece.len() as u64;
            if !out.give(piece) {
                // Not whole, whatever else would have come.
                size += 1;
                break;
            }
        }
        Ok(out.finish(size))
    });
    Feed { pieces, fed }
}

/// The side of a body that reads.
struct Out {
    to_body: mpsc::Sender<io::Result<Bytes>>,
    sha256: Sha256Digester,
}

impl Out {
    fn new(to_body: mpsc::Sender<io::Result<Bytes>>) -> Out {
        Out {
            to_body,
            sha256: Sha256Digester::new(),
        }
    }

    /// Whether more is wanted.
    fn give(&mut self, piece: Bytes) -> bool {
        let kept = piece.clone();
        let is_wanted = self.to_body.blocking_send(Ok(piece)).is_ok();
        if is_wanted {
            self.sha256.update(&kept);
        }
        is_wanted
    }

    /// Breaks the body off, so that it is not taken for a whole one.
    fn fail(&self, error: Error) -> Error {
        let broken = io::Error::other(error.to_string());
        let _ = self.to_body.blocking_send(Err(broken));
        error
    }

    /// - `size`: how much there is in all.
    fn finish(self, size: u64) -> Fed {
        Fed {
            is_whole: self.sha256.size() == size,
            size: self.sha256.size(),
            sha256: self.sha256.finish(),
        }
    }
}

impl LocalFile {
    /// Reads it once, as long as `take` wants more, and makes sure that it is what it was.
    fn read(&self, mut take: impl FnMut(Bytes) -> bool) -> Result<(), Error> {
        let mut at = 0;
        while at < self.len {
            let wanted = usize::try_from(self.len - at).map_or(PIECE, |left| left.min(PIECE));
            let mut piece = vec![0; wanted];
            let read = self.file.read_at(&mut piece, at);
            let read = read.map_err(|error| unreadable(&self.path, &error))?;
            if read == 0 {
                return Err(self.changed());
            }
            piece.truncate(read);
            at += read as u64;
            // Before the last piece: a body is whole once that is sent.
            if at == self.len {
                self.check()?;
            }
            if !take(piece.into()) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let metadata = self.file.metadata();
        let metadata = metadata.map_err(|error| unreadable(&self.path, &error))?;
        if metadata.len() == self.len && metadata.modified().ok() == self.modified {
            return Ok(());
        }
        Err(self.changed())
    }

    fn changed(&self) -> Error {
        Error::FileChanged {
            path: self.path.clone(),
        }
    }
}

async fn next_piece(reader: &mut Reader) -> io::Result<Option<Bytes>> {
    let mut piece = Vec::with_capacity(PIECE);
    let mut limited = reader.take(PIECE as u64);
    limited.read_to_end(&mut piece).await?;
    Ok((!piece.is_empty()).then(|| piece.into()))
}

/// Runs what blocks on a thread for that.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::System(error.to_string())))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::FileUnreadable {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

/// The error of a reader that the caller gave.
fn given(error: io::Error) -> Error {
    Error::FileUnreadable {
        path: PathBuf::from("(a reader)"),
        cause: error.to_string(),
    }
}
