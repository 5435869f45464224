//! Arguments that were read lately, by action.
//!
//! They never change, and every report is answered with them. Large ones are not kept: who
//! launches with a mebibyte pays for reading it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jobhook_engine::action::ActionId;
use jobhook_protocol::Json;

/// Above this many bytes they are read each time.
const LARGE: usize = 4 << 10;

/// How many are kept before the older half goes.
const GENERATION: usize = 256;

/// A cache of two generations: what was not asked for during one is dropped with it.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<ActionId, Json>,
    old: HashMap<ActionId, Json>,
}

impl Arguments {
    pub(super) fn get(&self, id: ActionId) -> Option<Json> {
        let mut generations = self.generations();
        if let Some(json) = generations.young.get(&id) {
            return Some(json.clone());
        }
        let json = generations.old.remove(&id)?;
        generations.keep(id, json.clone());
        Some(json)
    }

    /// Keeps what was read of a committed action.
    pub(super) fn keep(&self, id: ActionId, json: &Json) {
        if json.as_str().len() <= LARGE {
            self.generations().keep(id, json.clone());
        }
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, id: ActionId, json: Json) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, json);
    }
}

#[cfg(test)]
mod tests {
    use jobhook_engine::testing::factory::{NOW, json};

    use super::*;

    fn ids(count: usize) -> Vec<ActionId> {
        (0..count).map(|_| ActionId::draw(NOW)).collect()
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let (arguments, ids) = (Arguments::default(), ids(10 * GENERATION));
        for id in &ids {
            arguments.keep(*id, &json("1"));
            assert!(arguments.get(ids[0]).is_some());
        }
        assert!(arguments.get(ids[1]).is_none());
        let generations = arguments.generations();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }

    #[test]
    fn large_arguments_are_not_kept() {
        let (arguments, id) = (Arguments::default(), ids(1)[0]);
        arguments.keep(id, &json(&format!("\"{}\"", "x".repeat(LARGE))));
        assert!(arguments.get(id).is_none());
    }
}
