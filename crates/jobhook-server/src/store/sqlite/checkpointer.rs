//! Checkpoints: what the log before the database (the WAL) holds is copied into the database, by a
//! thread and a connection of their own, so that no commit waits for it.
//!
//! ```text
//! commit ──▶ hook: so many pages in the log ──enough──▶ thread ─▶ copy all that is there
//!                                                                  ▼
//!                                                       writer held ─▶ copy what came meanwhile
//! ```
//!
//! The log begins anew with the first write that finds all of it copied. While writes never
//! pause there is always a little more, and the log would grow for ever; so the rest is copied
//! while the writer is held. That is what came during one copy, and not what came since the last.

use std::io;
use std::sync::{Arc, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tokio::sync::Mutex;

use super::writer::Session;

/// How many pages the log has when it is to be copied: 16 MiB. Hot pages are in it many times and
/// are copied once.
const ENOUGH: i32 = 4000;

/// After how many more pages it is tried again where a reader was in the way.
const AGAIN: i32 = 1000;

/// Copies what can be copied, and waits for nobody.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The thread that makes checkpoints. It ends when this is closed, or the writer is gone.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: mpsc::Sender<Wake>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Copy,
    Stop,
}

impl Checkpointer {
    /// Starts the thread, and has it hear of the log's growth.
    ///
    /// - `connection`: for the thread.
    /// - `session`: the writer, whose own checkpoints this replaces.
    pub(super) fn start(
        connection: Connection,
        session: &Arc<Mutex<Option<Session>>>,
    ) -> io::Result<Checkpointer> {
        let (wake, woken) = mpsc::channel();
        let growth = wake.clone();
        let mut gauge = Gauge::default();
        let hook = move |_: &mut Wal, pages| {
            if gauge.is_enough(pages) {
                // Once it is closed, closing the database copies what is left.
                let _ = growth.send(Wake::Copy);
            }
            Ok(())
        };
        if let Some(session) = &mut *session.blocking_lock() {
            let hooked = session.connection.wal_hook(Some(hook));
            hooked.map_err(io::Error::other)?;
        }
        let writer = Arc::downgrade(session);
        let thread = std::thread::Builder::new()
            .name("checkpointer".to_owned())
            .spawn(move || run(&connection, &writer, &woken))?;
        Ok(Checkpointer {
            wake,
            thread: std::sync::Mutex::new(Some(thread)),
        })
    }

    /// Ends the thread, after the checkpoint that is under way.
    pub(super) fn close(&self) {
        let _ = self.wake.send(Wake::Stop);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

/// When to copy, by the pages that the log has after each commit.
#[derive(Debug)]
struct Gauge {
    last: i32,
    enough: i32,
}

impl Default for Gauge {
    fn default() -> Gauge {
        Gauge {
            last: 0,
            enough: ENOUGH,
        }
    }
}

impl Gauge {
    fn is_enough(&mut self, pages: i32) -> bool {
        if pages < self.last {
            // It has begun anew.
            self.enough = ENOUGH;
        }
        self.last = pages;
        let enough = pages >= self.enough;
        if enough {
            self.enough = pages.saturating_add(AGAIN);
        }
        enough
    }
}

fn run(
    connection: &Connection,
    writer: &Weak<Mutex<Option<Session>>>,
    woken: &mpsc::Receiver<Wake>,
) {
    while let Ok(Wake::Copy) = woken.recv() {
        let copied = copy(connection).and_then(|()| {
            let Some(writer) = writer.upgrade() else {
                return Ok(());
            };
            let _held = writer.blocking_lock();
            copy(connection)
        });
        if let Err(error) = copied {
            tracing::warn!(%error, "The database's log was not folded into it, and grows until it is");
        }
    }
}

/// Copies what is in the log. Where a reader still looks at something older, a part stays, and more
/// growth brings the next try.
fn copy(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row(COPY, [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use jobhook_engine::clock::Timestamp;
    use jobhook_engine::log::LogLimits;
    use jobhook_engine::store::Store;
    use jobhook_engine::testing::{Clerk, factory};

    use super::super::SqliteStore;
    use super::*;

    #[test]
    fn it_is_copied_at_16_mib_and_again_with_growth_until_the_log_begins_anew() {
        let mut gauge = Gauge::default();
        let mut asked = |pages| gauge.is_enough(pages);
        assert!(!asked(ENOUGH - 1));
        assert!(asked(ENOUGH));
        assert!(!asked(ENOUGH + AGAIN - 1));
        assert!(asked(ENOUGH + AGAIN + 7));
        assert!(!asked(12));
        assert!(asked(ENOUGH + 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_stays_small_though_writes_never_pause_and_the_writer_never_copies() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobhook.db");
        let store = SqliteStore::open(&path, LogLimits::default()).await;
        let store = Arc::new(store.unwrap());
        let own: i64 = {
            let session = store.writer.session().await.unwrap();
            let own = session
                .connection
                .pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0));
            own.unwrap()
        };
        assert_eq!(own, 0, "the writer would copy itself");
        let clerk = Clerk::new(store.clone());
        let at = clerk.running(factory::echo()).await;
        let text = "x".repeat(60_000);
        let mut written = 0;
        // Some 128 MB, of which most would be in the log.
        while written < 128 << 20 {
            let lines = vec![text.as_str(); 16];
            let mut report = factory::line(lines[0]);
            report.logs = lines
                .iter()
                .map(|text| factory::line(text).logs.remove(0))
                .collect();
            clerk.say(at, report).await;
            written += 16 * text.len();
        }
        let log = std::fs::metadata(directory.path().join("jobhook.db-wal"))
            .unwrap()
            .len();
        assert!(log < 80 << 20, "the log has {log} bytes");
        store.close().await;
        let gone = !directory.path().join("jobhook.db-wal").exists();
        assert!(gone, "closing folds the log in");
        let reopened = SqliteStore::open(&path, LogLimits::default())
            .await
            .unwrap();
        let action = reopened.action(at.action).await.unwrap().unwrap();
        assert!(action.updated_at >= Timestamp(0) && action.log.last > 0);
    }
}
