//! The jobhook server: stores, runners, the HTTP surface and the command line.
//!
//! `main` of a program that embeds it calls [`supervisor::enter`] first. Read [`server`] to see
//! how the parts are put together.
//!
//! It needs panics that unwind, and must not be built with `panic = "abort"`: an operation that
//! panics would end the server, and so would a value that takes too long to judge by its schema.

mod aside;
mod background;
pub mod blob;
pub mod cli;
pub mod config;
mod crash;
pub mod data_dir;
mod housekeeping;
pub mod http;
pub mod judge;
mod moment;
pub mod operations;
pub mod runner;
pub mod server;
pub mod store;
pub mod supervisor;
pub mod tokens;

pub use server::{Server, ServerBuilder};
