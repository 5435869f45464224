//! What becomes of jobs, and what a server refuses, with the real program: one binary for all of it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod outcomes;
mod server;
