//! The rows that a batch touches, held in memory while it is applied.

use std::collections::HashMap;

use bytes::Bytes;
use jobhook_protocol::Sha256Sum;

use crate::action::{Action, ActionId};
use crate::attempt::{Attempt, AttemptRef};
use crate::blob::BlobName;
use crate::file::{File, KeptContent, Object, ObjectRef, Staged};
use crate::log::LogLine;
use crate::schedule::{Schedule, Tick, TickKey};
use crate::window::Window;
use crate::write::{Refusal, Write};

/// A row, and what it was when the store last saw it.
#[derive(Clone, Debug)]
pub struct Row<T> {
    value: T,
    before: Before<T>,
}

/// What the store holds of a row.
#[derive(Clone, Debug)]
enum Before<T> {
    Nothing,
    Same,
    Other(Box<T>),
}

impl<T: Clone> Row<T> {
    /// A row as it was read.
    pub fn stored(value: T) -> Row<T> {
        Row {
            value,
            before: Before::Same,
        }
    }

    /// A row that the store does not hold yet.
    pub fn new(value: T) -> Row<T> {
        Row {
            value,
            before: Before::Nothing,
        }
    }

    /// The row as it is now.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The row as it is now, and nothing else.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The row, to change it.
    pub fn edit(&mut self) -> &mut T {
        if matches!(self.before, Before::Same) {
            self.before = Before::Other(Box::new(self.value.clone()));
        }
        &mut self.value
    }

    /// Whether the store has to write it; then, what it holds of it so far.
    pub fn change(&self) -> Option<(&T, Option<&T>)> {
        match &self.before {
            Before::Nothing => Some((&self.value, None)),
            Before::Same => None,
            Before::Other(before) => Some((&self.value, Some(before))),
        }
    }

    /// The store has written it.
    pub fn mark_stored(&mut self) {
        self.before = Before::Same;
    }
}

/// Names what was applied of one reporter of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReporterKey {
    /// The attempt.
    pub attempt: AttemptRef,
    /// The reporter's name.
    pub reporter: String,
}

impl ReporterKey {
    /// The reporter that a write is from.
    pub fn of(write: &Write) -> Option<ReporterKey> {
        let Write::Report(write) = write else {
            return None;
        };
        let delivery = write.report.delivery.as_ref()?;
        Some(ReporterKey {
            attempt: write.attempt,
            reporter: delivery.reporter.clone(),
        })
    }
}

/// The rows of a batch.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Actions.
    pub actions: HashMap<ActionId, Row<Action>>,
    /// Attempts.
    pub attempts: HashMap<AttemptRef, Row<Attempt>>,
    /// What was applied of reporters.
    pub reporters: HashMap<ReporterKey, Row<Window>>,
    /// Schedules.
    pub schedules: HashMap<String, Row<Schedule>>,
    /// Ticks.
    pub ticks: HashMap<TickKey, Row<Tick>>,
    /// Contents.
    pub contents: HashMap<Sha256Sum, Row<KeptContent>>,
    /// What is staged; nothing where it is not any more.
    pub staged: HashMap<BlobName, Row<Option<Staged>>>,
    /// The bytes of new small blobs, each of a new content or newly staged.
    pub small: HashMap<BlobName, Bytes>,
    /// Objects.
    pub objects: HashMap<ObjectRef, Row<Object>>,
    /// Files to store, in order.
    pub files: Vec<File>,
    /// Lines to store, in order.
    pub lines: Vec<LogLine>,
    /// Attempts that closed: what is remembered of their reporters can go.
    pub closed: Vec<AttemptRef>,
}

impl Rows {
    /// The rows of an attempt whose job may still speak.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`], [`Refusal::Superseded`], [`Refusal::Closed`].
    pub fn open_attempt(
        &mut self,
        at: AttemptRef,
    ) -> Result<(&mut Row<Action>, &mut Row<Attempt>), Refusal> {
        let action = self.actions.get_mut(&at.action).ok_or(Refusal::NotFound)?;
        let attempt = self.attempts.get_mut(&at).ok_or(Refusal::NotFound)?;
        let current = action.get().attempt;
        if at.number < current {
            Err(Refusal::Superseded { current })
        } else if attempt.get().is_open() {
            Ok((action, attempt))
        } else {
            Err(Refusal::Closed)
        }
    }
}
