//! The runners that this server has.

mod local;
mod local_command;
mod local_jobs;
mod local_template;
mod service;
mod service_job;

pub use local::LocalRunner;
pub use local_command::{LocalCommand, LocalCommandError};
pub use local_jobs::LocalJobs;
pub use service::{ServiceRunner, ServiceRunnerError};
