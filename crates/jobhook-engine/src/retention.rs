//! How long finished actions are kept.
//!
//! [`Store::prune`](crate::store::Store::prune) removes what is beyond: an action with all that
//! belongs to it, once it is final and its attempt is closed. An open action is never removed.

use std::time::Duration;

use jobhook_protocol::Status;

use crate::clock::Timestamp;

/// What is kept of finished actions, for each final status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Of those that succeeded.
    pub success: Keep,
    /// Of those that failed.
    pub error: Keep,
    /// Of those that took too long.
    pub timeout: Keep,
    /// Of those that were cancelled.
    pub cancelled: Keep,
}

/// What is kept of one status; everything, where neither is said. An action that is beyond one
/// of the two is beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// How long, from the end of an action.
    pub age: Option<Duration>,
    /// How many, the last launched.
    pub count: Option<u64>,
}

impl Retention {
    /// One rule for all.
    pub const fn all(keep: Keep) -> Retention {
        Retention {
            success: keep,
            error: keep,
            timeout: keep,
            cancelled: keep,
        }
    }

    /// The rules that remove something, each with its status.
    pub fn rules(&self) -> impl Iterator<Item = (Status, Keep)> + use<> {
        [
            (Status::Success, self.success),
            (Status::Error, self.error),
            (Status::Timeout, self.timeout),
            (Status::Cancelled, self.cancelled),
        ]
        .into_iter()
        .filter(|(_, keep)| *keep != Keep::default())
    }
}

impl Keep {
    /// The last end that is too long ago.
    pub fn cutoff(&self, now: Timestamp) -> Option<Timestamp> {
        let age = i64::try_from(self.age?.as_millis()).unwrap_or(i64::MAX);
        Some(Timestamp(now.0.saturating_sub(age)))
    }
}
