//! The local jobs of one data directory: what the supervisors tell, sorted by job.
//!
//! Any number of LocalRunners share one of these. For each job that somebody watches it keeps the
//! latest news; news are hints, and [`Supervisors::state`] is the truth.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::supervisor::{
    Exit, Notice, RunKey, State, SupervisorError, SupervisorOptions, Supervisors, Told,
};

/// The local jobs of a data directory.
#[derive(Clone, Debug)]
pub struct LocalJobs {
    supervisors: Supervisors,
    watched: Arc<Watched>,
}

type Watched = Mutex<HashMap<RunKey, watch::Sender<News>>>;

/// The latest about one job.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct News {
    /// How many lines of output there are.
    pub lines: u64,
    /// How it ended.
    pub exit: Option<Exit>,
    /// How often a supervisor was lost: its state must be asked for when this changes.
    pub upheavals: u64,
}

impl LocalJobs {
    /// Finds the supervisors of `data_dir`, and the jobs that they have.
    ///
    /// # Errors
    ///
    /// If the data directory cannot be used, or this program forgot
    /// [`supervisor::enter`](crate::supervisor::enter).
    pub async fn open(
        data_dir: &Path,
        options: SupervisorOptions,
    ) -> Result<LocalJobs, SupervisorError> {
        let (supervisors, told) = Supervisors::open(data_dir, options).await?;
        let watched = Arc::new(Watched::default());
        tokio::spawn(sort(told, Arc::clone(&watched)));
        Ok(LocalJobs {
            supervisors,
            watched,
        })
    }

    /// The supervisors themselves.
    pub fn supervisors(&self) -> &Supervisors {
        &self.supervisors
    }

    /// Watches `key` from now on.
    pub(crate) fn watch(&self, key: &RunKey) -> Watch {
        let sender = watched(&self.watched)
            .entry(key.clone())
            .or_default()
            .clone();
        let news = Some(sender.subscribe());
        Watch {
            key: key.clone(),
            sender,
            news,
            watched: Arc::clone(&self.watched),
        }
    }
}

/// An open eye on one job.
#[derive(Debug)]
pub(crate) struct Watch {
    key: RunKey,
    sender: watch::Sender<News>,
    /// There until this is dropped.
    news: Option<watch::Receiver<News>>,
    watched: Arc<Watched>,
}

impl Watch {
    /// Adds what an answer of a supervisor says.
    pub(crate) fn learn(&self, state: &State) {
        self.sender.send_if_modified(|news| match state {
            State::Running { lines, .. } if *lines > news.lines => {
                news.lines = *lines;
                true
            }
            State::Ended(exit) if news.exit.is_none() => {
                end(news, exit.clone());
                true
            }
            _ => false,
        });
    }

    /// The latest.
    pub(crate) fn news(&mut self) -> News {
        self.news
            .as_mut()
            .map(|news| news.borrow_and_update().clone())
            .unwrap_or_default()
    }

    /// Returns once there is something that [`Watch::news`] has not returned.
    pub(crate) async fn changed(&mut self) {
        if let Some(news) = &mut self.news {
            // Fails only without a sender, and this holds one.
            let _ = news.changed().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Under the lock, so that of two who leave at once one sees that it is the last.
        let mut watched = watched(&self.watched);
        self.news = None;
        if self.sender.receiver_count() == 0 {
            watched.remove(&self.key);
        }
    }
}

fn watched(watched: &Watched) -> MutexGuard<'_, HashMap<RunKey, watch::Sender<News>>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(news: &mut News, exit: Exit) {
    news.lines = exit.lines;
    news.exit = Some(exit);
}

async fn sort(mut told: mpsc::UnboundedReceiver<Told>, jobs: Arc<Watched>) {
    while let Some(told) = told.recv().await {
        let jobs = watched(&jobs);
        match told {
            Told::Notice(Notice::Started { .. }) => {}
            Told::Notice(Notice::Output { key, lines }) => {
                if let Some(job) = jobs.get(&key) {
                    // Also if the number is known: it says that the reader may say "read" again.
                    job.send_modify(|news| news.lines = news.lines.max(lines));
                }
            }
            Told::Notice(Notice::Exited { key, exit }) => {
                if let Some(job) = jobs.get(&key) {
                    job.send_modify(|news| end(news, exit));
                }
            }
            Told::Gone => {
                for job in jobs.values() {
                    job.send_modify(|news| news.upheavals += 1);
                }
            }
        }
    }
}
