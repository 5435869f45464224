//! Why the server gets no help from its supervisors.

use std::io;
use std::path::PathBuf;

use super::build::Build;

/// Why the supervisors could not do what they were asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The program does not call [`enter`](super::enter), so it cannot be started as a supervisor.
    #[error(
        "this program cannot run local jobs: its `main` must begin with `jobhook_server::supervisor::enter()`"
    )]
    NotEntered,
    /// The data directory cannot be used.
    #[error("the data directory `{}` cannot be used", .path.display())]
    DataDir {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No supervisor could be started.
    #[error("no supervisor could be started: {0}")]
    NotStarted(String),
    /// A supervisor is there, but cannot be talked to.
    #[error("the supervisor of build {build} cannot be reached: {reason}")]
    Unreachable {
        /// Which one.
        build: Build,
        /// Why, for people.
        reason: String,
    },
    /// The supervisor says that it cannot do this; the sentence says why. Nothing was started.
    #[error("{0}")]
    Failed(String),
}
