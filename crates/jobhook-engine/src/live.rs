//! The jobs that this server watches over right now, and what it has heard of them since.
//!
//! The hook leaves notes here, the [driver](crate::drive) of the attempt reads them. It is
//! a shortcut within the process: after a restart everything in it is read from the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::action::{Action, ActionId};
use crate::attempt::Attempt;
use crate::clock::Timestamp;

/// Every live job, by its action: an action has one open attempt at most.
#[derive(Debug, Default)]
pub(crate) struct Live {
    jobs: Mutex<HashMap<ActionId, Arc<Watched>>>,
}

/// One job under watch.
#[derive(Debug)]
pub(crate) struct Watched {
    attempt: u32,
    notes: Mutex<Notes>,
    changed: Notify,
}

/// What is known of a job, as far as its driver needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Cancellation is wanted.
    pub(crate) cancelled: bool,
    /// It was heard last.
    pub(crate) heard_at: Option<Timestamp>,
    /// The silence that it announced as normal.
    pub(crate) heartbeat: Option<Duration>,
    /// It said `SUCCESS` or `ERROR`.
    pub(crate) said_final_at: Option<Timestamp>,
}

impl Live {
    /// The watch over an attempt, which begins here unless it has begun.
    pub(crate) fn watch(&self, action: &Action, attempt: &Attempt) -> Arc<Watched> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = jobs.get(&action.id)
            && watched.attempt == attempt.at.number
        {
            return Arc::clone(watched);
        }
        let notes = Notes {
            cancelled: action.cancel.is_some(),
            heard_at: attempt.heard_at,
            heartbeat: attempt.heartbeat,
            said_final_at: attempt.said_final_at,
        };
        let watched = Arc::new(Watched {
            attempt: attempt.at.number,
            notes: Mutex::new(notes),
            changed: Notify::new(),
        });
        jobs.insert(action.id, Arc::clone(&watched));
        watched
    }

    /// Ends the watch, unless the next attempt's has taken its place already.
    pub(crate) fn unwatch(&self, id: ActionId, watched: &Arc<Watched>) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.get(&id).is_some_and(|own| Arc::ptr_eq(own, watched)) {
            jobs.remove(&id);
        }
    }

    pub(crate) fn cancelled(&self, id: ActionId) {
        self.note(id, |notes| notes.cancelled = true);
    }

    pub(crate) fn heard(&self, attempt: &Attempt) {
        self.note(attempt.at.action, |notes| {
            notes.heard_at = attempt.heard_at;
            notes.heartbeat = attempt.heartbeat;
            notes.said_final_at = attempt.said_final_at;
        });
    }

    fn note(&self, id: ActionId, write: impl FnOnce(&mut Notes)) {
        let watched = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        if let Some(watched) = watched {
            watched.note(write);
        }
    }
}

impl Watched {
    pub(crate) fn notes(&self) -> Notes {
        *self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a note, and wakes the driver where that gives it something to do. That a job
    /// was heard again only puts things off: the driver sees that when its time has come.
    pub(crate) fn note(&self, write: impl FnOnce(&mut Notes)) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *notes;
        write(&mut notes);
        let heard_again = Notes {
            heard_at: before.heard_at.and(notes.heard_at),
            ..before
        };
        if *notes != heard_again {
            self.changed.notify_one();
        }
    }

    /// Returns once a note that matters was written; one written before counts.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
