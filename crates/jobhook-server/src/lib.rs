//! The jobhook server: stores, runners, the HTTP surface and the command line.

mod crash;
pub mod data_dir;
pub mod runner;
pub mod supervisor;
