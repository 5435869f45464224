//! Watches over one attempt, from its claim to its close.
//!
//! ```text
//! start ─▶ watch ──ended──▶ settle? ─▶ close
//!            │ ▲
//!            ▼ │ cancel mark, timeout, linger
//!           stop
//! ```
//!
//! A driver holds nothing that the store does not: if the server dies, the next one drives
//! the attempt from the same rows. The runner's stream says what is seen, notes in
//! [`crate::live`] what is heard; the ledger judges.

use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::JobEnvironment;
use tokio::sync::mpsc;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::action::{Action, TimeoutKind};
use crate::attempt::{Attempt, AttemptRef, Ending, Saw};
use crate::clock::Timestamp;
use crate::engine::Parts;
use crate::ledger::Answer;
use crate::live::{Notes, Watched};
use crate::runner::{JobStart, Runner, Sighting, StartError};
use crate::sheaf::Sheaf;
use crate::slots::Slot;
use crate::write::{Refusal, Write, Written};

/// How long to wait before a runner that was unavailable is asked again.
const RUNNER_AGAIN: Duration = Duration::from_secs(1);

/// How many announced heartbeats of silence mean trouble.
const HEARTBEATS: u32 = 3;

/// How many sightings share a commit at most.
const MOST_SIGHTINGS: usize = 256;

/// How this server came by an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It has just taken it.
    Claimed,
    /// An earlier server took it.
    TakenUp,
}

/// Drives the attempt until it is closed or the engine stops.
///
/// - `starting`: held until its runner was asked to start it.
pub(crate) async fn drive(
    parts: Arc<Parts>,
    runner: Arc<dyn Runner>,
    action: Action,
    attempt: Attempt,
    origin: Origin,
    slot: Slot,
    starting: TaskTrackerToken,
) {
    let watched = parts.changes.live.watch(&action, &attempt);
    let driver = Driver {
        at: attempt.at,
        parts,
        runner,
        action,
        attempt,
        origin,
        watched,
    };
    // `None` means that the engine stops; the next one goes on.
    let _ = driver.run(slot, starting).await;
    let live = &driver.parts.changes.live;
    live.unwatch(driver.at.action, &driver.watched);
}

struct Driver {
    at: AttemptRef,
    parts: Arc<Parts>,
    runner: Arc<dyn Runner>,
    action: Action,
    /// As it was when the driver began.
    attempt: Attempt,
    origin: Origin,
    watched: Arc<Watched>,
}

impl Driver {
    async fn run(&self, slot: Slot, starting: TaskTrackerToken) -> Option<()> {
        let gone_at = match &self.attempt.saw {
            Some(saw) => saw.at,
            None => {
                let (mut last, saw) = match self.start(starting).await? {
                    Ok(sightings) => self.watch(sightings).await?,
                    Err(reason) => (Sheaf::default(), self.saw(Ending::NotStarted { reason })),
                };
                let at = saw.at;
                last.writes.push(Write::Gone {
                    attempt: self.at,
                    saw,
                });
                if last.holds_its_words() || !self.may_have_more_to_say() {
                    // One commit where there is nothing to wait for.
                    last.writes.push(self.close());
                    let closed = self.store(last).await?;
                    drop(slot);
                    return self.closed(closed).await;
                }
                self.store(last).await?;
                at
            }
        };
        // The job is gone: what is left to do keeps nobody from starting.
        drop(slot);
        self.settle(gone_at).await?;
        let answers = self.parts.persist(vec![self.close()]).await?;
        self.closed(answers.into_iter().next()).await
    }

    fn close(&self) -> Write {
        Write::Close {
            attempt: self.at,
            needs_results: self.parts.settings.judge.needs_results(&self.action),
        }
    }

    fn saw(&self, ending: Ending) -> Saw {
        Saw {
            ending,
            at: self.parts.clock.now(),
            stopped: false,
            usage: None,
        }
    }

    /// Starts the job, or finds it. The inner error says why it never will start.
    async fn start(
        &self,
        starting: TaskTrackerToken,
    ) -> Option<Result<mpsc::Receiver<Sighting>, String>> {
        let judged = self.parts.settings.judge.may_start(&self.action).await;
        let mut forbidden = judged.err().or_else(|| self.cancelled());
        // A job that an earlier server took may be running, as only its runner knows.
        if self.origin == Origin::Claimed
            && let Some(reason) = forbidden
        {
            return Some(Err(reason));
        }
        let key = match self.parts.keyring.key_of(&self.attempt) {
            Ok(key) => key,
            Err(error) => return Some(Err(error.to_string())),
        };
        let environment = JobEnvironment {
            id: self.at.action.to_string(),
            secret_key: key,
            hook: self.parts.hook_url_of(&self.attempt).to_owned(),
            orchestrator: Some(self.parts.settings.orchestrator.clone()),
            attempt: Some(self.at.number),
            traceparent: self.action.traceparent.clone(),
        };
        let mut taken_up = self.origin == Origin::TakenUp;
        let mut starting = Some(starting);
        loop {
            let start = JobStart {
                attempt: self.at,
                action: self.action.clone(),
                environment: environment.clone(),
                nonce: self.attempt.nonce.clone(),
                claimed_at: self.attempt.claimed_at,
                output_offset: self.attempt.output_offset,
                output_mark: self.attempt.output_mark.clone(),
                taken_up,
                forbidden: forbidden.clone(),
            };
            let started = self.runner.start(start).await;
            starting.take();
            match started {
                Ok(sightings) => return Some(Ok(sightings)),
                Err(StartError::Refused(reason)) => return Some(Err(reason)),
                Err(StartError::Unavailable(reason)) => {
                    tracing::warn!(action.id = %self.at.action, runner = self.runner.name(), reason, "A runner is unavailable");
                    if !self.parts.pause(RUNNER_AGAIN).await {
                        return None;
                    }
                    // It may have been started all the same, as only its runner knows.
                    forbidden = forbidden.or_else(|| self.cancelled());
                    taken_up |= forbidden.is_some();
                }
            }
        }
    }

    /// Why a job that was cancelled is not started any more.
    fn cancelled(&self) -> Option<String> {
        let cancelled = self.watched.notes().cancelled;
        cancelled.then(|| "it was cancelled before it started".to_owned())
    }

    /// Follows the job to its end, and stops it when that is called for. What was seen together
    /// with the end is still to be stored.
    async fn watch(&self, mut sightings: mpsc::Receiver<Sighting>) -> Option<(Sheaf, Saw)> {
        // A mark that was set since the open attempts were read has left no note.
        if self.origin == Origin::TakenUp
            && let Ok(Some(action)) = self.parts.store.action(self.at.action).await
            && action.cancel.is_some()
        {
            self.watched.note(|notes| notes.cancelled = true);
        }
        let mut started_at = self.attempt.started_at;
        let mut timed_out = self.attempt.timed_out.is_some();
        let mut stop = StopCall::default();
        let mut seen = Vec::new();
        loop {
            let notes = self.watched.notes();
            let now = self.parts.clock.now();
            if !timed_out
                && notes.said_final_at.is_none()
                && let Some(kind) = self.fired(started_at, &notes, now)
            {
                self.parts
                    .persist(vec![Write::TimeOut {
                        attempt: self.at,
                        kind,
                    }])
                    .await?;
                timed_out = true;
                continue;
            }
            let wanted = timed_out
                || notes.cancelled
                || self.lingers_until(&notes).is_some_and(|until| until <= now);
            if wanted && stop.is_due(now) {
                stop.called(
                    self.runner
                        .stop(self.at, self.runner.terms().grace)
                        .await
                        .is_ok(),
                    now,
                );
            }
            let wake = if wanted {
                stop.again_at()
            } else {
                self.next_deadline(started_at, &notes)
            };
            tokio::select! {
                count = sightings.recv_many(&mut seen, MOST_SIGHTINGS) => match count {
                    0 if self.parts.stopping.is_cancelled() => return None,
                    0 => {
                        let reason = "its runner lost sight of it".into();
                        return Some((Sheaf::default(), self.saw(Ending::Lost { reason })));
                    }
                    _ => {
                        let (sheaf, end) = Sheaf::gather(self.at, seen.drain(..), &mut started_at);
                        match end {
                            Some(saw) => return Some((sheaf, saw)),
                            None => drop(self.store(sheaf).await?),
                        }
                    }
                },
                () = self.watched.changed() => {}
                () = self.parts.clock.sleep_until(wake.unwrap_or_default()), if wake.is_some() => {}
                () = self.parts.stopping.cancelled() => return None,
            }
        }
    }

    /// Stores a sheaf; gives the answer to its last write.
    async fn store(&self, sheaf: Sheaf) -> Option<Option<Answer>> {
        let answers = self.parts.persist(sheaf.writes).await?;
        let last = answers.last().cloned();
        let mut waiting = sheaf.waiting;
        for (place, answer) in answers.into_iter().enumerate() {
            match (waiting.remove(&place), answer) {
                // Who has gone does not wait any more.
                (Some(waits), answer) => drop(waits.send(answer)),
                // A close may have been made by somebody else.
                (None, Err(refusal)) if refusal != Refusal::Closed => {
                    tracing::error!(action.id = %self.at.action, %refusal, "What was seen of a job was refused");
                }
                (None, _) => {}
            }
        }
        Some(last)
    }

    /// A final word may still be on its way from a job that has reported before.
    async fn settle(&self, gone_at: Timestamp) -> Option<()> {
        let until = gone_at
            .min(self.parts.clock.now())
            .plus(self.parts.settings.settle);
        while self.may_have_more_to_say() {
            tokio::select! {
                () = self.watched.changed() => {}
                () = self.parts.clock.sleep_until(until) => return Some(()),
                () = self.parts.stopping.cancelled() => return None,
            }
        }
        Some(())
    }

    /// Whether a job that is gone may have sent a last word that has not come yet.
    fn may_have_more_to_say(&self) -> bool {
        let notes = self.watched.notes();
        notes.heard_at.is_some() && notes.said_final_at.is_none() && !notes.cancelled
    }

    /// The attempt is closed, or somebody else did that.
    async fn closed(&self, answer: Option<Answer>) -> Option<()> {
        match answer {
            Some(Ok(Written::Closed(action, closing))) => tracing::info!(
                action.id = %action.id, attempt = self.at.number, outcome = closing.outcome.as_str(), action.status = %action.status,
                failure = closing.failure.as_ref().map(|failure| failure.message.as_str()),
                "An attempt has closed",
            ),
            Some(Ok(other)) => {
                tracing::error!(action.id = %self.at.action, ?other, "A close was answered with something else")
            }
            // Somebody closed it before.
            Some(Err(refusal)) => {
                tracing::debug!(action.id = %self.at.action, %refusal, "A close was refused")
            }
            None => {}
        }
        self.parts.hook.forget(self.at.action);
        self.runner.forget(self.at).await;
        Some(())
    }

    /// The timeouts that can end this attempt now, each with its moment.
    fn deadlines(
        &self,
        started_at: Option<Timestamp>,
        notes: &Notes,
    ) -> [Option<(Timestamp, TimeoutKind)>; 3] {
        let action = &self.action;
        let run = started_at.and_then(|at| action.run_ends(at));
        let run = run.map(|until| (until, TimeoutKind::Run));
        let total = action.total_ends().map(|until| (until, TimeoutKind::Total));
        let silence = notes
            .heartbeat
            .map(|announced| announced * HEARTBEATS)
            .or(action.timeouts.heartbeat);
        let heartbeat = notes
            .heard_at
            .max(started_at)
            .zip(silence)
            .map(|(at, silence)| {
                (
                    self.parts.not_before_ready(at).plus(silence),
                    TimeoutKind::Heartbeat,
                )
            });
        [run, total, heartbeat]
    }

    fn fired(
        &self,
        started_at: Option<Timestamp>,
        notes: &Notes,
        now: Timestamp,
    ) -> Option<TimeoutKind> {
        let due = self
            .deadlines(started_at, notes)
            .into_iter()
            .flatten()
            .filter(|(at, _)| *at <= now);
        due.min_by_key(|(at, _)| *at).map(|(_, kind)| kind)
    }

    fn lingers_until(&self, notes: &Notes) -> Option<Timestamp> {
        notes
            .said_final_at
            .map(|said| said.plus(self.runner.terms().linger))
    }

    fn next_deadline(&self, started_at: Option<Timestamp>, notes: &Notes) -> Option<Timestamp> {
        if let Some(until) = self.lingers_until(notes) {
            return Some(until);
        }
        self.deadlines(started_at, notes)
            .into_iter()
            .flatten()
            .map(|(at, _)| at)
            .min()
    }
}

/// Calling a runner to stop a job: once it got through that is enough, before it is tried again.
#[derive(Default)]
struct StopCall {
    done: bool,
    failed_at: Option<Timestamp>,
}

impl StopCall {
    fn is_due(&self, now: Timestamp) -> bool {
        !self.done && self.again_at().is_none_or(|at| at <= now)
    }

    fn called(&mut self, done: bool, now: Timestamp) {
        self.done = done;
        self.failed_at = (!done).then_some(now);
    }

    fn again_at(&self) -> Option<Timestamp> {
        self.failed_at.map(|at| at.plus(RUNNER_AGAIN))
    }
}
