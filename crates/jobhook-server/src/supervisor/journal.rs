//! What a supervisor has to say to the operator: `supervisor.log` in the data directory.
//!
//! It has no terminal and no server to rely on. The file is cut when it exceeds a megabyte, so it
//! can be left alone for years.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::clock::now_ms;

const MAX_BYTES: u64 = 1024 * 1024;

/// An open journal. Writing to it never fails anything: it is all there is to complain to.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<File>,
    size: Cell<u64>,
}

impl Journal {
    pub(crate) fn open(data_dir: &Path) -> Journal {
        let path = data_dir.join("supervisor.log");
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .ok();
        let size = file
            .as_ref()
            .and_then(|file| file.metadata().ok())
            .map_or(0, |file| file.len());
        Journal {
            file,
            size: Cell::new(size),
        }
    }

    /// Adds a line.
    pub(crate) fn note(&self, sentence: &str) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        if self.size.get() > MAX_BYTES {
            let _ = file.set_len(0);
            self.size.set(0);
        }
        let line = format!("{} {}: {sentence}\n", now_ms(), std::process::id());
        self.size.set(self.size.get() + line.len() as u64);
        let _ = file.write_all(line.as_bytes());
    }

    /// The file, for what a panic prints.
    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }
}
