//! The course of one job: launched, watched, its log read, stopped if that is wanted, and its end told.
//!
//! ```text
//! launch ─▶ record ─▶ wait ─▶ run ─▶ read the log to its end ─▶ Ended
//!                       ▲ stop: delete with grace, then without
//! ```
//!
//! Nothing here is told of by the watch alone: what decides was seen of this very Job. Nothing is deleted
//! before its log is read and its end stored, unless it is to be stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jobhook_engine::attempt::{AttemptRef, Ending, Fault, Saw};
use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::runner::{JobStart, Output, OutputLine, Sighting};
use jobhook_protocol::LineSource;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api_error::{Backoff, Failure};
use super::job_state::{self, JobEnd};
use super::launch::{self, Found, Known, Launched};
use super::logs::{self, Read, Source};
use super::manifest::Manifest;
use super::mark::{Mark, log_key};
use super::pod_state::{Main, PodState};
use super::rate::Rate;
use super::removal;
use super::watch::{Followed, Seen, Watch};
use crate::config::{self, LogSource, OnNodeLost};

/// How much longer than the grace a pod may be on its way out before it is removed by force.
const FORCE_AFTER: Duration = Duration::from_secs(2);
/// How long a Job may be without a pod before it is asked why, and then again, longer each time.
const ASK_WHY: Duration = Duration::from_secs(2);
const ASK_WHY_AT_MOST: Duration = Duration::from_secs(60);

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
struct End {
    ending: Ending,
    at: Option<Timestamp>,
    left: Left,
}

impl End {
    fn now(ending: Ending) -> End {
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
        }
    }

    /// Runs it to its end, and tells that; gives what is left of it.
    pub(super) async fn run(mut self) -> Result<Left, Unwatched> {
        let end = self.to_the_end().await?;
        let saw = Saw {
            ending: end.ending,
            at: end.at.unwrap_or_else(|| SystemClock.now()),
            stopped: self.is_to_be_stopped(),
            usage: None,
        };
        self.show(Sighting::Ended(saw)).await?;
        Ok(end.left)
    }

    async fn to_the_end(&mut self) -> Result<End, Unwatched> {
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
        loop {
            if self.is_to_be_stopped() && !self.may_have_launched && !self.may_be_there() {
                return self
                    .given_up("it was stopped before its Job was created")
                    .await
                    .map(Err);
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
                return self
                    .given_up("it was stopped before its Job was created")
                    .await
                    .map(Err);
            }
            tracing::warn!(
                action.id = %self.at.action, attempt = self.at.number, runner = %shared.runner,
                cluster = cluster.address, "A Job cannot be created for now: {failure}"
            );
            self.pause(failure.wait().max(backoff.next())).await?;
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
        if !self.may_have_launched && !is_there {
            // A stop need not wait for its turn.
            let mut stop = self.stop.clone();
            tokio::select! {
                () = shared.rate.permit() => {}
                _ = asked_to_stop(&mut stop) => return Ok(Err(Failure::unavailable("it is to be stopped"))),
                () = self.sightings.closed() => return Err(Unwatched),
            }
        }
        self.may_have_launched = true;
        let launched = launch::launch(cluster, &shared.installation, &manifest).await;
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
    async fn given_up(&mut self, reason: &str) -> Result<End, Unwatched> {
        let shared = Arc::clone(&self.shared);
        let mut backoff = Backoff::default();
        // A try may have created something, though its answer was lost.
        while self.may_have_launched || self.known.taken_up {
            let (cluster, digest) = (shared.watch.cluster(), Some(self.digest.as_str()));
            let removed = removal::remove(cluster, &shared.installation, &self.name, digest).await;
            match removed {
                Ok(()) | Err(Failure::Refused(_)) => break,
                Err(failure) => tracing::warn!(
                    action.id = %self.at.action, attempt = self.at.number, runner = %shared.runner,
                    "What is left of a launch cannot be removed for now: {failure}"
                ),
            }
            self.pause(backoff.next()).await?;
        }
        let ending = Ending::NotStarted {
            reason: reason.to_owned(),
        };
        Ok(End {
            left: Left::AtRest,
            ..End::now(ending)
        })
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
    async fn ask(&mut self, followed: &Followed) -> Result<(), Unwatched> {
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

    async fn show(&self, sighting: Sighting) -> Result<(), Unwatched> {
        self.sightings.send(sighting).await.map_err(|_| Unwatched)
    }

    /// Tells lines, and has the mark stored with them.
    async fn tell(&mut self, lines: Vec<OutputLine>) -> Result<(), Unwatched> {
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
}

/// Watches a Job that was launched.
struct Watching<'c> {
    course: &'c mut Course,
    followed: Followed,
    logs: HashMap<String, Log>,
    read: mpsc::Receiver<(String, Read)>,
    to_read: mpsc::Sender<(String, Read)>,
    is_started: bool,
    doubts: u64,
    stopping: Option<Stopping>,
    trouble_since: Option<Instant>,
    told_at: Option<Instant>,
    why: Why,
    has_asked_for_pods: bool,
}

/// The log of one container.
struct Log {
    pod: String,
    ended: watch::Sender<bool>,
    task: JoinHandle<()>,
    done: bool,
}

struct Stopping {
    grace: Duration,
    /// When the next step is due.
    next: Instant,
    asked: bool,
    backoff: Backoff,
}

/// Asking why there is no pod.
struct Why {
    next: Instant,
    wait: Duration,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to be waited for.
enum Step {
    Wait,
    End(End),
    /// It has ended, once its log is read.
    EndAfterLog(End),
}

impl<'c> Watching<'c> {
    fn of(course: &'c mut Course, followed: Followed) -> Watching<'c> {
        // One stretch waits while another is stored: no more.
        let (to_read, read) = mpsc::channel(1);
        let doubts = followed.seen.borrow().doubts;
        Watching {
            course,
            doubts,
            followed,
            logs: HashMap::new(),
            read,
            to_read,
            is_started: false,
            stopping: None,
            trouble_since: None,
            told_at: None,
            has_asked_for_pods: false,
            why: Why {
                next: Instant::now() + ASK_WHY,
                wait: ASK_WHY,
            },
        }
    }

    async fn run(mut self) -> Result<End, Unwatched> {
        loop {
            let seen = self.followed.seen.borrow_and_update().clone();
            if seen.doubts != self.doubts {
                self.doubts = seen.doubts;
                self.course.ask(&self.followed).await?;
                continue;
            }
            match self.judge(&seen).await? {
                Step::End(end) => return Ok(end),
                Step::EndAfterLog(end) if self.is_read() => return Ok(end),
                Step::EndAfterLog(_) | Step::Wait => {}
            }
            let has_no_pod = seen.pods.is_empty();
            let deadline = self.next_deadline(has_no_pod);
            let mut stop = self.course.stop.clone();
            tokio::select! {
                changed = self.followed.seen.changed() => if changed.is_err() { return Err(Unwatched) },
                Some((container, read)) = self.read.recv() => self.take(container, read).await?,
                grace = asked_to_stop(&mut stop), if self.stopping.is_none() => {
                    self.stopping = Some(Stopping {
                        grace,
                        next: Instant::now(),
                        asked: false,
                        backoff: Backoff::default(),
                    });
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
                () = self.course.sightings.closed() => return Err(Unwatched),
            }
            self.go_on_stopping(&seen).await;
            if has_no_pod && Instant::now() >= self.why.next {
                self.ask_why().await?;
            }
        }
    }

    fn next_deadline(&self, has_no_pod: bool) -> Option<Instant> {
        let patience = self.course.shared.config.image_pull_deadline;
        [
            self.stopping.as_ref().map(|stopping| stopping.next),
            self.trouble_since.map(|since| since + patience),
            has_no_pod.then_some(self.why.next),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The pod of this attempt: the one that is recorded, or the first one seen.
    fn pod_of(&mut self, seen: &Seen) -> Option<(PodState, bool)> {
        let recorded = self
            .course
            .mark
            .pod
            .as_ref()
            .and_then(|uid| seen.pods.get(uid));
        let there = || seen.pods.values().filter(|pod| !pod.deleted);
        let created = |pod: &&super::watch::PodSeen| {
            pod.pod
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0)
        };
        let first = recorded
            .or_else(|| there().min_by_key(created))
            .or_else(|| seen.pods.values().min_by_key(created))?;
        let named = seen.job.as_ref().and_then(|job| job.main.clone());
        let main = named
            .or_else(|| job_state::main_of(&first.pod))
            .unwrap_or_default();
        let state = PodState::of(&first.pod, &main);
        Some((state, first.deleted))
    }

    /// What follows from what is seen.
    async fn judge(&mut self, seen: &Seen) -> Result<Step, Unwatched> {
        let job_end = seen
            .job
            .as_ref()
            .and_then(|job| job_state::end_of(&job.status));
        let Some((pod, deleted)) = self.pod_of(seen) else {
            if job_end.is_some() && !std::mem::replace(&mut self.has_asked_for_pods, true) {
                // The two watches run apart: its pod may not have been shown yet.
                self.course.ask(&self.followed).await?;
                return Ok(Step::Wait);
            }
            return Ok(self.judge_without_pod(seen, job_end));
        };
        if self.course.mark.pod.as_ref() != Some(&pod.uid) {
            self.course.mark.pod = Some(pod.uid.clone());
        }
        self.start_logs(seen, &pod, deleted);
        let stopping = self.stopping.is_some();
        match &pod.main {
            Main::Ended { ending, since, at } => {
                if let Some(since) = since {
                    self.started(*since).await?;
                }
                let ending = job_state::ending(ending.clone(), &pod, job_end.as_ref(), stopping);
                let left = if pod.over || deleted {
                    Left::AtRest
                } else {
                    Left::Alive
                };
                return Ok(Step::EndAfterLog(End {
                    ending,
                    at: *at,
                    left,
                }));
            }
            Main::Running { since } => {
                self.trouble_since = None;
                self.started(since.unwrap_or_else(|| SystemClock.now()))
                    .await?;
                if pod.is_unheard && !deleted {
                    let node = pod.node.as_deref().unwrap_or("unknown");
                    self.tell_why(&format!("its node `{node}` does not answer"))
                        .await?;
                }
            }
            Main::Waiting { why, trouble } => {
                match trouble {
                    None => self.trouble_since = None,
                    Some(_) => {
                        let since = *self.trouble_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= self.course.shared.config.image_pull_deadline
                            && !stopping
                        {
                            let ending = job_state::never_began(why.as_deref(), *trouble);
                            return Ok(Step::End(End::now(ending)));
                        }
                    }
                }
                if let Some(why) = why {
                    self.tell_why(why).await?;
                }
            }
        }
        if deleted {
            let ending = job_state::vanished(&pod, job_end.as_ref(), stopping);
            return Ok(Step::EndAfterLog(End {
                left: Left::AtRest,
                ..End::now(ending)
            }));
        }
        if pod.is_on_lost_node() {
            let words = pod
                .disruption
                .as_ref()
                .map(|disruption| disruption.words.clone())
                .unwrap_or_default();
            match self.course.shared.config.on_node_lost {
                OnNodeLost::Retry if !stopping => {
                    let ending = pod
                        .disruption
                        .as_ref()
                        .map(super::pod_state::Disruption::ending);
                    return Ok(Step::End(End::now(
                        ending.unwrap_or(Ending::Lost { reason: words }),
                    )));
                }
                _ => self.tell_why(&words).await?,
            }
        }
        Ok(Step::Wait)
    }

    fn judge_without_pod(&self, seen: &Seen, job_end: Option<JobEnd>) -> Step {
        let ending = match (job_end, &seen.job) {
            (Some(end), _) => end.without_pod(),
            // It was asked for, and is not there.
            (None, None) if seen.asked => {
                job_state::job_vanished(&self.course.name, self.stopping.is_some())
            }
            _ => return Step::Wait,
        };
        Step::End(End {
            left: Left::AtRest,
            ..End::now(ending)
        })
    }

    async fn started(&mut self, at: Timestamp) -> Result<(), Unwatched> {
        if !std::mem::replace(&mut self.is_started, true) {
            self.course.show(Sighting::Started { at }).await?;
        }
        Ok(())
    }

    /// Reads the logs that there are; of those containers only that the Job asks for.
    fn start_logs(&mut self, seen: &Seen, pod: &PodState, deleted: bool) {
        if self.course.shared.config.logs == LogSource::Hook {
            return;
        }
        let asked = seen.job.as_ref().map(|job| &job.containers);
        for logging in &pod.logging {
            if asked.is_some_and(|asked| !asked.contains(&logging.container)) {
                continue;
            }
            let log = self
                .logs
                .entry(logging.container.clone())
                .or_insert_with(|| {
                    let (ended, has_ended) = watch::channel(false);
                    let key = log_key(&pod.uid, &logging.container);
                    let source = Source {
                        pod: pod.name.clone(),
                        container: logging.container.clone(),
                    };
                    let position = self.course.mark.logs.get(&key).copied();
                    let pods = self.course.shared.watch.cluster().pods();
                    let task = tokio::spawn(logs::follow(
                        pods,
                        source,
                        position,
                        has_ended,
                        self.to_read.clone(),
                    ));
                    Log {
                        pod: pod.uid.clone(),
                        ended,
                        task,
                        done: false,
                    }
                });
            if logging.ended || deleted {
                log.ended
                    .send_if_modified(|ended| !std::mem::replace(ended, true));
            }
        }
        if deleted {
            for log in self.logs.values() {
                log.ended
                    .send_if_modified(|ended| !std::mem::replace(ended, true));
            }
        }
    }

    /// Whether all is read of containers that have ended; what goes on besides is not waited for.
    fn is_read(&self) -> bool {
        self.logs
            .values()
            .all(|log| log.done || !*log.ended.borrow())
    }

    async fn take(&mut self, container: String, read: Read) -> Result<(), Unwatched> {
        let Some(log) = self.logs.get_mut(&container) else {
            return Ok(());
        };
        let main = self
            .followed
            .seen
            .borrow()
            .job
            .as_ref()
            .and_then(|job| job.main.clone());
        let is_main = main.as_ref().is_none_or(|main| *main == container);
        let shown = |text: &str| {
            if is_main {
                text.to_owned()
            } else {
                format!("[{container}] {text}")
            }
        };
        match read {
            Read::Lines {
                lines,
                gap,
                position,
            } => {
                let key = log_key(&log.pod, &container);
                self.course.mark.logs.insert(key, position);
                let mut told = Vec::with_capacity(lines.len() + usize::from(gap));
                if gap {
                    let time = lines
                        .first()
                        .map_or_else(|| SystemClock.now(), |(time, _)| at_ms(*time));
                    told.push(notice(time, shown(
                        "lines of output are missing here: the cluster rotated the log away before it was read",
                    )));
                }
                for (time, text) in &lines {
                    told.extend(logs::pieces(text).into_iter().map(|text| OutputLine {
                        source: LineSource::Stdout,
                        time: at_ms(*time),
                        text: shown(text),
                    }));
                }
                self.course.tell(told).await
            }
            Read::End { lost } => {
                log.done = true;
                match lost {
                    Some(words) => {
                        let words = shown(&format!("the rest of the output is lost: {words}"));
                        self.course
                            .tell(vec![notice(SystemClock.now(), words)])
                            .await
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Tells what a job waits for, when that is new; not each time that a count in it changes.
    async fn tell_why(&mut self, why: &str) -> Result<(), Unwatched> {
        const NOT_SOONER: Duration = Duration::from_secs(60);
        if self.course.mark.told.as_deref() == Some(why)
            || self.told_at.is_some_and(|at| at.elapsed() < NOT_SOONER)
        {
            return Ok(());
        }
        self.told_at = Some(Instant::now());
        self.course.mark.told = Some(why.to_owned());
        let line = notice(SystemClock.now(), format!("the job waits: {why}"));
        self.course.tell(vec![line]).await
    }

    /// A Job without a pod: its events say why.
    async fn ask_why(&mut self) -> Result<(), Unwatched> {
        self.why.wait = (self.why.wait * 2).min(ASK_WHY_AT_MOST);
        self.why.next = Instant::now() + self.why.wait;
        let cluster = self.course.shared.watch.cluster().clone();
        if let Some(why) = job_state::why_no_pod(&cluster, &self.course.name).await {
            self.tell_why(&why).await?;
        }
        Ok(())
    }

    /// Takes the next step of a stop, if it is due.
    async fn go_on_stopping(&mut self, seen: &Seen) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if Instant::now() < stopping.next {
            return;
        }
        let cluster = self.course.shared.watch.cluster();
        let uid = self.course.mark.job.as_deref();
        let there = seen.pods.values().filter(|pod| !pod.deleted);
        let names: Vec<&str> = there
            .filter_map(|pod| pod.pod.metadata.name.as_deref())
            .collect();
        let grace = if stopping.asked {
            Duration::ZERO
        } else {
            stopping.grace
        };
        match removal::end(cluster, &self.course.name, uid, &names, grace).await {
            Ok(()) => {
                stopping.next = Instant::now() + grace + FORCE_AFTER;
                stopping.asked = true;
            }
            Err(failure) => {
                tracing::warn!(
                    action.id = %self.course.at.action, attempt = self.course.at.number,
                    "A Job cannot be deleted for now: {failure}"
                );
                stopping.next = Instant::now() + stopping.backoff.next();
            }
        }
    }
}

/// Waits until a job is to be stopped; gives how long it has to end.
async fn asked_to_stop(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
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

fn at_ms(time_ns: i64) -> Timestamp {
    Timestamp(time_ns.div_euclid(1_000_000))
}

fn notice(time: Timestamp, text: String) -> OutputLine {
    OutputLine {
        source: LineSource::Server,
        time,
        text,
    }
}
