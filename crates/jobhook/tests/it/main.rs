//! The SDK over real HTTP: against the fake hook, and against the server's own router.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod answers;
mod bad_input;
mod cancel;
mod downloads;
mod end;
mod heartbeat;
#[cfg(feature = "tracing")]
mod layer;
mod operations;
mod order;
mod outage;
mod server;
mod spool;
mod support;
mod tls;
mod uploads;
