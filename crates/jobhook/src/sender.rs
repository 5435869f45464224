//! The job's own thread: it sends what waits, one report after the other, until it is answered.
//!
//! ```text
//! due? ─▶ number it ─▶ send ─┬─ stored ───────▶ next
//!                       ▲    ├─ refused ──────▶ told to whoever asks, next
//!                       │    ├─ over ─────────▶ nothing is sent any more
//!                       └────┴─ nobody knows ─▶ wait, longer each time
//! ```
//!
//! One at a time keeps the order; what comes in meanwhile gathers and goes together. The same
//! thread speaks when the job does not (heartbeats), so a loop that never touches the job
//! stays alive, and hears STOP.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobhook_protocol::Code;
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

use crate::Error;
use crate::backoff::Backoff;
use crate::hook::{Hook, Outcome};
use crate::outbox::{Due, Sealed};
use crate::report::Report;
use crate::shared::{Shared, State};
use crate::spool::{Leftover, Spool};

/// How long reports gather before they are put on disk.
const GATHER: Duration = Duration::from_millis(50);

thread_local! {
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread sends: its own events are not the job's.
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "only the layer asks")
)]
pub(crate) fn is_our_thread() -> bool {
    IS_OURS.with(Cell::get)
}

/// Makes this thread one of those whose events are not the job's.
pub(crate) fn mark_thread() {
    IS_OURS.with(|ours| ours.set(true));
}

/// How the sender behaves in time.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// After how long without a report it says something by itself.
    pub(crate) speak_every: Option<Duration>,
    pub(crate) progress_interval: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    /// How long the server may ask to be left alone.
    pub(crate) longest_wait: Duration,
    /// How long a server may be away.
    pub(crate) patience: Duration,
}

impl Pace {
    /// Whatever is not answered is not sent again.
    pub(crate) fn of_one_try() -> Pace {
        Pace {
            speak_every: None,
            progress_interval: Duration::ZERO,
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
            longest_wait: Duration::ZERO,
            patience: Duration::ZERO,
        }
    }
}

/// Sends for one job.
#[derive(Debug)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    hook: Hook,
    pace: Pace,
    backoff: Backoff,
    spool: Option<Spool>,
    leftovers: VecDeque<Leftover>,
    /// How many reports of the first leftover are still to be answered.
    left: usize,
    /// When the server last heard something.
    spoke: Instant,
    v1: bool,
    /// The job was closed, and what was left then was kept.
    is_ending: bool,
}

enum Step {
    Deliver(Sealed),
    /// Puts on disk what is left, in case the process is ended before it is sent.
    Keep,
    Wait(Option<Instant>),
    End,
}

impl Sender {
    pub(crate) fn new(
        shared: Arc<Shared>,
        hook: Hook,
        pace: Pace,
        spool: Option<Spool>,
        leftovers: Vec<Leftover>,
        v1: bool,
    ) -> Sender {
        Sender {
            backoff: Backoff::new(pace.first_pause, pace.longest_pause),
            left: leftovers.first().map_or(0, |first| first.records.len()),
            leftovers: leftovers.into(),
            spoke: Instant::now(),
            shared,
            hook,
            pace,
            spool,
            v1,
            is_ending: false,
        }
    }

    /// Starts the thread. Nothing joins it: callers wait for what they need and no longer.
    pub(crate) fn start(self) -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .on_thread_start(mark_thread)
            .build()
            .map_err(|error| Error::System(format!("no event loop: {error}")))?;
        let work = move || {
            mark_thread();
            let gone = Gone(self.shared.clone());
            runtime.block_on(self.run());
            // A name that is being looked up must not hold the end up.
            runtime.shutdown_background();
            drop(gone);
        };
        std::thread::Builder::new()
            .name("jobhook".to_owned())
            .spawn(work)
            .map(drop)
            .map_err(|error| Error::System(format!("no thread: {error}")))
    }

    async fn run(mut self) {
        loop {
            match self.step() {
                Step::Deliver(sealed) => self.deliver(sealed).await,
                Step::Keep => self.keep(),
                Step::Wait(Some(until)) => {
                    tokio::select! {
                        () = self.shared.work.notified() => {}
                        () = sleep_until(until.into()) => {}
                    }
                }
                Step::Wait(None) => self.shared.work.notified().await,
                Step::End => break,
            }
        }
        if self.shared.lock().outbox.is_empty() {
            if let Some(spool) = self.spool.take() {
                spool.remove();
            }
        } else {
            self.keep();
        }
    }

    fn step(&mut self) -> Step {
        let now = Instant::now();
        let state = &mut *self.shared.lock();
        if state.fault.is_some() || self.shared.abandoned.is_cancelled() {
            return Step::End;
        }
        if let Some(sealed) = state.outbox.front() {
            return Step::Deliver(sealed.clone());
        }
        if state.closed && state.outbox.is_empty() {
            return Step::End;
        }
        if state.closed && !std::mem::replace(&mut self.is_ending, true) {
            return Step::Keep;
        }
        state.read_meter();
        let due = match state.outbox.due(now, self.pace.progress_interval) {
            _ if state.closed => Due::Now,
            due => due,
        };
        let speak = self.pace.speak_every.map(|every| self.spoke + every);
        let look = state
            .meter
            .as_ref()
            .map(|_| now + self.pace.progress_interval);
        let wake = [speak, look].into_iter().flatten().min();
        let until = match due {
            Due::Now => return deliver_next(state, now),
            Due::At(at) => Some(wake.map_or(at, |wake| wake.min(at))),
            Due::Never => wake,
        };
        if speak.is_some_and(|speak| speak <= now)
            && let Ok(silent) = Report::new().into_body(self.v1)
            && state.outbox.fields(silent, now).is_ok()
        {
            return deliver_next(state, now);
        }
        Step::Wait(until)
    }

    async fn deliver(&mut self, sealed: Sealed) {
        let mut is_last_try = false;
        loop {
            let began = Instant::now();
            let abandoned = self.shared.abandoned.clone();
            let outcome = tokio::select! {
                outcome = self.hook.post(&sealed.body) => outcome,
                () = abandoned.cancelled() => return,
            };
            match outcome {
                Outcome::Stored { standing, trouble } => {
                    self.spoke = began;
                    if standing.wants_stop() {
                        self.shared.cancellation.cancel();
                    }
                    let standing = Arc::new(*standing);
                    self.settle(|state| {
                        state.standing = Some(standing);
                        state.trouble = trouble.or_else(|| state.trouble.take());
                    });
                    return;
                }
                Outcome::Refused(error) => {
                    self.spoke = began;
                    self.settle(|state| state.refuse(sealed.ticket, error));
                    return;
                }
                // The process that left it behind had an answer to all that is so old.
                Outcome::Over { error, .. } if sealed.is_leftover() && is_of_one_report(&error) => {
                    self.spoke = began;
                    let is_old = error.code() == Code::SeqOutOfWindow.as_str();
                    self.settle(|state| {
                        if !is_old {
                            state.trouble = Some(error);
                        }
                    });
                    return;
                }
                Outcome::Over { error, stop } => {
                    // Before anybody who waits is woken: what they hear, the token knows.
                    if stop {
                        self.shared.cancellation.cancel();
                    }
                    self.shared.change(|state| state.fault = Some(error));
                    return;
                }
                Outcome::Again { cause, after } => {
                    let since = self.shared.change(|state| {
                        let since = state.away.take().map_or(began, |(since, _)| since);
                        state.away = Some((since, cause.clone()));
                        since
                    });
                    self.keep();
                    if is_last_try {
                        self.give_up(since, cause);
                        return;
                    }
                    let after = after.unwrap_or_default().min(self.pace.longest_wait);
                    let pause = self.backoff.next().max(after);
                    is_last_try = !self.pause(pause, since + self.pace.patience).await;
                }
            }
        }
    }

    /// The front is answered, one way or the other.
    fn settle(&mut self, note: impl FnOnce(&mut State)) {
        self.backoff.reset();
        let nothing_kept = self.shared.change(|state| {
            note(state);
            state.away = None;
            state.outbox.settle();
            state.outbox.front().is_none()
        });
        if self.left > 0 {
            self.left -= 1;
            if self.left == 0 {
                if let Some(done) = self.leftovers.pop_front() {
                    done.remove();
                }
                self.left = self.leftovers.front().map_or(0, |next| next.records.len());
            }
        }
        if nothing_kept && let Some(spool) = &mut self.spool {
            spool.clear();
        }
    }

    /// Waits before the next try, and puts on disk what comes in meanwhile. A job that ends does
    /// not wait for long. `false` if the time for trying is over.
    async fn pause(&mut self, pause: Duration, patience_ends: Instant) -> bool {
        let now = TokioInstant::now();
        let wake = now
            .checked_add(pause)
            .map(|wake| wake.min(patience_ends.into()));
        let mut wake = wake.unwrap_or_else(|| patience_ends.into());
        let abandoned = self.shared.abandoned.clone();
        loop {
            if self.shared.lock().closed {
                wake = wake.min(now + self.pace.longest_pause);
            }
            tokio::select! {
                () = sleep_until(wake) => break,
                () = abandoned.cancelled() => break,
                () = self.shared.work.notified() => {}
            }
            tokio::select! {
                () = sleep_until(wake) => {}
                () = sleep(GATHER), if self.spool.is_some() => {}
                () = std::future::ready(()), if self.spool.is_none() => {}
            }
            self.keep();
        }
        abandoned.is_cancelled() || Instant::now() < patience_ends
    }

    fn give_up(&mut self, since: Instant, cause: String) {
        let error = Error::Unreachable {
            server: self.shared.server.clone(),
            away: since.elapsed(),
            cause,
        };
        self.shared.change(|state| state.fault = Some(error));
    }

    /// Puts everything that waits on disk.
    fn keep(&mut self) {
        let Some(spool) = &mut self.spool else {
            return;
        };
        let state = &mut *self.shared.lock();
        state.outbox.seal_all(Instant::now());
        // What others left behind is in their own files.
        let own = state.outbox.sealed().filter(|sealed| sealed.ticket > 0);
        if let Err(error) = spool.keep(own.map(|sealed| (sealed.seq, &sealed.body))) {
            state.trouble = Some(error);
        }
    }
}

/// Whether a refusal says nothing about other reports: the job and its key are believed.
pub(crate) fn is_of_one_report(error: &Error) -> bool {
    let of_all = [
        Code::BadSignature,
        Code::AttemptSuperseded,
        Code::AttemptClosed,
        Code::ClockSkew,
        Code::SignatureRequired,
    ];
    matches!(error, Error::Refused(problem) if !of_all.iter().any(|code| problem.code == code.as_str()))
}

fn deliver_next(state: &mut State, now: Instant) -> Step {
    state.outbox.seal(now);
    match state.outbox.front() {
        Some(sealed) => Step::Deliver(sealed.clone()),
        None => Step::Wait(None),
    }
}

/// Tells those who wait that the sender is gone, however it went.
struct Gone(Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        self.0.change(|state| {
            state.gone = true;
            if failed {
                let error = Error::System("the thread that sends its reports failed".to_owned());
                state.fault.get_or_insert(error);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Numbering, Outbox};

    #[test]
    fn a_sender_that_fails_is_no_good_end() {
        let shared = Arc::new(Shared::new(
            "http://h".into(),
            Outbox::new(Numbering::Unknown, 1),
        ));
        let gone = Gone(shared.clone());
        let failed = std::thread::spawn(move || {
            let _gone = gone;
            panic!("a fault of ours");
        });
        assert!(failed.join().is_err());
        let state = shared.lock();
        assert!(state.gone);
        assert_eq!(state.fault.as_ref().unwrap().code(), "system_refused");
    }
}
