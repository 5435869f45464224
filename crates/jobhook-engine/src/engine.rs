//! The engine from outside: launch, cancel, retry, report, and the loops that do the rest.
//!
//! ```text
//!   API ── launch, cancel, retry ─┐                      ┌─ dispatcher, one loop a runner
//!                                 ├─▶ Batcher ─▶ Store ◀─┼─ drivers, one a live attempt
//!  hook ── report ────────────────┘                      ├─ reaper, for what nobody takes
//!                                                        └─ scheduler, for what launches by itself
//! ```
//!
//! Everything that is decided here is decided by the [ledger](crate::ledger) inside a
//! transaction; the engine carries writes there and hints back.

mod schedules;
mod untaken;

pub use schedules::check_schedule;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jobhook_protocol::{GrantBody, Json, Report};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::{Action, ActionId, Failure, NewAction, Timeouts};
use crate::attempt::Attempt;
use crate::batcher::{Batcher, WriteFailure};
use crate::blob::BlobName;
use crate::changes::Changes;
use crate::clock::{Clock, Timestamp};
use crate::cron::CronError;
use crate::file::InputFile;
use crate::files::{FileSettings, Files};
use crate::hook::{Hook, Proven};
use crate::judge::{Judge, Lenient};
use crate::keyring::Keyring;
use crate::runner::{Runner, TypeFilter, untaken};
use crate::slots::Slots;
use crate::store::{Store, StoreError};
use crate::write::{Refusal, ReportWrite, Reported, Write, Written};

/// A running engine. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Parts>);

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) batcher: Batcher,
    pub(crate) changes: Arc<Changes>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) hook: Hook,
    pub(crate) files: Files,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runners: Vec<(Arc<dyn Runner>, Arc<Slots>)>,
    pub(crate) settings: Settings,
    /// Nothing is started any more.
    pub(crate) draining: CancellationToken,
    /// Nothing is watched any more.
    pub(crate) stopping: CancellationToken,
    pub(crate) loops: TaskTracker,
    /// Who takes actions, and those that were taken and not given to their runner yet.
    pub(crate) starting: TaskTracker,
    /// When this engine was ready: an outage before it is nobody's silence.
    pub(crate) ready_at: OnceLock<Timestamp>,
}

/// What an engine is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this server among those that share the store.
    pub worker: String,
    /// The address that jobs report to.
    pub hook_url: String,
    /// The `JOB_ORCHESTRATOR` of its jobs.
    pub orchestrator: String,
    /// How far a job's clock may be off; `None` for any, except where `v1` is spoken.
    pub max_clock_skew: Option<Duration>,
    /// How long an attempt whose job is gone waits for a final word on its way, if the job
    /// has reported before.
    pub settle: Duration,
    /// By what it is judged whether jobs may start, and what their silence is worth.
    pub judge: Arc<dyn Judge>,
    /// Where files are kept, and how many.
    pub files: FileSettings,
}

impl Settings {
    /// The usual settings for a server named `worker` whose jobs report to `hook_url`.
    pub fn new(worker: impl Into<String>, hook_url: impl Into<String>) -> Settings {
        Settings {
            worker: worker.into(),
            hook_url: hook_url.into(),
            orchestrator: "jobhook".into(),
            max_clock_skew: Some(crate::hook::DEFAULT_SKEW),
            settle: Duration::from_secs(2),
            judge: Arc::new(Lenient),
            files: FileSettings::default(),
        }
    }
}

/// What is asked of a launch.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The action's type, which picks the runner.
    pub action_type: String,
    /// Whether it is an operation: `action_type` is its id then, and the arguments its input.
    pub operation: bool,
    /// What its job finds as arguments.
    pub arguments: Option<Json>,
    /// How many tries it has; 0 counts as 1.
    pub attempts: u32,
    /// When it is to start; at once if `None`.
    pub scheduled: Option<Timestamp>,
    /// What ends it when it takes too long.
    pub timeouts: Timeouts,
    /// W3C Trace Context of the request.
    pub traceparent: Option<String>,
    /// What its job finds as inputs.
    pub files: Vec<InputFile>,
    /// What its job may use beyond its own files.
    pub grants: Vec<GrantBody>,
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The ledger refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Only a final action is run again.
    #[error("the action is still {0}; only a final one is run again")]
    NotFinal(jobhook_protocol::Status),
    /// A schedule's times cannot be read.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// A schedule's name is none.
    #[error(
        "`{0}` is no name for a schedule: use 1 to 128 letters, digits and `_.-`, a letter first, and not `preview`"
    )]
    ScheduleName(String),
    /// A schedule begins after its end.
    #[error("the schedule's `start` lies after its `end`, so that it would never fire")]
    ScheduleEndsFirst,
    /// A schedule launches what no runner takes.
    #[error("{0}")]
    NoRunner(String),
    /// The store could not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store could not write.
    #[error(transparent)]
    Write(#[from] WriteFailure),
}

impl Engine {
    /// Puts an engine together. Nothing runs before [`Engine::start`], but launches and
    /// reports are taken.
    ///
    /// - `runners`: in the order of the configuration; the first that takes a type gets it.
    pub fn new(
        store: Arc<dyn Store>,
        runners: Vec<Arc<dyn Runner>>,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Engine {
        let changes = Arc::new(Changes::default());
        let keyring = Arc::new(keyring);
        let hook = Hook::new(
            Arc::clone(&store),
            Arc::clone(&keyring),
            Arc::clone(&clock),
            settings.max_clock_skew,
        );
        let batcher = Batcher::start(Arc::clone(&store), Arc::clone(&changes), Arc::clone(&clock));
        let other_hook_urls = runners.iter().filter_map(|runner| {
            let url = runner.hook_url()?.to_owned();
            Some((runner.name().to_owned(), url))
        });
        let files = Files::new(
            Arc::clone(&store),
            batcher.clone(),
            Arc::clone(&keyring),
            Arc::clone(&clock),
            settings.hook_url.clone(),
            other_hook_urls.collect(),
            settings.files.clone(),
        );
        let runners = runners
            .into_iter()
            .map(|runner| {
                let slots = Slots::new(runner.concurrency());
                (runner, slots)
            })
            .collect();
        Engine(Arc::new(Parts {
            store,
            batcher,
            changes,
            keyring,
            hook,
            files,
            clock,
            runners,
            settings,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            loops: TaskTracker::new(),
            starting: TaskTracker::new(),
            ready_at: OnceLock::new(),
        }))
    }

    /// Takes up the attempts that are open in the store, then starts dispatching.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the open attempts could not be read.
    pub async fn start(&self) -> Result<(), StoreError> {
        let parts = &self.0;
        let open = parts.store.open_attempts().await?;
        let _ = parts.ready_at.set(parts.clock.now());
        crate::dispatcher::adopt(parts, open);
        crate::dispatcher::start(parts);
        parts.loops.spawn(crate::reaper::run(Arc::clone(parts)));
        parts.loops.spawn(crate::scheduler::run(Arc::clone(parts)));
        parts
            .loops
            .spawn(crate::leftovers::clear(Arc::clone(parts)));
        let engine = self.clone();
        parts
            .loops
            .spawn(async move { engine.warn_of_untaken().await });
        parts.loops.close();
        Ok(())
    }

    /// Has every runner forget what it still keeps about jobs whose attempts are closed, as
    /// [`start`](Engine::start) does too. Returns once that is done, or the engine stops.
    pub async fn clear_leftovers(&self) {
        crate::leftovers::clear(Arc::clone(&self.0)).await;
    }

    /// Stops dispatching and watching; jobs go on, but for those that run inside this server.
    /// Returns once everything in flight is written.
    pub async fn stop(&self) {
        self.0.draining.cancel();
        // What was taken is started: a runner that shuts down starts nothing any more.
        self.0.starting.close();
        self.0.starting.wait().await;
        let runners = self.0.runners.iter();
        futures_util::future::join_all(runners.map(|(runner, _)| runner.shut_down())).await;
        self.0.stopping.cancel();
        self.0.loops.close();
        self.0.loops.wait().await;
    }

    /// Stores actions, all or none, and by that enqueues them. One whose type no runner
    /// takes is stored as `ERROR`.
    ///
    /// # Errors
    ///
    /// [`EngineError::Write`].
    pub async fn launch(&self, launches: Vec<Launch>) -> Result<Vec<Action>, EngineError> {
        let staged = |launch: &Launch| -> Vec<BlobName> {
            let files = launch.files.iter();
            files.map(|file| file.staged.clone()).collect()
        };
        let brought: Vec<_> = launches.iter().map(staged).collect();
        let writes = launches
            .into_iter()
            .map(|launch| Write::Insert(Box::new(self.new_action(launch))))
            .collect();
        let answers = self.0.batcher.write_all(writes).await?;
        for (blobs, answer) in brought.into_iter().zip(&answers) {
            if answer.is_ok() {
                self.0.files.forget_surplus(blobs).await;
            }
        }
        answers.into_iter().map(into_action).collect()
    }

    /// Launches a final action again, as a new one with the same inputs and grants.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`Refusal::NotFound`], [`EngineError::NotFinal`] or the store's.
    pub async fn retry(&self, id: ActionId) -> Result<Action, EngineError> {
        let action = self.0.store.action(id).await?.ok_or(Refusal::NotFound)?;
        if !action.status.is_final() {
            return Err(EngineError::NotFinal(action.status));
        }
        let launch = Launch {
            action_type: action.action_type,
            operation: action.operation,
            arguments: action.arguments,
            attempts: action.attempts,
            timeouts: action.timeouts,
            grants: action.grants,
            ..Launch::default()
        };
        let new = NewAction {
            retry_of: Some(id),
            inputs_of: Some(id),
            ..self.new_action(launch)
        };
        into_action(self.0.batcher.write(Write::Insert(Box::new(new))).await?)
    }

    /// Marks an action as cancelled: what has not started never will, what runs is stopped.
    ///
    /// - `by`: the name of the token that asks, or `local`.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`Refusal::NotFound`], [`Refusal::AlreadyFinal`] or the store's.
    pub async fn cancel(
        &self,
        id: ActionId,
        by: String,
        reason: Option<String>,
    ) -> Result<Action, EngineError> {
        let cancel = Write::Cancel {
            action: id,
            by,
            reason,
        };
        into_action(self.0.batcher.write(cancel).await?)
    }

    /// Applies a report whose sender is proven.
    ///
    /// # Errors
    ///
    /// [`EngineError`].
    pub async fn report(&self, proven: Proven, report: Report) -> Result<Reported, EngineError> {
        let write = ReportWrite {
            attempt: proven.attempt(),
            report,
            job_time_ms: proven.job_time_ms(),
        };
        match self
            .0
            .batcher
            .write(Write::Report(Box::new(write)))
            .await??
        {
            Written::Reported(reported) => Ok(*reported),
            other => Err(unexpected(&other)),
        }
    }

    /// Who may report.
    pub fn hook(&self) -> &Hook {
        &self.0.hook
    }

    /// What files there are, and the way to more.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Hints about changes.
    pub fn changes(&self) -> &Changes {
        &self.0.changes
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Whether open attempts were taken up and dispatching goes on.
    pub fn is_ready(&self) -> bool {
        self.0.ready_at.get().is_some() && !self.0.draining.is_cancelled()
    }

    /// The names of the runners, in order.
    pub fn runner_names(&self) -> impl Iterator<Item = &str> {
        self.0.runners.iter().map(|(runner, _)| runner.name())
    }

    fn new_action(&self, launch: Launch) -> NewAction {
        let refusal = untaken(&launch.action_type, self.types())
            .map(|message| Failure::new("no_runner", message));
        NewAction {
            id: ActionId::draw(self.0.clock.now()),
            action_type: launch.action_type,
            operation: launch.operation,
            schedule: None,
            arguments: launch.arguments,
            attempts: launch.attempts.max(1),
            scheduled: launch.scheduled,
            timeouts: launch.timeouts,
            retry_of: None,
            traceparent: launch.traceparent,
            refusal,
            files: launch.files,
            most: self.0.settings.files.object,
            inputs_of: None,
            grants: launch.grants,
        }
    }

    /// What each runner takes, in order.
    pub(crate) fn types(&self) -> impl Iterator<Item = &TypeFilter> + Clone {
        let runners = self.0.runners.iter();
        runners.map(|(runner, _)| runner.types())
    }
}

impl Parts {
    /// Writes what must be written, however long the store is away; `None` once the engine
    /// stops.
    pub(crate) async fn persist(&self, writes: Vec<Write>) -> Option<Vec<crate::ledger::Answer>> {
        const AGAIN: Duration = Duration::from_secs(1);
        loop {
            // The batcher has logged what went wrong.
            if let Ok(answers) = self.batcher.write_all(writes.clone()).await {
                return Some(answers);
            }
            if !self.pause(AGAIN).await {
                return None;
            }
        }
    }

    /// Whether a runner takes actions of a type.
    pub(crate) fn takes(&self, action_type: &str) -> bool {
        self.runners
            .iter()
            .any(|(runner, _)| runner.types().takes(action_type))
    }

    /// Waits; `false` once the engine stops.
    pub(crate) async fn pause(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.clock.sleep(duration) => true,
            () = self.stopping.cancelled() => false,
        }
    }

    /// What an attempt that runs now is measured from, if it is older than this engine.
    pub(crate) fn not_before_ready(&self, moment: Timestamp) -> Timestamp {
        self.ready_at
            .get()
            .map_or(moment, |ready| moment.max(*ready))
    }

    /// The hook's address as the job of an attempt reaches it.
    pub(crate) fn hook_url_of(&self, attempt: &Attempt) -> &str {
        self.runner_of(attempt)
            .and_then(|(runner, _)| runner.hook_url())
            .unwrap_or(&self.settings.hook_url)
    }

    pub(crate) fn runner_of(&self, attempt: &Attempt) -> Option<&(Arc<dyn Runner>, Arc<Slots>)> {
        self.runners
            .iter()
            .find(|(runner, _)| runner.name() == attempt.runner)
    }
}

fn into_action(answer: crate::ledger::Answer) -> Result<Action, EngineError> {
    match answer? {
        Written::Action(action) => Ok(*action),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(written: &Written) -> EngineError {
    EngineError::Store(StoreError::Damaged(format!(
        "a write was answered with {written:?}"
    )))
}

#[cfg(test)]
mod tests;
