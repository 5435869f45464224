//! The tables of a store in memory, and a transaction on them.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bytes::Bytes;
use jobhook_protocol::{Sha256Sum, Status};

use crate::action::{Action, ActionId};
use crate::attempt::{Attempt, AttemptRef};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{File, KeptContent, Object, ObjectRef, PropertyRef, Staged};
use crate::ledger::{ReporterKey, Row, Rows, Transaction, Wanted};
use crate::log::{LogLimits, LogLine};
use crate::retention::Keep;
use crate::runner::TypeFilter;
use crate::schedule::{KEPT_TICKS, Schedule, Tick, TickKey, TickOutcome};
use crate::store::StoreError;
use crate::window::Window;

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) actions: BTreeMap<ActionId, Action>,
    pub(super) attempts: BTreeMap<AttemptRef, Attempt>,
    pub(super) reporters: HashMap<ReporterKey, Window>,
    pub(super) lines: BTreeMap<ActionId, BTreeMap<u64, LogLine>>,
    pub(super) schedules: BTreeMap<String, Schedule>,
    pub(super) ticks: BTreeMap<TickKey, Tick>,
    pub(super) contents: BTreeMap<Sha256Sum, KeptContent>,
    pub(super) staged: BTreeMap<BlobName, Staged>,
    pub(super) small: BTreeMap<BlobName, Bytes>,
    pub(super) objects: BTreeMap<ObjectRef, Object>,
    pub(super) files: BTreeMap<(PropertyRef, u64), File>,
    pub(super) limits: LogLimits,
}

impl Tables {
    pub(super) fn waiting_actions(&self) -> impl Iterator<Item = &Action> {
        self.actions
            .values()
            .filter(|action| matches!(action.status, Status::Scheduled | Status::Queued))
    }

    /// The actions of a status that are beyond what is kept, first launched first.
    pub(super) fn beyond(&self, status: Status, keep: Keep, now: Timestamp) -> Vec<ActionId> {
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

    pub(super) fn remove(&mut self, id: ActionId, now: Timestamp) {
        self.remove_object(&ObjectRef::of_action(id), now);
        self.actions.remove(&id);
        self.lines.remove(&id);
        self.attempts.retain(|at, _| at.action != id);
        self.reporters.retain(|key, _| key.attempt.action != id);
    }

    /// Drops the oldest lines of an action whose log has overflown, until it is within the limits.
    fn trim(&mut self, id: ActionId) {
        let (Some(action), Some(lines)) = (self.actions.get_mut(&id), self.lines.get_mut(&id))
        else {
            return;
        };
        let log = &mut action.log;
        if !self.limits.overflow(*log) {
            return;
        }
        while self.limits.are_exceeded(*log) {
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
        self.load_files(wanted, rows);
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

    async fn file_with(
        &mut self,
        property: &PropertyRef,
        content: &Sha256Sum,
        name: Option<&str>,
    ) -> Result<Option<File>, StoreError> {
        let found = self
            .of_property(property)
            .find(|file| file.content.sha256 == *content && file.fields.name.as_deref() == name);
        Ok(found.cloned())
    }

    async fn files_of(&mut self, property: &PropertyRef) -> Result<Vec<File>, StoreError> {
        Ok(self.of_property(property).cloned().collect())
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
        self.flush_files(rows);
        for closed in rows.closed.drain(..) {
            self.reporters.retain(|key, _| key.attempt != closed);
        }
        Ok(())
    }
}
