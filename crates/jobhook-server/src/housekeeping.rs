//! What each server does for itself now and then: remove what is beyond retention, directories
//! of runs that are over, and bytes of files that nothing needs any more.
//!
//! ```text
//! tokio-cron-scheduler ─fires─▶ Chore, unless its last run is still going ─▶ engine, store
//! ```
//!
//! A firing that is missed, or that two servers have, does no harm here: a chore looks at what
//! is there and is done with it. So it may live in memory, unlike a schedule of actions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use jobhook_engine::Engine;
use jobhook_engine::cron::Cron;
use jobhook_engine::files::Swept;
use jobhook_engine::retention::Retention;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;

/// How many actions one call of the store removes.
const AT_ONCE: usize = 1_000;

/// Runs chores when their expressions say, until it is stopped.
pub(crate) struct Housekeeping {
    scheduler: JobScheduler,
    stopping: CancellationToken,
    running: TaskTracker,
}

/// Something that is done now and then.
#[derive(Clone)]
pub(crate) struct Chore {
    name: &'static str,
    work: Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, ()> + Send + Sync>,
    busy: Arc<AtomicBool>,
}

/// Housekeeping could not be begun.
#[derive(Debug, thiserror::Error)]
#[error("housekeeping.{chore}: `{expression}` cannot be scheduled: {source}")]
pub struct HousekeepingError {
    chore: &'static str,
    expression: String,
    source: JobSchedulerError,
}

impl Housekeeping {
    /// Begins the chores of a configuration.
    pub(crate) async fn of(
        config: &Config,
        engine: &Engine,
    ) -> Result<Housekeeping, HousekeepingError> {
        let rules = config.retention.rules();
        let pruned = engine.clone();
        let prune = Chore::new("prune", move |stopping| {
            let engine = pruned.clone();
            Box::pin(async move { prune(&engine, &rules, &stopping).await })
        });
        let cleared = engine.clone();
        let runs = Chore::new("runs", move |_| {
            let engine = cleared.clone();
            Box::pin(async move { engine.clear_leftovers().await })
        });
        let swept = engine.clone();
        let files = Chore::new("files", move |stopping| {
            let engine = swept.clone();
            Box::pin(async move { sweep(&engine, &stopping).await })
        });
        let at_start = files.clone();
        let times = &config.housekeeping;
        let chores = [
            (times.prune.as_ref(), prune),
            (times.runs.as_ref(), runs),
            (times.files.as_ref(), files),
        ];
        let chores = chores
            .into_iter()
            .filter_map(|(cron, chore)| Some((cron?.clone(), chore)));
        let housekeeping = Housekeeping::begin(chores).await?;
        at_start.fire(&housekeeping.running, &housekeeping.stopping);
        Ok(housekeeping)
    }

    async fn begin(
        chores: impl IntoIterator<Item = (Cron, Chore)>,
    ) -> Result<Housekeeping, HousekeepingError> {
        let failed = |chore, expression: &str| {
            let expression = expression.to_owned();
            move |source| HousekeepingError {
                chore,
                expression,
                source,
            }
        };
        let scheduler = JobScheduler::new().await.map_err(failed("*", ""))?;
        let (stopping, running) = (CancellationToken::new(), TaskTracker::new());
        for (cron, chore) in chores {
            let name = chore.name;
            let (token, tracker) = (stopping.clone(), running.clone());
            let job = Job::new_async(cron.six_fields(), move |_, _| {
                let _fired = chore.fire(&tracker, &token);
                Box::pin(std::future::ready(()))
            })
            .map_err(failed(name, cron.expression()))?;
            let added = scheduler.add(job).await;
            added.map_err(failed(name, cron.expression()))?;
        }
        scheduler.start().await.map_err(failed("*", ""))?;
        Ok(Housekeeping {
            scheduler,
            stopping,
            running,
        })
    }

    /// Begins nothing more, asks what is under way to end, and waits for it.
    pub(crate) async fn stop(mut self) {
        self.stopping.cancel();
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "The scheduler of housekeeping did not stop");
        }
        self.running.close();
        self.running.wait().await;
    }
}

impl Chore {
    fn new(
        name: &'static str,
        work: impl Fn(CancellationToken) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Chore {
        Chore {
            name,
            work: Arc::new(work),
            busy: Arc::default(),
        }
    }

    /// Begins it on a task of its own; `false` if it is under way, or all is to stop.
    fn fire(&self, running: &TaskTracker, stopping: &CancellationToken) -> bool {
        if stopping.is_cancelled() || self.busy.swap(true, Ordering::AcqRel) {
            return false;
        }
        let done = Done(Arc::clone(&self.busy));
        let work = (self.work)(stopping.clone());
        running.spawn(async move {
            let _done = done;
            work.await;
        });
        true
    }
}

/// Whether the scheduler here knows such an expression. It takes nearly all that schedules of
/// actions take.
pub(crate) fn understands(cron: &Cron) -> bool {
    Job::new_async(cron.six_fields(), |_, _| Box::pin(std::future::ready(()))).is_ok()
}

/// Marks a chore as done, also where it panicked.
struct Done(Arc<AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Removes what is beyond the rules, by and by. What fails is tried at the next firing.
async fn prune(engine: &Engine, rules: &Retention, stopping: &CancellationToken) {
    let mut removed = 0;
    while !stopping.is_cancelled() {
        let now = engine.clock().now();
        match engine.store().prune(rules, now, AT_ONCE).await {
            Ok(count) => {
                removed += count;
                if count < AT_ONCE {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(%error, removed, "Finished actions could not be removed");
                return;
            }
        }
    }
    if removed > 0 {
        tracing::info!(removed, "Finished actions beyond retention were removed");
    }
}

/// Deletes bytes that nothing needs any more. What fails is tried at the next firing.
async fn sweep(engine: &Engine, stopping: &CancellationToken) {
    match engine.files().sweep(stopping).await {
        Ok(Swept {
            unused: 0,
            orphans: 0,
        }) => {}
        Ok(Swept { unused, orphans }) => {
            tracing::info!(
                unused,
                orphans,
                "Bytes that nothing needs any more were deleted"
            );
        }
        Err(error) => {
            tracing::warn!(%error, "Bytes that nothing needs any more could not be deleted");
        }
    }
}

impl fmt::Debug for Housekeeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Housekeeping").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
