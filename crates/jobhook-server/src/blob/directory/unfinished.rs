//! A blob while it is written: a file in `temp/`, gone with its last owner unless it is placed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use bytes::Bytes;
use jobhook_engine::blob::BlobName;
use jobhook_protocol::Sha256Sum;

use super::name;
use super::root::Root;

/// So much is gathered before it is written: a system call for less would cost more than the
/// bytes.
pub(super) const GATHERED: usize = 1 << 20;
/// So much is gathered before it is written where all writers together have gathered [`TOGETHER`],
/// and read at once where many read.
pub(super) const LEAST: usize = 64 << 10;
/// So much may be gathered without anybody having to write earlier.
pub(super) const TOGETHER: usize = 64 << 20;
/// In no more chunks than one system call takes (`IOV_MAX`), and so in bounded memory even if
/// each has a single byte.
pub(super) const CHUNKS: usize = 1024;

#[derive(Debug)]
pub(super) struct Unfinished {
    file: File,
    path: PathBuf,
    generation: String,
    placed: bool,
}

impl Unfinished {
    pub(super) fn create(root: &Root) -> io::Result<Unfinished> {
        let generation = name::draw_generation()?;
        let path = root.temp().join(&generation);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        Ok(Unfinished {
            file,
            path,
            generation,
            placed: false,
        })
    }

    pub(super) fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        for chunks in chunks.chunks(CHUNKS) {
            let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
            let mut rest = &mut slices[..];
            // Empty ones go first: a write of nothing is an end otherwise.
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match self.file.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The same open file: what fails when one of them is synced is told only once.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Syncs it, and puts it in its place.
    pub(super) fn place(mut self, root: &Root, sha256: &Sha256Sum) -> io::Result<BlobName> {
        self.file.sync_all()?;
        let name = name::finished(sha256, &self.generation);
        root.place(&self.path, &name)?;
        self.placed = true;
        Ok(name)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be removed now is swept when the next server starts.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut full = Unfinished {
            file,
            path: PathBuf::new(),
            generation: String::new(),
            placed: true,
        };
        let error = full.write(&["a".into(), "b".into()]).unwrap_err();
        let error = super::super::failed(error);
        assert!(
            matches!(error, jobhook_engine::blob::BlobError::Full(_)),
            "{error:?}"
        );
    }
}
