//! The real `jobhook` binary, its supervisors and real programs: one binary for all of it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[cfg(feature = "s3")]
mod bucket;
mod cancel;
mod check;
mod client;
mod command;
mod exec;
mod file_commands;
mod files;
mod full_disk;
mod housekeeping;
mod job;
#[cfg(feature = "s3")]
#[path = "../support/moto.rs"]
mod moto_server;
mod operations;
mod outcomes;
mod processes;
mod promises;
mod refusals;
mod reports;
mod schedule_commands;
mod schedules;
mod secrets;
mod server;
#[cfg(feature = "crash-points")]
mod starts;
mod stopping;
mod survival;
#[path = "../support/unshare.rs"]
mod unshare;
mod watching;
