//! The jobhook server: stores, runners, the HTTP surface and the command line.

pub mod cli;
pub mod config;
pub mod data_dir;
pub mod http;
pub mod store;
