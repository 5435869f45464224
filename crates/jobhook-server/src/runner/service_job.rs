//! One job inside the server: an operation, and what it says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use jobhook::{Failure, Job, Operation, Standing, in_process};
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
use crate::operations::Catalogue;

/// How long an operation that is ended has to be gone; only one that computes does not go.
const GONE: Duration = Duration::from_secs(1);

/// How many reports of a job may wait to be stored.
const UNANSWERED: usize = 8;
/// The name of a panic.
const PANICKED: &str = "panicked";

/// How an operation's words reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reporting {
    /// Straight, through the runner's stream.
    Store,
    /// Through the hook, signed, like those of every other job.
    Hook,
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
            Reporting::Hook => self.report_to_hook(&threads).await,
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
        let mut task = self.call(job, threads);
        let mut answers = FuturesOrdered::new();
        let (mut told, mut open) = (false, true);
        let outcome = loop {
            tokio::select! {
                biased;
                returned = &mut task => break Outcome::of(returned),
                () = self.entry.abort.cancelled() => break self.end(task).await,
                () = self.entry.stop.cancelled(), if !told => {
                    told = true;
                    desk.stop();
                }
                Some(answer) = answers.next() => desk.stored(answer_of(answer)),
                report = desk.next(), if open && answers.len() < UNANSWERED => match report {
                    Some(report) => answers.push_back(self.say(report).await),
                    None => open = false,
                },
            }
        };
        let (last, ending) = self.judge(outcome);
        // What it said up to here goes first. Nobody is left who waits for an answer.
        desk.close();
        while let Some(report) = desk.next().await {
            self.say(report).await;
        }
        if let Some(report) = last {
            self.say(report).await;
        }
        ending
    }

    async fn report_to_hook(&self, threads: &Handle) -> Ending {
        let builder = Job::builder().environment(self.start.environment.clone());
        let job = match builder.build() {
            Ok(job) => job,
            Err(error) => {
                let reason = error.to_string();
                return Ending::NotStarted { reason };
            }
        };
        let mut task = self.call(job.clone(), threads);
        let mut told = false;
        let outcome = loop {
            tokio::select! {
                returned = &mut task => break Outcome::of(returned),
                () = self.entry.abort.cancelled() => break self.end(task).await,
                () = self.entry.stop.cancelled(), if !told => {
                    told = true;
                    job.cancellation().cancel();
                }
            }
        };
        let (last, ending) = self.judge(outcome);
        let said = match last {
            None => Ok(()),
            Some(Report {
                results: Some(results),
                ..
            }) => job.succeed_async(&results).await,
            Some(Report {
                error_name,
                error_message,
                ..
            }) => {
                let (name, message) = (error_name.unwrap_or_default(), error_message);
                job.fail_async(name, message.unwrap_or_default()).await
            }
        };
        if let Err(error) = said.and(job.close_async().await) {
            tracing::warn!(action.id = %self.start.attempt.action, %error, "An operation could not say how it ended");
        }
        ending
    }

    fn call(&self, job: Job, threads: &Handle) -> JoinHandle<Result<Json, Failure>> {
        let input = self.start.action.arguments.clone();
        threads.spawn(self.operation.call(job, input))
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

    /// The operation's last word, and its end as it is seen.
    fn judge(&self, outcome: Outcome) -> (Option<Report>, Ending) {
        match outcome {
            Outcome::Returned(Ok(results)) => {
                let id = self.operation.id();
                let last = match self.catalogue.check_output(id, Some(&results)) {
                    Ok(()) => success(results),
                    Err(mismatch) => error(Failure::new(
                        Code::InvalidOutput.as_str(),
                        format!("the results of `{id}` do not fit: {mismatch}"),
                    )),
                };
                (Some(last), Ending::Returned)
            }
            // It was not the operation's fault that it came to nothing.
            Outcome::Returned(Err(_)) | Outcome::Aborted if self.entry.closing.is_cancelled() => {
                let reason = "the server that ran the operation has stopped".into();
                (None, Ending::Lost { reason })
            }
            Outcome::Returned(Err(failure)) => {
                let ending = if failure.name == PANICKED {
                    Ending::Panicked
                } else {
                    Ending::Returned
                };
                (Some(error(failure)), ending)
            }
            Outcome::Aborted => (None, Ending::Aborted),
            Outcome::Abandoned => (None, Ending::Abandoned),
        }
    }

    async fn say(&self, report: Report) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let said = Said {
            report,
            at_ms: SystemClock.now().0,
            answer,
        };
        self.show(Sighting::Said(Box::new(said))).await;
        answered
    }
}

impl Outcome {
    fn of(returned: Result<Result<Json, Failure>, JoinError>) -> Outcome {
        match returned {
            Ok(returned) => Outcome::Returned(returned),
            Err(error) if error.is_panic() => {
                let failure = Failure::new(PANICKED, "it did not say why");
                Outcome::Returned(Err(failure))
            }
            // Its threads are gone: the server is on its way out.
            Err(_) => Outcome::Aborted,
        }
    }
}

fn success(results: Json) -> Report {
    Report {
        status: Some(Status::Success),
        results: Some(results),
        ..Report::default()
    }
}

fn error(failure: Failure) -> Report {
    Report {
        status: Some(Status::Error),
        error_name: Some(failure.name),
        error_message: Some(failure.message),
        ..Report::default()
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
