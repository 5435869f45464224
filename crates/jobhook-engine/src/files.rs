//! Files, from a job's question to bytes that are safe (clauses `FILE-*`, `UP-*`, `DOWN-*`).
//!
//! ```text
//!  job, signed ─▶ rights ─▶ upload ──────────── known content ─▶ attach ─▶ Batcher ─▶ Store
//!                   │         └─▶ token ─▶ intake ─▶ digests, blob ─┴▶ or stage
//!                   └─▶ download ─▶ token ─▶ File ─▶ BlobStore::read
//! ```
//!
//! Bytes come first, rows second: a blob is durable before a row names it, and a row is gone
//! before its blob is deleted. So what a crash leaves is a blob that nothing names, never an
//! entry without bytes; the [sweep](Files::sweep) deletes it. The bytes of small files lie beside
//! their row, and come and go with it.
//!
//! What a client sends is looked up or compared here, and never becomes a part of a path: blobs
//! are named by their blob store. Nothing here knows HTTP.

mod download;
mod error;
mod intake;
mod objects;
mod rights;
mod room;
mod stores;
mod sweep;
mod token;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use download::{Located, read_index};
pub use error::FilesError;
pub use intake::{Intake, Received};
pub use rights::{ANY, Target, is_object_id};
pub use stores::{BadStores, DeclaredStore, Known, Stores};
pub use sweep::Swept;
pub use upload::{Opened, stored};

use crate::attempt::AttemptRef;
use crate::batcher::Batcher;
use crate::blob::{BlobError, BlobName, BlobStore};
use crate::clock::{Clock, Timestamp};
use crate::file::ObjectLimits;
use crate::keyring::Keyring;
use crate::memory_blobs::MemoryBlobs;
use crate::store::Store;
use room::Room;

/// How long an address may wait for its transfer to begin (clause `UP-5`).
pub const TO_BEGIN: Duration = Duration::from_secs(60);

/// How long what was uploaded may wait for what it belongs to (clause `UP-12`).
pub const TO_CLOSE: Duration = Duration::from_secs(3600);

/// What a server is told about files.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Where bytes are kept.
    pub blobs: Arc<dyn BlobStore>,
    /// The stores beside that of the actions.
    pub stores: Stores,
    /// The longest file, in bytes.
    pub max_file: u64,
    /// How much one object may have.
    pub object: ObjectLimits,
    /// How many contents there may be, of all files together; any number if `None`.
    pub total_files: Option<u64>,
    /// How many bytes those may have; any number if `None`.
    pub total_bytes: Option<u64>,
    /// How many bytes of room the blob store must keep.
    pub min_free: u64,
    /// How long a content is kept that no file has any more: at least as long as a download
    /// may wait to begin.
    pub keep_unused: Duration,
    /// Whether nobody but this server uses the blob store.
    pub exclusive: bool,
    /// Whether downloads are sent to the blob store where it has addresses of its own.
    pub direct: bool,
    /// Files of at most so many bytes are [small](BlobName::is_small); with 0, none is. They are
    /// hashed and read where they stand, so it is no more than 64 KiB.
    pub small: u64,
    /// How many bytes small files have together; what comes above that is not small.
    pub small_total: u64,
}

/// How many bytes are small where nothing else is said: of so few, a database takes and gives more a
/// second than a file system (<https://sqlite.org/fasterthanfs.html>).
pub const SMALL: u64 = 16 << 10;

/// How many bytes small files have together where nothing else is said: the room that they took does
/// not come back to the disk.
pub const SMALL_TOTAL: u64 = 1 << 30;

impl Default for FileSettings {
    /// In memory.
    fn default() -> FileSettings {
        FileSettings {
            blobs: Arc::new(MemoryBlobs::default()),
            stores: Stores::default(),
            max_file: 100 << 30,
            object: ObjectLimits {
                files: 10_000,
                bytes: 1 << 40,
            },
            total_files: None,
            total_bytes: None,
            min_free: 0,
            keep_unused: Duration::from_secs(3600),
            exclusive: true,
            direct: false,
            small: 0,
            small_total: SMALL_TOTAL,
        }
    }
}

/// Takes files in and gives them out. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Files(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Arc<dyn Store>,
    batcher: Batcher,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    /// The hook's address, as jobs are told it.
    hook_url: String,
    /// By the name of a runner whose jobs reach it elsewhere.
    other_hook_urls: HashMap<String, String>,
    settings: FileSettings,
    room: Room,
    /// When this server began.
    begun: Timestamp,
}

impl Files {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        batcher: Batcher,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        hook_url: String,
        other_hook_urls: HashMap<String, String>,
        settings: FileSettings,
    ) -> Files {
        Files(Arc::new(Parts {
            store,
            batcher,
            keyring,
            begun: clock.now(),
            clock,
            hook_url,
            other_hook_urls,
            settings,
            room: Room::default(),
        }))
    }

    /// The stores beside that of the actions.
    pub fn stores(&self) -> &Stores {
        &self.0.settings.stores
    }

    /// What this server is told about files.
    pub fn settings(&self) -> &FileSettings {
        &self.0.settings
    }

    /// The hook's address, as the job of an attempt reaches it.
    async fn hook_url_of(&self, at: AttemptRef) -> Result<&str, FilesError> {
        let Parts {
            hook_url,
            other_hook_urls,
            ..
        } = &*self.0;
        if other_hook_urls.is_empty() {
            return Ok(hook_url);
        }
        let attempts = self.0.store.attempts(at.action).await?;
        let attempt = attempts.iter().find(|attempt| attempt.at == at);
        let other = attempt.and_then(|attempt| other_hook_urls.get(&attempt.runner));
        Ok(other.unwrap_or(hook_url))
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Deletes a blob that nothing names. What fails is left to the sweep.
    async fn discard(&self, blob: &BlobName) {
        if let Err(error) = self.delete(blob).await {
            tracing::warn!(%blob, %error, "A blob that nothing names was not deleted");
        }
    }

    /// Deletes a blob that nothing names. A small one has gone with its row.
    async fn delete(&self, blob: &BlobName) -> Result<(), BlobError> {
        if blob.is_small() {
            return Ok(());
        }
        self.0.settings.blobs.delete(blob).await
    }
}
