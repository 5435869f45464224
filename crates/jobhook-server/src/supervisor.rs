//! The supervisor: the small process that owns all local jobs and outlives the server.
//!
//! ```text
//! server ── Supervisors ── socket ──▶ supervisor ── fork ──▶ jobs, each the leader of its group
//!    └───────── reads ─────────▶ runs/{id}.{attempt}/ ◀── writes ──┘
//! ```
//!
//! It starts a job at most once, drains its output into a log, sees it end, kills what it leaves
//! behind and writes down how it went. A server may be killed, restarted or upgraded meanwhile; it
//! asks, and learns everything. If the supervisor itself is killed, its jobs die with it, and the
//! next one says so.
//!
//! The supervisor's own side (`birth`, `reactor`, `children` and below) is single-threaded and
//! blocking on purpose; it knows nothing of actions, hooks, stores or tokio. The server's side is
//! [`Supervisors`].

mod birth;
mod boot_mark;
mod build;
mod children;
mod clock;
mod connection;
mod error;
mod journal;
mod lines;
mod link;
mod lock;
mod message;
mod oom;
mod orphans;
mod output;
mod pipes;
mod poller;
mod process;
mod reactor;
mod recovery;
mod run_dir;
mod socket;
mod spawn;
mod supervisors;

pub use birth::enter;
pub use build::Build;
pub use error::SupervisorError;
pub use message::{End, Exit, Hello, Limits, Notice, Run, RunKey, Spec, State, Usage};
pub use output::{Chunk, Line, OutputReader, Stream};
pub use supervisors::{SupervisorOptions, Supervisors, Told};

// What another process of ours that has one child makes use of: `jobhook exec`.
pub(crate) use lines::Lines;
pub(crate) use oom::OomCounter;
pub(crate) use pipes::{READ_BYTES, set_nonblocking};
pub(crate) use process::{descendants, own_children};
pub(crate) use spawn::{failed_exec, next_dead, reap};
