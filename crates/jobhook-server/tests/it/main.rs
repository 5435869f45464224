//! The HTTP surface from outside: a real listener, bytes on a socket, an engine on a store in
//! memory, jobs played by hand and a clock that the test moves.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod access;
mod api;
mod bad_files;
mod bad_report;
mod bad_signature;
mod files;
mod hook;
mod launch;
mod listen;
mod objects;
mod operations;
mod permissions;
mod room;
mod scheduled;
mod schedules;
mod server;
mod small;
mod storm;
mod sweep;
mod tail;
mod wire;
