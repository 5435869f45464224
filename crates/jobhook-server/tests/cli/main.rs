//! The command line as its users have it: the real binary against a stand-in for the server.
//!
//! The stand-in answers what a test tells it to, so that a test shows both sides of one fact.
//! That a real server answers so is tested where the real server is.

mod client;
mod command;
mod command_line;
mod exec;
mod follow;
mod job;
mod standin;
