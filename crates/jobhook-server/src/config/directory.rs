//! What the process finds around it: environment variables, the working directory, and from
//! them the data directory. Taken once and passed on, so that a test can make its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Config;

/// Environment variables and the working directory.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    variables: BTreeMap<String, String>,
    directory: PathBuf,
}

/// There is no place for a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no data directory: neither HOME nor XDG_DATA_HOME is set; name one with --data-dir or JOBHOOK_DATA_DIR"
)]
pub struct NoDataDirectory;

impl Surroundings {
    /// Those of this process. The working directory is empty if it is gone: what needs none
    /// works nevertheless.
    pub fn of_this_process() -> Surroundings {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        Surroundings {
            variables: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            directory: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// Made up ones, for tests and embedders.
    ///
    /// - `directory`: absolute.
    pub fn new<'a>(
        directory: impl Into<PathBuf>,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Surroundings {
        Surroundings {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            directory: directory.into(),
        }
    }

    /// A variable, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The working directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Config {
    /// Finds the data directory: the flag, else `JOBHOOK_DATA_DIR`, else `[server] data_dir`,
    /// else `$STATE_DIRECTORY` (systemd), else `$XDG_DATA_HOME/jobhook`, else
    /// `~/.local/share/jobhook`. Absolute; it may not exist yet.
    ///
    /// - `flag`: the directory named on the command line, if any.
    ///
    /// # Errors
    ///
    /// [`NoDataDirectory`] if none of these is set.
    pub fn data_directory(
        &self,
        flag: Option<&Path>,
        surroundings: &Surroundings,
    ) -> Result<PathBuf, NoDataDirectory> {
        let here = |path: &Path| surroundings.directory().join(path);
        let variable = |name| surroundings.get(name).map(Path::new);
        if let Some(path) = flag.or(variable("JOBHOOK_DATA_DIR")) {
            return Ok(here(path));
        }
        if let Some(path) = &self.server.data_dir {
            return Ok(self.directory.join(path));
        }
        // systemd joins several with colons; the first is the unit's own.
        let state = surroundings
            .get("STATE_DIRECTORY")
            .and_then(|paths| paths.split(':').next());
        if let Some(path) = state {
            return Ok(here(Path::new(path)));
        }
        variable("XDG_DATA_HOME")
            .map(|home| here(home).join("jobhook"))
            .or_else(|| variable("HOME").map(|home| here(home).join(".local/share/jobhook")))
            .ok_or(NoDataDirectory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_directory_is_the_first_that_is_named() {
        let all = [
            ("JOBHOOK_DATA_DIR", "/var/named"),
            ("STATE_DIRECTORY", "/var/lib/jobhook:/var/lib/other"),
            ("XDG_DATA_HOME", "/home/a/share"),
            ("HOME", "/home/a"),
        ];
        let mut config = Config {
            directory: "/etc/jobhook".into(),
            ..Config::default()
        };
        config.server.data_dir = Some("data".into());
        let find = |config: &Config, flag: Option<&str>, skip: usize| {
            let surroundings = Surroundings::new("/srv", all[skip..].iter().copied());
            let path = config.data_directory(flag.map(Path::new), &surroundings);
            path.map(|path| path.to_string_lossy().into_owned())
        };

        assert_eq!(find(&config, Some("here"), 0).unwrap(), "/srv/here");
        assert_eq!(find(&config, None, 0).unwrap(), "/var/named");
        assert_eq!(find(&config, None, 1).unwrap(), "/etc/jobhook/data");
        config.server.data_dir = None;
        assert_eq!(find(&config, None, 1).unwrap(), "/var/lib/jobhook");
        assert_eq!(find(&config, None, 2).unwrap(), "/home/a/share/jobhook");
        assert_eq!(
            find(&config, None, 3).unwrap(),
            "/home/a/.local/share/jobhook"
        );
        assert_eq!(find(&config, None, 4), Err(NoDataDirectory));
    }
}
