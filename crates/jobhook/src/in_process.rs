//! The job of an operation that runs inside its server.
//!
//! ```text
//! job.log, progress, report ─▶ outbox ─Desk::next─▶ the server ─Desk::stored─▶ whoever waits
//! ```
//!
//! It is a [`Job`] like any other, but no thread sends for it: a task of the server takes its
//! reports from the [`Desk`], and says what became of them. They are gathered as those of a
//! child process are, and read from the same bytes that it would send, so both are stored alike.
//!
//! Up to 64 MiB wait for the server, as in a child; lines beyond are refused with `spool_full`,
//! and the log tells how many are missing. A job costs a few small allocations, and a timer only
//! while lines wait for company (50 ms) or progress for its turn (250 ms).

use std::sync::Arc;
use std::time::Instant;

use jobhook_protocol::{JobEnvironment, Json, Report};
use tokio::time::sleep_until;

use crate::builder::{FLUSH_LIMIT, PROGRESS_INTERVAL, SPOOL_BYTES};
use crate::handle::Handle;
use crate::outbox::{Due, Numbering, Outbox};
use crate::program::last_word;
use crate::sender::is_of_one_report;
use crate::shared::{Shared, State};
use crate::{Error, Failure, Job, Standing};

/// Who the reports wait for, in messages.
const SERVER: &str = "the server that this job runs in";

/// Makes a job, and where its reports come out.
///
/// - `environment`: what a child process would find. Its hook is not called.
/// - `standing`: the action, so that the job need not ask.
///
/// Whoever drops the job does not wait for its last reports. Calls that wait, such as
/// [`Job::flush`], need somebody who takes from the desk meanwhile: in async code only those
/// with `_async` will do.
///
/// ```
/// use jobhook::protocol::{JobEnvironment, SecretKey};
/// use jobhook::{Report, Standing, in_process};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let environment = JobEnvironment {
///     id: "019ab697-e800-7a3e-8b21-4d6f0e9c1a57".to_owned(),
///     secret_key: SecretKey::from_text("secret")?,
///     hook: "http://localhost".to_owned(),
///     orchestrator: None,
///     attempt: Some(1),
///     traceparent: None,
/// };
/// let (job, mut desk) = in_process::open(environment, Standing::new("Report.Generate"));
/// job.log("a line")?;
/// job.report(Report::success())?;
/// drop(job);
/// while let Some(report) = desk.next().await {
///     // … stored
///     desk.stored(Ok(()));
/// }
/// # Ok(()) }
/// ```
pub fn open(mut environment: JobEnvironment, standing: Standing) -> (Job, Desk) {
    // Without it the job would speak the original's words.
    environment.attempt.get_or_insert(1);
    let outbox = Outbox::new(Numbering::Needless, SPOOL_BYTES);
    let shared = Arc::new(Shared::new(SERVER.to_owned(), outbox));
    shared.lock().standing = Some(Arc::new(standing));
    let handle = Handle::new(shared.clone(), environment, FLUSH_LIMIT).without_waiting();
    let desk = Desk { shared, given: 0 };
    (Job::of(handle), desk)
}

/// Says how an operation ended, as [`Operations::run_job`](crate::Operations::run_job) does, but
/// waits for nothing: SUCCESS with what it returned, ERROR with its failure, or a line if it
/// failed after it was asked to stop.
///
/// # Errors
///
/// `job_ended` if the operation has said it itself, and what [`Job::report`] gives.
pub fn end(job: &Job, outcome: Result<Json, Failure>) -> Result<(), Error> {
    let report = match outcome {
        Ok(results) => crate::Report::success().results_json(results),
        Err(failure) => last_word(job, &failure),
    };
    job.report(report).map(drop)
}

/// Where the reports of a job in this process come out.
#[derive(Debug)]
pub struct Desk {
    shared: Arc<Shared>,
    /// How many reports were given and not answered.
    given: usize,
}

#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is made; a box would cost an allocation a report"
)]
enum Step {
    Give(Report),
    Wait(Option<Instant>),
    End,
}

impl Desk {
    /// The next report, in order and without a number. `None` once the job is closed or dropped
    /// and everything was given; or nothing is wanted any more, see [`Desk::stored`]. Several may
    /// be taken before the first is answered. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Report> {
        loop {
            match self.step() {
                Step::Give(report) => {
                    self.given += 1;
                    return Some(report);
                }
                Step::Wait(None) => self.shared.work.notified().await,
                Step::Wait(Some(until)) => {
                    tokio::select! {
                        () = self.shared.work.notified() => {}
                        () = sleep_until(until.into()) => {}
                    }
                }
                Step::End => {
                    self.end_if_answered();
                    return None;
                }
            }
        }
    }

    /// Answers the oldest report that was given and not answered: whoever waits for it, or for
    /// all up to it, goes on.
    ///
    /// - `outcome`: a refusal is of this report alone, unless its code says that nothing is wanted
    ///   of this attempt any more (`attempt_closed`, `attempt_superseded`): then the job is
    ///   cancelled, every call of it says so, and what waits is left. After `invalid_output` for
    ///   a SUCCESS the job may still say that it failed.
    pub fn stored(&mut self, outcome: Result<(), Error>) {
        if self.given == 0 {
            return;
        }
        self.given -= 1;
        if let Err(error) = &outcome
            && matches!(error, Error::Refused(_))
            && !is_of_one_report(error)
        {
            // Before anybody who waits is woken: what they hear, the token knows.
            self.stop();
        }
        self.shared.change(|state| {
            match outcome {
                Err(error @ Error::Refused(_)) if !is_of_one_report(&error) => {
                    state.fault = Some(error);
                }
                Err(error) => {
                    let ticket = state.outbox.front().map_or(0, |front| front.ticket);
                    state.refuse(ticket, error);
                }
                Ok(()) => {}
            }
            state.outbox.settle();
        });
        self.end_if_answered();
    }

    /// The job should end: fires its [cancellation](Job::cancellation).
    pub fn stop(&self) {
        self.shared.cancellation.cancel();
    }

    /// Ends the job for whoever still holds it; what it has said up to here is still given.
    pub fn close(&self) {
        self.shared.change(|state| state.closed = true);
    }

    fn step(&self) -> Step {
        let now = Instant::now();
        let state = &mut *self.shared.lock();
        if state.fault.is_some() || self.shared.abandoned.is_cancelled() {
            return Step::End;
        }
        state.read_meter();
        let due = match state.outbox.due(now, PROGRESS_INTERVAL) {
            Due::Never if state.closed => return Step::End,
            _ if state.closed => Due::Now,
            due => due,
        };
        let look = state.meter.as_ref().map(|_| now + PROGRESS_INTERVAL);
        let until = match due {
            Due::Now => return self.give_next(state, now),
            Due::At(at) => Some(look.map_or(at, |look| look.min(at))),
            Due::Never => look,
        };
        Step::Wait(until)
    }

    fn give_next(&self, state: &mut State, now: Instant) -> Step {
        state.outbox.seal(now);
        let Some(sealed) = state.outbox.sealed().nth(self.given) else {
            return Step::Wait(None);
        };
        // A job puts only reports in, so this fails for none; if it did, the server would.
        match Report::read(sealed.body.to_vec()) {
            Ok(report) => Step::Give(report),
            Err(error) => {
                let (name, reason) = ("the report", error.to_string());
                state.fault = Some(Error::Value { name, reason });
                Step::End
            }
        }
    }

    /// Whoever closes the job waits for this.
    fn end_if_answered(&self) {
        let state = self.shared.lock();
        let over = state.fault.is_some() || (state.closed && state.outbox.is_empty());
        drop(state);
        if over {
            self.shared.change(|state| state.gone = true);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shared.change(|state| state.gone = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobhook_protocol::{Code, Problem, SecretKey, Status};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn opened() -> (Job, Desk) {
        let environment = JobEnvironment {
            id: "a".to_owned(),
            secret_key: SecretKey::from_text("key").unwrap(),
            hook: "http://h".to_owned(),
            orchestrator: None,
            attempt: None,
            traceparent: None,
        };
        let mut standing = Standing::new("Any");
        standing.arguments = Some(jobhook_protocol::Json::of(&7.into()));
        open(environment, standing)
    }

    async fn all(mut desk: Desk) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(report) = desk.next().await {
            reports.push(report);
            desk.stored(Ok(()));
        }
        reports
    }

    #[tokio::test]
    async fn fifty_thousand_lines_arrive_in_order_and_in_few_reports() {
        let (job, desk) = opened();
        let drained = tokio::spawn(all(desk));
        for number in 0..50_000 {
            job.log(format!("line {number}")).unwrap();
        }
        job.succeed_async(&1).await.unwrap();
        drop(job);
        let reports = drained.await.unwrap();
        let lines = reports.iter().flat_map(|report| &report.logs);
        let wanted = (0..50_000).map(|number| format!("line {number}"));
        assert!(lines.cloned().eq(wanted));
        assert!(reports.len() < 50, "{}", reports.len());
        assert_eq!(reports.last().unwrap().status, Some(Status::Success));
    }

    #[tokio::test]
    async fn what_is_reported_is_what_a_child_would_send() {
        let (job, desk) = opened();
        assert_eq!(job.arguments::<u8>().unwrap(), 7);
        for done in 0..=4 {
            job.progress(done, 4).unwrap();
        }
        job.log("one\0").unwrap();
        job.log("two").unwrap();
        job.report(crate::Report::success().results(&[1.5]).unwrap())
            .unwrap();
        drop(job);
        let reports = all(desk).await;
        assert!(reports.iter().all(|report| report.delivery.is_none()));
        let mut newest_first = reports.iter().rev();
        let last = newest_first.find_map(|it| it.progress.as_ref()).unwrap();
        assert_eq!((last.done, last.percent), (Some(4.0), Some(100.0)));
        let lines: Vec<_> = reports.iter().flat_map(|report| &report.logs).collect();
        assert_eq!(lines, ["one\u{fffd}", "two"]);
        let results = reports.last().unwrap().results.as_ref().unwrap();
        assert_eq!(results.as_str(), "[1.5]");
    }

    #[tokio::test]
    async fn who_waits_hears_what_became_of_the_report() {
        let (job, mut desk) = opened();
        let first = job.report(crate::Report::running()).unwrap();
        let second = job.report(crate::Report::success()).unwrap();
        // Both are taken before the first is answered.
        assert_eq!(desk.next().await.unwrap().status, Some(Status::Running));
        assert_eq!(desk.next().await.unwrap().status, Some(Status::Success));
        desk.stored(Ok(()));
        first.wait_async(PATIENCE).await.unwrap();
        let problem = Problem {
            code: "invalid_output".to_owned(),
            ..Problem::new(Code::InvalidField, "/pages: not a number")
        };
        desk.stored(Err(Error::Refused(problem.into())));
        let refusal = second.wait_async(PATIENCE).await.unwrap_err();
        assert_eq!(refusal.code(), "invalid_output");
        // It has not ended, then.
        job.report(crate::Report::error("invalid_output", "no"))
            .unwrap();
        assert_eq!(desk.next().await.unwrap().status, Some(Status::Error));
        desk.stored(Ok(()));
        drop(job);
        assert!(desk.next().await.is_none());
    }

    #[tokio::test]
    async fn an_attempt_that_is_over_ends_the_reporting_and_cancels_the_job() {
        let (job, mut desk) = opened();
        job.report(crate::Report::running()).unwrap();
        desk.next().await.unwrap();
        let problem = Problem::new(Code::AttemptClosed, "it is over");
        desk.stored(Err(Error::Refused(problem.into())));
        assert!(job.is_cancelled());
        assert_eq!(job.log("x").unwrap_err().code(), "attempt_closed");
        assert!(desk.next().await.is_none());
        let end = job.close_async().await.unwrap_err();
        assert_eq!(end.code(), "attempt_closed");
    }

    #[tokio::test]
    async fn a_desk_that_goes_lets_nobody_wait() {
        let (job, desk) = opened();
        desk.stop();
        assert!(job.is_cancelled());
        let receipt = job.report(crate::Report::running()).unwrap();
        drop(desk);
        let end = receipt.wait_async(PATIENCE).await.unwrap_err();
        assert_eq!(end.code(), "job_closed");
    }
}
