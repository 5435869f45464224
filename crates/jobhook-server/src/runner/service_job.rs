//! One job inside the server: an operation, and what it says.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use jobhook::{Failure, Job, Operation, Operations, Standing, in_process};
use jobhook_engine::attempt::{Ending, Saw};
use jobhook_engine::clock::{Clock, SystemClock};
use jobhook_engine::ledger::Answer;
use jobhook_engine::runner::{JobStart, Said, Sighting};
use jobhook_engine::write::Refusal;
use jobhook_protocol::{Code, Json, Problem, Report, Status};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};

use super::service::Entry;
use crate::aside;
use crate::operations::Catalogue;

/// How long an operation that is ended has to be gone; only one that computes does not go.
const GONE: Duration = Duration::from_secs(1);

/// How many reports of a job may wait to be stored.
const UNANSWERED: usize = 8;

/// How an operation's words reach the engine.
#[derive(Clone, Debug)]
pub(super) enum Reporting {
    /// Straight, through the runner's stream.
    Store,
    /// Through the hook, signed, like those of every other job: one of these runs as it would in
    /// a process of its own.
    Hook(Operations),
}

/// A job on its way from its start to its end.
pub(super) struct ServiceJob {
    start: JobStart,
    operation: Operation,
    catalogue: Arc<Catalogue>,
    entry: Arc<Entry>,
    sightings: mpsc::Sender<Sighting>,
}

/// What became of a call.
enum Outcome {
    Returned(Result<Json, Failure>),
    Aborted,
    Abandoned,
}

impl ServiceJob {
    pub(super) fn new(
        start: JobStart,
        operation: Operation,
        catalogue: Arc<Catalogue>,
        entry: Arc<Entry>,
        sightings: mpsc::Sender<Sighting>,
    ) -> ServiceJob {
        ServiceJob {
            start,
            operation,
            catalogue,
            entry,
            sightings,
        }
    }

    /// Runs the operation on `threads`, and shows all that is to be seen of it.
    pub(super) async fn run(self, reporting: Reporting, threads: Handle) {
        self.show(Sighting::Started {
            at: SystemClock.now(),
        })
        .await;
        let ending = match reporting {
            Reporting::Store => self.report_to_store(&threads).await,
            Reporting::Hook(operations) => self.report_to_hook(operations, &threads).await,
        };
        let saw = Saw {
            ending,
            at: SystemClock.now(),
            stopped: self.entry.stop.is_cancelled(),
            usage: None,
        };
        self.entry.end.send_replace(Some(saw.clone()));
        self.show(Sighting::Ended(saw)).await;
    }

    async fn show(&self, sighting: Sighting) {
        // Nobody looks any more once the engine has stopped.
        let _ = self.sightings.send(sighting).await;
    }

    async fn report_to_store(&self, threads: &Handle) -> Ending {
        let JobStart {
            action,
            environment,
            ..
        } = &self.start;
        let mut standing = Standing::new(&action.action_type);
        standing.operation_id = Some(action.action_type.clone());
        standing.arguments = action.arguments.clone();
        standing.status = Some(Status::Running);
        standing.attempt = Some(self.start.attempt.number);
        standing.attempts = Some(action.attempts);
        let (job, mut desk) = in_process::open(environment.clone(), standing);
        let input = action.arguments.clone();
        let mut task = threads.spawn(self.operation.call(job.clone(), input));
        let mut answers = FuturesOrdered::new();
        let (mut told, mut open) = (false, true);
        // Whether anything fitting was said as results before.
        let mut results = false;
        // Why a success that it said itself was refused.
        let mut refused = None;
        let mut outcome = loop {
            tokio::select! {
                biased;
                returned = &mut task => break Outcome::of(returned),
                () = self.entry.abort.cancelled() => break self.end(task).await,
                () = self.entry.stop.cancelled(), if !told => {
                    told = true;
                    desk.stop();
                }
                Some(answer) = answers.next() => desk.stored(answer),
                report = desk.next(), if open && answers.len() < UNANSWERED => match report {
                    Some(report) => answers.push_back(match self.judge(&report, &mut results).await {
                        Ok(()) => self.say(report).await.left_future(),
                        Err(problem) => {
                            if report.status == Some(Status::Success) {
                                refused = Some(problem.clone());
                            }
                            ready(Err(jobhook::Error::Refused(Box::new(problem)))).right_future()
                        }
                    }),
                    None => open = false,
                },
            }
        };
        if self.entry.stop.is_cancelled() {
            desk.stop();
        }
        if let Some(problem) = refused {
            // It has to be told first, for only then may it say that it failed.
            while let Some(answer) = answers.next().await {
                desk.stored(answer);
            }
            if let Outcome::Returned(returned @ Ok(_)) = &mut outcome {
                *returned = Err(Failure::new(problem.code, problem.detail));
            }
        }
        let ending = self.ending(&outcome);
        if let Outcome::Returned(returned) = outcome {
            // One that said its last word itself is refused another. Where lines have filled all
            // the room there is, they go first.
            while let Err(jobhook::Error::SpoolFull { .. }) =
                in_process::end(&job, returned.clone())
            {
                if let Some(answer) = answers.next().await {
                    desk.stored(answer);
                } else if let Some(report) = desk.next().await {
                    let report = self.last(report, &mut results).await;
                    answers.push_back(self.say(report).await.left_future());
                }
            }
        }
        // Nobody is left who waits for an answer.
        desk.close();
        while let Some(report) = desk.next().await {
            let report = self.last(report, &mut results).await;
            drop(self.say(report).await);
        }
        ending
    }

    async fn report_to_hook(&self, operations: Operations, threads: &Handle) -> Ending {
        let builder = Job::builder().environment(self.start.environment.clone());
        let job = match builder.build() {
            Ok(job) => job,
            Err(error) => {
                let reason = error.to_string();
                return Ending::NotStarted { reason };
            }
        };
        let cancellation = job.cancellation();
        let mut task = threads.spawn(async move { operations.run_job(job).await });
        let mut told = false;
        let outcome = loop {
            tokio::select! {
                returned = &mut task => break Outcome::of(returned),
                () = self.entry.abort.cancelled() => break self.end(task).await,
                () = self.entry.stop.cancelled(), if !told => {
                    told = true;
                    cancellation.cancel();
                }
            }
        };
        self.ending(&outcome)
    }

    /// Ends an operation where it waits.
    async fn end(&self, mut task: JoinHandle<Result<Json, Failure>>) -> Outcome {
        task.abort();
        match tokio::time::timeout(GONE, &mut task).await {
            Ok(Err(_)) if self.operation.is_blocking() => Outcome::Abandoned,
            Ok(Err(_)) => Outcome::Aborted,
            Ok(Ok(returned)) => Outcome::Returned(returned),
            Err(_) => Outcome::Abandoned,
        }
    }

    /// What the hook judges of every other job nobody else judges here (clause `OP-16`).
    ///
    /// - `said`: whether results were said before; they fitted.
    async fn judge(&self, report: &Report, said: &mut bool) -> Result<(), Problem> {
        let results = report.results.as_ref();
        let judged = match report.status {
            Some(Status::Error) => return Ok(()),
            Some(Status::Success) if results.is_none() && !*said => self.fits(None).await,
            _ if results.is_none() => return Ok(()),
            _ => self.fits(results.cloned()).await,
        };
        *said |= judged.is_ok();
        judged
    }

    /// A report of an operation that has returned, and is told nothing any more: results that do
    /// not fit are left out, and a success that stands on them is a failure.
    async fn last(&self, report: Report, said: &mut bool) -> Report {
        match self.judge(&report, said).await {
            Ok(()) => report,
            Err(problem) if report.status == Some(Status::Success) => Report {
                status: Some(Status::Error),
                error_name: Some(problem.code),
                error_message: Some(problem.detail),
                results: None,
                ..report
            },
            Err(_) => Report {
                results: None,
                ..report
            },
        }
    }

    async fn fits(&self, results: Option<Json>) -> Result<(), Problem> {
        let size = results.as_ref().map_or(0, |results| results.as_str().len());
        let (catalogue, id) = (Arc::clone(&self.catalogue), self.operation.id().to_owned());
        let judged = aside::heavy(size, move || {
            let judged = catalogue.check_output(&id, results.as_ref());
            judged.map_err(|mismatch| format!("the results of `{id}` do not fit: {mismatch}"))
        });
        let judged = judged.await.unwrap_or_else(|error| {
            tracing::error!(%error, "Results could not be judged");
            Err("the results could not be judged".to_owned())
        });
        judged.map_err(|detail| Problem::new(Code::InvalidOutput, detail))
    }

    /// The end as it is seen.
    fn ending(&self, outcome: &Outcome) -> Ending {
        match outcome {
            Outcome::Returned(Ok(_)) => Ending::Returned,
            // It was not the operation's fault that it came to nothing.
            Outcome::Returned(Err(_)) | Outcome::Aborted if self.entry.closing.is_cancelled() => {
                let reason = "the server that ran the operation has stopped".into();
                Ending::Lost { reason }
            }
            Outcome::Returned(Err(failure)) if failure.is_panic() => Ending::Panicked,
            Outcome::Returned(Err(_)) => Ending::Returned,
            Outcome::Aborted => Ending::Aborted,
            Outcome::Abandoned => Ending::Abandoned,
        }
    }

    /// Gives a report to the engine; what it returns waits for the answer.
    async fn say(
        &self,
        report: Report,
    ) -> impl Future<Output = Result<(), jobhook::Error>> + use<> {
        let (answer, answered) = oneshot::channel();
        let said = Said {
            report,
            at_ms: SystemClock.now().0,
            answer,
        };
        self.show(Sighting::Said(Box::new(said))).await;
        answered.map(answer_of)
    }
}

impl Outcome {
    fn of(returned: Result<Result<Json, Failure>, JoinError>) -> Outcome {
        match returned {
            Ok(returned) => Outcome::Returned(returned),
            // A call catches its panics, so its threads are gone: the server is on its way out.
            Err(_) => Outcome::Aborted,
        }
    }
}

/// What the job is told of a report.
fn answer_of(answer: Result<Answer, oneshot::error::RecvError>) -> Result<(), jobhook::Error> {
    let refusal = match answer {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(refusal)) => refusal,
        // The engine has stopped, and so does this server.
        Err(_) => Refusal::Closed,
    };
    let code = match refusal {
        Refusal::Closed => Code::AttemptClosed,
        Refusal::Superseded { .. } => Code::AttemptSuperseded,
        _ => Code::IllegalTransition,
    };
    let problem = Problem::new(code, refusal.to_string());
    Err(jobhook::Error::Refused(Box::new(problem)))
}
