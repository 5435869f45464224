//! The stored record of a schedule, and of what became of its ticks.
//!
//! ```text
//! Schedule ──cron──▶ Firing ──decided──▶ Tick ──▶ launched │ queued │ skipped
//!     ▲                                   │
//!     └── watermark: everything up to here is decided
//! ```
//!
//! A [`Tick`] is a decision: it is made once, inside the transaction that also stores the
//! action it launches, and stays as the schedule's history. Which moments a schedule names is
//! [`crate::cron`]'s; which of them are to be decided now is [`plan`]'s; what becomes of each
//! is the [ledger](crate::ledger)'s.

pub mod plan;

use std::time::Duration;

use jobhook_protocol::Json;
use serde::{Deserialize, Serialize};

use crate::action::{ActionId, Timeouts};
use crate::clock::Timestamp;

/// How late a tick may be decided, beyond its jitter, before it counts as missed.
pub const ON_TIME: Duration = Duration::from_secs(10);

/// How many missed ticks `catch_up = "all"` launches at most; the newest ones.
pub const MAX_CAUGHT_UP: usize = 1000;

/// How many ticks of a schedule wait for the one before at most.
pub const MAX_QUEUED: u64 = 1000;

/// How many of its newest ticks a schedule keeps as its history.
pub const KEPT_TICKS: u64 = 10_000;

/// A schedule as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Counts its definitions, from 1; only the newest fires.
    pub revision: u32,
    /// When it launches what.
    pub definition: ScheduleDefinition,
    /// Who made it.
    pub source: Source,
    /// The note that keeps it from firing.
    pub paused: Option<PauseNote>,
    /// Every moment up to here is decided, and is never looked at again.
    pub watermark: Timestamp,
    /// How many ticks it has had: the number of the newest.
    pub ticks: u64,
    /// How many of them wait for the one before to close.
    pub queued: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it, and not only its watermark, last changed.
    pub updated_at: Timestamp,
    /// When it was deleted. The row stays, so that no revision is ever used twice.
    pub deleted_at: Option<Timestamp>,
}

/// When a schedule launches what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleDefinition {
    /// The cron expression.
    pub cron: String,
    /// The IANA time zone that the expression is read in.
    pub timezone: String,
    /// The type of the actions, or the operation's id.
    pub action_type: String,
    /// Whether they are launched as operations.
    #[serde(default)]
    pub operation: bool,
    /// What they are launched with.
    #[serde(default)]
    pub arguments: Option<Json>,
    /// How many tries each has; 0 counts as 1.
    #[serde(default)]
    pub attempts: u32,
    /// What ends them when they take too long.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// What a tick does while the one before is not over.
    #[serde(default)]
    pub overlap: Overlap,
    /// What becomes of missed ticks.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// How old a missed tick may be to be caught up.
    #[serde(default)]
    pub catch_up_window: Duration,
    /// How much later than its moment a tick is launched at most, spread by its name and time.
    #[serde(default)]
    pub jitter: Duration,
    /// The first moment that counts.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// The last moment that counts.
    #[serde(default)]
    pub end: Option<Timestamp>,
}

impl ScheduleDefinition {
    /// Whether its last moment lies before its first.
    pub fn ends_first(&self) -> bool {
        matches!((self.start, self.end), (Some(start), Some(end)) if start > end)
    }
}

/// What a tick does while an action of its schedule is live: not final, or with an attempt
/// that is not closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It launches nothing.
    #[default]
    Skip,
    /// It waits until that one has closed; up to [`MAX_QUEUED`] wait, in order.
    Queue,
    /// It cancels that one and starts once it has closed; only the newest tick waits.
    CancelRunning,
    /// It launches beside it.
    Allow,
}

impl Overlap {
    /// All of them.
    pub const ALL: [Overlap; 4] = [
        Overlap::Skip,
        Overlap::Queue,
        Overlap::CancelRunning,
        Overlap::Allow,
    ];

    /// The word in configurations, bodies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::CancelRunning => "cancel-running",
            Overlap::Allow => "allow",
        }
    }
}

/// What becomes of ticks that no server decided in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatchUp {
    /// They are skipped.
    None,
    /// The newest within the window is launched, the others are skipped.
    #[default]
    One,
    /// Those within the window are launched, [`MAX_CAUGHT_UP`] at most.
    All,
}

impl CatchUp {
    /// All of them.
    pub const ALL: [CatchUp; 3] = [CatchUp::None, CatchUp::One, CatchUp::All];

    /// The word in configurations, bodies and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            CatchUp::None => "none",
            CatchUp::One => "one",
            CatchUp::All => "all",
        }
    }
}

/// Who made a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It stands in a server's configuration, and only that changes it.
    Config,
    /// The API.
    Api,
}

impl Source {
    /// The word in answers and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Source::Config => "config",
            Source::Api => "api",
        }
    }
}

/// Why a schedule does not fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseNote {
    /// Since when.
    pub at: Timestamp,
    /// The name of the token that asked, or `local`.
    pub by: String,
    /// Why, if it was said.
    pub note: Option<String>,
}

/// Names a tick: there is one for each moment of a revision, and each run by hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TickKey {
    /// The schedule.
    pub schedule: String,
    /// The revision that named the moment.
    pub revision: u32,
    /// The moment's local time, or `run-N` for the tick number N, run by hand.
    pub local: String,
    /// 1 in the second of two equal local times, otherwise 0.
    pub fold: u8,
}

/// What became of a moment of a schedule, or of many missed ones together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Which.
    pub key: TickKey,
    /// Counts the ticks of its schedule, from 1.
    pub number: u64,
    /// The moment; the last one if it stands for several.
    pub at: Timestamp,
    /// The first of those that it stands for.
    pub first_at: Timestamp,
    /// How many moments it stands for.
    pub count: u64,
    /// Whether counting ended at `count` and there were more.
    pub more: bool,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Whether it had been missed, and was launched all the same.
    pub caught_up: bool,
    /// Who ran it by hand: the name of the token, or `local`.
    pub run_by: Option<String>,
    /// What became of it.
    pub outcome: TickOutcome,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickOutcome {
    /// It launched this action.
    Launched(ActionId),
    /// It will launch this action once the one before has closed.
    Queued(ActionId),
    /// It launched nothing.
    Skipped(SkipReason),
}

/// Why a tick launched nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The one before was not over.
    Overlap,
    /// [`MAX_QUEUED`] ticks waited already.
    QueueFull,
    /// It waited for the one it had cancelled to close, and a later tick took its place.
    Replaced,
    /// It was missed, and `catch_up` leaves it out.
    CatchUp,
    /// It was missed for longer than `catch_up_window`.
    Window,
    /// The schedule was paused.
    Paused,
    /// No runner took what it launches.
    NoRunner,
    /// It waited, and the schedule was deleted.
    Deleted,
}

impl SkipReason {
    /// The word in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            SkipReason::Overlap => "overlap",
            SkipReason::QueueFull => "queue_full",
            SkipReason::Replaced => "replaced",
            SkipReason::CatchUp => "catch_up",
            SkipReason::Window => "window",
            SkipReason::Paused => "paused",
            SkipReason::NoRunner => "no_runner",
            SkipReason::Deleted => "deleted",
        }
    }
}

/// Which ticks of a schedule to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickQuery {
    /// The schedule.
    pub schedule: String,
    /// Only those with lower numbers: the last of the page before.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Whether a text may name a schedule: 1 to 128 of `[A-Za-z0-9_.-]`, a letter first.
/// `preview` has a meaning of its own at the API.
pub fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text != "preview"
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}
