//! Local jobs, with a real supervisor process: one binary for all of it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[cfg(feature = "crash-points")]
mod crashes;
mod fixture;
mod jobs;
mod restarts;
mod runner;
mod stops;
