//! The configuration: one TOML file, and environment variables over it.
//!
//! ```text
//! --config > JOBHOOK_CONFIG > ./jobhook.toml > none      then JOBHOOK__SECTION__KEY over it
//! ```
//!
//! [`Config::load`] reads it all, refuses keys it does not know, and says of every error the
//! file, line and column or the variable. Every key has a default: no file at all is fine.
//!
//! What the settings do is decided by those who take them; nothing here opens a store, starts
//! a runner or listens.

mod directory;
mod files;
mod housekeeping;
mod kube_runner;
mod listen;
mod measure;
mod objects;
mod read;
mod runner;
mod schedule;
mod secret;
mod section;
mod service_runner;
mod suggest;
mod tree;
mod variables;

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use directory::{NoDataDirectory, Surroundings};
pub use files::{Files, FilesBackend, S3Files};
pub use housekeeping::{Housekeeping, Keep, Retention};
pub use kube_runner::{KubeRunner, KubeconfigSource, LogSource, OnNodeLost};
pub use listen::{AddressError, DEFAULT_LISTEN, ListenError, listen_address, may_listen};
pub use measure::{MeasureError, duration, size};
pub use objects::ObjectStore;
pub use runner::{LocalRunner, ProcessLimits, Runner, RunnerKind, Stdin};
pub use schedule::Schedule;
pub use secret::Secret;
pub use section::{
    Auth, Hook, Limits, Operations, Scheduler, Server, Signature, Store, StoreKind, Token,
};
pub use service_runner::ServiceRunner;

use read::{Fault, read};
use tree::{Node, Origin, SyntaxFault};

/// The name looked for in the working directory.
const FILE: &str = "jobhook.toml";
/// Sections that later versions know.
const NOT_YET: &[&str] = &["keys"];
const SECTIONS: &[&str] = &[
    "server",
    "hook",
    "limits",
    "auth",
    "store",
    "files",
    "operations",
    "scheduler",
    "retention",
    "housekeeping",
    "runners",
    "schedules",
    "stores",
];

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[hook]`
    pub hook: Hook,
    /// `[limits]`
    pub limits: Limits,
    /// `[auth]`
    pub auth: Auth,
    /// `[store]`
    pub store: Store,
    /// `[files]`
    pub files: Files,
    /// `[operations]`
    pub operations: Operations,
    /// `[scheduler]`
    pub scheduler: Scheduler,
    /// `[retention]`
    pub retention: Retention,
    /// `[housekeeping]`
    pub housekeeping: Housekeeping,
    /// `[runners.NAME]`, in the order of the file.
    pub runners: Vec<Runner>,
    /// `[schedules.NAME]`, in the order of the file.
    pub schedules: Vec<Schedule>,
    /// `[stores.NAME]`, in the order of the file.
    pub stores: Vec<ObjectStore>,
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// The file's directory, or the working directory: where relative paths begin, and what
    /// `${config_dir}` stands for. Absolute.
    pub directory: PathBuf,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file that was named cannot be read.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{place}: {what}")]
    Invalid {
        /// Where.
        place: Place,
        /// What, and what would be right.
        what: String,
    },
}

/// Where in the configuration something was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// Somewhere.
    Unknown,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Place::Variable(name) => f.write_str(name),
            Place::Unknown => f.write_str("configuration"),
        }
    }
}

impl Config {
    /// Finds and reads the configuration.
    ///
    /// - `flag`: the file named on the command line, if any.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for the first thing that is wrong. A file that was named must exist;
    /// `./jobhook.toml` need not.
    pub fn load(flag: Option<&Path>, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        let named = flag
            .map(Path::to_owned)
            .or_else(|| surroundings.get("JOBHOOK_CONFIG").map(PathBuf::from));
        let must_exist = named.is_some();
        let path = named.unwrap_or_else(|| PathBuf::from(FILE));
        let file = surroundings.directory().join(&path);
        match std::fs::read_to_string(&file) {
            Ok(text) => Source {
                shown: &path,
                file: Some(&file),
                text: &text,
            }
            .read(surroundings),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Source {
                shown: &path,
                file: None,
                text: "",
            }
            .read(surroundings),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        }
    }

    /// Judges whether a server may start like this (clause `API-3`).
    ///
    /// - `has_tokens`: whether any token is known, from the configuration or the store.
    ///
    /// # Errors
    ///
    /// [`ListenError`]: without tokens whoever reaches the server may do everything, so only
    /// this machine may reach it, and no runner may keep users apart.
    pub fn may_serve(&self, has_tokens: bool) -> Result<(), ListenError> {
        may_listen(self.server.listen, has_tokens)?;
        if has_tokens {
            return Ok(());
        }
        if let Some(url) = &self.server.public_url
            && !listen::is_of_this_machine(url)
        {
            return Err(ListenError::Public(url.clone()));
        }
        for Runner { name, kind } in &self.runners {
            if let RunnerKind::Local(local) = kind
                && local.run_as.is_some()
            {
                return Err(ListenError::RunAs(name.clone()));
            }
        }
        Ok(())
    }

    /// The address that jobs report to: the public one, or the one listened on, with the
    /// hook's path.
    ///
    /// - `listening`: the address that was bound, with its real port.
    pub fn hook_address(&self, listening: std::net::SocketAddr) -> String {
        let server = self.server.public_url.clone().unwrap_or_else(|| {
            let mut reachable = listening;
            if listening.ip().is_unspecified() {
                // Jobs of a LocalRunner are on this machine.
                reachable.set_ip(match listening {
                    std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            format!("http://{reachable}")
        });
        format!("{server}{}", self.hook.url)
    }
}

/// A text to read, and what to call it in errors.
struct Source<'a> {
    shown: &'a Path,
    file: Option<&'a Path>,
    text: &'a str,
}

impl Source<'_> {
    fn read(&self, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        let mut root = Node::parse(self.text).map_err(|fault| self.syntax(fault))?;
        variables::overlay(&mut root, surroundings.variables())
            .map_err(|fault| self.invalid(fault))?;
        let mut config = sections(&root).map_err(|fault| self.invalid(fault))?;
        config.file = self.file.map(Path::to_owned);
        config.directory = self
            .file
            .and_then(Path::parent)
            .unwrap_or(surroundings.directory())
            .to_owned();
        Ok(config)
    }

    fn invalid(&self, fault: Fault) -> ConfigError {
        let place = match &fault.origin {
            Some(Origin::File(span)) => self.place(span.start),
            Some(Origin::Variable { name, .. }) => Place::Variable(name.clone()),
            None => Place::Unknown,
        };
        ConfigError::Invalid {
            place,
            what: fault.to_string(),
        }
    }

    fn syntax(&self, fault: SyntaxFault) -> ConfigError {
        let what = if fault.what == "duplicate key" {
            let key = &self.text[fault.at.clone()];
            let line = self.line_of(fault.at.start).trim_start_matches('[');
            match line.trim_end().trim_end_matches(']').split_once('.') {
                Some((many @ ("runners" | "schedules" | "stores"), name))
                    if self.line_of(fault.at.start).starts_with('[') =>
                {
                    format!("two {many} are named `{name}`; each needs a name of its own")
                }
                _ => format!("`{key}` is set twice"),
            }
        } else {
            format!("not TOML: {}", fault.what)
        };
        ConfigError::Invalid {
            place: self.place(fault.at.start),
            what,
        }
    }

    fn line_of(&self, offset: usize) -> &str {
        let start = self.text[..offset].rfind('\n').map_or(0, |at| at + 1);
        self.text[start..].lines().next().unwrap_or_default().trim()
    }

    fn place(&self, offset: usize) -> Place {
        let before = &self.text[..offset.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            path: self.shown.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

fn sections(root: &Node) -> Result<Config, Fault> {
    let mut config = Config::default();
    for entry in root.entries() {
        let (key, node) = (entry.key.as_str(), &entry.node);
        let read = match key {
            "server" => read(node).map(|section| config.server = section),
            "hook" => read(node).map(|section| config.hook = section),
            "limits" => read(node).map(|section| config.limits = section),
            "auth" => read(node).map(|section| config.auth = section),
            "store" => read(node).map(|section| config.store = section),
            "files" => Files::read(node).map(|section| config.files = section),
            "operations" => read(node).map(|section| config.operations = section),
            "scheduler" => read(node).map(|section| config.scheduler = section),
            "retention" => read(node).map(|section| config.retention = section),
            "housekeeping" => read(node).map(|section| config.housekeeping = section),
            "runners" => named(node, "runner", "[runners.any]", Runner::read)
                .map(|runners| config.runners = runners),
            "schedules" => named(node, "schedule", "[schedules.nightly]", Schedule::read)
                .map(|schedules| config.schedules = schedules),
            "stores" => named(node, "store", "[stores.images]", ObjectStore::read)
                .and_then(|stores| differ(node, &stores).map(|()| config.stores = stores)),
            later if NOT_YET.contains(&later) => {
                return Err(
                    Fault::new(format_args!("[{later}] is not available in this version"))
                        .at(&entry.origin),
                );
            }
            unknown => return Err(Fault::unknown_key(unknown, SECTIONS).at(&entry.origin)),
        };
        read.map_err(|fault| fault.at(&entry.origin).under(key))?;
    }
    let mut names: Vec<&str> = Vec::new();
    for token in &config.auth.tokens {
        if names.contains(&token.name.as_str()) {
            return Err(Fault::new(format_args!(
                "auth.tokens: two tokens are named `{}`; each needs a name of its own",
                token.name
            ))
            .at(root.get("auth").map_or(&root.origin, |node| &node.origin)));
        }
        names.push(&token.name);
    }
    Ok(config)
}

/// Reads sections that have names.
fn named<T>(
    node: &Node,
    one: &str,
    example: &str,
    read: fn(&str, &Node) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    if !matches!(node.value, tree::Value::Table(_)) {
        return Err(Fault::new(format_args!(
            "{one}s are sections with names, as in {example}"
        )));
    }
    node.entries()
        .iter()
        .map(|entry| {
            let read = match entry.node.value {
                tree::Value::Table(_) => read(&entry.key, &entry.node),
                _ => Err(Fault::new(format_args!(
                    "a {one} is a section, as in {example}"
                ))),
            };
            read.map_err(|fault| fault.at(&entry.origin).under(&entry.key))
        })
        .collect()
}

/// Names of stores are compared without case (clause `FILE-1`).
fn differ(node: &Node, stores: &[ObjectStore]) -> Result<(), Fault> {
    for (index, entry) in node.entries().iter().enumerate() {
        let twin = stores[..index]
            .iter()
            .find(|store| store.name.eq_ignore_ascii_case(&entry.key));
        if let Some(twin) = twin {
            return Err(Fault::new(format_args!(
                "there is a store `{}` already, and names have no case; each needs a name of its own",
                twin.name
            ))
            .at(&entry.origin)
            .under(&entry.key));
        }
    }
    Ok(())
}
