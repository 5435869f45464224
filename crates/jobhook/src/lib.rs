//! A job seen from inside, and actions launched and watched from outside.
//!
//! A *job* is a program that a jobhook server started: it finds its arguments, says how far it
//! is, logs, and says how it ended. See [`Job`]. A [`Launcher`] speaks to the server's
//! management API: it launches actions, lists them, follows their logs, cancels them.
//! [`Operations`] are functions that are launched by name, with an input that was checked.
//!
//! Read in this order: [`job`] is what a program calls; `outbox` puts what it says in order;
//! `sender` is the thread that sends it; `hook` is one sending and its answer; `spool` keeps
//! reports on disk while the server is away; `files` are what it takes and leaves. The contract is `docs/protocol.md`.
//!
//! An [`Operation`] is one function; where it runs is not its business. `in_process` is the job
//! of a program that runs it itself.
//!
//! Features: `tracing` (a layer whose events become log lines), `testing` (a hook inside the
//! test, see `testing::FakeHook`), `in-process` (for servers that run operations themselves).

mod answer;
mod backoff;
mod builder;
mod error;
mod failure;
mod files;
mod follow;
mod handle;
mod hook;
mod http;
#[cfg(feature = "in-process")]
pub mod in_process;
pub mod job;
mod launch;
mod launcher;
mod meter;
mod operation;
mod operations;
mod outbox;
mod page;
mod primitives;
mod program;
mod receipt;
mod report;
mod schema;
mod scope;
mod sender;
mod shared;
mod spool;
mod sse;
mod standing;
mod strict_json;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tracing")]
mod tracing_layer;

pub use answer::Answer;
pub use builder::JobBuilder;
pub use error::Error;
pub use failure::Failure;
pub use files::{Download, Downloaded, Upload, Uploaded, local_names, local_names_of};
pub use follow::{Follower, Seen};
pub use job::Job;
pub use jobhook_protocol as protocol;
pub use jobhook_protocol::{ActionBody, Json, LogLineBody, Status};
pub use launch::{Launch, LaunchFile};
pub use launcher::Launcher;
pub use meter::Meter;
pub use operation::Operation;
pub use operations::Operations;
pub use page::{FilesPage, FiringsPage, LinesPage, ListPage, ListQuery, SchedulesPage, TicksPage};
pub use primitives::{PlainAnswer, Primitives};
pub use receipt::Receipt;
pub use report::{Amount, Report};
pub use schemars;
pub use standing::Standing;
pub use tokio_util::sync::CancellationToken;
#[cfg(feature = "tracing")]
pub use tracing_layer::{JobLayer, tracing_layer};

/// The block of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The blocks of the guide compile, and those that need no server run.
#[cfg(all(doctest, feature = "testing", feature = "tracing"))]
#[doc = include_str!("../../../docs/guides/rust.md")]
struct Guide;
