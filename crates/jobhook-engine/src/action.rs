//! The stored record of an action, and what is needed to make one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jobhook_protocol::{GrantBody, Json, Status};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::file::{InputFile, ObjectLimits};

/// An action's id: a UUIDv7, so that ids sort by the time of launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub Uuid);

impl ActionId {
    /// Draws a new id for an action launched at `now`.
    pub fn draw(now: Timestamp) -> ActionId {
        ActionId(now.draw_id())
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ActionId {
    type Err = NotAnId;

    /// Takes the hyphenated lower-case form only: one action has one spelling.
    fn from_str(text: &str) -> Result<ActionId, NotAnId> {
        let id = ActionId(Uuid::try_parse(text).map_err(|_| NotAnId)?);
        if id.to_string() == text {
            Ok(id)
        } else {
            Err(NotAnId)
        }
    }
}

/// A text that is no action's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an action's id is a UUID in its hyphenated lower-case form")]
pub struct NotAnId;

/// An action as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Its id.
    pub id: ActionId,
    /// Its type, which picks the runner.
    pub action_type: String,
    /// Where it stands; changed by the [ledger](crate::ledger) only.
    pub status: Status,
    /// The attempt that is next, under way, or was the last; from 1.
    pub attempt: u32,
    /// How many tries it has.
    pub attempts: u32,
    /// Whether it was launched as an operation: its type is the operation's id then.
    pub operation: bool,
    /// The schedule that launched it.
    pub schedule: Option<String>,
    /// What it was launched with.
    pub arguments: Option<Json>,
    /// What its job made.
    pub results: Option<Json>,
    /// What its job says about itself.
    pub status_details: Option<Json>,
    /// What went wrong, for programs.
    pub error_name: Option<String>,
    /// What went wrong, for people.
    pub error_message: Option<String>,
    /// When it was launched.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it may start: its scheduled time, its launch, or its next try.
    pub due_at: Timestamp,
    /// The time it was scheduled for, if it was.
    pub scheduled: Option<Timestamp>,
    /// When it expires if it has not been taken by then.
    pub expires_at: Option<Timestamp>,
    /// When its current attempt's job started.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// The mark that forbids later starts and tries.
    pub cancel: Option<CancelMark>,
    /// The action that this one runs again.
    pub retry_of: Option<ActionId>,
    /// What ends it, or an attempt of it, when it takes too long.
    pub timeouts: Timeouts,
    /// W3C Trace Context of the launch.
    pub traceparent: Option<String>,
    /// What its job may do with files that are not its own.
    pub grants: Vec<GrantBody>,
    /// What is stored of its log.
    pub log: LogMeter,
    /// Whether an attempt is open: taken and not closed.
    pub open: bool,
}

/// What decides whether an action's job may use files: the action without what may be large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where the action stands.
    pub status: Status,
    /// The attempt that is next, under way, or was the last.
    pub attempt: u32,
    /// Whether that attempt is open.
    pub open: bool,
    /// What its job may do with files that are not its own.
    pub grants: Vec<GrantBody>,
}

impl Action {
    /// The part of it that decides on files.
    pub fn standing(&self) -> Standing {
        Standing {
            status: self.status,
            attempt: self.attempt,
            open: self.open,
            grants: self.grants.clone(),
        }
    }

    /// The bytes of what may be large: arguments, results, details and the error's message.
    pub fn weight(&self) -> usize {
        let parts = [&self.arguments, &self.results, &self.status_details];
        let parts = parts.into_iter().flatten().map(|part| part.as_str().len());
        let message = self.error_message.as_ref().map_or(0, String::len);
        parts.sum::<usize>() + message
    }
}

/// What is stored of an action's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMeter {
    /// The number of the newest line: how many there ever were.
    pub last: u64,
    /// How many of the oldest were dropped.
    pub dropped: u64,
    /// Bytes of text kept.
    pub bytes: u64,
}

/// Who cancelled an action, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelMark {
    /// When.
    pub at: Timestamp,
    /// The name of the token that asked, or `local`.
    pub by: String,
    /// Why, if it was said.
    pub reason: Option<String>,
}

/// How long things may take. `None` means without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From being due to being taken.
    pub queue: Option<Duration>,
    /// From the start of an attempt's job to its end.
    pub run: Option<Duration>,
    /// From one word of a job to the next; a job may announce its own.
    pub heartbeat: Option<Duration>,
    /// From launch to the end of the last attempt.
    pub total: Option<Duration>,
}

impl Action {
    /// When an attempt whose job began then has run for too long.
    pub fn run_ends(&self, started_at: Timestamp) -> Option<Timestamp> {
        self.timeouts.run.map(|run| started_at.plus(run))
    }

    /// When all in all it has taken too long.
    pub fn total_ends(&self) -> Option<Timestamp> {
        self.timeouts.total.map(|total| self.created_at.plus(total))
    }
}

/// Which of the four fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeoutKind {
    /// Not taken in time.
    Queue,
    /// The job ran too long.
    Run,
    /// The job fell silent.
    Heartbeat,
    /// All in all it took too long.
    Total,
}

impl TimeoutKind {
    /// The word in errors and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            TimeoutKind::Queue => "queue",
            TimeoutKind::Run => "run",
            TimeoutKind::Heartbeat => "heartbeat",
            TimeoutKind::Total => "total",
        }
    }
}

/// An action about to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAction {
    /// Drawn by the launcher, so that it knows the id before the commit.
    pub id: ActionId,
    /// Its type.
    pub action_type: String,
    /// Whether it is launched as an operation.
    pub operation: bool,
    /// The schedule that launches it.
    pub schedule: Option<String>,
    /// What it is launched with.
    pub arguments: Option<Json>,
    /// How many tries it has, from 1.
    pub attempts: u32,
    /// When it is to start; at once if `None`.
    pub scheduled: Option<Timestamp>,
    /// What ends it when it takes too long.
    pub timeouts: Timeouts,
    /// The action that this one runs again.
    pub retry_of: Option<ActionId>,
    /// W3C Trace Context of the launch.
    pub traceparent: Option<String>,
    /// Why it cannot run at all (no runner takes its type): it is stored as `ERROR`.
    pub refusal: Option<Failure>,
    /// Staged files that become its inputs, in this order.
    pub files: Vec<InputFile>,
    /// How much it may have as files, with those.
    pub most: ObjectLimits,
    /// The action whose inputs it has too, before those; one that has none or is gone is fine.
    pub inputs_of: Option<ActionId>,
    /// What its job may do with files that are not its own.
    pub grants: Vec<GrantBody>,
}

/// What went wrong, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable snake_case word.
    pub name: String,
    /// A sentence that says what happened.
    pub message: String,
}

impl Failure {
    /// A failure called `name`, explained by `message`.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure {
            name: name.into(),
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_launch_and_have_one_spelling() {
        let now = Timestamp(1_700_000_000_000);
        let ids: Vec<ActionId> = (0..100).map(|_| ActionId::draw(now)).collect();
        assert!(ids.is_sorted());
        let text = ids[0].to_string();
        assert_eq!(text.parse(), Ok(ids[0]));
        for other in [
            text.to_uppercase(),
            text.replace('-', ""),
            format!("{{{text}}}"),
            "constructor".into(),
        ] {
            assert_eq!(other.parse::<ActionId>(), Err(NotAnId), "{other}");
        }
    }
}
