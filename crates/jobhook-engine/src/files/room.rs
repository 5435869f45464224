//! Whether there is room for more (clause `UP-16`): asked before a transfer begins, and while it
//! goes on.
//!
//! What is on its way counts as if it were there, so that many transfers at once cannot take
//! together what none may take alone: a transfer first counts, and asks then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Files;
use super::error::FilesError;
use crate::file::Volume;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Room(Arc<Tally>);

#[derive(Debug, Default)]
struct Tally {
    /// How many transfers there are.
    count: AtomicU64,
    /// The bytes of all transfers, those that were announced and are still to come among them.
    coming: AtomicU64,
    /// How many of them have come, and so take their room on the disk already.
    come: AtomicU64,
}

/// The part of one transfer.
#[derive(Debug)]
pub(super) struct Share {
    tally: Arc<Tally>,
    coming: u64,
    come: u64,
}

impl Room {
    /// The part of a transfer that announces so many bytes.
    pub(super) fn share(&self, announced: u64) -> Share {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.coming.fetch_add(announced, Ordering::Relaxed);
        Share {
            tally: Arc::clone(&self.0),
            coming: announced,
            come: 0,
        }
    }

    fn coming(&self) -> Volume {
        Volume {
            count: self.0.count.load(Ordering::Relaxed),
            bytes: self.0.coming.load(Ordering::Relaxed),
        }
    }

    /// How many bytes are still to come, as far as that was said.
    fn outstanding(&self) -> u64 {
        let come = self.0.come.load(Ordering::Relaxed);
        self.coming().bytes.saturating_sub(come)
    }
}

impl Share {
    /// So many more bytes have come.
    pub(super) fn arrive(&mut self, bytes: u64) {
        self.come += bytes;
        // First, or somebody might see more that has come than what is coming.
        if let Some(unannounced) = self.come.checked_sub(self.coming) {
            self.tally.coming.fetch_add(unannounced, Ordering::Relaxed);
            self.coming = self.come;
        }
        self.tally.come.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tally.come.fetch_sub(self.come, Ordering::Relaxed);
        self.tally.coming.fetch_sub(self.coming, Ordering::Relaxed);
        self.tally.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Files {
    /// Whether there is room for what is on its way and for `more`.
    pub(super) async fn has_room(&self, more: Volume) -> Result<(), FilesError> {
        let settings = &self.0.settings;
        if settings.total_files.is_some() || settings.total_bytes.is_some() {
            let parts = [self.0.store.stored().await?, self.0.room.coming(), more];
            let sum =
                |part: fn(&Volume) -> u64| parts.iter().map(part).fold(0, u64::saturating_add);
            if settings
                .total_files
                .is_some_and(|most| sum(|part| part.count) > most)
            {
                return Err(FilesError::NoRoom(
                    "the server stores as many files as it may",
                ));
            }
            if settings
                .total_bytes
                .is_some_and(|most| sum(|part| part.bytes) > most)
            {
                return Err(FilesError::NoRoom(
                    "the server stores as many bytes of files as it may",
                ));
            }
        }
        self.has_disk(more.bytes).await
    }

    /// Whether the disk has room for it, which is not this server's alone to fill.
    pub(super) async fn has_disk(&self, more: u64) -> Result<(), FilesError> {
        let settings = &self.0.settings;
        if settings.min_free > 0
            && let Some(room) = settings.blobs.room().await?
        {
            let wanted = self.0.room.outstanding().saturating_add(more);
            if room.saturating_sub(wanted) < settings.min_free {
                return Err(FilesError::NoRoom(
                    "the disk of the server's file storage is nearly full",
                ));
            }
        }
        Ok(())
    }
}
