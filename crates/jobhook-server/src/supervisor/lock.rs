//! The lock of a supervisor: of one build, at most one lives in a data directory.
//!
//! The kernel frees the lock when its holder dies. It does so a moment *before* it tells the
//! holder's children, so [`Lock::take`] also waits until the last holder is dead for everybody;
//! only then is every child of it either killed or on its own.

use std::fs::{File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::build::Build;
use super::process::Process;

/// How long a dying holder may take to be dead.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// A held lock; freed when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of `build` in `data_dir`; `None` if a living supervisor has it.
    pub(crate) fn take(data_dir: &Path, build: &Build) -> io::Result<Option<Lock>> {
        let path = data_dir.join(build.lock_name());
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The last holder may have removed the file between our opening and locking it; then
            // this lock keeps nobody out.
            if !is_at(&file, &path)? {
                continue;
            }
            wait_until_dead(&io::read_to_string(&file)?)?;
            file.set_len(0)?;
            file.rewind()?;
            if let Some(own) = Process::of(std::process::id() as i32) {
                write!(file, "{} {}", own.pid, own.started)?;
            }
            return Ok(Some(Lock { path, file }));
        }
    }

    /// Whether its file still lies where it was taken. If not, somebody deleted the data
    /// directory, and whatever is there by now belongs to a successor.
    pub(crate) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path).unwrap_or(false)
    }

    /// Removes the lock file as well, if it is still in its place: nothing of this build is left
    /// to guard.
    pub(crate) fn remove(self) {
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits for the process `holder`, given as pid and start time, to be dead.
fn wait_until_dead(holder: &str) -> io::Result<()> {
    let mut words = holder.split(' ').map(|word| word.parse::<u64>().ok());
    let (Some(Some(pid)), Some(Some(started))) = (words.next(), words.next()) else {
        return Ok(());
    };
    let own = u64::from(std::process::id());
    let deadline = Instant::now() + LAST_BREATH;
    while let Some(process) = Process::of(pid as i32) {
        if pid == own || process.started != started || process.is_zombie {
            break;
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the last supervisor does not die",
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_not_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let build = Build::of(Path::new("/proc/self/exe")).unwrap();
        let lock = Lock::take(dir.path(), &build).unwrap().unwrap();
        assert!(Lock::take(dir.path(), &build).unwrap().is_none());
        drop(lock);
        let lock = Lock::take(dir.path(), &build).unwrap().unwrap();
        lock.remove();
        assert!(!dir.path().join(build.lock_name()).exists());
        assert!(Lock::take(dir.path(), &build).unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_file_was_deleted_leaves_its_successors_alone() {
        let dir = tempfile::tempdir().unwrap();
        let build = Build::of(Path::new("/proc/self/exe")).unwrap();
        let old = Lock::take(dir.path(), &build).unwrap().unwrap();
        std::fs::remove_file(dir.path().join(build.lock_name())).unwrap();
        assert!(!old.is_in_place());
        let new = Lock::take(dir.path(), &build).unwrap().unwrap();
        old.remove();
        assert!(new.is_in_place());
    }

    #[test]
    fn a_process_number_that_was_given_again_is_not_waited_for() {
        wait_until_dead("1 99999999999").unwrap();
        wait_until_dead("").unwrap();
        wait_until_dead("garbage").unwrap();
    }
}
