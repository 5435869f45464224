//! What keeps actions and what is said of files: the contract of a store.
//!
//! The row is the queue: one commit stores an action and enqueues it. Writes come in batches
//! of mixed kinds, one transaction a batch; what they mean is the [ledger](crate::ledger)'s.
//! An implementation is right when [`crate::store_suite!`] passes on it; the suite, not
//! this comment, is the contract.
//!
//! Time is always an argument. A store that reads a clock cannot be tested.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use jobhook_protocol::{Md5Sum, Sha256Sum, Status};

use crate::action::{Action, ActionId, Standing};
use crate::attempt::{Attempt, AttemptRef};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Content, File, Object, ObjectRef, PropertyRef, Staged, Volume};
use crate::ledger::Answer;
use crate::log::LogLine;
use crate::retention::Retention;
use crate::schedule::{Schedule, Tick, TickQuery};
use crate::write::Write;

/// Keeps actions, their attempts and their logs, schedules with their ticks, and which files
/// there are.
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

    /// Reads the part of an action that decides on files. It is asked before each transfer, and
    /// takes the same time however large the action is.
    async fn standing(&self, id: ActionId) -> Result<Option<Standing>, StoreError>;

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

    /// The contents with this MD5 and this challenge: at most two, since two do not tell which is
    /// meant.
    async fn contents(&self, md5: Md5Sum, challenge: Md5Sum) -> Result<Vec<Content>, StoreError>;

    /// Reads the content with this SHA-256.
    async fn content(&self, sha256: Sha256Sum) -> Result<Option<Content>, StoreError>;

    /// Reads what is staged as a blob.
    async fn staged(&self, blob: &BlobName) -> Result<Option<Staged>, StoreError>;

    /// The bytes of a small blob, which are there as long as it is a content's or staged.
    async fn small(&self, blob: &BlobName) -> Result<Option<Bytes>, StoreError>;

    /// How much all contents are, and all that is staged. It is asked before each upload, so it
    /// takes the same time however many there are.
    async fn stored(&self) -> Result<Volume, StoreError>;

    /// Reads an object. One of actions is here once the action has had files.
    async fn object(&self, at: &ObjectRef) -> Result<Option<Object>, StoreError>;

    /// Reads up to `limit` objects of a store with ids above `after`, by id.
    async fn objects(
        &self,
        store: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Object>, StoreError>;

    /// Reads a file.
    async fn file(&self, at: &PropertyRef, index: u64) -> Result<Option<File>, StoreError>;

    /// Reads up to `limit` files of an object behind `after`, a property and an index; by property,
    /// then index.
    async fn files(
        &self,
        object: &ObjectRef,
        after: Option<(&str, u64)>,
        limit: usize,
    ) -> Result<Vec<File>, StoreError>;

    /// Takes an object away with its files, unless it is an action; answers whether it was there.
    /// A content that no file has any more is idle from `now` on.
    async fn drop_object(&self, at: &ObjectRef, now: Timestamp) -> Result<bool, StoreError>;

    /// Forgets contents that are idle since `idle_before` or longer, and what is staged since
    /// `staged_before` or longer: longest first, contents first, at most `limit`. Answers their
    /// blobs, which are to be deleted; the bytes of small ones are gone already.
    async fn forget_unused(
        &self,
        idle_before: Timestamp,
        staged_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobName>, StoreError>;

    /// Those of `blobs` that are a content's or staged. Nothing refers to the others.
    async fn wanted_blobs(&self, blobs: &[BlobName]) -> Result<Vec<BlobName>, StoreError>;

    /// Removes finished actions that are beyond `rules`, the first launched first, at most
    /// `limit`, with everything that belongs to them; answers how many. An action whose
    /// attempt is open stays. A content that no file has any more is idle from `now` on.
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
    /// There is no room for what the batch stores, and nothing of it was kept.
    #[error("the store has no room for more")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
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
