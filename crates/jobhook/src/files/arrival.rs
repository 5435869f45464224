//! What becomes of bytes that arrive: kept and counted on a thread that may block, and hashed, for
//! a large file on a thread beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::thread;

use bytes::Bytes;
use jobhook_protocol::{FileMap, Md5Digester, Md5Sum, Sha256Digester, Sha256Sum};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::part::PartFile;
use crate::Error;

/// How many pieces may wait for the disk, and how many to be hashed.
const PIECES: usize = 8;

/// From how many bytes on it is worth a thread to hash while others are written.
const APART: u64 = 1024 * 1024;

/// Bytes on their way to where they are kept.
pub(crate) struct Arrival {
    /// Until that is all.
    pieces: Option<mpsc::Sender<Bytes>>,
    keeping: JoinHandle<Result<Arrived, Error>>,
    /// Where they are, until they are handed over.
    part: Option<Arc<OnceLock<PathBuf>>>,
    /// How many came.
    pub(crate) offset: u64,
}

/// All that came.
pub(crate) struct Arrived {
    sum: Sum,
    pub(crate) kept: Kept,
}

/// Where it is.
pub(crate) enum Kept {
    Memory(Vec<u8>),
    Part(PartFile),
}

/// The best that a server tells of what it sends.
pub(crate) enum Sum {
    Sha256(Sha256Sum),
    Md5(Md5Sum),
}

pub(crate) enum Digester {
    Sha256(Sha256Digester),
    Md5(Md5Digester),
}

impl Arrival {
    /// - `directory`: of the file that it becomes; without one it is kept in memory.
    pub(crate) fn begin(map: &FileMap, directory: Option<&Path>) -> Arrival {
        let (pieces, taken) = mpsc::channel(PIECES);
        let digester = Digester::of(map);
        let (size, directory) = (map.size, directory.map(Path::to_owned));
        let part = Arc::<OnceLock<PathBuf>>::default();
        let known = part.clone();
        Arrival {
            pieces: Some(pieces),
            keeping: spawn_blocking(move || keep(taken, digester, size, directory, &known)),
            part: Some(part),
            offset: 0,
        }
    }

    /// Takes what came next. `false` if it cannot be kept: then [`Arrival::end`] tells why.
    pub(crate) async fn take(&mut self, piece: Bytes) -> bool {
        self.offset += piece.len() as u64;
        match &self.pieces {
            Some(pieces) => pieces.send(piece).await.is_ok(),
            None => false,
        }
    }

    /// That was all.
    pub(crate) async fn end(mut self) -> Result<Arrived, Error> {
        self.pieces = None;
        let arrived = (&mut self.keeping).await;
        self.part = None;
        arrived.unwrap_or_else(|error| Err(Error::System(error.to_string())))
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        // Given up. The thread that keeps them does the same, but the process may end before.
        if let Some(path) = self.part.take().as_ref().and_then(|part| part.get()) {
            let _ = fs::remove_file(path);
        }
    }
}

impl Arrived {
    /// Whether it is what `map` announces; if not, how it differs.
    pub(crate) fn compare(&self, map: &FileMap) -> Result<(), String> {
        match self.sum.difference(map) {
            None => Ok(()),
            Some(difference) => Err(difference),
        }
    }
}

impl Sum {
    /// How it is not what `map` announces.
    pub(crate) fn difference(&self, map: &FileMap) -> Option<String> {
        let (got, wanted) = match (self, map.sha256) {
            (Sum::Sha256(got), Some(wanted)) => (got.to_string(), wanted.to_string()),
            (Sum::Sha256(got), None) => (got.to_string(), String::new()),
            (Sum::Md5(got), _) => (got.to_string(), map.hash.to_string()),
        };
        (got != wanted).then(|| format!("its hash is {got}, and should be {wanted}"))
    }
}

fn keep(
    mut taken: mpsc::Receiver<Bytes>,
    mut digester: Digester,
    size: Option<u64>,
    directory: Option<PathBuf>,
    known: &OnceLock<PathBuf>,
) -> Result<Arrived, Error> {
    let mut kept = match &directory {
        Some(directory) => {
            let part = PartFile::create(directory)?;
            let _ = known.set(part.path().to_owned());
            Kept::Part(part)
        }
        None => Kept::Memory(Vec::new()),
    };
    let apart = size.is_none_or(|size| size >= APART);
    let sum = if apart {
        thread::scope(|scope| {
            let (pieces, hashed) = sync_channel::<Bytes>(PIECES);
            let hashing = thread::Builder::new()
                .name("jobhook-hash".to_owned())
                .spawn_scoped(scope, move || {
                    for piece in hashed {
                        digester.update(&piece);
                    }
                    digester.finish()
                })
                .map_err(|error| Error::System(format!("no thread: {error}")))?;
            while let Some(piece) = taken.blocking_recv() {
                // It is there until this loop ends.
                let _ = pieces.send(piece.clone());
                kept.append(&piece)?;
            }
            drop(pieces);
            hashing
                .join()
                .map_err(|_| Error::System("the thread that hashes ended".to_owned()))
        })?
    } else {
        while let Some(piece) = taken.blocking_recv() {
            digester.update(&piece);
            kept.append(&piece)?;
        }
        digester.finish()
    };
    Ok(Arrived { sum, kept })
}

impl Kept {
    fn append(&mut self, piece: &[u8]) -> Result<(), Error> {
        match self {
            Kept::Memory(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
            Kept::Part(part) => part.append(piece),
        }
    }
}

impl Digester {
    /// Of what `map` announces.
    pub(crate) fn of(map: &FileMap) -> Digester {
        match map.sha256 {
            Some(_) => Digester::Sha256(Sha256Digester::new()),
            None => Digester::Md5(Md5Digester::new()),
        }
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self {
            Digester::Sha256(digester) => digester.update(piece),
            Digester::Md5(digester) => digester.update(piece),
        }
    }

    pub(crate) fn finish(self) -> Sum {
        match self {
            Digester::Sha256(digester) => Sum::Sha256(digester.finish()),
            Digester::Md5(digester) => Sum::Md5(digester.finish()),
        }
    }
}
