//! What a server knows of actions that its engine does not: an operation has an input and an
//! output, and both promise something.
//!
//! Asked where time has passed since an action was stored, so that other rules may hold by now:
//! before its job starts, and when it has ended.

use std::fmt;

use async_trait::async_trait;

use crate::action::Action;

/// Judges actions by what they promise.
#[async_trait]
pub trait Judge: fmt::Debug + Send + Sync {
    /// Whether the job of an action may start that was launched by whatever rules held then.
    ///
    /// # Errors
    ///
    /// A sentence that says why not. The attempt ends as one that could not be started.
    async fn may_start(&self, action: &Action) -> Result<(), String>;

    /// Whether an action is nothing without results: exit code 0 alone is no success then.
    fn needs_results(&self, action: &Action) -> bool;
}

/// Lets every job start, and asks for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Lenient;

#[async_trait]
impl Judge for Lenient {
    async fn may_start(&self, _: &Action) -> Result<(), String> {
        Ok(())
    }

    fn needs_results(&self, _: &Action) -> bool {
        false
    }
}
