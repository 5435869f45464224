//! Whether a data directory could be used, and its key with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::data_dir::{DataDirError, probe};

/// What is to be said of a directory that could be used: nothing, or that it is still made.
///
/// # Errors
///
/// [`DataDirError`], as the start of a server would give it. That another server has the
/// directory is none here: it is the usual case for who looks at a configuration.
pub(super) fn look_at(path: &Path) -> Result<&'static str, DataDirError> {
    let is_there = path.exists();
    probe(path)?;
    if !is_there {
        return Ok(" (the first start makes it)");
    }
    let key = path.join("master.key");
    match fs::metadata(&key).map(|found| found.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 != 0 => Err(DataDirError::KeyNotPrivate { path: key, mode }),
        _ => Ok(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_looked_at_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look_at(folder.path()).unwrap(), "");
        let below = folder.path().join("made/later");
        assert_eq!(look_at(&below).unwrap(), " (the first start makes it)");
        assert!(!folder.path().join("made").exists());
    }

    #[test]
    fn a_file_is_no_place_and_neither_is_what_lies_below_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below"), file.join("far/below")] {
            let error = look_at(&path).unwrap_err();
            assert!(matches!(error, DataDirError::Unusable { .. }), "{path:?}");
        }
    }

    #[test]
    fn what_others_may_write_or_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let allow = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
        };
        let key = folder.path().join("master.key");
        fs::write(&key, "").unwrap();
        allow(&key, 0o640);
        assert!(matches!(
            look_at(folder.path()),
            Err(DataDirError::KeyNotPrivate { mode: 0o640, .. })
        ));
        allow(folder.path(), 0o777);
        assert!(matches!(
            look_at(folder.path()),
            Err(DataDirError::NotPrivate { .. })
        ));
    }
}
