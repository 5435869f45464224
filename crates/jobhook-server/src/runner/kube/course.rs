//! The course of one job: launched, watched, its log read, stopped if that is wanted, and its end told.
//!
//! ```text
//! launch ─▶ record ─▶ wait ─▶ run ─▶ read the log to its end ─▶ Ended
//!                       ▲ stop: delete with grace, then without
//! ```
//!
//! Nothing here is told of by the watch alone: what decides was seen of this very Job. Nothing is deleted
//! before its log is read and its end stored, unless it is to be stopped.

use std::sync::Arc;
use std::time::Duration;

use jobhook_engine::attempt::{AttemptRef, Ending, Fault, Saw};
use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::runner::{JobStart, Output, OutputLine, Sighting};
use jobhook_protocol::LineSource;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::api_error::{Backoff, Failure};
use super::launch::{self, Found, Known, Launched};
use super::manifest::Manifest;
use super::mark::Mark;
use super::rate::Rate;
use super::removal;
use super::waits::Waits;
use super::watch::{Followed, Watch};
use super::watching::Watching;
use crate::config;

/// Why nothing was started, where that was not wanted any more.
const STOPPED: &str = "it was stopped before its Job was created";

/// How long the calls of one launch may take together: an API server ends each after a minute by itself.
const LAUNCH: Duration = Duration::from_secs(120);

/// What the courses of a runner share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) runner: String,
    pub(super) installation: String,
    pub(super) watch: Arc<Watch>,
    pub(super) rate: Rate,
    pub(super) config: config::KubeRunner,
}

/// The course of one job.
pub(super) struct Course {
    pub(super) shared: Arc<Shared>,
    pub(super) at: AttemptRef,
    pub(super) name: String,
    pub(super) digest: String,
    /// What to create, or why that may not be.
    pub(super) manifest: Result<Manifest, String>,
    pub(super) known: Known,
    /// How long it has to end, once it is to be stopped.
    pub(super) stop: watch::Receiver<Option<Duration>>,
    pub(super) sightings: mpsc::Sender<Sighting>,
    pub(super) offset: u64,
    pub(super) mark: Mark,
    /// Whether this server has sent something that may be there.
    may_have_launched: bool,
    pub(super) waits: Waits,
}

/// What is left in the cluster when a course is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing that runs.
    AtRest,
    /// Something that may still run.
    Alive,
}

/// Nobody looks any more: the job goes on without us.
pub(super) struct Unwatched;

/// How a course ends.
pub(super) struct End {
    pub(super) ending: Ending,
    pub(super) at: Option<Timestamp>,
    pub(super) left: Left,
}

impl End {
    pub(super) fn now(ending: Ending) -> End {
        End {
            ending,
            at: None,
            left: Left::Alive,
        }
    }
}

impl Course {
    pub(super) fn of(
        shared: Arc<Shared>,
        start: &JobStart,
        name: String,
        digest: String,
        manifest: Result<Manifest, String>,
        stop: watch::Receiver<Option<Duration>>,
        sightings: mpsc::Sender<Sighting>,
    ) -> Course {
        let mark = Mark::read(start.output_mark.as_deref());
        Course {
            at: start.attempt,
            known: Known {
                uid: mark.job.clone(),
                taken_up: start.taken_up,
                claimed_at: start.claimed_at,
                ttl: shared.config.ttl,
            },
            offset: start.output_offset,
            shared,
            name,
            digest,
            manifest,
            stop,
            sightings,
            mark,
            may_have_launched: false,
            waits: Waits::default(),
        }
    }

    /// Runs it to its end, and tells that; gives what is left of it.
    pub(super) async fn run(mut self) -> Result<Left, Unwatched> {
        let end = self.reach_the_end().await?;
        let saw = Saw {
            ending: end.ending,
            at: end.at.unwrap_or_else(|| SystemClock.now()),
            stopped: self.is_to_be_stopped(),
            usage: None,
        };
        self.show(Sighting::Ended(saw)).await?;
        Ok(end.left)
    }

    async fn reach_the_end(&mut self) -> Result<End, Unwatched> {
        let followed = self.shared.watch.follow(&self.name);
        let adopted = match self.launched().await? {
            Ok((Launched::Job { uid, .. }, adopted)) => {
                let recorded = self.mark.job.replace(uid.clone());
                if recorded.as_ref() != Some(&uid) {
                    self.tell(Vec::new()).await?;
                }
                adopted
            }
            Ok((Launched::Unwatched, _)) => return self.leave_alone().await,
            // Its pod may still be on its way out.
            Ok((Launched::Gone(ending), _)) => {
                self.ask(&followed).await?;
                if followed.seen.borrow().pods.values().all(|pod| pod.deleted) {
                    return Ok(End {
                        left: Left::AtRest,
                        ..End::now(ending)
                    });
                }
                true
            }
            Err(end) => return Ok(end),
        };
        if adopted {
            self.ask(&followed).await?;
        }
        Watching::of(self, followed).run().await
    }

    /// Launches it, however long the API server is away; and whether it was there already. The inner
    /// error is an end without a job.
    async fn launched(&mut self) -> Result<Result<(Launched, bool), End>, Unwatched> {
        let mut backoff = Backoff::default();
        let shared = Arc::clone(&self.shared);
        let cluster = shared.watch.cluster();
        let mut tries = 0;
        loop {
            tries += 1;
            if self.is_to_be_stopped() && !self.may_have_launched && !self.may_be_there() {
                return self.given_up(STOPPED).await.map(Err);
            }
            let failure = match self.launch_once().await? {
                Ok(launched) => return Ok(Ok(launched)),
                Err(failure) => failure,
            };
            if let Failure::Refused(words) = failure {
                return self.given_up(&words).await.map(Err);
            }
            // Where an earlier server may have begun, what is there is found first, and stopped then.
            if self.is_to_be_stopped() && !self.may_be_there() {
                return self.given_up(STOPPED).await.map(Err);
            }
            tracing::warn!(
                action.id = %self.at.action, attempt = self.at.number, runner = %shared.runner,
                cluster = cluster.address, "A Job cannot be created for now: {failure}"
            );
            let wait = failure.wait().max(backoff.next());
            // What is over soon needs no line in the log.
            if tries > 2 {
                self.tell_why(&failure.to_string()).await?;
            }
            self.pause(wait).await?;
        }
    }

    async fn launch_once(&mut self) -> Result<Result<(Launched, bool), Failure>, Unwatched> {
        let shared = Arc::clone(&self.shared);
        let cluster = shared.watch.cluster();
        let mut is_there = false;
        if self.may_be_there() {
            let now = SystemClock.now();
            let (name, digest) = (&self.name, &self.digest);
            match launch::find(
                cluster,
                &shared.installation,
                name,
                digest,
                &self.known,
                now,
            )
            .await
            {
                Ok(Found::Job(uid)) if self.known.uid.is_some() || self.manifest.is_err() => {
                    return Ok(Ok((Launched::Job { uid, found: true }, true)));
                }
                // The launch goes on where it was left.
                Ok(Found::Job(_)) => is_there = true,
                Ok(Found::Gone(ending)) => return Ok(Ok((Launched::Gone(ending), true))),
                Ok(Found::Nothing) => {}
                Err(failure) => return Ok(Err(failure)),
            }
        }
        let manifest = match &self.manifest {
            Ok(manifest) => manifest.clone(),
            Err(reason) => return Ok(Err(Failure::Refused(reason.clone()))),
        };
        let mut stop = self.stop.clone();
        // Kept until the launch is through.
        let _permit = tokio::select! {
            biased;
            // A stop need not wait for its turn, where there is nothing to stop.
            _ = asked_to_stop(&mut stop), if !is_there => {
                return Ok(Err(Failure::Refused(STOPPED.to_owned())));
            }
            permit = shared.rate.permit(!self.may_have_launched && !is_there) => permit,
            () = self.sightings.closed() => return Err(Unwatched),
        };
        self.may_have_launched = true;
        let launch = launch::launch(cluster, &shared.installation, &manifest);
        let launched = tokio::time::timeout(LAUNCH, launch).await;
        let launched = launched.unwrap_or_else(|_| {
            let waited = LAUNCH.as_secs();
            Err(Failure::unavailable(format!("no answer within {waited} s")))
        });
        Ok(launched.map(|launched| {
            let found = matches!(launched, Launched::Job { found: true, .. });
            (launched, is_there || found)
        }))
    }

    /// Whether an earlier server may have launched it.
    fn may_be_there(&self) -> bool {
        self.known.taken_up || self.known.uid.is_some()
    }

    fn is_to_be_stopped(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Nothing was started, and nothing is left.
    async fn given_up(&self, reason: &str) -> Result<End, Unwatched> {
        // A try may have created something, though its answer was lost.
        if self.may_have_launched || self.known.taken_up {
            self.clear_away().await?;
        }
        let ending = Ending::NotStarted {
            reason: reason.to_owned(),
        };
        Ok(End {
            left: Left::AtRest,
            ..End::now(ending)
        })
    }

    /// Removes what a launch may have left, however long the API server is away.
    async fn clear_away(&self) -> Result<(), Unwatched> {
        let shared = Arc::clone(&self.shared);
        let (cluster, digest) = (shared.watch.cluster(), Some(self.digest.as_str()));
        let mut backoff = Backoff::default();
        loop {
            let removed = removal::remove(cluster, &shared.installation, &self.name, digest).await;
            match removed {
                Ok(()) | Err(Failure::Refused(_)) => return Ok(()),
                Err(failure) => tracing::warn!(
                    action.id = %self.at.action, attempt = self.at.number, runner = %shared.runner,
                    "What is left of a launch cannot be removed for now: {failure}"
                ),
            }
            self.pause(backoff.next()).await?;
        }
    }

    /// What is not watched ends with the last word of the job, or when it is stopped.
    async fn leave_alone(&mut self) -> Result<End, Unwatched> {
        self.show(Sighting::Started {
            at: SystemClock.now(),
        })
        .await?;
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = asked_to_stop(&mut stop) => {}
            () = self.sightings.closed() => return Err(Unwatched),
        }
        let ending = Ending::Displaced {
            name: "unwatched".into(),
            reason: "what its template creates is not a Job, and so is not watched: only what it reports counts".into(),
            fault: Fault::Code,
        };
        Ok(End::now(ending))
    }

    /// Asks how the Job stands, until that is known.
    pub(super) async fn ask(&mut self, followed: &Followed) -> Result<(), Unwatched> {
        let mut backoff = Backoff::default();
        while let Err(error) = followed.ask().await {
            let failure = Failure::of(&error);
            tracing::warn!(action.id = %self.at.action, runner = %self.shared.runner, "Nobody can say how a Job stands: {failure}");
            self.pause(backoff.next()).await?;
        }
        Ok(())
    }

    async fn pause(&self, duration: Duration) -> Result<(), Unwatched> {
        let mut stop = self.stop.clone();
        let is_stopped = stop.borrow_and_update().is_some();
        tokio::select! {
            () = tokio::time::sleep(duration) => Ok(()),
            _ = stop.changed(), if !is_stopped => Ok(()),
            () = self.sightings.closed() => Err(Unwatched),
        }
    }

    pub(super) async fn show(&self, sighting: Sighting) -> Result<(), Unwatched> {
        self.sightings.send(sighting).await.map_err(|_| Unwatched)
    }

    /// Tells lines, and has the mark stored with them.
    pub(super) async fn tell(&mut self, lines: Vec<OutputLine>) -> Result<(), Unwatched> {
        let from = self.offset;
        let to = from + lines.len() as u64;
        self.offset = to;
        let mark = Some(self.mark.text());
        self.show(Sighting::Output(Output {
            from,
            to,
            lines,
            mark,
        }))
        .await
    }

    /// Tells what a job waits for, when that is news.
    pub(super) async fn tell_why(&mut self, why: &str) -> Result<(), Unwatched> {
        let told = self.mark.told.as_deref();
        if !self.waits.are_news(told, why, Instant::now()) {
            return Ok(());
        }
        self.mark.told = Some(why.to_owned());
        let line = notice(SystemClock.now(), format!("the job waits: {why}"));
        self.tell(vec![line]).await
    }
}

/// Waits until a job is to be stopped; gives how long it has to end.
pub(super) async fn asked_to_stop(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    loop {
        if let Some(grace) = *stop.borrow_and_update() {
            return grace;
        }
        if stop.changed().await.is_err() {
            // Nobody will ask any more.
            return std::future::pending().await;
        }
    }
}

/// A line of this server's own.
pub(super) fn notice(time: Timestamp, text: String) -> OutputLine {
    OutputLine {
        source: LineSource::Server,
        time,
        text,
    }
}
