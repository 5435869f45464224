//! What keeps actions: the contract of a store.
//!
//! The row is the queue: one commit stores an action and enqueues it. Writes come in batches
//! of mixed kinds, one transaction a batch; what they mean is the [ledger](crate::ledger)'s.
//! An implementation is right when [`crate::store_suite!`] passes on it; the suite, not
//! this comment, is the contract.
//!
//! Time is always an argument. A store that reads a clock cannot be tested.

use std::fmt;

use async_trait::async_trait;
use jobhook_protocol::Status;

use crate::action::{Action, ActionId};
use crate::attempt::{Attempt, AttemptRef};
use crate::clock::Timestamp;
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::write::Write;

/// Keeps actions, their attempts and their logs, and schedules with their ticks.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Applies `writes` in order in one transaction, and answers each in its place. Once
    /// this returns, everything that was not refused survives a crash.
    ///
    /// It may block the thread that polls it: the [`Batcher`](crate::batcher::Batcher) has one
    /// of its own.
    async fn apply(&self, writes: &[Write], now: Timestamp) -> Result<Vec<Answer>, StoreError>;

    /// Reads one action.
    async fn action(&self, id: ActionId) -> Result<Option<Action>, StoreError>;

    /// Reads the attempts of an action, oldest first.
    async fn attempts(&self, id: ActionId) -> Result<Vec<Attempt>, StoreError>;

    /// Reads the newest attempt of each of `ids` that has one.
    async fn last_attempts(&self, ids: &[ActionId]) -> Result<Vec<Attempt>, StoreError>;

    /// Reads a page of actions, newest launch first.
    async fn list(&self, query: &ActionQuery) -> Result<Vec<Action>, StoreError>;

    /// Reads up to `limit` lines of an action's log with numbers above `after`, in order.
    /// A first number above `after + 1` means that those between were dropped.
    async fn lines(
        &self,
        id: ActionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<LogLine>, StoreError>;

    /// Reads the attempts that are open, with their actions: what a server takes up again.
    async fn open_attempts(&self) -> Result<Vec<(Action, Attempt)>, StoreError>;

    /// When the next action that waits will be due, and when the next one will expire, both
    /// later than `now`.
    async fn next_wake(&self, now: Timestamp) -> Result<Wake, StoreError>;

    /// Up to `limit` waiting actions that expire at `now` or before, first to expire first.
    async fn expiring(&self, now: Timestamp, limit: usize) -> Result<Vec<Action>, StoreError>;

    /// Reads the schedules that are not deleted, by name.
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError>;

    /// Reads one schedule that is not deleted.
    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError>;

    /// Reads a page of a schedule's ticks, newest first; they outlive it.
    async fn ticks(&self, query: &TickQuery) -> Result<Vec<Tick>, StoreError>;

    /// Removes finished actions that are beyond `rules`, the first launched first, at most
    /// `limit`, with everything that belongs to them; answers how many. An action whose
    /// attempt is open stays.
    ///
    /// Other writes are let through in between, so a crash leaves some of them removed; the
    /// lines of the next one may be gone in part.
    async fn prune(
        &self,
        rules: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError>;

    /// The id of this installation, drawn when the store was made.
    fn installation(&self) -> &str;
}

/// What next happens by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// An action is due.
    pub due: Option<Timestamp>,
    /// An action expires.
    pub expiry: Option<Timestamp>,
}

/// Which actions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionQuery {
    /// Only these statuses; all if empty.
    pub statuses: Vec<Status>,
    /// Only this type.
    pub action_type: Option<String>,
    /// Only those launched before this one: the last of the page before.
    pub before: Option<ActionId>,
    /// How many at most.
    pub limit: usize,
    /// About how many bytes they may have, see [`Action::weight`]: the one that comes after them
    /// is the last. Any number if `None`.
    pub weight: Option<usize>,
}

impl ActionQuery {
    /// Counts an action that was found: whether it is the last to be read.
    ///
    /// - `spent`: the weight of those before, and of this one afterwards.
    pub fn ends_with(&self, action: &Action, spent: &mut usize) -> bool {
        let is_last = self.weight.is_some_and(|most| *spent >= most);
        *spent = spent.saturating_add(action.weight());
        is_last
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store refused the data of some write in the batch, and kept nothing of it.
    #[error("the store refused the data")]
    Data(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store did not answer, or failed. Trying again later may help.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store holds is not what was written.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// Names an attempt in a store's errors.
impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempt {}", self.action, self.number)
    }
}
