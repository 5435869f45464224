//! What the callers of a job and its sender share: one lock, and how each is woken.
//!
//! Callers append and return; only those that ask for it wait, on a condition variable or, in
//! async code, on a notification. The sender waits for `work`. Nobody holds the lock while
//! waiting for anything else.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jobhook_protocol::Status;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::failure::INVALID_OUTPUT;
use crate::meter::Counter;
use crate::outbox::Outbox;
use crate::standing::Standing;

/// No wait is longer: a clock ends somewhere, and "for ever" must not reach its end.
pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
/// How many refusals are remembered for callers that may still ask.
const REFUSALS: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    changed_async: Notify,
    /// There is something for the sender.
    pub(crate) work: Notify,
    /// The server wants the job to end.
    pub(crate) cancellation: CancellationToken,
    /// Nobody waits any longer: the sender ends now.
    pub(crate) abandoned: CancellationToken,
    /// The hook, for messages.
    pub(crate) server: String,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) outbox: Outbox,
    /// Why nothing is sent any more.
    pub(crate) fault: Option<Error>,
    /// What went wrong without ending everything.
    pub(crate) trouble: Option<Error>,
    /// The job's last word.
    pub(crate) ended: Option<Status>,
    /// The ticket of the report that said it.
    pub(crate) last_word: u64,
    pub(crate) closed: bool,
    /// The sender is gone.
    pub(crate) gone: bool,
    /// Since when the server is away, and why.
    pub(crate) away: Option<(Instant, String)>,
    pub(crate) standing: Option<Arc<Standing>>,
    /// What counts the progress, and the count that was said last.
    pub(crate) meter: Option<(Arc<Counter>, Option<u64>)>,
    refusals: BTreeMap<u64, Error>,
    /// How many threads wait for a change. To wake nobody would be a call to the system too, and
    /// changes are far more frequent than those who wait for one.
    blocked: usize,
}

impl Shared {
    pub(crate) fn new(server: String, outbox: Outbox) -> Shared {
        Shared {
            state: Mutex::new(State {
                outbox,
                fault: None,
                trouble: None,
                ended: None,
                last_word: 0,
                closed: false,
                gone: false,
                away: None,
                standing: None,
                meter: None,
                refusals: BTreeMap::new(),
                blocked: 0,
            }),
            changed: Condvar::new(),
            changed_async: Notify::new(),
            work: Notify::new(),
            cancellation: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            server,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let value = change(&mut state);
        let blocked = state.blocked > 0;
        drop(state);
        if blocked {
            self.changed.notify_all();
        }
        self.changed_async.notify_waiters();
        value
    }

    /// The error for what finds no room.
    pub(crate) fn full(&self, state: &mut State) -> Error {
        let error = Error::SpoolFull {
            server: self.server.clone(),
            limit_bytes: state.outbox.limit(),
            lines_lost: state.outbox.lines_lost,
            cause: state.away.as_ref().map(|(_, cause)| cause.clone()),
        };
        state.trouble = Some(error.clone());
        error
    }

    /// Waits until `reached` gives something; blocks the thread.
    pub(crate) fn wait<T>(
        &self,
        limit: Duration,
        mut reached: impl FnMut(&State) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + limit.min(CENTURY);
        let mut state = self.lock();
        loop {
            if let Some(result) = reached(&state) {
                return result;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.timed_out(&state, limit));
            }
            state.blocked += 1;
            let (next, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.blocked -= 1;
        }
    }

    /// Waits until at most `most` bytes wait to be answered, however long that takes, but no
    /// longer than `limit` after the server began to be away; blocks the thread.
    pub(crate) fn wait_for_room(&self, most: usize, limit: Duration) {
        let mut state = self.lock();
        loop {
            let is_over = state.fault.is_some() || state.gone || state.closed;
            if is_over || state.outbox.bytes() <= most {
                return;
            }
            let away = state.away.as_ref().map(|(since, _)| since.elapsed());
            let left = away.map_or(CENTURY, |away| limit.saturating_sub(away));
            if left.is_zero() {
                return;
            }
            state.blocked += 1;
            let (next, _) = self
                .changed
                .wait_timeout(state, left.min(CENTURY))
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.blocked -= 1;
        }
    }

    /// [`Shared::wait`] without blocking the thread. Needs a tokio runtime with its timer.
    pub(crate) async fn wait_async<T>(
        &self,
        limit: Duration,
        mut reached: impl FnMut(&State) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let waiting = async {
            loop {
                let changed = self.changed_async.notified();
                tokio::pin!(changed);
                // From here on no change is missed.
                changed.as_mut().enable();
                if let Some(result) = reached(&self.lock()) {
                    return result;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(limit, waiting).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out(&self.lock(), limit)),
        }
    }

    fn timed_out(&self, state: &State, limit: Duration) -> Error {
        Error::FlushTimeout {
            server: self.server.clone(),
            limit,
            waiting: state.outbox.waiting(),
            cause: state.away.as_ref().map(|(_, cause)| cause.clone()),
        }
    }
}

impl State {
    /// Whether what has `ticket` is answered, and how.
    pub(crate) fn answered(&self, ticket: u64) -> Option<Result<(), Error>> {
        if let Some(refusal) = self.refusals.get(&ticket) {
            return Some(Err(refusal.clone()));
        }
        if self.outbox.is_done(ticket) {
            return Some(Ok(()));
        }
        match &self.fault {
            Some(fault) => Some(Err(fault.clone())),
            None if self.gone => Some(Err(Error::Closed)),
            None => None,
        }
    }

    /// Says how far the meter is, if it moved. Nothing may be said after the end.
    pub(crate) fn read_meter(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Some((counter, said)) = &mut self.meter {
            let done = counter.done();
            if *said != Some(done) {
                *said = Some(done);
                self.outbox.progress(counter.progress(done));
            }
        }
    }

    pub(crate) fn is_metered_by(&self, counter: &Arc<Counter>) -> bool {
        let current = self.meter.as_ref();
        current.is_some_and(|(current, _)| Arc::ptr_eq(current, counter))
    }

    /// Notes how the job ends, in place of an end that was refused.
    pub(crate) fn say_last(&mut self, status: Status, ticket: u64) {
        self.ended = Some(status);
        self.last_word = ticket;
        self.trouble
            .take_if(|trouble| trouble.code() == INVALID_OUTPUT);
    }

    /// Remembers that a report was refused.
    pub(crate) fn refuse(&mut self, ticket: u64, error: Error) {
        if ticket == self.last_word && error.code() == INVALID_OUTPUT {
            // The job has not ended, and may say that it failed.
            self.ended = None;
        }
        self.trouble = Some(error.clone());
        self.refusals.insert(ticket, error);
        while self.refusals.len() > REFUSALS {
            self.refusals.pop_first();
        }
    }
}
