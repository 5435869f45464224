//! Whether there is room for more (clause `UP-16`): asked before a transfer begins, and while it
//! goes on.
//!
//! What is on its way counts as if it were there, so that many transfers at once cannot take
//! together what none may take alone. A transfer is let in by one look at all of it, and counts
//! from then on; one that is not let in has never counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Files;
use super::error::FilesError;
use crate::attempt::AttemptRef;
use crate::file::Volume;

/// How long what the disk said is good.
const ASKED_AGAIN: Duration = Duration::from_millis(100);

/// How many transfers there may be at once.
const TRANSFERS: u64 = 2048;

/// How many of them one attempt may have: a job that is slow leaves places to others.
const OF_ONE: u64 = 256;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Room {
    tally: Arc<Tally>,
    /// Held while one is let in.
    door: tokio::sync::Mutex<()>,
    /// What the disk said last.
    disk: Mutex<Option<Disk>>,
}

/// How much room a disk had.
#[derive(Clone, Copy, Debug)]
struct Disk {
    at: Instant,
    /// How many bytes had ever come by then.
    arrived: u64,
    /// Nothing where nobody can say.
    room: Option<u64>,
}

#[derive(Debug, Default)]
struct Tally {
    /// How many transfers there are.
    count: AtomicU64,
    /// The bytes of all transfers, those that were announced and are still to come among them.
    coming: AtomicU64,
    /// How many of them have come, and so take their room on the disk already.
    come: AtomicU64,
    /// How many have come since the server began.
    arrived: AtomicU64,
    /// How many transfers each attempt has.
    of: Mutex<HashMap<AttemptRef, u64>>,
}

impl Tally {
    fn of(&self) -> MutexGuard<'_, HashMap<AttemptRef, u64>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of one transfer.
#[derive(Debug)]
pub(super) struct Share {
    tally: Arc<Tally>,
    by: Option<AttemptRef>,
    coming: u64,
    come: u64,
}

impl Room {
    /// Whether another transfer may begin.
    fn has_place(&self, by: Option<AttemptRef>) -> bool {
        let own = by.and_then(|by| self.tally.of().get(&by).copied());
        self.tally.count.load(Ordering::Relaxed) < TRANSFERS && own.unwrap_or(0) < OF_ONE
    }

    fn share(&self, by: Option<AttemptRef>, announced: u64) -> Share {
        if let Some(by) = by {
            *self.tally.of().entry(by).or_default() += 1;
        }
        self.tally.count.fetch_add(1, Ordering::Relaxed);
        self.tally.coming.fetch_add(announced, Ordering::Relaxed);
        Share {
            tally: Arc::clone(&self.tally),
            by,
            coming: announced,
            come: 0,
        }
    }

    fn coming(&self) -> Volume {
        Volume {
            count: self.tally.count.load(Ordering::Relaxed),
            bytes: self.tally.coming.load(Ordering::Relaxed),
            small: 0,
        }
    }

    /// How many transfers are under way.
    pub(super) fn transfers(&self) -> usize {
        usize::try_from(self.tally.count.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// How many bytes are still to come, as far as that was said.
    fn outstanding(&self) -> u64 {
        let come = self.tally.come.load(Ordering::Relaxed);
        self.coming().bytes.saturating_sub(come)
    }
}

impl Share {
    /// So many more bytes have come.
    pub(super) fn arrive(&mut self, bytes: u64) {
        self.come += bytes;
        self.tally.arrived.fetch_add(bytes, Ordering::Relaxed);
        // First, or somebody might see more that has come than what is coming.
        if let Some(unannounced) = self.come.checked_sub(self.coming) {
            self.tally.coming.fetch_add(unannounced, Ordering::Relaxed);
            self.coming = self.come;
        }
        self.tally.come.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What has come stays in memory for now, and takes its room on the disk later.
    pub(super) fn stay_in_memory(&mut self) {
        let come = std::mem::take(&mut self.come);
        self.tally.come.fetch_sub(come, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.tally.come.fetch_sub(self.come, Ordering::Relaxed);
        self.tally.coming.fetch_sub(self.coming, Ordering::Relaxed);
        self.tally.count.fetch_sub(1, Ordering::Relaxed);
        if let Some(by) = self.by {
            let mut of = self.tally.of();
            match of.get_mut(&by) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(of.remove(&by)),
            }
        }
    }
}

impl Files {
    /// Lets a transfer in that announces so many bytes.
    ///
    /// - `by`: the attempt whose job it is.
    pub(super) async fn admit(
        &self,
        by: Option<AttemptRef>,
        announced: u64,
    ) -> Result<Share, FilesError> {
        let _one_at_a_time = self.0.room.door.lock().await;
        if !self.0.room.has_place(by) {
            return Err(FilesError::Busy);
        }
        self.has_room(announced).await?;
        Ok(self.0.room.share(by, announced))
    }

    /// Whether there is room for one more file, of so many bytes.
    pub(super) async fn has_room(&self, bytes: u64) -> Result<(), FilesError> {
        let more = Volume {
            count: 1,
            bytes,
            ..Volume::default()
        };
        self.may_store(more).await?;
        self.has_disk(bytes).await
    }

    /// Whether there is room for what has come of a transfer, which was let in without a word of how
    /// much that would be.
    pub(super) async fn has_room_for_what_came(&self) -> Result<(), FilesError> {
        self.may_store(Volume::default()).await?;
        self.has_disk(0).await
    }

    /// Whether a file of so many bytes is one that the store keeps itself.
    pub(super) async fn may_be_small(&self, bytes: u64) -> Result<bool, FilesError> {
        let settings = &self.0.settings;
        if settings.small == 0 || bytes > settings.small {
            return Ok(false);
        }
        let kept = self.0.store.stored().await?.small;
        Ok(kept.saturating_add(bytes) <= settings.small_total)
    }

    async fn may_store(&self, more: Volume) -> Result<(), FilesError> {
        let settings = &self.0.settings;
        if settings.total_files.is_none() && settings.total_bytes.is_none() {
            return Ok(());
        }
        // In this order: what gets there meanwhile counts twice, and never not at all.
        let coming = self.0.room.coming();
        let parts = [coming, self.0.store.stored().await?, more];
        let sum = |part: fn(&Volume) -> u64| parts.iter().map(part).fold(0, u64::saturating_add);
        let (count, bytes) = (sum(|part| part.count), sum(|part| part.bytes));
        // Who is in was counted when it was let in.
        if more.count > 0 && settings.total_files.is_some_and(|most| count > most) {
            return Err(FilesError::NoRoom(
                "the server stores as many files as it may",
            ));
        }
        if settings.total_bytes.is_some_and(|most| bytes > most) {
            return Err(FilesError::NoRoom(
                "the server stores as many bytes of files as it may",
            ));
        }
        Ok(())
    }

    /// Whether the disk has room for it, which is not this server's alone to fill.
    pub(super) async fn has_disk(&self, more: u64) -> Result<(), FilesError> {
        let settings = &self.0.settings;
        if settings.min_free > 0
            && let Some(room) = self.disk_room().await?
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

    /// The room of the disk, as it was a moment ago, less what has come since then: asking it takes
    /// longer than a small file.
    async fn disk_room(&self) -> Result<Option<u64>, FilesError> {
        let room = &self.0.room;
        let arrived = || room.tally.arrived.load(Ordering::Relaxed);
        let known = *room.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.filter(|known| known.at.elapsed() < ASKED_AGAIN) {
            let come = arrived().saturating_sub(known.arrived);
            return Ok(known.room.map(|room| room.saturating_sub(come)));
        }
        // Before it is asked: what comes meanwhile counts twice.
        let (at, arrived) = (Instant::now(), arrived());
        let found = self.0.settings.blobs.room().await?;
        *room.disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(Disk {
            at,
            arrived,
            room: found,
        });
        Ok(found)
    }
}
