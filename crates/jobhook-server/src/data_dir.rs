//! The data directory: who may use it, and the master key that lies in it.
//!
//! ```text
//! jobhook.db  master.key (0600)  server.lock  supervisor.*  runs/  files/
//! ```
//!
//! One server at a time: `server.lock` is held as long as the process lives, and is let go
//! by the kernel when it dies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobhook_engine::keyring::{MasterKey, WeakKey};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::kill;
use nix::unistd::{self, AccessFlags, Pid};

/// How long the lock of a dead server may be held by what it was about to start.
const INHERITED: Duration = Duration::from_secs(5);

/// A data directory that this process alone serves.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It could not be made or written to.
    #[error("the data directory {} cannot be used: it must be writable for this user; choose another with --data-dir", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another server holds it.
    #[error("the data directory {} is in use by another server{}; stop that one, or choose another with --data-dir", path.display(), holder(*pid))]
    Taken {
        /// Which.
        path: PathBuf,
        /// The other's process id, if it left one.
        pid: Option<u32>,
    },
    /// Others can write to it.
    #[error("the data directory {} belongs to another user or can be written by others; use one of your own, with `chmod go-w`", path.display())]
    NotPrivate {
        /// Which.
        path: PathBuf,
    },
    /// Others can read the master key.
    #[error("the master key {} can be read by others (mode {mode:o}); make it private with `chmod 600`", path.display())]
    KeyNotPrivate {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What lies there is no key.
    #[error("the master key {} is not one", path.display())]
    BadKey {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: WeakKey,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

/// Makes a data directory if it is not there, private to this user; returns it absolute.
///
/// # Errors
///
/// [`DataDirError::Unusable`].
pub fn make(path: &Path) -> Result<PathBuf, DataDirError> {
    let unusable = |source| DataDirError::Unusable {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(unusable)?;
    let path = path.canonicalize().map_err(unusable)?;
    let found = fs::metadata(&path).map_err(unusable)?;
    // Who can write here can put their own master key here.
    let foreign = found.uid() != unistd::geteuid().as_raw();
    if foreign || found.permissions().mode() & 0o022 != 0 {
        return Err(DataDirError::NotPrivate { path });
    }
    Ok(path)
}

/// Looks whether a data directory can be used, and leaves none behind that was not there.
///
/// # Errors
///
/// [`DataDirError::Unusable`] or [`DataDirError::NotPrivate`].
pub fn probe(path: &Path) -> Result<(), DataDirError> {
    // Only an attempt tells: permissions are not all that can be in the way.
    let missing = path.ancestors().take_while(|folder| {
        let is_named = !folder.as_os_str().is_empty();
        is_named && !folder.exists()
    });
    let missing: Vec<&Path> = missing.collect();
    let made = make(path);
    for folder in missing {
        // Fails where nothing was made, or where somebody has begun to use it.
        let _ = fs::remove_dir(folder);
    }
    let made = made?;
    if made.exists() {
        unistd::access(&made, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| {
            DataDirError::Unusable {
                path: made,
                source: error.into(),
            }
        })?;
    }
    Ok(())
}

/// Where the store lies in a data directory.
pub fn database(path: &Path) -> PathBuf {
    path.join("jobhook.db")
}

/// Takes the lock, or tells whose it is, if that one left its number.
///
/// A server that is killed while it starts a process is dead, and its lock is held a moment
/// longer: the new process has a copy of every open file until its program begins. So where the
/// holder is known to be dead, the lock is waited for.
fn take(mut file: File) -> io::Result<Result<Flock<File>, Option<u32>>> {
    let deadline = Instant::now() + INHERITED;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Ok(lock)),
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, error)) => return Err(error.into()),
        };
        let mut text = String::new();
        file.rewind()?;
        // Only a number is looked for; whatever else is there is none.
        let _ = file.read_to_string(&mut text);
        let pid = text.trim().parse().ok();
        if !pid.is_some_and(is_dead) || Instant::now() > deadline {
            return Ok(Err(pid));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_dead(pid: u32) -> bool {
    let pid = i32::try_from(pid).map(Pid::from_raw);
    pid.is_ok_and(|pid| kill(pid, None) == Err(Errno::ESRCH))
}

impl DataDir {
    /// Makes the directory if it is not there, private to this user, and locks it.
    ///
    /// # Errors
    ///
    /// [`DataDirError`].
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        let path = make(path)?;
        let unusable = |source| DataDirError::Unusable {
            path: path.clone(),
            source,
        };
        let lock_file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("server.lock"))
            .map_err(unusable)?;
        let mut lock = match take(lock_file).map_err(unusable)? {
            Ok(lock) => lock,
            Err(pid) => return Err(DataDirError::Taken { path, pid }),
        };
        lock.rewind().map_err(unusable)?;
        lock.set_len(0).map_err(unusable)?;
        writeln!(lock, "{}", std::process::id()).map_err(unusable)?;
        Ok(DataDir { path, _lock: lock })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the store lies.
    pub fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// Where files lie, unless they are kept elsewhere.
    pub fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// Whether files are on the disk of the database, whose room is watched then.
    pub fn is_one_disk(&self) -> bool {
        let disk = |path: &Path| fs::metadata(path).map(|known| known.dev()).ok();
        let own = disk(&self.database()).or_else(|| disk(&self.path));
        own.is_some() && own == disk(&self.files())
    }

    /// Reads the master key, or draws one on the first start.
    ///
    /// # Errors
    ///
    /// [`DataDirError`]; a key that others can read is refused, not mended, since they may
    /// have read it.
    pub fn master_key(&self) -> Result<MasterKey, DataDirError> {
        let path = self.path.join("master.key");
        let unusable = |source| DataDirError::Unusable {
            path: path.clone(),
            source,
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => {
                let mode = fs::metadata(&path).map_err(unusable)?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(DataDirError::KeyNotPrivate { path, mode });
                }
                bytes
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.draw_key(&path).map_err(unusable)?
            }
            Err(error) => return Err(unusable(error)),
        };
        MasterKey::new(bytes).map_err(|source| DataDirError::BadKey { path, source })
    }

    /// A key is there whole or not at all: written beside, synced, renamed.
    fn draw_key(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; MasterKey::MIN_LEN];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let beside = self.path.join("master.key.new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Never through a link that somebody left.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(&self.path)?.sync_all()?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_second_server_on_one_data_directory_is_refused_and_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let _first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "in use by another server (process {})",
                std::process::id()
            )),
            "{error}"
        );
    }

    /// Found by killing servers while they started their supervisor.
    #[test]
    fn the_lock_of_a_dead_server_is_waited_for_while_what_it_started_still_holds_it() {
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let held = File::create(folder.path().join("server.lock")).unwrap();
        let mut held = Flock::lock(held, FlockArg::LockExclusiveNonblock).unwrap();
        writeln!(held, "{}", dead.id()).unwrap();
        let copy = held.try_clone().unwrap();
        let mut heir = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(copy)
            .spawn()
            .unwrap();
        // Closed and not unlocked, as the kernel does it for one that is killed.
        let fd = held.as_raw_fd();
        std::mem::forget(held);
        unistd::close(fd).unwrap();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| DataDir::open(folder.path()));
            drop(heir.stdin.take());
            heir.wait().unwrap();
            let next = next.join().unwrap().unwrap();
            let own = fs::read_to_string(next.path().join("server.lock")).unwrap();
            assert_eq!(own, format!("{}\n", std::process::id()));
        });
    }

    #[test]
    fn the_master_key_is_drawn_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(&folder.path().join("made/here")).unwrap();
        let key = data_dir.master_key().unwrap();
        assert_eq!(data_dir.master_key().unwrap().id(), key.id());
        let path = data_dir.path().join("master.key");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            data_dir.master_key(),
            Err(DataDirError::KeyNotPrivate { mode: 0o644, .. })
        ));
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(error, DataDirError::NotPrivate { .. }), "{error}");
    }

    #[test]
    fn a_key_that_is_too_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(folder.path()).unwrap();
        let path = data_dir.path().join("master.key");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .unwrap()
            .write_all(b"short")
            .unwrap();
        assert!(matches!(
            data_dir.master_key(),
            Err(DataDirError::BadKey { .. })
        ));
    }

    #[test]
    fn a_probe_leaves_nothing_behind_and_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        probe(&folder.path().join("made/here")).unwrap();
        assert!(!folder.path().join("made").exists());
        probe(folder.path()).unwrap();
        assert!(folder.path().exists());
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_unusable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let below = file.join("below");
        for error in [
            DataDir::open(&below).unwrap_err(),
            probe(&below).unwrap_err(),
        ] {
            assert!(
                error.to_string().contains("must be writable for this user"),
                "{error}"
            );
        }
    }
}
