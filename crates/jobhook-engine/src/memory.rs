//! A store in memory: the fake that tests use, and the plainest reading of the contract.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jobhook_protocol::Status;

use crate::action::{Action, ActionId};
use crate::attempt::{Attempt, AttemptRef};
use crate::clock::Timestamp;
use crate::ledger::{self, Answer, ReporterKey, Row, Rows, Transaction, Wanted};
use crate::log::{LogLimits, LogLine};
use crate::retention::{Keep, Retention};
use crate::runner::TypeFilter;
use crate::schedule::{KEPT_TICKS, Schedule, Tick, TickKey, TickOutcome, TickQuery};
use crate::store::{ActionQuery, Store, StoreError, Wake};
use crate::window::Window;
use crate::write::Write;

/// Keeps everything in memory, and loses it with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    installation: String,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    actions: BTreeMap<ActionId, Action>,
    attempts: BTreeMap<AttemptRef, Attempt>,
    reporters: HashMap<ReporterKey, Window>,
    lines: BTreeMap<ActionId, BTreeMap<u64, LogLine>>,
    schedules: BTreeMap<String, Schedule>,
    ticks: BTreeMap<TickKey, Tick>,
    limits: LogLimits,
}

impl MemoryStore {
    /// An empty store that keeps so much of each log.
    pub fn new(limits: LogLimits) -> MemoryStore {
        MemoryStore {
            tables: Mutex::new(Tables {
                limits,
                ..Tables::default()
            }),
            installation: "memory".to_owned(),
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn waiting_actions(&self) -> impl Iterator<Item = &Action> {
        self.actions
            .values()
            .filter(|action| matches!(action.status, Status::Scheduled | Status::Queued))
    }

    /// The actions of a status that are beyond what is kept, first launched first.
    fn beyond(&self, status: Status, keep: Keep, now: Timestamp) -> Vec<ActionId> {
        let of_status: Vec<&Action> = self
            .actions
            .values()
            .filter(|action| action.status == status)
            .collect();
        let kept = keep.count.map_or(usize::MAX, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        });
        let too_many = of_status.len().saturating_sub(kept);
        let cutoff = keep.cutoff(now);
        of_status
            .into_iter()
            .enumerate()
            .filter(|(index, action)| {
                let too_old = cutoff
                    .zip(action.finished_at)
                    .is_some_and(|(cutoff, at)| at <= cutoff);
                !action.open && (*index < too_many || too_old)
            })
            .map(|(_, action)| action.id)
            .collect()
    }

    fn remove(&mut self, id: ActionId) {
        self.actions.remove(&id);
        self.lines.remove(&id);
        self.attempts.retain(|at, _| at.action != id);
        self.reporters.retain(|key, _| key.attempt.action != id);
    }

    /// Drops the oldest lines of an action until its log is within the limits.
    fn trim(&mut self, id: ActionId) {
        let (Some(action), Some(lines)) = (self.actions.get_mut(&id), self.lines.get_mut(&id))
        else {
            return;
        };
        let log = &mut action.log;
        while log.last - log.dropped > self.limits.lines || log.bytes > self.limits.bytes {
            let Some((number, line)) = lines.pop_first() else {
                return;
            };
            log.dropped = number;
            log.bytes -= line.text.len() as u64;
        }
    }
}

#[async_trait]
impl Transaction for Tables {
    async fn load(&mut self, wanted: &Wanted, rows: &mut Rows) -> Result<(), StoreError> {
        for id in &wanted.actions {
            if let Some(action) = self.actions.get(id) {
                rows.actions
                    .entry(*id)
                    .or_insert_with(|| Row::stored(action.clone()));
            }
        }
        for at in &wanted.attempts {
            if let Some(attempt) = self.attempts.get(at) {
                rows.attempts
                    .entry(*at)
                    .or_insert_with(|| Row::stored(attempt.clone()));
            }
        }
        for key in &wanted.reporters {
            if let Some(window) = self.reporters.get(key) {
                rows.reporters
                    .entry(key.clone())
                    .or_insert_with(|| Row::stored(window.clone()));
            }
        }
        for name in &wanted.schedules {
            if let Some(schedule) = self.schedules.get(name) {
                rows.schedules
                    .entry(name.clone())
                    .or_insert_with(|| Row::stored(schedule.clone()));
            }
        }
        for key in &wanted.ticks {
            if let Some(tick) = self.ticks.get(key) {
                rows.ticks
                    .entry(key.clone())
                    .or_insert_with(|| Row::stored(tick.clone()));
            }
        }
        Ok(())
    }

    async fn waiting(
        &mut self,
        types: &TypeFilter,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ActionId>, StoreError> {
        let mut due: Vec<(Timestamp, ActionId)> = self
            .waiting_actions()
            .filter(|action| action.due_at <= now && types.takes(&action.action_type))
            .map(|action| (action.due_at, action.id))
            .collect();
        due.sort_unstable();
        Ok(due.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn live(&mut self, schedule: &str) -> Result<Vec<ActionId>, StoreError> {
        let live = self.actions.values().filter(|action| {
            action.schedule.as_deref() == Some(schedule)
                && (!action.status.is_final() || action.open)
        });
        Ok(live.map(|action| action.id).collect())
    }

    async fn queued(&mut self, schedule: &str, limit: usize) -> Result<Vec<TickKey>, StoreError> {
        let mut queued: Vec<&Tick> = self
            .ticks
            .values()
            .filter(|tick| {
                tick.key.schedule == schedule && matches!(tick.outcome, TickOutcome::Queued(_))
            })
            .collect();
        queued.sort_unstable_by_key(|tick| tick.number);
        let oldest = queued.into_iter().take(limit);
        Ok(oldest.map(|tick| tick.key.clone()).collect())
    }

    async fn flush(&mut self, rows: &mut Rows) -> Result<(), StoreError> {
        for line in rows.lines.drain(..) {
            self.lines
                .entry(line.action)
                .or_default()
                .insert(line.number, line);
        }
        for (id, row) in &mut rows.actions {
            if let Some((action, _)) = row.change() {
                self.actions.insert(*id, action.clone());
                self.trim(*id);
                if let Some(trimmed) = self.actions.get(id) {
                    row.edit().log = trimmed.log;
                }
                row.mark_stored();
            }
        }
        for (at, row) in &mut rows.attempts {
            if let Some((attempt, _)) = row.change() {
                self.attempts.insert(*at, attempt.clone());
                row.mark_stored();
            }
        }
        for (key, row) in &mut rows.reporters {
            if let Some((window, _)) = row.change() {
                self.reporters.insert(key.clone(), window.clone());
                row.mark_stored();
            }
        }
        for (key, row) in &mut rows.ticks {
            if let Some((tick, _)) = row.change() {
                self.ticks.insert(key.clone(), tick.clone());
                row.mark_stored();
            }
        }
        for (name, row) in &mut rows.schedules {
            if let Some((schedule, _)) = row.change() {
                let forgotten = schedule.ticks.saturating_sub(KEPT_TICKS);
                if forgotten > 0 {
                    self.ticks.retain(|key, tick| {
                        key.schedule != *name
                            || tick.number > forgotten
                            || matches!(tick.outcome, TickOutcome::Queued(_))
                    });
                }
                self.schedules.insert(name.clone(), schedule.clone());
                row.mark_stored();
            }
        }
        for closed in rows.closed.drain(..) {
            self.reporters.retain(|key, _| key.attempt != closed);
        }
        Ok(())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError> {
        // Nothing in this transaction waits, so it is over at the first poll and the lock is
        // never held across a suspension.
        let mut tables = self.tables();
        futures_util::FutureExt::now_or_never(ledger::run(&mut *tables, writes, now))
            .unwrap_or_else(|| {
                Err(StoreError::Damaged(
                    "a transaction in memory had to wait".into(),
                ))
            })
    }

    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        Ok(self.tables().actions.get(&id).cloned())
    }

    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
        Ok(self
            .tables()
            .attempts
            .values()
            .filter(|attempt| attempt.at.action == id)
            .cloned()
            .collect())
    }

    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError> {
        let tables = self.tables();
        let last = |id: &ActionId| {
            let (from, to) = (
                AttemptRef {
                    action: *id,
                    number: 0,
                },
                AttemptRef {
                    action: *id,
                    number: u32::MAX,
                },
            );
            tables
                .attempts
                .range(from..=to)
                .next_back()
                .map(|(_, attempt)| attempt.clone())
        };
        Ok(ids.iter().filter_map(last).collect())
    }

    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError> {
        let fits = |action: &&Action| {
            query.before.is_none_or(|before| action.id < before)
                && (query.statuses.is_empty() || query.statuses.contains(&action.status))
                && query
                    .action_type
                    .as_ref()
                    .is_none_or(|wanted| action.action_type == *wanted)
        };
        let tables = self.tables();
        let fitting = tables.actions.values().rev().filter(fits);
        let (mut found, mut spent) = (Vec::new(), 0);
        for action in fitting.take(query.limit) {
            found.push(action.clone());
            if query.ends_with(action, &mut spent) {
                break;
            }
        }
        Ok(found)
    }

    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError> {
        let tables = self.tables();
        let lines = tables
            .lines
            .get(&id)
            .into_iter()
            .flat_map(|lines| lines.range(after.saturating_add(1)..));
        Ok(lines.take(limit).map(|(_, line)| line.clone()).collect())
    }

    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError> {
        let tables = self.tables();
        let open = tables.attempts.values().filter(|attempt| attempt.is_open());
        Ok(open
            .filter_map(|attempt| {
                Some((
                    tables.actions.get(&attempt.at.action)?.clone(),
                    attempt.clone(),
                ))
            })
            .collect())
    }

    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError> {
        let tables = self.tables();
        Ok(Wake {
            due: tables
                .waiting_actions()
                .map(|action| action.due_at)
                .filter(|due| *due > now)
                .min(),
            expiry: tables
                .waiting_actions()
                .filter_map(|action| action.expires_at)
                .filter(|expiry| *expiry > now)
                .min(),
        })
    }

    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError> {
        let tables = self.tables();
        let mut expiring: Vec<Action> = tables
            .waiting_actions()
            .filter(|action| action.expires_at.is_some_and(|at| at <= now))
            .cloned()
            .collect();
        expiring.sort_by_key(|action| (action.expires_at, action.id));
        expiring.truncate(limit);
        Ok(expiring)
    }

    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        let tables = self.tables();
        let standing = |schedule: &&Schedule| schedule.deleted_at.is_none();
        Ok(tables
            .schedules
            .values()
            .filter(standing)
            .cloned()
            .collect())
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        let found = self.tables().schedules.get(name).cloned();
        Ok(found.filter(|schedule| schedule.deleted_at.is_none()))
    }

    async fn ticks(&self, query: &TickQuery) -> Result<Vec<Tick>, StoreError> {
        let mut ticks: Vec<Tick> = self
            .tables()
            .ticks
            .values()
            .filter(|tick| {
                tick.key.schedule == query.schedule
                    && query.before.is_none_or(|before| tick.number < before)
            })
            .cloned()
            .collect();
        ticks.sort_unstable_by_key(|tick| std::cmp::Reverse(tick.number));
        ticks.truncate(query.limit);
        Ok(ticks)
    }

    async fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut tables = self.tables();
        let mut beyond: Vec<ActionId> = rules
            .rules()
            .flat_map(|(status, keep)| tables.beyond(status, keep, now))
            .collect();
        beyond.sort_unstable();
        beyond.truncate(limit);
        for id in &beyond {
            tables.remove(*id);
        }
        Ok(beyond.len())
    }

    fn installation(&self) -> &str {
        &self.installation
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::script;
    use crate::testing::store_suite::SMALL_LOG;

    async fn open(_: &Path, limits: LogLimits) -> MemoryStore {
        MemoryStore::new(limits)
    }

    crate::store_suite!(open);

    proptest! {
        #[test]
        fn the_rules_hold_whatever_happens(script in script::scripts()) {
            let store = Arc::new(MemoryStore::new(SMALL_LOG));
            futures_util::FutureExt::now_or_never(script::play(store, SMALL_LOG, &script))
                .expect("nothing waits in memory");
        }
    }
}
