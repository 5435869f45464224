//! Whether there is room for more (clause `UP-16`): asked before a transfer begins, and while it
//! goes on.
//!
//! What is on its way counts as if it were there, so that many transfers at once cannot take
//! together what none may take alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Files;
use super::error::FilesError;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Room {
    coming: Arc<AtomicU64>,
}

/// The part of one transfer.
#[derive(Debug)]
pub(super) struct Share {
    coming: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    pub(super) fn share(&self) -> Share {
        Share {
            coming: Arc::clone(&self.coming),
            bytes: 0,
        }
    }
}

impl Share {
    /// Counts up to `bytes` in all.
    pub(super) fn grow(&mut self, bytes: u64) {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.coming.fetch_add(more, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.coming.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Files {
    /// Whether there is room for what is on its way and `more` bytes.
    pub(super) async fn has_room(&self, more: u64) -> Result<(), FilesError> {
        let settings = &self.0.settings;
        let wanted = self
            .0
            .room
            .coming
            .load(Ordering::Relaxed)
            .saturating_add(more);
        if let Some(total) = settings.total_bytes {
            let stored = self.0.store.stored_bytes().await?;
            if stored.saturating_add(wanted) > total {
                return Err(FilesError::NoRoom(
                    "the server stores as many bytes of files as it may",
                ));
            }
        }
        if settings.min_free > 0
            && let Some(room) = settings.blobs.room().await?
            && room.saturating_sub(more) < settings.min_free
        {
            return Err(FilesError::NoRoom(
                "the disk of the server's file storage is nearly full",
            ));
        }
        Ok(())
    }
}
