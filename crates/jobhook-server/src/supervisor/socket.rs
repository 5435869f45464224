//! The socket of a supervisor, reached from both sides.
//!
//! A socket's address holds at most 108 bytes, less than many a data directory's path. So the
//! directory is opened, and the socket is named through `/proc/self/fd`.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::build::Build;

/// A short path to something in a directory; good for as long as this value lives.
#[derive(Debug)]
pub(crate) struct ShortPath {
    directory: File,
}

impl ShortPath {
    pub(crate) fn to(directory: &Path) -> io::Result<ShortPath> {
        let directory = File::options()
            .read(true)
            .custom_flags(nix::libc::O_DIRECTORY)
            .open(directory)?;
        Ok(ShortPath { directory })
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{name}",
            self.directory.as_raw_fd()
        ))
    }
}

/// Listens on the socket of `build`, whose lock is held. It appears under its name only once it
/// takes connections, and only from this user.
pub(crate) fn listen(data_dir: &Path, build: &Build) -> io::Result<UnixListener> {
    let short = ShortPath::to(data_dir)?;
    let (unready, ready) = (
        short.join(&format!("{}.new", build.socket_name())),
        short.join(&build.socket_name()),
    );
    match std::fs::remove_file(&unready) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&unready)?;
    std::fs::set_permissions(&unready, Permissions::from_mode(0o600))?;
    std::fs::rename(&unready, &ready)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Removes the socket of `build`, whose lock is held.
pub(crate) fn remove(data_dir: &Path, build: &Build) {
    let _ = std::fs::remove_file(data_dir.join(build.socket_name()));
}
