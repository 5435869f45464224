//! The contracts as test suites, and what tests need to hold an engine still.

mod clock;
mod hand_runner;
#[doc(hidden)]
pub mod runner_suite;

pub use clock::TestClock;
pub use hand_runner::{HandJob, HandRunner};
pub use runner_suite::{JobKind, RunnerUnderTest};
