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

/// How many bytes are handed over at once: to wake a thread costs more than to take a small piece.
const LOAD: usize = 512 * 1024;

/// A piece counts for at least so many bytes: what keeps it takes memory too, and a server may send
/// one byte at a time.
const LEAST: usize = 4 * 1024;

/// How many loads may wait for the disk, and how many to be hashed.
const LOADS: usize = 4;

/// From how many bytes on it is worth a thread to hash while others are written.
const APART: u64 = 1024 * 1024;

/// Bytes on their way to where they are kept.
pub(crate) struct Arrival {
    /// Until that is all.
    loads: Option<mpsc::Sender<Load>>,
    /// What is not handed over yet, and how much of a load that is.
    gathered: Load,
    weight: usize,
    keeping: JoinHandle<Result<Arrived, Error>>,
    /// Where they are, until they are handed over.
    part: Option<Arc<OnceLock<PathBuf>>>,
    /// How many came.
    pub(crate) offset: u64,
}

/// Pieces as they came.
type Load = Vec<Bytes>;

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
        let (loads, taken) = mpsc::channel(LOADS);
        let digester = Digester::of(map);
        let (size, directory) = (map.size, directory.map(Path::to_owned));
        let part = Arc::<OnceLock<PathBuf>>::default();
        let known = part.clone();
        Arrival {
            loads: Some(loads),
            gathered: Load::new(),
            weight: 0,
            keeping: spawn_blocking(move || keep(taken, digester, size, directory, &known)),
            part: Some(part),
            offset: 0,
        }
    }

    /// Takes what came next. `false` if it cannot be kept: then [`Arrival::end`] tells why.
    pub(crate) async fn take(&mut self, piece: Bytes) -> bool {
        self.offset += piece.len() as u64;
        self.weight += piece.len().max(LEAST);
        self.gathered.push(piece);
        self.weight < LOAD || self.hand_over().await
    }

    async fn hand_over(&mut self) -> bool {
        self.weight = 0;
        let load = std::mem::take(&mut self.gathered);
        match &self.loads {
            Some(loads) => loads.send(load).await.is_ok(),
            None => false,
        }
    }

    /// That was all.
    pub(crate) async fn end(mut self) -> Result<Arrived, Error> {
        // If it cannot be kept, the thread says so.
        self.hand_over().await;
        self.loads = None;
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
    mut taken: mpsc::Receiver<Load>,
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
            let (loads, hashed) = sync_channel::<Load>(LOADS);
            let hashing = thread::Builder::new()
                .name("jobhook-hash".to_owned())
                .spawn_scoped(scope, move || {
                    for piece in hashed.into_iter().flatten() {
                        digester.update(&piece);
                    }
                    digester.finish()
                })
                .map_err(|error| Error::System(format!("no thread: {error}")))?;
            while let Some(load) = taken.blocking_recv() {
                // It is there until this loop ends.
                let _ = loads.send(load.clone());
                for piece in load {
                    kept.append(&piece)?;
                }
            }
            drop(loads);
            hashing
                .join()
                .map_err(|_| Error::System("the thread that hashes ended".to_owned()))
        })?
    } else {
        while let Some(load) = taken.blocking_recv() {
            for piece in load {
                digester.update(&piece);
                kept.append(&piece)?;
            }
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

#[cfg(test)]
mod tests {
    use jobhook_protocol::file;

    use super::*;

    /// Once each byte of half a MiB was kept for itself, at 32 bytes apiece.
    #[tokio::test]
    async fn bytes_that_come_one_by_one_are_handed_over_in_small_loads() {
        let content = b"x".repeat(3 * LOAD / LEAST + 7);
        let mut sha256 = Sha256Digester::new();
        sha256.update(&content);
        let map = FileMap {
            hash: Md5Digester::new().finish(),
            mimetype: file::OCTET_STREAM.to_owned(),
            metadata: file::no_metadata(),
            name: None,
            size: None,
            sha256: Some(sha256.finish()),
        };
        let mut arrival = Arrival::begin(&map, None);
        for byte in content.chunks(1) {
            assert!(arrival.take(Bytes::copy_from_slice(byte)).await);
            assert!(arrival.gathered.len() < LOAD / LEAST);
        }
        let arrived = arrival.end().await.unwrap();
        assert_eq!(arrived.compare(&map), Ok(()));
        assert!(matches!(arrived.kept, Kept::Memory(kept) if kept == content));
    }
}
