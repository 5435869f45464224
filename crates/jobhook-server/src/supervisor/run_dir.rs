//! The run directory of an attempt: the one place that says whether it was started.
//!
//! ```text
//! runs/{id}.{attempt}/owner.json   who started it; there from the first moment
//!                     leader       /proc/self/stat of the job, written by the job itself before
//!                                  its program begins
//!                     output.N     what it wrote
//!                     exit.json    how it ended; there whole or not at all
//!                     work/        its own folder, if it asked for one
//! runs/.staging.{build}/           directories on their way in
//! runs/.trash/                     directories on their way out
//! ```
//!
//! [`Runs::claim`] is the atomic point of a start: a prepared directory is renamed into place,
//! which fails if one is there already, so of any number of starts one wins. From then on the
//! attempt is never started again; without `exit.json` and a living owner it is lost.
//!
//! This module knows files, not processes.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::build::Build;
use super::message::{Exit, RunKey};

/// Other users may pass through, so that a job that runs as another user reaches its work
/// folder; they can list nothing, and every file is for the owner alone.
const DIR_MODE: u32 = 0o711;
const FILE_MODE: u32 = 0o600;

/// How many emptied directories are kept for the next runs. File systems are slow to give a
/// deleted inode away again, and a short job should not pay for that five times.
const MAX_SPARE: usize = 512;

/// All run directories of a data directory.
#[derive(Debug)]
pub(crate) struct Runs {
    root: PathBuf,
    /// Emptied directories in the staging folder, ready to be claimed.
    spare: Vec<PathBuf>,
    staged: u64,
}

/// Who started a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// The supervisor's program.
    pub build: Build,
    /// Which boot of which machine; a process number means nothing in another.
    pub boot: String,
    /// Milliseconds since the epoch.
    pub claimed_ms: u64,
}

impl Runs {
    /// The run directories below `data_dir`; creates their parent.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Runs> {
        let root = data_dir.join("runs");
        create_dir(&root)?;
        create_dir(&root.join(".trash"))?;
        Ok(Runs {
            root,
            spare: Vec::new(),
            staged: 0,
        })
    }

    /// Where the run directory of `key` is, or would be.
    pub(crate) fn dir(&self, key: &RunKey) -> PathBuf {
        self.root.join(key.dir_name())
    }

    /// Creates the run directory of `key`; `false` if there is one already.
    pub(crate) fn claim(&mut self, key: &RunKey, owner: &Owner) -> io::Result<bool> {
        let prepared = match self.spare.pop() {
            Some(spare) => spare,
            None => {
                let fresh = self.next_staged(&owner.build)?;
                create_dir_exclusively(&fresh)?;
                fresh
            }
        };
        overwrite(&prepared.join("owner.json"), &serde_json::to_vec(owner)?)?;
        crate::crash::reached("supervisor.staged");

        // A directory that holds something is never replaced, and ours all hold an owner.
        match fs::rename(&prepared, self.dir(key)) {
            Ok(()) => Ok(true),
            Err(error) if is_taken(&error) => {
                self.spare.push(prepared);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Who started `key`, or `None` if it has no run directory.
    ///
    /// # Errors
    ///
    /// Also if the directory is there without a readable owner, which no crash of ours leaves.
    pub(crate) fn owner(&self, key: &RunKey) -> io::Result<Option<Owner>> {
        match fs::read(self.dir(key).join("owner.json")) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.dir(key).exists() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How `key` ended, if that is recorded.
    pub(crate) fn exit(&self, key: &RunKey) -> io::Result<Option<Exit>> {
        match fs::read(self.dir(key).join("exit.json")) {
            // A record that cannot be read is no record: the disk lost it with the machine.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the file that the job of `key` writes its identity to before its program begins.
    pub(crate) fn create_leader(&self, key: &RunKey) -> io::Result<File> {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.dir(key).join("leader"))
    }

    /// What the job of `key` wrote about itself; empty if it did not get so far.
    pub(crate) fn leader(&self, key: &RunKey) -> io::Result<String> {
        match fs::read(self.dir(key).join("leader")) {
            Ok(bytes) => {
                // What follows the line is of an earlier run.
                let line = bytes.split(|byte| *byte == b'\n').next();
                Ok(String::from_utf8_lossy(line.unwrap_or_default()).into_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Records how runs ended. Whoever asks from now on gets this answer, whichever process dies.
    ///
    /// With `durable` the record is also on disk when this returns. A server that is told at once
    /// commits it to its own store, so only ends that nobody hears of need that.
    pub(crate) fn record_exits(&self, exits: &[(RunKey, Exit)], durable: bool) -> io::Result<()> {
        let mut paths = Vec::with_capacity(exits.len());
        for (key, exit) in exits {
            let path = self.dir(key).join("exit.json.new");
            let file = overwrite(&path, &serde_json::to_vec(exit)?)?;
            if durable {
                file.sync_data()?;
            }
            paths.push(path);
        }
        if !paths.is_empty() {
            crate::crash::reached("supervisor.exit_unnamed");
        }
        for path in paths {
            fs::rename(&path, path.with_extension(""))?;
            if durable && let Some(dir) = path.parent() {
                File::open(dir)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Every attempt that has a run directory.
    pub(crate) fn keys(&self) -> io::Result<Vec<RunKey>> {
        keys_in(&self.root)
    }

    /// Takes the run directory of `key` out of sight. What cannot be kept as a spare for a run
    /// of `build` goes to the trash, and its name there is returned; emptying the trash is left to
    /// whoever has the time.
    pub(crate) fn discard(&mut self, key: &RunKey, build: &Build) -> io::Result<Option<String>> {
        let dir = self.dir(key);
        let is_spare = self.spare.len() < MAX_SPARE && is_plain(&dir)?;
        let (to, name) = if is_spare {
            (self.next_staged(build)?, None)
        } else {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let name = format!("{}.{}", key.dir_name(), now.as_nanos());
            (self.trash().join(&name), Some(name))
        };
        match fs::rename(&dir, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        // One that cannot be emptied is no spare; the next supervisor removes it.
        if is_spare && empty(&to).is_ok() {
            self.spare.push(to);
        }
        Ok(name)
    }

    /// Where discarded run directories lie.
    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join(".trash")
    }

    /// Removes what the last supervisor of `build` left half prepared. Its lock must be held.
    pub(crate) fn clear_staging(&self, build: &Build) -> io::Result<()> {
        match fs::remove_dir_all(self.staging(build)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A free name in the staging folder of `build`, whose lock is held.
    fn next_staged(&mut self, build: &Build) -> io::Result<PathBuf> {
        let staging = self.staging(build);
        create_dir(&staging)?;
        self.staged += 1;
        Ok(staging.join(self.staged.to_string()))
    }

    fn staging(&self, build: &Build) -> PathBuf {
        self.root.join(format!(".staging.{build}"))
    }
}

/// Every attempt that has a run directory below `data_dir`.
pub(crate) fn keys(data_dir: &Path) -> io::Result<Vec<RunKey>> {
    keys_in(&data_dir.join("runs"))
}

fn keys_in(root: &Path) -> io::Result<Vec<RunKey>> {
    Ok(names(root)?
        .iter()
        .filter_map(|name| RunKey::of_dir_name(name))
        .collect())
}

/// Creates `dir` with the mode of a run directory, if it is not there.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    match create_dir_exclusively(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

fn create_dir_exclusively(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIR_MODE).create(dir)
}

/// Makes `bytes` the content of a file that nobody reads yet.
///
/// A file that is made empty first makes ext4 free its blocks, and write the new ones out at
/// once when it is closed (`auto_da_alloc`): a fifth of what the supervisor did for a short job.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = File::options();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    let length = bytes.len() as u64;
    if file.metadata()?.len() > length {
        file.set_len(length)?;
    }
    Ok(file)
}

/// Whether `dir` holds nothing but what a short run leaves.
fn is_plain(dir: &Path) -> io::Result<bool> {
    const PLAIN: [&str; 5] = [
        "owner.json",
        "leader",
        "output.0",
        "exit.json",
        "exit.json.new",
    ];
    Ok(names(dir)?
        .iter()
        .all(|name| PLAIN.contains(&name.as_str())))
}

/// Makes a discarded directory as good as new; its files stay, for their inodes' sake.
fn empty(dir: &Path) -> io::Result<()> {
    let ignore_missing = |done: io::Result<()>| match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // Under this name it says nothing, and is written over when the next end is recorded.
    ignore_missing(fs::rename(dir.join("exit.json"), dir.join("exit.json.new")))?;
    let leader = File::options().write(true).open(dir.join("leader"));
    ignore_missing(leader.and_then(|leader| leader.write_all_at(b"\n", 0)))?;
    let output = File::options().write(true).open(dir.join("output.0"));
    ignore_missing(output.and_then(|output| match output.metadata()?.len() {
        0 => Ok(()),
        _ => output.set_len(0),
    }))
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
    )
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::message::End;

    fn owner(build: &str) -> Owner {
        let build = Build::of_file_name(&format!("supervisor.{build}.lock")).unwrap();
        Owner {
            build,
            boot: "boot".into(),
            claimed_ms: 1,
        }
    }

    fn exit() -> Exit {
        Exit {
            end: End::Code(3),
            started_ms: Some(1),
            ended_ms: 2,
            usage: None,
            stopped: false,
            lines: 0,
        }
    }

    #[test]
    fn of_two_starts_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        let key = RunKey::new("a", 1);
        assert!(runs.claim(&key, &owner("one")).unwrap());
        assert!(!runs.claim(&key, &owner("two")).unwrap());
        assert!(!runs.claim(&key, &owner("one")).unwrap());
        assert_eq!(runs.owner(&key).unwrap(), Some(owner("one")));
        assert!(runs.claim(&RunKey::new("a", 2), &owner("two")).unwrap());
        assert_eq!(runs.keys().unwrap().len(), 2);
    }

    #[test]
    fn of_many_simultaneous_starts_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs =
            ["one", "two", "three"].map(|build| (build, Runs::open(dir.path()).unwrap()));
        for round in 1..20 {
            let key = RunKey::new("a", round);
            let won = std::thread::scope(|scope| {
                let claims = runs.each_mut().map(|(build, runs)| {
                    let key = &key;
                    scope.spawn(move || runs.claim(key, &owner(build)).unwrap())
                });
                claims.map(|claim| claim.join().unwrap())
            });
            assert_eq!(won.iter().filter(|won| **won).count(), 1);
        }
    }

    #[test]
    fn a_recorded_exit_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        let keys: Vec<_> = (1..=5).map(|attempt| RunKey::new("a", attempt)).collect();
        for key in &keys {
            runs.claim(key, &owner("one")).unwrap();
            assert_eq!(runs.exit(key).unwrap(), None);
        }
        runs.record_exits(&[(keys[0].clone(), exit())], true)
            .unwrap();
        let many: Vec<_> = keys[1..].iter().map(|key| (key.clone(), exit())).collect();
        runs.record_exits(&many, false).unwrap();
        for key in &keys {
            assert_eq!(runs.exit(key).unwrap(), Some(exit()));
        }
    }

    #[test]
    fn a_forgotten_run_is_out_of_sight() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        let (key, build) = (RunKey::new("a", 1), owner("one").build);
        runs.claim(&key, &owner("one")).unwrap();
        std::fs::create_dir(runs.dir(&key).join("work")).unwrap();
        let name = runs.discard(&key, &build).unwrap().unwrap();
        assert!(runs.trash().join(name).join("work").exists());
        assert_eq!(runs.discard(&key, &build).unwrap(), None);
        assert_eq!(runs.owner(&key).unwrap(), None);
        assert_eq!(runs.keys().unwrap(), []);
    }

    #[test]
    fn a_directory_that_is_used_again_tells_nothing_of_its_past() {
        let dir = tempfile::tempdir().unwrap();
        let mut runs = Runs::open(dir.path()).unwrap();
        let (old, new) = (RunKey::new("a", 1), RunKey::new("b", 7));
        runs.claim(&old, &owner("one")).unwrap();
        runs.create_leader(&old)
            .unwrap()
            .write_all(b"1 (x) S\n")
            .unwrap();
        std::fs::write(runs.dir(&old).join("output.0"), "something").unwrap();
        runs.record_exits(&[(old.clone(), exit())], false).unwrap();
        assert_eq!(runs.discard(&old, &owner("one").build).unwrap(), None);
        assert_eq!(runs.spare.len(), 1);

        runs.claim(
            &new,
            &Owner {
                claimed_ms: 2,
                ..owner("two")
            },
        )
        .unwrap();
        assert_eq!(runs.spare.len(), 0);
        assert_eq!(
            runs.owner(&new).unwrap(),
            Some(Owner {
                claimed_ms: 2,
                ..owner("two")
            })
        );
        assert_eq!(runs.exit(&new).unwrap(), None);
        assert_eq!(runs.leader(&new).unwrap(), "");
        let mut leader = runs.create_leader(&new).unwrap();
        leader.write_all(b"2 (y)\n").unwrap();
        assert_eq!(runs.leader(&new).unwrap(), "2 (y)");
        assert_eq!(std::fs::read(runs.dir(&new).join("output.0")).unwrap(), b"");
        assert_eq!(runs.keys().unwrap(), [new]);
    }
}
