//! The jobhook server: stores, runners, the HTTP surface and the command line.
//!
//! `main` of a program that embeds it calls [`supervisor::enter`] first. Read [`serve`] to see
//! how the parts are put together.

pub mod cli;
pub mod config;
mod crash;
pub mod data_dir;
pub mod http;
pub mod runner;
pub mod store;
pub mod supervisor;
