//! What a server answers: an action as the hook shows it to its job, and as the management
//! API shows it to everybody else (clauses `HOOK-*`, `API-*`).
//!
//! The hook keeps the original's names (`_creationDate`); the API uses one set of words.
//! Times are RFC 3339 text with milliseconds, in UTC; absent is absent, never `null`.

use serde::{Deserialize, Serialize};

use crate::json::Json;
use crate::status::Status;

/// The hook's answer to a report. It is also the control channel: see [`ActionAnswer::action`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionAnswer {
    /// The action's type, which picks the runner.
    #[serde(rename = "type")]
    pub action_type: String,
    /// The operation, where it was launched as one (clause `OP-1`).
    #[serde(
        rename = "operationId",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub operation_id: Option<String>,
    /// What the action was launched with; the input of an operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Json>,
    /// The action's id.
    pub uuid: String,
    /// Where it stands.
    pub status: Status,
    /// The attempt that is under way, from 1.
    pub attempt: u32,
    /// How many tries it has.
    pub attempts: u32,
    /// When it was launched.
    #[serde(rename = "_creationDate")]
    pub creation_date: String,
    /// When it last changed.
    #[serde(rename = "_lastUpdate")]
    pub last_update: String,
    /// When its job was last heard, milliseconds since the Unix epoch.
    #[serde(
        rename = "_lastJobUpdate",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_job_update: Option<i64>,
    /// What the job made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Json>,
    /// What went wrong, for programs.
    #[serde(rename = "errorName", default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// What went wrong, for people.
    #[serde(
        rename = "errorMessage",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub error_message: Option<String>,
    /// `STOP` once cancellation is wanted: the job should end itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

/// The value of [`ActionAnswer::action`] that asks a job to end.
pub const STOP: &str = "STOP";

/// An action as the management API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionBody {
    /// The action's id.
    pub uuid: String,
    /// The action's type, which picks the runner.
    #[serde(rename = "type")]
    pub action_type: String,
    /// Where it stands.
    pub status: Status,
    /// The attempt that is next, under way, or was the last; from 1.
    pub attempt: u32,
    /// How many tries it has.
    pub attempts: u32,
    /// The operation, where it was launched as one; then it is the type, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// The schedule that launched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What it was launched with; the input of an operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Json>,
    /// What the job made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Json>,
    /// What went wrong, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What the job says about itself; `progress` (0–100), `message`, `done`, `total` are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_details: Option<Json>,
    /// When it was launched.
    pub created_at: String,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<String>,
    /// When its current attempt's job started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Why it waits for nothing that will come by itself: no runner takes its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// When its job ended, or it became final without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Who cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelBody>,
    /// The action that this one runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// What the last attempt said of itself and what its runner saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<WitnessBody>,
    /// Whether the current attempt is over and all its output is stored.
    pub closed: bool,
    /// How many log lines were ever stored; the number of the newest.
    pub lines: u64,
    /// The oldest log lines that were dropped to keep within the limits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lines_dropped: u64,
    /// Every attempt, oldest first; only where one action is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<AttemptBody>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptBody {
    /// Its number, from 1.
    pub attempt: u32,
    /// The runner that took it.
    pub runner: String,
    /// When it was taken.
    pub claimed_at: String,
    /// When its job started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// How it ended: `success`, `error`, `timeout` or `cancelled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whose fault it was: `code` or `infrastructure`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How it ended, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// How it ended, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What it said and what was seen.
    pub witness: WitnessBody,
}

/// The two witnesses, kept apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WitnessBody {
    /// The last status that the job reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Status>,
    /// What the runner saw, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saw: Option<String>,
    /// Whether the two contradict each other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disagree: bool,
}

/// Who cancelled an action, when and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelBody {
    /// When.
    pub at: String,
    /// The name of the token, or `local`.
    pub by: String,
    /// Why, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a log line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineSource {
    /// A report's `logs`.
    Job,
    /// The process's standard output.
    Stdout,
    /// The process's standard error.
    Stderr,
    /// The server itself: a gap, a limit, a verdict.
    Server,
}

impl LineSource {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            LineSource::Job => "job",
            LineSource::Stdout => "stdout",
            LineSource::Stderr => "stderr",
            LineSource::Server => "server",
        }
    }
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLineBody {
    /// 1, 2, 3… for each action, in the order of storing.
    pub number: u64,
    /// When it was written, as near as is known.
    pub time: String,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Where it comes from.
    pub source: LineSource,
    /// The line, without its end.
    pub text: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
