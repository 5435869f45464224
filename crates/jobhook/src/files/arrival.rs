//! What becomes of bytes that arrive: kept, counted and hashed on a thread that may block.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jobhook_protocol::{FileMap, Md5Digester, Md5Sum, Sha256Digester, Sha256Sum};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::part::{PartFile, unwritable};
use crate::Error;

/// How many pieces may wait for the disk.
const PIECES: usize = 8;

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

#[derive(PartialEq, Eq)]
enum Sum {
    Sha256(Sha256Sum),
    Md5(Md5Sum),
}

enum Digester {
    Sha256(Sha256Digester),
    Md5(Md5Digester),
}

impl Arrival {
    /// - `directory`: of the file that it becomes; without one it is kept in memory.
    pub(crate) fn begin(map: &FileMap, directory: Option<&Path>) -> Arrival {
        let (pieces, taken) = mpsc::channel(PIECES);
        let digester = match map.sha256 {
            Some(_) => Digester::Sha256(Sha256Digester::new()),
            None => Digester::Md5(Md5Digester::new()),
        };
        let directory = directory.map(Path::to_owned);
        let part = Arc::<OnceLock<PathBuf>>::default();
        let known = part.clone();
        Arrival {
            pieces: Some(pieces),
            keeping: spawn_blocking(move || keep(taken, digester, directory, &known)),
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
        let (got, wanted) = match (&self.sum, map.sha256) {
            (Sum::Sha256(got), Some(wanted)) => (got.to_string(), wanted.to_string()),
            (Sum::Sha256(got), None) => (got.to_string(), String::new()),
            (Sum::Md5(got), _) => (got.to_string(), map.hash.to_string()),
        };
        if got == wanted {
            return Ok(());
        }
        Err(format!("its hash is {got}, and should be {wanted}"))
    }
}

fn keep(
    mut taken: mpsc::Receiver<Bytes>,
    mut digester: Digester,
    directory: Option<PathBuf>,
    known: &OnceLock<PathBuf>,
) -> Result<Arrived, Error> {
    let directory = directory.as_deref();
    let mut kept = match directory {
        Some(directory) => {
            let part = PartFile::create(directory)?;
            let _ = known.set(part.path().to_owned());
            Kept::Part(part)
        }
        None => Kept::Memory(Vec::new()),
    };
    while let Some(piece) = taken.blocking_recv() {
        match &mut digester {
            Digester::Sha256(digester) => digester.update(&piece),
            Digester::Md5(digester) => digester.update(&piece),
        }
        match (&mut kept, directory) {
            (Kept::Part(part), directory) => {
                let written = part.file.write_all(&piece);
                written.map_err(|error| unwritable(directory.unwrap_or(Path::new(".")), &error))?;
            }
            (Kept::Memory(bytes), _) => bytes.extend_from_slice(&piece),
        }
    }
    Ok(Arrived {
        sum: match digester {
            Digester::Sha256(digester) => Sum::Sha256(digester.finish()),
            Digester::Md5(digester) => Sum::Md5(digester.finish()),
        },
        kept,
    })
}
