//! The directory itself: where in it a blob lies, and which there are.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use jobhook_engine::blob::BlobName;
use jobhook_engine::clock::Timestamp;
use nix::sys::statvfs::statvfs;

use super::name::is_ours;
use crate::data_dir::{self, DataDirError};

#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Held while a shelf is made: whoever finds one can trust that it survives a crash.
    shelves: Mutex<()>,
    /// How many bytes all writers have gathered.
    pub(super) gathered: AtomicUsize,
    /// How many read.
    pub(super) readers: AtomicUsize,
}

/// The shelf of a blob: the first two digits of its name.
fn shelf_of(name: &BlobName) -> &str {
    &name.0[..2]
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Root, DataDirError> {
        let root = Root {
            path: data_dir::make(path)?,
            shelves: Mutex::new(()),
            gathered: AtomicUsize::new(0),
            readers: AtomicUsize::new(0),
        };
        let temp = root.temp();
        data_dir::make(&temp)?;
        // With all shelves that are there, whoever made them.
        sync(&root.path).map_err(|source| DataDirError::Unusable { path: temp, source })?;
        Ok(root)
    }

    /// Where blobs lie that are being written.
    pub(super) fn temp(&self) -> PathBuf {
        self.path.join("temp")
    }

    /// Where a finished blob lies; nowhere, if this is no name of one.
    pub(super) fn path(&self, name: &BlobName) -> io::Result<PathBuf> {
        if !is_ours(&name.0) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(self.path.join(shelf_of(name)).join(&name.0))
    }

    /// Puts the file at `from`, which is synced, in its place.
    pub(super) fn place(&self, from: &Path, name: &BlobName) -> io::Result<()> {
        let path = self.path(name)?;
        let shelf = self.path.join(shelf_of(name));
        {
            let _one_at_a_time = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            match make_private(&shelf) {
                Ok(()) => sync(&self.path)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        fs::rename(from, &path)?;
        if let Err(error) = sync(&shelf) {
            // Nobody will learn its name.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(())
    }

    pub(super) fn delete(&self, name: &BlobName) -> io::Result<()> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Shelf by shelf, each read as a whole: there are 256.
    pub(super) fn list(
        &self,
        after: Option<&BlobName>,
        limit: usize,
    ) -> io::Result<Vec<(BlobName, Timestamp)>> {
        let passed = after.and_then(|after| after.0.as_bytes().get(..2));
        let mut listed = Vec::new();
        for shelf in (0..=u8::MAX).map(|shelf| format!("{shelf:02x}")) {
            if passed.is_some_and(|passed| shelf.as_bytes() < passed) {
                continue;
            }
            for name in self.names(&shelf, after)? {
                if listed.len() >= limit {
                    return Ok(listed);
                }
                // One may be deleted in this moment.
                if let Some(at) = self.finished_at(&name)? {
                    listed.push((name, at));
                }
            }
        }
        Ok(listed)
    }

    fn names(&self, shelf: &str, after: Option<&BlobName>) -> io::Result<Vec<BlobName>> {
        let entries = match fs::read_dir(self.path.join(shelf)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // What else lies there is none of ours.
            if let Ok(text) = entry?.file_name().into_string()
                && is_ours(&text)
                && text.starts_with(shelf)
                && after.is_none_or(|after| text > after.0)
            {
                names.push(BlobName(text));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// When a blob was renamed to its place: what a backup put there came later, which is on
    /// the safe side.
    fn finished_at(&self, name: &BlobName) -> io::Result<Option<Timestamp>> {
        match fs::symlink_metadata(self.path(name)?) {
            Ok(found) => Ok(Some(Timestamp(
                found.ctime() * 1_000 + found.ctime_nsec() / 1_000_000,
            ))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn clear_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.temp())? {
            match fs::remove_file(entry?.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn room(&self) -> io::Result<u64> {
        let found = statvfs(&self.path)?;
        Ok(found
            .blocks_available()
            .saturating_mul(found.fragment_size()))
    }
}
