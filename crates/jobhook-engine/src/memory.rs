//! A store in memory: the fake that tests use, and the plainest reading of the contract.

mod files;
mod tables;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use jobhook_protocol::{Md5Sum, Sha256Sum};

use crate::action::{Action, ActionId, Standing};
use crate::attempt::{Attempt, AttemptRef};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{ACTIONS, Content, File, Object, ObjectRef, PropertyRef, Staged, Volume};
use crate::ledger::{self, Answer};
use crate::log::{LogLimits, LogLine};
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::store::{ActionQuery, Store, StoreError, Wake};
use crate::write::Write;
use tables::Tables;

/// Keeps everything in memory, and loses it with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    installation: String,
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

    async fn standing(&self, id: ActionId) -> Result<Option<Standing>, StoreError> {
        Ok(self.tables().actions.get(&id).map(Action::standing))
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

    async fn contents(&self, md5: Md5Sum, challenge: Md5Sum) -> Result<Vec<Content>, StoreError> {
        Ok(self.tables().contents_with(md5, challenge))
    }

    async fn content(&self, sha256: Sha256Sum) -> Result<Option<Content>, StoreError> {
        let tables = self.tables();
        Ok(tables
            .contents
            .get(&sha256)
            .map(|kept| kept.content.clone()))
    }

    async fn staged(&self, blob: &BlobName) -> Result<Option<Staged>, StoreError> {
        Ok(self.tables().staged.get(blob).cloned())
    }

    async fn stored(&self) -> Result<Volume, StoreError> {
        Ok(self.tables().stored())
    }

    async fn object(&self, at: &ObjectRef) -> Result<Option<Object>, StoreError> {
        Ok(self.tables().objects.get(at).cloned())
    }

    async fn objects(
        &self,
        store: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError> {
        Ok(self.tables().objects_of(store, after, limit))
    }

    async fn file(&self, at: &PropertyRef, index: u64) -> Result<Option<File>, StoreError> {
        Ok(self.tables().files.get(&(at.clone(), index)).cloned())
    }

    async fn files(
        &self,
        object: &ObjectRef,
        after: Option<(&str, u64)>,
        limit: usize,
    ) -> Result<Vec<File>, StoreError> {
        Ok(self.tables().files_after(object, after, limit))
    }

    async fn drop_object(&self, at: &ObjectRef, now: Timestamp) -> Result<bool, StoreError> {
        Ok(at.store != ACTIONS && self.tables().remove_object(at, now))
    }

    async fn forget_unused(
        &self,
        idle_before: Timestamp,
        staged_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobName>, StoreError> {
        Ok(self
            .tables()
            .forget_unused(idle_before, staged_before, limit))
    }

    async fn small(&self, blob: &BlobName) -> Result<Option<Bytes>, StoreError> {
        Ok(self.tables().small.get(blob).cloned())
    }

    async fn wanted_blobs(&self, blobs: &[BlobName]) -> Result<Vec<BlobName>, StoreError> {
        Ok(self.tables().wanted(blobs))
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
            tables.remove(*id, now);
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
