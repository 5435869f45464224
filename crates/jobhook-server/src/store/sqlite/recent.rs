//! Rows that were read or written lately, so that a batch of reports rarely has to read.
//!
//! The writer is the only connection that changes rows. Should there be another after all
//! (a second process), `PRAGMA data_version` tells, and everything here is forgotten; so it
//! is when a transaction was rolled back, or what became of it is not known.

use std::collections::HashMap;
use std::hash::Hash;

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::{Attempt, AttemptRef};
use jobhook_engine::ledger::{ReporterKey, Row, Rows, Wanted};
use jobhook_engine::window::Window;

use super::payload::Payload;

/// An action with more bytes of payload is not kept: who stores a mebibyte pays for reading it.
const LARGE: usize = 8 << 10;

/// A reporter with more gaps is not kept.
const GAPS: usize = 64;

/// How many rows of a kind are kept before those that nobody asked for lately go.
const GENERATION: usize = 512;

/// Recent rows of one version of the database.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// What `PRAGMA data_version` said; nothing is known yet if nothing.
    version: Option<i64>,
    actions: Generations<ActionId, Action>,
    attempts: Generations<AttemptRef, Attempt>,
    reporters: Generations<ReporterKey, Window>,
}

impl Recent {
    pub(super) fn version(&self) -> Option<i64> {
        self.version
    }

    /// Forgets what is not of the database at `version`.
    pub(super) fn be_of_version(&mut self, version: i64) {
        if self.version != Some(version) {
            *self = Recent {
                version: Some(version),
                ..Recent::default()
            };
        }
    }

    /// Copies what is wanted and known into `rows`; returns what is left to be read.
    pub(super) fn load(&mut self, wanted: &Wanted, rows: &mut Rows) -> Wanted {
        let mut left = Wanted::default();
        for id in &wanted.actions {
            if rows.actions.contains_key(id) {
                continue;
            }
            match self.actions.get(id) {
                Some(action) => drop(rows.actions.insert(*id, Row::stored(action))),
                None => left.actions.push(*id),
            }
        }
        for at in &wanted.attempts {
            if rows.attempts.contains_key(at) {
                continue;
            }
            match self.attempts.get(at) {
                Some(attempt) => drop(rows.attempts.insert(*at, Row::stored(attempt))),
                None => left.attempts.push(*at),
            }
        }
        for key in &wanted.reporters {
            if rows.reporters.contains_key(key) {
                continue;
            }
            match self.reporters.get(key) {
                Some(window) => drop(rows.reporters.insert(key.clone(), Row::stored(window))),
                None => left.reporters.push(key.clone()),
            }
        }
        left
    }

    pub(super) fn keep_action(&mut self, action: &Action) {
        let bytes = |payload: Payload| payload.of(action).map_or(0, str::len);
        let small = Payload::ALL.into_iter().map(bytes).sum::<usize>() <= LARGE;
        self.actions.put(action.id, small.then(|| action.clone()));
    }

    pub(super) fn keep_attempt(&mut self, attempt: &Attempt) {
        self.attempts.put(attempt.at, Some(attempt.clone()));
    }

    /// Those of a closed attempt are kept until nobody asks for them: nothing is applied to
    /// them any more.
    pub(super) fn keep_reporter(&mut self, key: &ReporterKey, window: &Window) {
        let small = window.missing.len() <= GAPS;
        self.reporters
            .put(key.clone(), small.then(|| window.clone()));
    }
}

/// A cache of two generations: what was not asked for during one goes with it.
#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Generations {
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Generations<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.put(key.clone(), Some(value.clone()));
        Some(value)
    }

    /// Keeps a value in place of an older one, which is forgotten in any case.
    fn put(&mut self, key: K, value: Option<V>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        match value {
            Some(value) => drop(self.young.insert(key, value)),
            None => drop(self.young.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let mut kept = Generations::default();
        for n in 0..10 * GENERATION {
            kept.put(n, Some(n));
            assert_eq!(kept.get(&0), Some(0));
        }
        assert_eq!(kept.get(&1), None);
        assert!(kept.young.len() + kept.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn a_value_that_is_not_kept_replaces_one_that_was() {
        let mut kept = Generations::default();
        for n in 0..GENERATION {
            kept.put(n, Some("young"));
        }
        kept.put(GENERATION, Some("younger"));
        kept.put(0, None);
        kept.put(GENERATION, None);
        assert_eq!((kept.get(&0), kept.get(&GENERATION)), (None, None));
        assert_eq!(kept.get(&1), Some("young"));
    }
}
