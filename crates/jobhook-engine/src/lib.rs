//! What a job server decides, whatever it stores in, listens with or runs jobs on.
//!
//! Read in this order: [`action`] and [`attempt`] are the records, [`write`] the changes that
//! can be made to them, [`ledger`] what each change means, [`verdict`] how an attempt is
//! judged; [`schedule`] is what launches by itself. [`store`] and [`runner`] are contracts with suites; [`memory`] is the plainest
//! store. [`engine`] puts them to work: [`batcher`] commits, [`hook`] recognises jobs, and
//! the dispatcher, the drivers, the reaper and the scheduler run beside.
//!
//! The engine knows no SQL, no HTTP, no Kubernetes and no processes.

pub mod action;
pub mod attempt;
pub mod batcher;
pub mod blob;
pub mod changes;
pub mod clock;
pub mod cron;
mod dispatcher;
mod drive;
pub mod engine;
pub mod file;
pub mod files;
pub mod hook;
pub mod judge;
pub mod keyring;
pub mod ledger;
mod leftovers;
mod live;
pub mod log;
pub mod memory;
pub mod memory_blobs;
mod reaper;
pub mod retention;
pub mod runner;
pub mod schedule;
mod scheduler;
mod sheaf;
mod slots;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verdict;
pub mod window;
pub mod write;

pub use engine::{Engine, EngineError, Launch, Settings, check_schedule};
