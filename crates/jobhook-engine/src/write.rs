//! The changes that can be made to what is stored, as values.
//!
//! Several kinds share one transaction (see [`crate::store::Store::apply`]); each is judged
//! by the [ledger](crate::ledger) in order, and a [`Refusal`] is an answer, not a failure
//! of the batch.

use jobhook_protocol::{IllegalTransition, Report, Status};

use crate::action::{Action, ActionId, NewAction, TimeoutKind};
use crate::attempt::{Attempt, AttemptRef, Closing, Saw};
use crate::clock::Timestamp;
use crate::runner::{Output, Terms, TypeFilter};

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
    /// Everything else.
    Done,
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
            | Write::Close { attempt }
            | Write::TimeOut { attempt, .. } => Some(attempt.action),
            Write::Expire { action, .. } | Write::Cancel { action, .. } => Some(*action),
        }
    }

    /// The attempt it names, if it names one.
    pub fn attempt(&self) -> Option<AttemptRef> {
        match self {
            Write::Report(report) => Some(report.attempt),
            Write::Started { attempt, .. }
            | Write::Output { attempt, .. }
            | Write::Gone { attempt, .. }
            | Write::Close { attempt }
            | Write::TimeOut { attempt, .. } => Some(*attempt),
            Write::Insert(_) | Write::Claim(_) | Write::Expire { .. } | Write::Cancel { .. } => {
                None
            }
        }
    }
}
