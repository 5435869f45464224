//! Rows of open attempts, as this store has committed them: the next report of a job, and the end
//! of it, need not read them again.
//!
//! A row is moved out for a transaction and comes back when that is committed; one that is rolled
//! back leaves nothing here. When another connection has written, all is forgotten.

use std::collections::HashMap;

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::{Attempt, AttemptRef};
use jobhook_engine::ledger::{ReporterKey, Row, Rows, Wanted};
use jobhook_engine::window::Window;

/// So many open attempts are remembered; more begin anew.
const REMEMBERED: usize = 4096;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Warm {
    /// What `PRAGMA data_version` was; it changes when others write.
    version: i64,
    actions: HashMap<ActionId, Action>,
    attempts: HashMap<AttemptRef, Attempt>,
    reporters: HashMap<AttemptRef, HashMap<ReporterKey, Window>>,
}

impl Warm {
    /// Forgets everything if the database is not what it was.
    pub(super) fn check(&mut self, version: i64) {
        if self.version != version {
            *self = Warm {
                version,
                ..Warm::default()
            };
        }
    }

    /// Moves what is wanted and remembered into `rows`.
    pub(super) fn give(&mut self, wanted: &Wanted, rows: &mut Rows) {
        for id in &wanted.actions {
            if let Some(action) = self.actions.remove(id) {
                rows.actions.entry(*id).or_insert(Row::stored(action));
            }
        }
        for at in &wanted.attempts {
            if let Some(attempt) = self.attempts.remove(at) {
                rows.attempts.entry(*at).or_insert(Row::stored(attempt));
            }
        }
        for key in &wanted.reporters {
            let reporters = self.reporters.get_mut(&key.attempt);
            if let Some((key, window)) = reporters.and_then(|known| known.remove_entry(key)) {
                rows.reporters.entry(key).or_insert(Row::stored(window));
            }
        }
    }

    /// Remembers the rows of attempts that are open.
    pub(super) fn take(&mut self, rows: Rows) {
        if self.attempts.len() > REMEMBERED {
            *self = Warm {
                version: self.version,
                ..Warm::default()
            };
        }
        for (at, row) in rows.attempts {
            let attempt = row.into_value();
            if attempt.is_open() {
                self.attempts.insert(at, attempt);
            } else {
                self.reporters.remove(&at);
            }
        }
        for (id, row) in rows.actions {
            let action = row.into_value();
            if action.open {
                self.actions.insert(id, action);
            }
        }
        for (key, row) in rows.reporters {
            if self.attempts.contains_key(&key.attempt) {
                let reporters = self.reporters.entry(key.attempt).or_default();
                reporters.insert(key, row.into_value());
            }
        }
    }
}
