//! The runners that this server has.

#[cfg(feature = "kube")]
pub mod kube;
mod local;
mod local_command;
mod local_jobs;
mod service;
mod service_job;
mod template;

#[cfg(feature = "kube")]
pub use kube::{KubeNamespaces, KubeRunner, KubeRunnerError};
pub use local::LocalRunner;
pub use local_command::{LocalCommand, LocalCommandError};
pub use local_jobs::LocalJobs;
pub use service::{ServiceRunner, ServiceRunnerError};
