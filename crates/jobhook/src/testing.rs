//! A hook inside the test: run a job without a server, and look at what it reported.
//!
//! ```
//! use jobhook::testing::FakeHook;
//!
//! let hook = FakeHook::start()?;
//! hook.set_arguments(&serde_json::json!({"n": 2}))?;
//!
//! let job = hook.job().build()?;
//! let arguments: serde_json::Value = job.arguments()?;
//! job.log("doubling")?;
//! job.succeed(&(arguments["n"].as_i64().unwrap_or(0) * 2))?;
//!
//! assert_eq!(hook.lines(), ["doubling"]);
//! assert_eq!(hook.results(), Some(serde_json::json!(4)));
//! # Ok::<(), jobhook::Error>(())
//! ```
//!
//! It checks signatures, time and fields as a server does, applies a numbered report once, and
//! can be told to behave badly: see [`Behaviour`]. It keeps everything in memory and has no
//! state machine but that a final status stays.
//!
//! It has files, too: what a job uploads is in [`FakeHook::files`], and what it may download is
//! put there with [`FakeHook::add_file`].
//!
//! An [operation](crate::Operations) needs not even that: [`run`] calls it, and collects what it
//! says.

mod fake_hook;
mod ran;
mod request;
mod rules;
mod shelf;

pub use fake_hook::{Behaviour, FakeHook};
pub use ran::{Ran, run};
pub use rules::Received;
pub use shelf::FakeFile;
