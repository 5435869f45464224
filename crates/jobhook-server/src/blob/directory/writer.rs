//! Writes a blob: while one stretch is on its way to the file, the next is gathered.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use jobhook_engine::blob::{BlobError, BlobName, BlobWriter};
use jobhook_protocol::Sha256Sum;
use tokio::runtime::Handle;
use tokio::task::{self, JoinHandle};

use super::root::Root;
use super::unfinished::{CHUNKS, GATHERED, LEAST, TOGETHER, Unfinished};
use super::{aside, failed};

/// After so much the disk is set to work, so that little is left for the end.
const SYNC_EVERY: usize = 32 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    root: Arc<Root>,
    gathered: Vec<Bytes>,
    bytes: usize,
    hand: Hand,
    unsynced: usize,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

/// Who has the file.
#[derive(Debug)]
enum Hand {
    /// There is none yet.
    Empty,
    /// Somebody who writes into it, or has done so.
    Busy(JoinHandle<io::Result<Unfinished>>),
    /// It is lost: a write failed, or was not waited for.
    Lost,
}

fn lost() -> BlobError {
    BlobError::Unavailable("an earlier write failed".into())
}

impl Writer {
    pub(super) fn new(root: Arc<Root>) -> Writer {
        Writer {
            root,
            gathered: Vec::new(),
            bytes: 0,
            hand: Hand::Empty,
            unsynced: 0,
            syncing: None,
        }
    }

    /// Waits for the file, if there is one.
    pub(super) async fn take(&mut self) -> Result<Option<Unfinished>, BlobError> {
        match mem::replace(&mut self.hand, Hand::Lost) {
            Hand::Empty => Ok(None),
            Hand::Busy(writing) => joined(writing).await.map(Some),
            Hand::Lost => Err(lost()),
        }
    }

    #[cfg(test)]
    pub(super) fn give_back(&mut self, unfinished: Unfinished) {
        self.hand = Hand::Busy(task::spawn_blocking(|| Ok(unfinished)));
    }

    /// What was gathered is on its way, or not wanted; answers how much that was.
    fn gathered_no_more(&mut self) -> usize {
        let bytes = mem::take(&mut self.bytes);
        self.root.gathered.fetch_sub(bytes, Ordering::Relaxed);
        bytes
    }

    /// Sends what is gathered on its way.
    async fn send(&mut self) -> Result<(), BlobError> {
        let unfinished = self.take().await?;
        let chunks = mem::take(&mut self.gathered);
        self.unsynced += self.gathered_no_more();
        if let Some(unfinished) = &unfinished
            && self.unsynced >= SYNC_EVERY
        {
            if let Some(syncing) = self.syncing.take() {
                joined(syncing).await?;
            }
            let file = unfinished.file().map_err(failed)?;
            self.syncing = Some(task::spawn_blocking(move || file.sync_data()));
            self.unsynced = 0;
        }
        let root = Arc::clone(&self.root);
        self.hand = Hand::Busy(task::spawn_blocking(move || {
            let mut unfinished = match unfinished {
                Some(unfinished) => unfinished,
                None => Unfinished::create(&root)?,
            };
            unfinished.write(&chunks)?;
            Ok(unfinished)
        }));
        Ok(())
    }
}

async fn joined<T>(handle: JoinHandle<io::Result<T>>) -> Result<T, BlobError> {
    handle
        .await
        .unwrap_or_else(|error| Err(error.into()))
        .map_err(failed)
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<(), BlobError> {
        if matches!(self.hand, Hand::Lost) {
            return Err(lost());
        }
        for chunk in chunks {
            self.bytes += chunk.len();
            let together = &self.root.gathered;
            let together = together.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
            self.gathered.push(chunk);
            let enough = if together < TOGETHER { GATHERED } else { LEAST };
            if self.bytes >= enough || self.gathered.len() >= CHUNKS {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>, sha256: &Sha256Sum) -> Result<BlobName, BlobError> {
        let unfinished = self.take().await?;
        if let Some(syncing) = self.syncing.take() {
            joined(syncing).await?;
        }
        let chunks = mem::take(&mut self.gathered);
        let (root, sha256) = (Arc::clone(&self.root), *sha256);
        aside(move || {
            let mut unfinished = match unfinished {
                Some(unfinished) => unfinished,
                None => Unfinished::create(&root)?,
            };
            unfinished.write(&chunks)?;
            unfinished.place(&root, &sha256)
        })
        .await
    }
}

/// To remove a large file takes a while. Who still writes into it removes it after that.
impl Drop for Writer {
    fn drop(&mut self) {
        self.gathered_no_more();
        if let Hand::Busy(writing) = mem::replace(&mut self.hand, Hand::Lost)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn_blocking(|| drop(writing));
        }
    }
}
