//! Reports on disk, while the server is away and beyond the end of the process.
//!
//! A reporter has one file, `{id}.{attempt}.{reporter}.spool`, locked as long as it lives. It is
//! empty while the server answers. Once it does not, numbered reports are appended; when all
//! are answered, the file is emptied, and in the end removed. Whoever finds an unlocked file
//! of the same attempt sends what is in it, with the numbers it has: what had arrived before is
//! not applied again (clause `REP-10`).
//!
//! ```text
//! record = length of the body (4 bytes, little endian) · seq (8 bytes) · first 8 bytes of
//!          SHA-256(seq · body) · body
//! ```
//!
//! A record that was cut off when its writer died ends the file. Nothing is synced: the file
//! outlives the process, not the machine. Bodies hold no key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::Error;

const HEAD: usize = 4 + 8 + 8;
const ENDING: &str = ".spool";

/// The file of this reporter.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    file: File,
    /// The newest number that is in the file or was.
    kept: u64,
    /// How many bytes of whole records are in the file.
    length: u64,
}

/// A file that another process left behind. Locked until it is dropped.
#[derive(Debug)]
pub(crate) struct Leftover {
    path: PathBuf,
    _lock: File,
    pub(crate) records: Vec<(u64, Bytes)>,
}

impl Spool {
    /// Makes the file of a reporter, and finds what others of the same attempt left behind,
    /// oldest first.
    pub(crate) fn open(
        directory: &Path,
        id: &str,
        attempt: u32,
        reporter: &str,
    ) -> Result<(Spool, Vec<Leftover>), Error> {
        let unwritable = |path: &Path, error: io::Error| Error::SpoolUnwritable {
            path: path.to_owned(),
            cause: error.to_string(),
        };
        private_directory(directory).map_err(|error| unwritable(directory, error))?;
        let prefix = format!("{id}.{attempt}.");
        let path = directory.join(format!("{prefix}{reporter}{ENDING}"));
        let file = own_file(&path).map_err(|error| unwritable(&path, error))?;
        let leftovers =
            leftovers(directory, &prefix, &file).map_err(|error| unwritable(directory, error))?;
        Ok((Spool::of(path, file), leftovers))
    }

    fn of(path: PathBuf, file: File) -> Spool {
        Spool {
            path,
            file,
            kept: 0,
            length: 0,
        }
    }

    /// Appends the reports that are not in the file yet.
    ///
    /// - `reports`: number and body, in the order of numbers.
    pub(crate) fn keep<'a>(
        &mut self,
        reports: impl Iterator<Item = (u64, &'a Bytes)>,
    ) -> Result<(), Error> {
        let mut records = Vec::new();
        let mut newest = self.kept;
        for (seq, body) in reports.filter(|(seq, _)| *seq > self.kept) {
            write_record(&mut records, seq, body);
            newest = seq;
        }
        if records.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&records) {
            // Half a record would hide whatever comes after it.
            let _ = self.file.set_len(self.length);
            return Err(Error::SpoolUnwritable {
                path: self.path.clone(),
                cause: error.to_string(),
            });
        }
        self.kept = newest;
        self.length += records.len() as u64;
        Ok(())
    }

    /// Everything that was kept is answered.
    pub(crate) fn clear(&mut self) {
        // What stays is sent once more and not applied again.
        if self.length > 0 && self.file.set_len(0).is_ok() {
            self.length = 0;
        }
    }

    /// Nothing is left to send: the file goes.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Leftover {
    /// All of it is answered: the file goes.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn write_record(records: &mut Vec<u8>, seq: u64, body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    records.extend_from_slice(&length.to_le_bytes());
    records.extend_from_slice(&seq.to_le_bytes());
    records.extend_from_slice(&checksum(seq, body));
    records.extend_from_slice(body);
}

fn checksum(seq: u64, body: &[u8]) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(seq.to_le_bytes())
        .chain_update(body)
        .finalize();
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

fn read_records(bytes: &[u8]) -> Vec<(u64, Bytes)> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some((seq, body, after)) = read_record(rest) {
        records.push((seq, Bytes::copy_from_slice(body)));
        rest = after;
    }
    records
}

fn read_record(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<{ HEAD - 12 }>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let seq = u64::from_le_bytes(*seq);
    let body = rest.get(..length)?;
    (checksum(seq, body) == *sum).then(|| (seq, body, &rest[length..]))
}

/// - `own`: a file of this process, which is locked and therefore none of them.
fn leftovers(directory: &Path, prefix: &str, own: &File) -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let of_this_attempt = name
            .to_str()
            .is_some_and(|name| name.starts_with(prefix) && name.ends_with(ENDING));
        if !of_this_attempt {
            continue;
        }
        let path = entry.path();
        // Its owner may be alive, or may just have removed it.
        let Ok(mut file) = existing_file(&path, own) else {
            continue;
        };
        if file.try_lock().is_err() {
            continue;
        }
        let written = file.metadata()?.modified()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let records = read_records(&bytes);
        let leftover = Leftover {
            path,
            _lock: file,
            records,
        };
        if leftover.records.is_empty() {
            leftover.remove();
        } else {
            found.push((written, leftover));
        }
    }
    found.sort_by_key(|(written, _)| *written);
    Ok(found.into_iter().map(|(_, leftover)| leftover).collect())
}

fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // What is found in it is signed and sent, so nobody else may put anything there.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o022 != 0 {
            let mode = mode & 0o7777;
            return Err(io::Error::other(format!(
                "others may write into it (mode {mode:o}): name a directory of this program alone"
            )));
        }
    }
    Ok(())
}

/// Makes the file of a reporter and locks it. Who looks for leftovers may take it for one before
/// it is locked, and remove it; then it is made again.
fn own_file(path: &Path) -> io::Result<File> {
    loop {
        let file = private_file(path)?;
        file.lock()?;
        if is_there(&file)? {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_there(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata()?.nlink() > 0)
}

#[cfg(not(unix))]
fn is_there(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Opens a file that another process of the same user may have left: no link, no pipe, nothing
/// that others may read or write.
#[cfg(unix)]
fn existing_file(path: &Path, own: &File) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let mut options = OpenOptions::new();
    // A pipe is not waited for.
    options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    let found = file.metadata()?;
    let is_of_this_user = found.uid() == own.metadata()?.uid();
    if found.is_file() && is_of_this_user && found.mode() & 0o077 == 0 {
        return Ok(file);
    }
    Err(io::Error::other("it is not a file of ours"))
}

#[cfg(not(unix))]
fn existing_file(path: &Path, _: &File) -> io::Result<File> {
    File::open(path)
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(numbers: std::ops::RangeInclusive<u64>) -> Vec<(u64, Bytes)> {
        numbers
            .map(|seq| (seq, Bytes::from(format!("{{\"seq\":{seq}}}"))))
            .collect()
    }

    fn keep(spool: &mut Spool, reports: &[(u64, Bytes)]) -> Result<(), Error> {
        spool.keep(reports.iter().map(|(seq, body)| (*seq, body)))
    }

    #[test]
    fn what_a_dead_process_kept_is_found_once_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let open = |reporter| Spool::open(directory.path(), "a", 1, reporter).unwrap();
        let (mut spool, none) = open("r1");
        assert!(none.is_empty());
        keep(&mut spool, &reports(1..=2)).unwrap();
        keep(&mut spool, &reports(1..=3)).unwrap();
        assert!(open("r2").1.is_empty(), "its owner is alive");
        drop(spool);
        let (_, found) = open("r3");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].records, reports(1..=3));
        let (_, others) = Spool::open(directory.path(), "a", 2, "r4").unwrap();
        assert!(others.is_empty(), "another attempt has another key");
    }

    #[test]
    fn what_is_answered_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(directory.path(), "a", 1, "r1").unwrap();
        keep(&mut spool, &reports(1..=2)).unwrap();
        spool.clear();
        keep(&mut spool, &reports(2..=3)).unwrap();
        drop(spool);
        let (spool, found) = Spool::open(directory.path(), "a", 1, "r2").unwrap();
        assert_eq!(found[0].records, reports(3..=3));
        found.into_iter().for_each(Leftover::remove);
        spool.remove();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_record_cut_off_anywhere_ends_the_file() {
        let mut bytes = Vec::new();
        for (seq, body) in reports(1..=2) {
            write_record(&mut bytes, seq, &body);
        }
        let first = HEAD + reports(1..=1)[0].1.len();
        for end in 0..bytes.len() {
            let whole = usize::from(end >= first);
            assert_eq!(read_records(&bytes[..end]).len(), whole, "cut at {end}");
        }
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(read_records(&bytes), reports(1..=1));
    }

    #[cfg(unix)]
    #[test]
    fn nothing_that_others_may_have_put_there_is_sent() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(directory.path(), "other", 1, "r1").unwrap();
        keep(&mut spool, &reports(1..=1)).unwrap();
        let record = directory.path().join("other.1.r1.spool");
        let named = |name: &str| directory.path().join(format!("a.1.{name}.spool"));
        symlink(&record, named("link")).unwrap();
        fs::copy(&record, named("readable")).unwrap();
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(named("readable"), mode).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(named("pipe"))
            .status();
        assert!(made.unwrap().success());
        let (spool, found) = Spool::open(directory.path(), "a", 1, "r2").unwrap();
        assert!(found.is_empty(), "{found:?}");
        drop(spool);

        let mode = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(directory.path(), mode).unwrap();
        let error = Spool::open(directory.path(), "a", 1, "r3").unwrap_err();
        assert_eq!(error.code(), "spool_unwritable");
        assert!(error.to_string().contains("mode 1777"), "{error}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Spool::open(file.path(), "a", 1, "r").unwrap_err();
        assert_eq!(error.code(), "spool_unwritable");
        assert!(
            error
                .to_string()
                .contains(&file.path().display().to_string()),
            "{error}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told() {
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut spool = Spool::of("/dev/full".into(), full);
        let error = keep(&mut spool, &reports(1..=1)).unwrap_err();
        assert_eq!(error.code(), "spool_unwritable");
        assert!(error.to_string().contains("No space left"), "{error}");
    }
}
