//! The jobhook server: stores, runners, the HTTP surface and the command line.

pub mod config;
pub mod data_dir;
