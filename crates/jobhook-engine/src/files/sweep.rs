//! What nothing needs any more is deleted: contents that no file has, uploads that were never
//! used, and blobs that nothing names because a server died between the two steps.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::FilesError;
use super::{Files, TO_CLOSE};
use crate::blob::BlobName;
use crate::clock::Timestamp;

/// How many rows or blobs are looked at together.
const AT_ONCE: usize = 1_000;

/// How long a blob may be without a row: the row comes right after the blob.
const ORPHANED: Duration = Duration::from_secs(3600);

/// What a sweep has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Contents that no file had any more, and uploads that were never used.
    pub unused: usize,
    /// Blobs that nothing named.
    pub orphans: usize,
}

impl Files {
    /// Deletes what nothing needs any more, until it is done or `stopping`.
    ///
    /// A blob that nothing names goes once it is an hour old; where nobody else uses the blob
    /// store, at once if it is from before this server.
    ///
    /// # Errors
    ///
    /// [`FilesError`]; what is left is found by the next sweep.
    pub async fn sweep(&self, stopping: &CancellationToken) -> Result<Swept, FilesError> {
        let mut swept = Swept::default();
        while !stopping.is_cancelled() {
            let now = self.now();
            let idle = before(now, self.0.settings.keep_unused);
            let staged = before(now, TO_CLOSE);
            let store = &self.0.store;
            let blobs = store.forget_unused(idle, staged, AT_ONCE).await?;
            for blob in &blobs {
                self.delete(blob).await?;
            }
            swept.unused += blobs.len();
            if blobs.len() < AT_ONCE {
                break;
            }
        }
        let mut orphans_before = before(self.now(), ORPHANED);
        if self.0.settings.exclusive {
            orphans_before = orphans_before.max(self.0.begun);
        }
        let mut after: Option<BlobName> = None;
        while !stopping.is_cancelled() {
            let blobs = &self.0.settings.blobs;
            let page = blobs.list(after.as_ref(), AT_ONCE).await?;
            let is_last = page.len() < AT_ONCE;
            after = page.last().map(|(name, _)| name.clone());
            let old: Vec<BlobName> = page
                .into_iter()
                .filter(|(_, finished)| *finished < orphans_before)
                .map(|(name, _)| name)
                .collect();
            let wanted = self.0.store.wanted_blobs(&old).await?;
            let wanted: HashSet<BlobName> = wanted.into_iter().collect();
            for orphan in old.iter().filter(|name| !wanted.contains(*name)) {
                blobs.delete(orphan).await?;
                swept.orphans += 1;
            }
            if is_last {
                break;
            }
        }
        Ok(swept)
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(age))
}
