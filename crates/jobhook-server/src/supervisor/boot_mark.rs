//! Since when this data directory is served without a restart of the machine.
//!
//! Run directories are made without waiting for the disk: whichever process is killed, they are
//! there. Only when the machine itself goes down may a young one be lost, and with it the word that
//! its job was started. So what was taken before the machine came up is not started afterwards.
//!
//! The mark is `runs/.boot.json`; it is written once a boot.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clock::now_ms;
use super::process::boot_id;
use super::run_dir::create_dir;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BootMark {
    boot: String,
    since_ms: u64,
}

/// When `data_dir` was first opened since the machine started, milliseconds since the epoch.
pub(crate) fn served_since_ms(data_dir: &Path) -> io::Result<u64> {
    since(data_dir, boot_id()?, now_ms())
}

fn since(data_dir: &Path, boot: String, now_ms: u64) -> io::Result<u64> {
    let path = data_dir.join("runs/.boot.json");
    match fs::read(&path) {
        Ok(bytes) => {
            // One that cannot be read is of another boot: the machine lost it half written.
            if let Ok(mark) = serde_json::from_slice::<BootMark>(&bytes)
                && mark.boot == boot
            {
                return Ok(mark.since_ms);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    create_dir(&data_dir.join("runs"))?;
    let new = path.with_extension("new");
    fs::write(
        &new,
        serde_json::to_vec(&BootMark {
            boot,
            since_ms: now_ms,
        })?,
    )?;
    fs::rename(new, path)?;
    Ok(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stays_until_the_machine_starts_anew() {
        let dir = tempfile::tempdir().unwrap();
        let at = |boot: &str, now_ms| since(dir.path(), boot.into(), now_ms).unwrap();
        assert_eq!(at("one", 100), 100);
        assert_eq!(at("one", 200), 100);
        assert_eq!(at("two", 300), 300);
        assert_eq!(at("two", 400), 300);
        fs::write(dir.path().join("runs/.boot.json"), "").unwrap();
        assert_eq!(at("two", 500), 500);
    }
}
