//! Operations inside the server: what becomes of each, through a real engine and store.

#![allow(
    clippy::unwrap_used,
    reason = "test code: a failure is to stop the test"
)]

mod fixture;
mod lines;
mod outcomes;
mod suite;
