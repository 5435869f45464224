//! A file that is not complete yet: under a name of its own, gone with whoever gives it up.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jobhook_protocol::key;

use crate::Error;

/// The file, under the name that it has until it is complete.
#[derive(Debug)]
pub(crate) struct PartFile {
    pub(crate) file: File,
    path: PathBuf,
}

impl PartFile {
    /// Makes one in `directory`.
    pub(crate) fn create(directory: &Path) -> Result<PartFile, Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| Error::System(format!("no random numbers: {error}")))?;
        let path = directory.join(format!(".jobhook-{}.part", key::hex(&random)));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| unwritable(directory, &error))?;
        Ok(PartFile { file, path })
    }

    /// Where it is until it is complete.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what comes next.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| unwritable(self.path.parent().unwrap_or(&self.path), &error))
    }

    /// Takes its name away: it is there until it is closed.
    pub(crate) fn nameless(self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives it the name that it was made for, where nothing has that.
    ///
    /// # Errors
    ///
    /// `file_exists` if something has.
    pub(crate) fn rename_new(self, to: &Path) -> Result<(), Error> {
        let exists = || Error::FileExists {
            path: to.to_owned(),
        };
        // A second name, in one step and never over another; the first goes with `self`.
        match fs::hard_link(&self.path, to) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
            // A file system where a file has one name: it is taken first, and then taken over.
            Err(_) => match File::create_new(to) {
                Ok(_) => self.rename(to).inspect_err(|_| {
                    let _ = fs::remove_file(to);
                }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists()),
                Err(error) => Err(unwritable(to, &error)),
            },
        }
    }

    /// Gives it the name that it was made for, over what has that now.
    pub(crate) fn rename(self, to: &Path) -> Result<(), Error> {
        fs::rename(&self.path, to).map_err(|error| unwritable(to, &error))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // Nothing is there under this name once it was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::FileUnwritable {
        path: path.to_owned(),
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let part = PartFile::create(directory.path()).unwrap();
        let file = PartFile::create(directory.path()).unwrap().nameless();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        drop(part);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(file.unwrap().metadata().unwrap().len(), 0);
    }

    #[test]
    fn a_renamed_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        for (name, rename) in [("a", false), ("b", true)] {
            let to = directory.path().join(name);
            let part = PartFile::create(directory.path()).unwrap();
            match rename {
                true => part.rename(&to).unwrap(),
                false => part.rename_new(&to).unwrap(),
            }
            assert!(to.exists());
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_name_that_is_taken_stays_with_who_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("a");
        fs::write(&to, "there before").unwrap();
        let mut part = PartFile::create(directory.path()).unwrap();
        part.append(b"new").unwrap();
        let refused = part.rename_new(&to).unwrap_err();
        assert_eq!(refused.code(), "file_exists");
        assert_eq!(fs::read_to_string(&to).unwrap(), "there before");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
