//! The job that this process is, seen from inside.
//!
//! Calls that say something append and return at once; the job's own thread sends. So a job
//! goes on while its server is away, and what it said arrives afterwards, once and in order.
//! Calls that wait say so, and come twice: for plain threads, and with `_async` for async code.
//!
//! Whoever drops the last handle waits for the last reports, up to the flush limit. A process
//! that ends by `std::process::exit` drops nothing: call [`Job::close`] before.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "tracing")]
use std::sync::Weak;
use std::time::{Duration, Instant};

use jobhook_protocol::Progress;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::builder::JobBuilder;
use crate::files::Files;
use crate::handle::Handle;
use crate::meter::{Counter, Meter};
use crate::receipt::Receipt;
use crate::report::{Amount, Report, progress_of};
use crate::shared::State;
use crate::standing::Standing;

/// How long the first answer is waited for.
const FIRST_ANSWER: Duration = Duration::from_secs(120);

/// A job. Clones are handles to the same one and may be used from any thread.
///
/// ```no_run
/// # #[derive(serde::Deserialize)] struct Resize { files: Vec<String> }
/// let job = jobhook::Job::from_env()?;
/// let wanted: Resize = job.arguments()?;
/// for (done, file) in wanted.files.iter().enumerate() {
///     if job.is_cancelled() {
///         return job.fail("Cancelled", "asked to stop");
///     }
///     job.log(format!("resizing {file}"))?;
///     job.progress(done + 1, wanted.files.len())?;
/// }
/// job.succeed(&wanted.files.len())
/// # ; Ok::<(), jobhook::Error>(())
/// ```
#[derive(Clone)]
pub struct Job {
    handle: Arc<Handle>,
}

/// A handle that does not keep the job open.
#[cfg(feature = "tracing")]
#[derive(Clone, Debug)]
pub(crate) struct WeakJob(Weak<Handle>);

impl Job {
    /// The job that the environment of this process tells of.
    ///
    /// # Errors
    ///
    /// `missing_variable` and `invalid_variable` name the variable; see also
    /// [`JobBuilder::build`].
    pub fn from_env() -> Result<Job, Error> {
        Job::builder().build()
    }

    /// A job with other settings than the usual ones.
    pub fn builder() -> JobBuilder {
        JobBuilder::default()
    }

    pub(crate) fn of(handle: Handle) -> Job {
        Job {
            handle: Arc::new(handle),
        }
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn downgrade(&self) -> WeakJob {
        WeakJob(Arc::downgrade(&self.handle))
    }

    /// The action's id.
    pub fn id(&self) -> &str {
        &self.handle.environment.id
    }

    /// The attempt's number, from 1; none where the server does not tell.
    pub fn attempt(&self) -> Option<u32> {
        self.handle.environment.attempt
    }

    /// The W3C Trace Context of the launch.
    pub fn traceparent(&self) -> Option<&str> {
        self.handle.environment.traceparent.as_deref()
    }

    /// What the action was launched with. The first call asks the server and waits for it, up
    /// to two minutes; arguments that were not given are read as `null`.
    ///
    /// # Errors
    ///
    /// `unexpected_arguments` if they are not a `T`; whatever keeps the server from answering.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let standing = self.standing()?;
        read_arguments(&standing)
    }

    /// [`Job::arguments`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Job::arguments`].
    pub async fn arguments_async<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let standing = self.standing_async().await?;
        read_arguments(&standing)
    }

    /// The action as the server showed it last; asks if it never did.
    ///
    /// # Errors
    ///
    /// Whatever keeps the server from answering.
    pub fn standing(&self) -> Result<Arc<Standing>, Error> {
        if let Some(known) = self.known()? {
            return Ok(known);
        }
        let ticket = self.ask()?;
        let shared = &self.handle.shared;
        shared.wait(FIRST_ANSWER, |state| first_standing(state, ticket))
    }

    /// [`Job::standing`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Job::standing`].
    pub async fn standing_async(&self) -> Result<Arc<Standing>, Error> {
        if let Some(known) = self.known()? {
            return Ok(known);
        }
        let ticket = self.ask()?;
        let shared = &self.handle.shared;
        shared
            .wait_async(FIRST_ANSWER, |state| first_standing(state, ticket))
            .await
    }

    /// Says something. Returns at once; what the server made of it is told by the receipt.
    ///
    /// # Errors
    ///
    /// `job_ended`, `job_closed`, `job_forked`, `body_too_large`, `spool_full`; and what ended
    /// the reporting earlier.
    pub fn report(&self, report: Report) -> Result<Receipt, Error> {
        let ticket = self.enqueue(report)?;
        Ok(self.handle.receipt(ticket))
    }

    /// Adds a line to the log. Returns at once.
    ///
    /// # Errors
    ///
    /// As [`Job::report`], but that lines may follow the end until the job is closed.
    pub fn log(&self, line: impl AsRef<str>) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let mut state = self.open()?;
        match state.outbox.line(line.as_ref(), Instant::now()) {
            Ok(wake) => {
                drop(state);
                if wake {
                    shared.work.notify_one();
                }
                Ok(())
            }
            Err(_) => Err(shared.full(&mut state)),
        }
    }

    /// Waits until at most `bytes` of what was said wait for an answer. For programs that say more
    /// than a server stores in the same time: it slows them down instead of filling the memory.
    ///
    /// A server that answers is waited for as long as it takes. One that is away is not: `limit`
    /// after it was heard last, and from then on at once, this returns; what is said then waits
    /// as [`JobBuilder::spool_bytes`] allows. Blocks the thread.
    pub fn wait_for_room(&self, bytes: usize, limit: Duration) {
        if self.handle.check_process().is_ok() {
            self.handle.shared.wait_for_room(bytes, limit);
        }
    }

    /// Says how far the job is. Returns at once; of many calls only the newest is sent.
    ///
    /// - `total`: how many there are, if that is known.
    ///
    /// # Errors
    ///
    /// `invalid_value` if `done` is negative, not a number, or more than `total`; else as
    /// [`Job::report`].
    pub fn progress<N: Amount>(&self, done: N, total: impl Into<Option<N>>) -> Result<(), Error> {
        self.update(progress_of(
            done.amount(),
            total.into().map(Amount::amount),
        )?)
    }

    /// Counts progress instead of saying it: for loops so tight that even [`Job::progress`] is
    /// too much for every step. The newest meter is the one that is reported.
    ///
    /// - `total`: how many steps there are, if that is known.
    /// - `message`: what the job is doing.
    ///
    /// # Errors
    ///
    /// As [`Job::progress`].
    pub fn meter(&self, total: Option<u64>, message: Option<String>) -> Result<Meter, Error> {
        let counter = Arc::new(Counter::new(total, message));
        let mut state = self.open()?;
        if let Some(ended) = state.ended {
            return Err(Error::Ended(ended));
        }
        state.read_meter();
        state.meter = Some((counter.clone(), None));
        drop(state);
        self.handle.shared.work.notify_one();
        Ok(Meter::new(self.clone(), counter))
    }

    /// Says what the job is doing. Returns at once.
    ///
    /// # Errors
    ///
    /// As [`Job::report`].
    pub fn message(&self, message: impl Into<String>) -> Result<(), Error> {
        self.update(Progress {
            message: Some(message.into()),
            ..Progress::default()
        })
    }

    /// The job did what it should: says so, with what it made, and waits until everything is
    /// answered, up to the flush limit.
    ///
    /// # Errors
    ///
    /// `not_json` if the results cannot travel; `flush_timeout` if the server is away; else as
    /// [`Job::report`].
    pub fn succeed<T: Serialize + ?Sized>(&self, results: &T) -> Result<(), Error> {
        self.end(Report::success().results(results)?)
    }

    /// [`Job::succeed`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Job::succeed`].
    pub async fn succeed_async<T: Serialize + ?Sized>(&self, results: &T) -> Result<(), Error> {
        self.end_async(Report::success().results(results)?).await
    }

    /// The job failed: says so, and waits until everything is answered, up to the flush limit.
    ///
    /// - `name`: what went wrong, for programs, such as `FileNotFound`.
    /// - `message`: what went wrong, for people.
    ///
    /// # Errors
    ///
    /// As [`Job::succeed`].
    pub fn fail(&self, name: impl Into<String>, message: impl Into<String>) -> Result<(), Error> {
        self.end(Report::error(name, message))
    }

    /// [`Job::fail`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Job::succeed`].
    pub async fn fail_async(
        &self,
        name: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<(), Error> {
        self.end_async(Report::error(name, message)).await
    }

    /// Waits until everything that was said is answered.
    ///
    /// # Errors
    ///
    /// `flush_timeout` after `limit`; what ended the reporting.
    pub fn flush(&self, limit: Duration) -> Result<(), Error> {
        let ticket = self.hurry()?;
        let shared = &self.handle.shared;
        shared.wait(limit, |state| state.answered(ticket))
    }

    /// [`Job::flush`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Job::flush`].
    pub async fn flush_async(&self, limit: Duration) -> Result<(), Error> {
        let ticket = self.hurry()?;
        let shared = &self.handle.shared;
        shared
            .wait_async(limit, |state| state.answered(ticket))
            .await
    }

    /// Sends what is left, up to the flush limit, and ends the job's thread. Closing again does
    /// nothing.
    ///
    /// # Errors
    ///
    /// `flush_timeout` if something was not answered; what ended the reporting; or the trouble
    /// that [`Job::error`] tells of, for example lines that found no room.
    pub fn close(&self) -> Result<(), Error> {
        self.handle.check_process()?;
        self.handle.close()
    }

    /// [`Job::close`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Job::close`].
    pub async fn close_async(&self) -> Result<(), Error> {
        self.handle.check_process()?;
        self.handle.close_async().await
    }

    /// What went wrong, if anything did: what ended the reporting, or trouble that did not, such
    /// as a refused report, lines that found no room or were not taken by a server of the
    /// original, or a spool that cannot be written.
    pub fn error(&self) -> Option<Error> {
        if let Err(error) = self.handle.check_process() {
            return Some(error);
        }
        let state = self.handle.shared.lock();
        state.fault.clone().or_else(|| state.trouble.clone())
    }

    /// Fires when the server wants the job to end, or its attempt is over.
    pub fn cancellation(&self) -> CancellationToken {
        self.handle.shared.cancellation.clone()
    }

    /// Whether the server wants the job to end, or its attempt is over. Costs next to nothing.
    pub fn is_cancelled(&self) -> bool {
        self.handle.shared.cancellation.is_cancelled()
    }

    /// The files of its action.
    pub(crate) fn files(&self) -> Result<Arc<Files>, Error> {
        drop(self.open()?);
        self.handle.files.clone().ok_or(Error::NoFiles)
    }

    /// Appends a report, and tells its ticket.
    pub(crate) fn enqueue(&self, mut report: Report) -> Result<u64, Error> {
        let shared = &self.handle.shared;
        let (status, only_lines) = (report.status(), report.has_only_lines());
        let body = report.into_body(self.attempt().is_some())?;
        let mut state = self.open()?;
        if let Some(ended) = state.ended
            && !only_lines
        {
            return Err(Error::Ended(ended));
        }
        state.read_meter();
        let Ok(ticket) = state.outbox.fields(body, Instant::now()) else {
            return Err(shared.full(&mut state));
        };
        if state.ended.is_none()
            && let Some(status) = status.filter(|status| status.is_final())
        {
            state.say_last(status, ticket);
        }
        drop(state);
        shared.work.notify_one();
        Ok(ticket)
    }

    fn update(&self, progress: Progress) -> Result<(), Error> {
        let mut state = self.open()?;
        if let Some(ended) = state.ended {
            return Err(Error::Ended(ended));
        }
        let wake = state.outbox.progress(progress);
        drop(state);
        if wake {
            self.handle.shared.work.notify_one();
        }
        Ok(())
    }

    /// Says the last count of a meter, unless a newer one took its place.
    pub(crate) fn end_meter(&self, counter: &Arc<Counter>) -> Result<(), Error> {
        let mut state = self.open()?;
        if !state.is_metered_by(counter) {
            return Ok(());
        }
        let ended = state.ended;
        state.read_meter();
        state.meter = None;
        drop(state);
        self.handle.shared.work.notify_one();
        match ended {
            Some(ended) => Err(Error::Ended(ended)),
            None => Ok(()),
        }
    }

    fn end(&self, report: Report) -> Result<(), Error> {
        self.enqueue(report)?;
        self.flush(self.handle.flush_limit)
    }

    async fn end_async(&self, report: Report) -> Result<(), Error> {
        self.enqueue(report)?;
        self.flush_async(self.handle.flush_limit).await
    }

    fn hurry(&self) -> Result<u64, Error> {
        let ticket = self.open()?.outbox.hurry(Instant::now());
        self.handle.shared.work.notify_one();
        Ok(ticket)
    }

    fn known(&self) -> Result<Option<Arc<Standing>>, Error> {
        self.handle.check_process()?;
        Ok(self.handle.shared.lock().standing.clone())
    }

    fn ask(&self) -> Result<u64, Error> {
        if self.attempt().is_some() {
            return self.enqueue(Report::new());
        }
        // The original takes no report that says nothing.
        self.enqueue(Report::running())
    }

    /// The state, if something may be said.
    fn open(&self) -> Result<std::sync::MutexGuard<'_, State>, Error> {
        self.handle.check_process()?;
        let state = self.handle.shared.lock();
        match &state.fault {
            Some(fault) => Err(fault.clone()),
            None if state.closed => Err(Error::Closed),
            None => Ok(state),
        }
    }
}

#[cfg(feature = "tracing")]
impl WeakJob {
    pub(crate) fn upgrade(&self) -> Option<Job> {
        let handle = self.0.upgrade()?;
        Some(Job { handle })
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.handle, f)
    }
}

fn first_standing(state: &State, ticket: u64) -> Option<Result<Arc<Standing>, Error>> {
    match (&state.standing, state.answered(ticket)) {
        (Some(standing), _) => Some(Ok(standing.clone())),
        (None, Some(Err(error))) => Some(Err(error)),
        (None, Some(Ok(()))) => Some(Ok(Arc::default())),
        (None, None) => None,
    }
}

fn read_arguments<T: DeserializeOwned>(standing: &Standing) -> Result<T, Error> {
    let text = standing
        .arguments
        .as_ref()
        .map_or("null", |arguments| arguments.as_str());
    serde_json::from_str(text).map_err(|error| Error::Arguments(error.to_string()))
}
