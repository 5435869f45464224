//! The changes that can be made to what is stored, as values.
//!
//! Several kinds share one transaction (see [`crate::store::Store::apply`]); each is judged
//! by the [ledger](crate::ledger) in order, and a [`Refusal`] is an answer, not a failure
//! of the batch.

use jobhook_protocol::{IllegalTransition, Report, Status};

use crate::action::{Action, ActionId, NewAction, TimeoutKind};
use crate::attempt::{Attempt, AttemptRef, Closing, Saw};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Arrived, Attach, Attached, Object, ObjectRef};
use crate::runner::{Output, Terms, TypeFilter};
use crate::schedule::plan::{Decision, Missed};
use crate::schedule::{Schedule, ScheduleDefinition, Source, Tick};

/// One change.
#[derive(Clone, Debug)]
pub enum Write {
    /// Stores a new action, and by that enqueues it.
    Insert(Box<NewAction>),
    /// Takes waiting actions for a runner.
    Claim(Box<Claim>),
    /// The runner saw the job start.
    Started {
        /// Which attempt.
        attempt: AttemptRef,
        /// When.
        at: Timestamp,
    },
    /// The job said something.
    Report(Box<ReportWrite>),
    /// The job wrote something, if nothing from `output.from` on is stored yet.
    Output {
        /// Which attempt.
        attempt: AttemptRef,
        /// What.
        output: Output,
    },
    /// The runner saw the end of the job.
    Gone {
        /// Which attempt.
        attempt: AttemptRef,
        /// What it saw.
        saw: Saw,
    },
    /// Judges and closes an attempt whose job is gone.
    Close {
        /// Which attempt.
        attempt: AttemptRef,
        /// Whether exit code 0 is no success where nothing was reported as results.
        needs_results: bool,
    },
    /// A timeout ends a running attempt; nothing happens if it has said something final.
    TimeOut {
        /// Which attempt.
        attempt: AttemptRef,
        /// Which timeout.
        kind: TimeoutKind,
    },
    /// A timeout ends an action that nobody took.
    Expire {
        /// Which action.
        action: ActionId,
        /// Which timeout.
        kind: TimeoutKind,
    },
    /// Marks an action as cancelled.
    Cancel {
        /// Which action.
        action: ActionId,
        /// The name of the token that asks, or `local`.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// Makes or changes a schedule. A changed one starts from now; the same again is nothing.
    PutSchedule(Box<PutSchedule>),
    /// Takes a schedule away, and the ticks that wait; its history stays.
    DeleteSchedule {
        /// Its name.
        name: String,
        /// Who asks: what the configuration made, only the configuration takes away.
        source: Source,
    },
    /// Keeps a schedule from firing.
    PauseSchedule(Box<PauseSchedule>),
    /// Lets a schedule fire from now on; what it missed meanwhile it missed.
    ResumeSchedule(Box<ResumeSchedule>),
    /// Decides moments of a schedule.
    Tick(Box<Decision>),
    /// Runs a schedule by hand, now.
    RunSchedule {
        /// Its name.
        name: String,
        /// The action that it launches.
        action: ActionId,
        /// The name of the token that asks, or `local`.
        by: String,
    },
    /// Remembers bytes that were uploaded; those of a blob that is staged already stay as they are.
    Stage(Box<Stage>),
    /// Forgets bytes that were uploaded and belong to nothing: the blob is to be deleted, unless it
    /// is small.
    Unstage {
        /// Which.
        blob: BlobName,
    },
    /// Attaches a content to a property.
    Attach(Box<Attach>),
    /// Makes an object, unless it is there; one of actions is there as long as its action is.
    PutObject(ObjectRef),
}

/// Remembers bytes that were uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The bytes.
    pub arrived: Arrived,
    /// When they were complete.
    pub at: Timestamp,
}

/// Makes or changes a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSchedule {
    /// Its name.
    pub name: String,
    /// When it launches what.
    pub definition: ScheduleDefinition,
    /// Who asks.
    pub source: Source,
}

/// Keeps a schedule from firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseSchedule {
    /// Its name.
    pub name: String,
    /// The name of the token that asks, or `local`.
    pub by: String,
    /// Why; what was said before stays if there is nothing new.
    pub note: Option<String>,
    /// What it had missed by then, because no runner takes what it launches.
    pub untaken: Option<Untaken>,
}

/// Moments that passed while no runner took what their schedule launches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untaken {
    /// The revision that `missed` was made from.
    pub revision: u32,
    /// The watermark that `missed` was made from.
    pub watermark: Timestamp,
    /// Which.
    pub missed: Missed,
}

/// Lets a paused schedule fire again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeSchedule {
    /// Its name.
    pub name: String,
    /// The revision that `missed` was made from.
    pub revision: u32,
    /// The watermark that `missed` was made from.
    pub watermark: Timestamp,
    /// What it missed.
    pub missed: Option<Missed>,
}

/// Takes up to `nonces.len()` actions that wait and are due, oldest first.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The runner that takes them.
    pub runner: String,
    /// The server that takes them.
    pub worker: String,
    /// Which types.
    pub types: TypeFilter,
    /// How the runner's jobs are treated.
    pub terms: Terms,
    /// The master key that the attempts' keys are derived from.
    pub key_id: String,
    /// Drawn at random, one for each action taken at most.
    pub nonces: Vec<String>,
}

/// A report of an attempt's job, proven to be its.
#[derive(Clone, Debug)]
pub struct ReportWrite {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// What the job said.
    pub report: Report,
    /// When by its own clock, milliseconds since the Unix epoch.
    pub job_time_ms: i64,
}

/// What a change gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// `Insert`, `Cancel`, `Expire`: the action as it is now.
    Action(Box<Action>),
    /// `Claim`: what was taken, maybe nothing.
    Claimed(Vec<(Action, Attempt)>),
    /// `Report`: what the job is answered.
    Reported(Box<Reported>),
    /// `Close`: the action as it is now, and how the attempt closed.
    Closed(Box<Action>, Closing),
    /// `PutSchedule`, `DeleteSchedule`, `PauseSchedule`, `ResumeSchedule`: the schedule as it
    /// is now.
    Schedule(Box<Schedule>),
    /// `Tick`, `RunSchedule`: what became of it.
    Ticked(Box<Ticked>),
    /// `Attach`: the file.
    Attached(Box<Attached>),
    /// `PutObject`: the object as it is now.
    Object(Box<Object>),
    /// Everything else.
    Done,
}

/// What became of a schedule's moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// The ticks, in order.
    pub ticks: Vec<Tick>,
    /// Actions that were marked as cancelled to make room for one.
    pub cancelled: Vec<ActionId>,
}

/// What a report led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// The action as it is now.
    pub action: Action,
    /// The attempt as it is now.
    pub attempt: Attempt,
    /// Whether the report had been applied before.
    pub duplicate: bool,
}

/// Why a change was not made. Nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such action or attempt.
    #[error("there is no such action or attempt")]
    NotFound,
    /// The id is taken.
    #[error("an action with this id exists")]
    Exists,
    /// The state machine does not allow it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The job has said otherwise before.
    #[error("the attempt has already reported {said}, and that stands")]
    SaidOtherwise {
        /// Its final word.
        said: Status,
    },
    /// A newer attempt has begun.
    #[error("attempt {current} of the action has begun")]
    Superseded {
        /// The newer one.
        current: u32,
    },
    /// The attempt is closed.
    #[error("the attempt is closed")]
    Closed,
    /// The attempt's job is not known to be gone.
    #[error("the attempt's job is not known to be gone")]
    NotGone,
    /// A report too far from what was applied of its reporter.
    #[error("seq {seq} is more than {window} from {high}, the highest applied of this reporter")]
    SeqOutOfWindow {
        /// The report's.
        seq: u64,
        /// The highest applied.
        high: u64,
        /// How far either may lie apart.
        window: u64,
    },
    /// The action is final.
    #[error("the action is already {0}")]
    AlreadyFinal(Status),
    /// Output that does not begin where the stored output ends.
    #[error("output is stored up to {stored}")]
    StaleOffset {
        /// Where the next stretch must begin.
        stored: u64,
    },
    /// No such schedule.
    #[error("there is no such schedule")]
    NoSchedule,
    /// The schedule is the configuration's.
    #[error("the schedule stands in the server's configuration; it is changed there")]
    Configured,
    /// What was decided about the schedule was decided from what it is not any more.
    #[error("the schedule has changed meanwhile")]
    ScheduleMoved,
    /// The schedule is not paused.
    #[error("the schedule is not paused")]
    NotPaused,
    /// An action of the schedule is not over, and its `overlap` allows no second one.
    #[error("action {action} of the schedule is not over, and its overlap is `skip`")]
    Overlaps {
        /// Which, or one of those.
        action: ActionId,
    },
    /// The bytes are not stored, or not staged.
    #[error("the content is not there")]
    NoContent,
    /// No such object.
    #[error("there is no such object")]
    NoObject,
    /// The object would have more files than it may.
    #[error("an object has at most {limit} files")]
    TooManyFiles {
        /// How many it may have.
        limit: u64,
    },
    /// The files of the object would have more bytes than they may.
    #[error("the files of an object have at most {limit} bytes")]
    TooManyBytes {
        /// How many they may have.
        limit: u64,
    },
    /// As many ticks wait as may.
    #[error("{queued} ticks of the schedule wait already")]
    QueueFull {
        /// How many.
        queued: u64,
    },
}

impl Write {
    /// The action it names, if it names one.
    pub fn action(&self) -> Option<ActionId> {
        match self {
            Write::Insert(new) => Some(new.id),
            Write::Claim(_) => None,
            Write::Report(report) => Some(report.attempt.action),
            Write::Started { attempt, .. }
            | Write::Output { attempt, .. }
            | Write::Gone { attempt, .. }
            | Write::Close { attempt, .. }
            | Write::TimeOut { attempt, .. } => Some(attempt.action),
            Write::Expire { action, .. } | Write::Cancel { action, .. } => Some(*action),
            Write::Attach(attach) => attach.to.object.action(),
            Write::PutSchedule(_)
            | Write::DeleteSchedule { .. }
            | Write::PauseSchedule(_)
            | Write::ResumeSchedule(_)
            | Write::Tick(_)
            | Write::RunSchedule { .. }
            | Write::Stage(_)
            | Write::Unstage { .. }
            | Write::PutObject(_) => None,
        }
    }

    /// The attempt it names, if it names one.
    pub fn attempt(&self) -> Option<AttemptRef> {
        match self {
            Write::Report(report) => Some(report.attempt),
            Write::Started { attempt, .. }
            | Write::Output { attempt, .. }
            | Write::Gone { attempt, .. }
            | Write::Close { attempt, .. }
            | Write::TimeOut { attempt, .. } => Some(*attempt),
            Write::Attach(attach) => attach.by,
            _ => None,
        }
    }

    /// The schedule it names, if it names one.
    pub fn schedule(&self) -> Option<&str> {
        match self {
            Write::PutSchedule(put) => Some(&put.name),
            Write::PauseSchedule(pause) => Some(&pause.name),
            Write::ResumeSchedule(resume) => Some(&resume.name),
            Write::Tick(decision) => Some(&decision.schedule),
            Write::DeleteSchedule { name, .. } | Write::RunSchedule { name, .. } => Some(name),
            _ => None,
        }
    }
}
