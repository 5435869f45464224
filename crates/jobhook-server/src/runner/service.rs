//! Runs operations inside the server: one task a job.
//!
//! ```text
//! start ─▶ ServiceJob (task) ─┬─ the operation (task, on threads of its own)
//!                             └─ its words ─▶ Started, Said…, Ended ─▶ driver
//! ```
//!
//! Operations have threads of their own, so one that computes without a pause takes nothing
//! from those that answer requests; and they do not interrupt those, as many small ones would
//! ([`crate::background`]). What an operation says goes to the engine through the
//! runner's stream, or over HTTP like every other job's where `only_http_hook` is set.
//!
//! A job in here dies with its server. An attempt that an earlier server took is lost,
//! whatever became of it: that is an infrastructure failure, and tried again where tries are left.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jobhook::Operations;
use jobhook_engine::attempt::{AttemptRef, Ending, Saw};
use jobhook_engine::clock::{Clock, SystemClock};
use jobhook_engine::runner::{
    JobStart, Runner, Sighting, StartError, StopError, Terms, TypeFilter,
};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::service_job::{Reporting, ServiceJob};
use crate::background;
use crate::config;
use crate::operations::{Catalogue, EVERY_OPERATION};

/// How many sightings wait for the driver before the job waits for it.
const SIGHTINGS: usize = 64;
/// How long a job that was ended has to be stored, when the server stops.
const STORED: Duration = Duration::from_secs(2);

/// Runs the operations of this program.
pub struct ServiceRunner {
    name: String,
    types: TypeFilter,
    concurrency: usize,
    terms: Terms,
    reporting: Reporting,
    operations: Operations,
    /// What the operations promise to return.
    catalogue: Arc<Catalogue>,
    jobs: Arc<Jobs>,
    /// Taken out when it is dropped.
    threads: Option<Runtime>,
}

/// Why there is no runner for operations.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceRunnerError {
    /// It is told to take what is no operation of this program.
    #[error(
        "actions: `{name}` is no operation of this program, and a ServiceRunner runs nothing else; it has {known}"
    )]
    NotAnOperation {
        /// What it was told to take.
        name: String,
        /// What there is.
        known: String,
    },
    /// The system gives no threads.
    #[error("the system gives no threads for operations")]
    Threads(#[source] io::Error),
}

/// The jobs that run, and those that have ended and were not forgotten yet.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    all: Mutex<HashMap<AttemptRef, Arc<Entry>>>,
    forgotten: Notify,
    /// The server stops: nothing is started any more.
    closing: CancellationToken,
}

/// One job, as it is stopped and waited for.
#[derive(Debug)]
pub(super) struct Entry {
    /// The job is asked to end.
    pub(super) stop: CancellationToken,
    /// The job has had its time.
    pub(super) abort: CancellationToken,
    /// The server asked, because it stops itself.
    pub(super) closing: CancellationToken,
    /// How it ended, once it has.
    pub(super) end: watch::Sender<Option<Saw>>,
}

impl ServiceRunner {
    /// A runner called `name` for operations of this program.
    ///
    /// - `catalogue`: what results are judged by.
    ///
    /// # Errors
    ///
    /// [`ServiceRunnerError`].
    pub fn configured(
        name: &str,
        settings: &config::ServiceRunner,
        operations: Operations,
        catalogue: Arc<Catalogue>,
    ) -> Result<ServiceRunner, ServiceRunnerError> {
        let all = || operations.ids().map(str::to_owned).collect::<Vec<_>>();
        let mut takes = settings.actions.clone().unwrap_or_else(all);
        if takes.iter().any(|id| id == EVERY_OPERATION) {
            takes = all();
        }
        if let Some(name) = takes.iter().find(|id| operations.get(id).is_none()) {
            let known = match all() {
                none if none.is_empty() => "none".to_owned(),
                some => some.join(", "),
            };
            return Err(ServiceRunnerError::NotAnOperation {
                name: name.clone(),
                known,
            });
        }
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.into())
            .thread_name("operation")
            .on_thread_start(|| {
                // Where it is forbidden, operations run all the same.
                let _ = background::stand_back();
            })
            .enable_all()
            .build()
            .map_err(ServiceRunnerError::Threads)?;
        Ok(ServiceRunner {
            name: name.to_owned(),
            types: TypeFilter::only(takes),
            concurrency: usize::try_from(settings.concurrency).unwrap_or(usize::MAX),
            terms: Terms {
                auto_status: false,
                signature_required: false,
                grace: settings.grace,
                linger: Duration::ZERO,
            },
            reporting: if settings.only_http_hook {
                Reporting::Hook(operations.clone())
            } else {
                Reporting::Store
            },
            operations,
            catalogue,
            jobs: Arc::default(),
            threads: Some(threads),
        })
    }
}

impl Jobs {
    fn all(&self) -> MutexGuard<'_, HashMap<AttemptRef, Arc<Entry>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a job, and whether it is new.
    fn enter(&self, job: AttemptRef) -> (Arc<Entry>, bool) {
        let mut all = self.all();
        if let Some(entry) = all.get(&job) {
            return (Arc::clone(entry), false);
        }
        let entry = Arc::new(Entry {
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            closing: self.closing.clone(),
            end: watch::Sender::new(None),
        });
        all.insert(job, Arc::clone(&entry));
        (entry, true)
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.all().values().cloned().collect()
    }

    /// Returns once nothing is left.
    async fn empty(&self) {
        loop {
            let forgotten = self.forgotten.notified();
            tokio::pin!(forgotten);
            forgotten.as_mut().enable();
            if self.all().is_empty() {
                return;
            }
            forgotten.await;
        }
    }
}

#[async_trait]
impl Runner for ServiceRunner {
    fn name(&self) -> &str {
        &self.name
    }

    fn types(&self) -> &TypeFilter {
        &self.types
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    async fn start(&self, job: JobStart) -> Result<mpsc::Receiver<Sighting>, StartError> {
        let Some(operation) = self.operations.get(&job.action.action_type) else {
            return Err(StartError::Refused(format!(
                "`{}` is no operation of this program",
                job.action.action_type
            )));
        };
        let (sightings, seen) = mpsc::channel(SIGHTINGS);
        if self.jobs.closing.is_cancelled() {
            return Err(StartError::Unavailable("the server stops".into()));
        }
        let (entry, new) = self.jobs.enter(job.attempt);
        if new && job.taken_up {
            entry.end.send_replace(Some(Saw {
                ending: Ending::Lost {
                    reason: "the server that ran the operation has stopped".into(),
                },
                at: SystemClock.now(),
                stopped: false,
                usage: None,
            }));
        }
        if new && !job.taken_up {
            let catalogue = Arc::clone(&self.catalogue);
            let job = ServiceJob::new(job, operation.clone(), catalogue, entry, sightings);
            let threads = self.threads.as_ref().map(Runtime::handle);
            if let Some(threads) = threads {
                tokio::spawn(job.run(self.reporting.clone(), threads.clone()));
            }
        } else {
            tokio::spawn(async move {
                let mut end = entry.end.subscribe();
                // The sender is in the entry, which is held here.
                let saw = end.wait_for(Option::is_some).await;
                if let Some(saw) = saw.ok().and_then(|saw| saw.clone()) {
                    // Who does not look any more has shut down.
                    let _ = sightings.send(Sighting::Ended(saw)).await;
                }
            });
        }
        Ok(seen)
    }

    async fn stop(&self, job: AttemptRef, grace: Duration) -> Result<(), StopError> {
        let entry = self.jobs.all().get(&job).cloned();
        if let Some(entry) = entry {
            entry.stop.cancel();
            tokio::spawn(async move {
                let mut end = entry.end.subscribe();
                let ended = end.wait_for(Option::is_some);
                if tokio::time::timeout(grace, ended).await.is_err() {
                    entry.abort.cancel();
                }
            });
        }
        Ok(())
    }

    async fn forget(&self, job: AttemptRef) {
        self.jobs.all().remove(&job);
        self.jobs.forgotten.notify_waiters();
    }

    async fn shut_down(&self) {
        self.jobs.closing.cancel();
        for entry in self.jobs.entries() {
            entry.stop.cancel();
        }
        let grace = tokio::time::timeout(self.terms.grace, self.jobs.empty());
        if grace.await.is_ok() {
            return;
        }
        let left = self.jobs.entries();
        for entry in &left {
            entry.abort.cancel();
        }
        tracing::warn!(
            runner = self.name,
            operations = left.len(),
            "Operations were ended because the server stops"
        );
        // What is not stored by then is found open by the next server.
        let _ = tokio::time::timeout(STORED, self.jobs.empty()).await;
    }
}

impl Drop for ServiceRunner {
    /// An operation that cannot be ended holds nobody back.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl fmt::Debug for ServiceRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceRunner")
            .field("name", &self.name)
            .field("types", &self.types)
            .finish_non_exhaustive()
    }
}
