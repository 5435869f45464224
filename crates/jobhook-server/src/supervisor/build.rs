//! Which build of the program a supervisor belongs to.
//!
//! A supervisor keeps running the code it was started from, so a replaced binary is another
//! build even when its version is the same. Lock and socket carry the build in their names: two
//! builds live side by side in one data directory, each with its own children.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version and a short hash of the program file, for example `0.1.0-5f0c2ab1d9e3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Build(String);

impl Build {
    /// The build of the program file at `program`; `/proc/self/exe` names this process' own,
    /// even after the file on disk was replaced or deleted.
    ///
    /// # Errors
    ///
    /// If the file cannot be looked at.
    pub fn of(program: &Path) -> io::Result<Build> {
        let file = std::fs::metadata(program)?;
        let identity = format!(
            "{} {} {} {}.{}",
            file.dev(),
            file.ino(),
            file.size(),
            file.mtime(),
            file.mtime_nsec()
        );
        let digest = Sha256::digest(identity.as_bytes());
        let short: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Build(format!("{}-{short}", env!("CARGO_PKG_VERSION"))))
    }

    /// The name of its lock file in the data directory.
    pub(crate) fn lock_name(&self) -> String {
        format!("supervisor.{}.lock", self.0)
    }

    /// The name of its socket in the data directory.
    pub(crate) fn socket_name(&self) -> String {
        format!("supervisor.{}.sock", self.0)
    }

    /// The build whose lock or socket is called `name`.
    pub(crate) fn of_file_name(name: &str) -> Option<Build> {
        let rest = name.strip_prefix("supervisor.")?;
        let build = rest
            .strip_suffix(".lock")
            .or_else(|| rest.strip_suffix(".sock"))?;
        (!build.is_empty()).then(|| Build(build.to_owned()))
    }

    /// The builds that left a lock or a socket in `data_dir`, each once.
    pub(crate) fn found_in(data_dir: &Path) -> io::Result<Vec<Build>> {
        let mut builds = Vec::new();
        for entry in std::fs::read_dir(data_dir)? {
            if let Some(build) = entry?.file_name().to_str().and_then(Build::of_file_name) {
                builds.push(build);
            }
        }
        builds.sort();
        builds.dedup();
        Ok(builds)
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_program_is_another_build() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "one").unwrap();
        let first = Build::of(&program).unwrap();
        assert_eq!(first, Build::of(&program).unwrap());

        let new = dir.path().join("new");
        std::fs::write(&new, "two").unwrap();
        std::fs::rename(&new, &program).unwrap();
        assert_ne!(first, Build::of(&program).unwrap());
    }

    #[test]
    fn a_build_is_found_by_its_lock_or_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let build = Build::of(Path::new("/proc/self/exe")).unwrap();
        std::fs::write(dir.path().join(build.lock_name()), "").unwrap();
        std::fs::write(dir.path().join(build.socket_name()), "").unwrap();
        std::fs::write(dir.path().join("supervisor.log"), "").unwrap();
        std::fs::write(dir.path().join("jobhook.db"), "").unwrap();
        assert_eq!(Build::found_in(dir.path()).unwrap(), [build]);
    }
}
