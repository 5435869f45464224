//! The contracts as test suites, and what tests need to hold an engine still.
//!
//! [`store_suite!`](crate::store_suite) runs every case in [`store_suite`] against a store;
//! [`factory`] makes what cases need, [`Clerk`] writes it down for them, and [`script`] draws
//! whole random histories, to compare stores with each other and with the rules.

#[doc(hidden)]
pub mod blob_suite;
mod clerk;
mod clock;
pub mod factory;
mod hand_runner;
pub(crate) mod probed_store;
#[doc(hidden)]
pub mod runner_suite;
pub mod script;
#[doc(hidden)]
pub mod store_suite;

pub use clerk::Clerk;
pub use clock::TestClock;
pub use hand_runner::{HandJob, HandRunner};
pub use runner_suite::{JobKind, RunnerUnderTest};
