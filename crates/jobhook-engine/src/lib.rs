//! What a job server decides.

pub mod action;
pub mod attempt;
pub mod clock;
pub mod ledger;
pub mod log;
pub mod memory;
pub mod runner;
pub mod store;
pub mod verdict;
pub mod window;
pub mod write;
