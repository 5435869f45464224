//! A Job that was launched, watched to its end.
//!
//! What decides was asked for or shown of this very Job: what the watch misses after a loss is doubted, and
//! asked for. The end is told once the log of the main container is read.

use std::time::Duration;

use jobhook_engine::attempt::Ending;
use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::runner::Sighting;
use tokio::time::Instant;

use super::api_error::Backoff;
use super::container_logs::Logs;
use super::course::{Course, End, Left, Unwatched, asked_to_stop};
use super::job_state::{self, JobEnd, Mute};
use super::pod_state::{Main, PodState};
use super::removal;
use super::watch::{Followed, Seen};
use crate::config::OnNodeLost;

/// How much longer than the grace a pod may be on its way out before it is removed by force.
const FORCE_AFTER: Duration = Duration::from_secs(2);
/// How long nothing may go on without a reason before events are asked for one, and then again, longer
/// each time.
const ASK_WHY: Duration = Duration::from_secs(2);
const ASK_WHY_AT_MOST: Duration = Duration::from_secs(60);

/// Watches a Job that was launched.
pub(super) struct Watching<'c> {
    course: &'c mut Course,
    followed: Followed,
    logs: Logs,
    is_started: bool,
    doubts: u64,
    stopping: Option<Stopping>,
    trouble_since: Option<Instant>,
    why: Why,
    has_asked_for_pods: bool,
    has_asked_for_end: bool,
}

struct Stopping {
    grace: Duration,
    /// When the next step is due.
    next: Instant,
    asked: bool,
    backoff: Backoff,
}

/// Asking why nothing goes on.
struct Why {
    next: Instant,
    wait: Duration,
}

/// What is to be waited for.
enum Step {
    Wait,
    End(End),
    /// It has ended, once its log is read.
    EndAfterLog(End),
}

impl<'c> Watching<'c> {
    pub(super) fn of(course: &'c mut Course, followed: Followed) -> Watching<'c> {
        let doubts = followed.seen.borrow().doubts;
        Watching {
            course,
            doubts,
            followed,
            logs: Logs::none(),
            is_started: false,
            stopping: None,
            trouble_since: None,
            has_asked_for_pods: false,
            has_asked_for_end: false,
            why: Why {
                next: Instant::now() + ASK_WHY,
                wait: ASK_WHY,
            },
        }
    }

    pub(super) async fn run(mut self) -> Result<End, Unwatched> {
        loop {
            let seen = self.followed.seen.borrow_and_update().clone();
            if seen.doubts != self.doubts {
                self.doubts = seen.doubts;
                self.course.ask(&self.followed).await?;
                continue;
            }
            match self.judge(&seen).await? {
                Step::End(end) => return Ok(end),
                Step::EndAfterLog(end) if self.logs.are_read() => return Ok(end),
                Step::EndAfterLog(_) | Step::Wait => {}
            }
            let mute = self.mute(&seen);
            let deadline = self.next_deadline(mute.is_some());
            let mut stop = self.course.stop.clone();
            tokio::select! {
                changed = self.followed.seen.changed() => if changed.is_err() { return Err(Unwatched) },
                Some((container, read)) = self.logs.next() => {
                    let lines = self.logs.take(self.course, &seen, &container, read);
                    if !lines.is_empty() {
                        self.course.tell(lines).await?;
                    }
                }
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
            self.go_on_stopping(&seen).await?;
            if let Some(mute) = mute
                && Instant::now() >= self.why.next
            {
                self.ask_why(&mute).await?;
            }
        }
    }

    fn next_deadline(&mut self, is_mute: bool) -> Option<Instant> {
        let patience = self.course.shared.config.image_pull_deadline;
        [
            self.stopping.as_ref().map(|stopping| stopping.next),
            self.trouble_since
                .filter(|_| self.stopping.is_none())
                .map(|since| since + patience),
            is_mute.then_some(self.why.next),
            self.course.waits.take_next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What does not go on, and says nothing about it.
    fn mute(&self, seen: &Seen) -> Option<Mute> {
        match self.pod_of(seen) {
            None => Some(Mute::Job(self.course.name.clone())),
            Some((pod, _)) => {
                let says_nothing = matches!(pod.main, Main::Waiting { why: None, .. });
                says_nothing.then_some(Mute::Pod(pod.name))
            }
        }
    }

    /// The pod of this attempt: the one that is recorded, or the first one seen.
    fn pod_of(&self, seen: &Seen) -> Option<(PodState, bool)> {
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
        let named = seen.job.as_ref().and_then(|job| job.main.as_deref());
        let main = job_state::main_of(&first.pod, named).unwrap_or_default();
        let state = PodState::of(&first.pod, &main);
        Some((state, first.deleted))
    }

    /// What follows from what is seen.
    async fn judge(&mut self, seen: &Seen) -> Result<Step, Unwatched> {
        let status = seen.job.as_ref().map(|job| &job.status);
        let job_end = status.and_then(job_state::end_of);
        let decided = status.and_then(job_state::decided_of);
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
        self.logs.start(self.course, seen, &pod, deleted);
        let stopping = self.stopping.is_some();
        match &pod.main {
            Main::Ended { ending, since, at } => {
                if let Some(since) = since {
                    self.started(*since).await?;
                }
                if pod.terminating && decided.is_none() && !stopping && self.is_first_doubt() {
                    // The two watches run apart: whoever deletes it may not have been shown yet.
                    self.course.ask(&self.followed).await?;
                    return Ok(Step::Wait);
                }
                let ending = job_state::ending(ending.clone(), &pod, decided.as_ref(), stopping);
                let by_itself =
                    pod.over && !pod.terminating && !deleted && pod.disruption.is_none();
                let left = left(job_end.is_some() || by_itself);
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
                    self.course
                        .tell_why(&format!("its node `{node}` does not answer"))
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
                    self.course.tell_why(why).await?;
                }
            }
        }
        if deleted {
            let ending = job_state::vanished(&pod, decided.as_ref(), stopping);
            return Ok(Step::EndAfterLog(End {
                left: left(job_end.is_some()),
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
                        .map(super::disruption::Disruption::ending);
                    return Ok(Step::End(End::now(
                        ending.unwrap_or(Ending::Lost { reason: words }),
                    )));
                }
                _ => self.course.tell_why(&words).await?,
            }
        }
        Ok(Step::Wait)
    }

    /// Whether it was not asked yet why the pod goes.
    fn is_first_doubt(&mut self) -> bool {
        !std::mem::replace(&mut self.has_asked_for_end, true)
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

    /// Events say why nothing goes on.
    async fn ask_why(&mut self, mute: &Mute) -> Result<(), Unwatched> {
        self.why.wait = (self.why.wait * 2).min(ASK_WHY_AT_MOST);
        self.why.next = Instant::now() + self.why.wait;
        let cluster = self.course.shared.watch.cluster().clone();
        if let Some(why) = job_state::why(&cluster, mute).await {
            self.course.tell_why(&why).await?;
        }
        Ok(())
    }

    /// Takes the next step of a stop, if it is due.
    async fn go_on_stopping(&mut self, seen: &Seen) -> Result<(), Unwatched> {
        let Some(stopping) = &mut self.stopping else {
            return Ok(());
        };
        if Instant::now() < stopping.next {
            return Ok(());
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
                let again = if stopping.asked {
                    stopping.backoff.next()
                } else {
                    Duration::ZERO
                };
                stopping.next = Instant::now() + grace + FORCE_AFTER + again;
                // What was deleted and is still seen may be gone without a word.
                if std::mem::replace(&mut stopping.asked, true) {
                    self.course.ask(&self.followed).await?;
                }
            }
            Err(failure) => {
                tracing::warn!(
                    action.id = %self.course.at.action, attempt = self.course.at.number,
                    "A Job cannot be deleted for now: {failure}"
                );
                stopping.next = Instant::now() + failure.wait().max(stopping.backoff.next());
            }
        }
        Ok(())
    }
}

/// Whether nothing will begin any more of what is left: a Job that has not ended itself may get
/// another pod, for example one that Kueue suspends.
fn left(is_over: bool) -> Left {
    if is_over { Left::AtRest } else { Left::Alive }
}
