//! How schedules and their ticks look at the API (clauses `SCHED-*`).
//!
//! Times are RFC 3339 in UTC with milliseconds, lengths of time are seconds.

use serde::{Deserialize, Serialize};

use crate::Json;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleBody {
    /// Its name.
    pub name: String,
    /// Counts its definitions, from 1.
    pub revision: u32,
    /// Who made it: `config` or `api`.
    pub source: String,
    /// The cron expression.
    pub cron: String,
    /// The IANA time zone that the expression is read in.
    pub timezone: String,
    /// The type of what it launches.
    #[serde(rename = "type")]
    pub action_type: String,
    /// The operation that it launches: the same as the type then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// What it launches them with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Json>,
    /// How many tries each has.
    pub attempts: u32,
    /// How long each try may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    /// `skip`, `queue`, `cancel-running` or `allow`.
    pub overlap: String,
    /// `none`, `one` or `all`.
    pub catch_up: String,
    /// How old a missed tick may be to be caught up.
    pub catch_up_window: f64,
    /// How much later than its moment a tick is launched at most.
    pub jitter: f64,
    /// The first moment that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The last moment that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Why it does not fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<PauseBody>,
    /// Why it cannot fire, paused or not: no runner takes what it launches, or its times cannot
    /// be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// Its next moment; none while it is paused or blocked, or if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<FiringBody>,
    /// How many ticks it has had.
    pub ticks: u64,
    /// How many of them wait for the one before.
    pub queued: u64,
    /// When it was made.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

/// Who paused a schedule, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseBody {
    /// When.
    pub at: String,
    /// The name of the token that asked, or `local`.
    pub by: String,
    /// Why, if it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A moment that a schedule names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiringBody {
    /// The moment.
    pub at: String,
    /// Its local time in the schedule's zone.
    pub local: String,
    /// 1 in the second of two equal local times, otherwise 0.
    pub fold: u8,
}

/// What became of a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TickBody {
    /// Counts the ticks of its schedule, from 1.
    pub number: u64,
    /// The revision that named the moment.
    pub revision: u32,
    /// The moment; the last one if it stands for several.
    pub at: String,
    /// Its local time, or `run-N` for a run by hand.
    pub local: String,
    /// 1 in the second of two equal local times, otherwise 0.
    pub fold: u8,
    /// When it was decided.
    pub decided_at: String,
    /// `launched`, `queued` or `skipped`.
    pub outcome: String,
    /// The action that it launched; none while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many moments it stands for.
    pub count: u64,
    /// Whether there were more than `count`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The first of several moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<String>,
    /// Whether it had been missed, and was launched all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub caught_up: bool,
    /// Who ran it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_by: Option<String>,
}
