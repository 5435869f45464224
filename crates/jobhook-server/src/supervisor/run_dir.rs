//! The run directory of an attempt: the one place that says whether it was started.
//!
//! ```text
//! runs/{id}/{attempt}/owner.json   who started it; there from the first moment
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
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::build::Build;
use super::message::{Exit, RunKey};

/// Other users may pass through, so that a job that runs as another user reaches its work
/// folder; they can list nothing, and every file is for the owner alone.
const DIR_MODE: u32 = 0o711;
const FILE_MODE: u32 = 0o600;

/// All run directories of a data directory.
#[derive(Debug)]
pub(crate) struct Runs {
    root: PathBuf,
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
        Ok(Runs { root })
    }

    /// Where the run directory of `key` is, or would be.
    pub(crate) fn dir(&self, key: &RunKey) -> PathBuf {
        self.root.join(&key.id).join(key.attempt.to_string())
    }

    /// Creates the run directory of `key`; `false` if there is one already.
    pub(crate) fn claim(&self, key: &RunKey, owner: &Owner) -> io::Result<bool> {
        let staging = self.staging(&owner.build);
        create_dir(&staging)?;
        let prepared = staging.join(format!("{}.{}", key.id, key.attempt));
        match create_dir_exclusively(&prepared) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_dir_all(&prepared).and_then(|()| create_dir_exclusively(&prepared))?
            }
            done => done?,
        }
        write_new(&prepared.join("owner.json"), &serde_json::to_vec(owner)?)?;
        crate::crash::reached("supervisor.staged");

        let dir = self.dir(key);
        loop {
            create_dir(&self.root.join(&key.id))?;
            // A directory that holds something is never replaced, and ours all hold an owner.
            match fs::rename(&prepared, &dir) {
                Ok(()) => return Ok(true),
                // A neighbour forgot the last other attempt just now, and took the parent along.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if is_taken(&error) => {
                    fs::remove_dir_all(&prepared)?;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
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
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.dir(key).join("leader"))
    }

    /// What the job of `key` wrote about itself; empty if it did not get so far.
    pub(crate) fn leader(&self, key: &RunKey) -> io::Result<String> {
        match fs::read(self.dir(key).join("leader")) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Records how runs ended; returns once the records would survive a power cut.
    ///
    /// Many ends at once cost one flush, not one each.
    pub(crate) fn record_exits(&self, exits: &[(RunKey, Exit)]) -> io::Result<()> {
        if exits.is_empty() {
            return Ok(());
        }
        let mut files = Vec::with_capacity(exits.len());
        for (key, exit) in exits {
            let path = self.dir(key).join("exit.json.new");
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(FILE_MODE)
                .open(&path)?;
            file.write_all(&serde_json::to_vec(exit)?)?;
            files.push((path, file));
        }
        match files.as_slice() {
            [(_, first), _, _, ..] => nix::unistd::syncfs(first)?,
            few => {
                for (_, file) in few {
                    file.sync_data()?;
                }
            }
        }
        crate::crash::reached("supervisor.exit_unnamed");
        for (path, _) in &files {
            fs::rename(path, path.with_extension(""))?;
        }
        Ok(())
    }

    /// Every attempt that has a run directory.
    pub(crate) fn keys(&self) -> io::Result<Vec<RunKey>> {
        let mut keys = Vec::new();
        for id in names(&self.root)? {
            if id.starts_with('.') {
                continue;
            }
            for attempt in names(&self.root.join(&id))? {
                if let Ok(attempt) = attempt.parse() {
                    keys.push(RunKey {
                        id: id.clone(),
                        attempt,
                    });
                }
            }
        }
        Ok(keys)
    }

    /// Takes the run directory of `key` out of sight; returns its name below [`Runs::trash`].
    /// Emptying the trash is left to whoever has the time.
    pub(crate) fn discard(&self, key: &RunKey) -> io::Result<Option<String>> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let name = format!(
            "{}.{}.{}",
            key.id,
            key.attempt,
            now.unwrap_or_default().as_nanos()
        );
        match fs::rename(self.dir(key), self.trash().join(&name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        // Fails as long as another attempt is in there, as it should.
        let _ = fs::remove_dir(self.root.join(&key.id));
        Ok(Some(name))
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

    fn staging(&self, build: &Build) -> PathBuf {
        self.root.join(format!(".staging.{build}"))
    }
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

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)?
        .write_all(bytes)
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
        let runs = Runs::open(dir.path()).unwrap();
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
        let runs = Runs::open(dir.path()).unwrap();
        for round in 1..20 {
            let key = RunKey::new("a", round);
            let won: usize = std::thread::scope(|scope| {
                let claims: Vec<_> = ["one", "two", "three"]
                    .map(|build| scope.spawn(|| runs.claim(&key, &owner(build)).unwrap()))
                    .into_iter()
                    .collect();
                claims
                    .into_iter()
                    .filter_map(|claim| claim.join().ok())
                    .filter(|won| *won)
                    .count()
            });
            assert_eq!(won, 1);
        }
    }

    #[test]
    fn a_recorded_exit_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::open(dir.path()).unwrap();
        let keys: Vec<_> = (1..=5).map(|attempt| RunKey::new("a", attempt)).collect();
        for key in &keys {
            runs.claim(key, &owner("one")).unwrap();
            assert_eq!(runs.exit(key).unwrap(), None);
        }
        runs.record_exits(&[(keys[0].clone(), exit())]).unwrap();
        let many: Vec<_> = keys[1..].iter().map(|key| (key.clone(), exit())).collect();
        runs.record_exits(&many).unwrap();
        for key in &keys {
            assert_eq!(runs.exit(key).unwrap(), Some(exit()));
        }
    }

    #[test]
    fn a_forgotten_run_is_out_of_sight() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::open(dir.path()).unwrap();
        let key = RunKey::new("a", 1);
        runs.claim(&key, &owner("one")).unwrap();
        let name = runs.discard(&key).unwrap().unwrap();
        assert!(runs.trash().join(name).join("owner.json").exists());
        assert_eq!(runs.discard(&key).unwrap(), None);
        assert_eq!(runs.owner(&key).unwrap(), None);
        assert_eq!(runs.keys().unwrap(), []);
        assert!(!dir.path().join("runs/a").exists());
    }
}
