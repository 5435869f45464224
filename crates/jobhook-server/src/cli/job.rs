//! The job that this process is part of, for `report`, `log`, `upload` and `download`.
//!
//! Nothing is said here but what the command was told to say: a process that only passes lines
//! on must not make a job that hangs look alive.

use std::time::Duration;

use jobhook::{Error, Job, Report};
use jobhook_protocol::Code;

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::config::Surroundings;

/// The exit codes of what runs inside a job, for its script.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 stored; 3 the job should stop (cancelled, or its attempt is over), so a script
says `jobhook report … || exit`; 1 refused; 64 not in a job, or wrong flags; 69 no answer;
77 the signature was not accepted.";

/// The same for files.
pub(crate) const FILES_EXIT_CODES: &str = "\
Exit codes: 0 done; 3 the job should stop (its attempt is over); 1 refused, or not there; 64 not
in a job, wrong flags, or a file that cannot be read or written; 69 no answer; 77 the signature was
not accepted.";

/// Moves files for the job.
#[derive(Debug)]
pub(crate) struct Worker {
    job: Job,
    patience: Duration,
}

impl Worker {
    /// - `patience`: how long a transfer may get nowhere.
    pub(crate) fn new(surroundings: &Surroundings, patience: Duration) -> Result<Worker, Failure> {
        let job = job_of(surroundings, patience)?;
        Ok(Worker { job, patience })
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// The end of a command whose file was not moved.
    ///
    /// - `what`: the upload, or the download.
    pub(crate) fn failed(&self, what: &str, error: &Error) -> Failure {
        undone(what, error, self.patience)
    }
}

fn job_of(surroundings: &Surroundings, patience: Duration) -> Result<Job, Failure> {
    let lookup = |name: &str| surroundings.get(name).map(str::to_owned);
    Job::builder()
        .variables(lookup)
        .and_then(|job| {
            job.patience(patience)
                .listen_every(None)
                // What was given up is not waited for once more.
                .flush_limit(Duration::ZERO)
                .build()
        })
        .map_err(|error| undone("the report", &error, patience))
}

/// Reports for the job, one after the other.
#[derive(Debug)]
pub(crate) struct Reporter {
    job: Job,
    patience: Duration,
}

/// What the server had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It stored the report.
    Stored,
    /// It stored the report and wants the job to end; or the job's attempt is over.
    Stop,
}

impl Reporter {
    /// A reporter with a name of its own.
    ///
    /// - `patience`: how long each report may take to be answered, tries included.
    pub(crate) fn new(
        surroundings: &Surroundings,
        patience: Duration,
    ) -> Result<Reporter, Failure> {
        let job = job_of(surroundings, patience)?;
        Ok(Reporter { job, patience })
    }

    /// Sends a report until it is answered.
    ///
    /// # Errors
    ///
    /// It was refused, or not answered in time. In the latter case it may have been stored
    /// nevertheless.
    pub(crate) async fn send(&self, report: Report) -> Result<Heard, Failure> {
        let answered = match self.job.report(report) {
            Ok(receipt) => receipt.wait_async(self.patience).await,
            Err(error) => Err(error),
        };
        match answered {
            _ if self.job.is_cancelled() => Ok(Heard::Stop),
            Ok(()) => Ok(Heard::Stored),
            Err(error) => Err(undone("the report", &error, self.patience)),
        }
    }
}

/// The end of a command that did not do it.
///
/// - `what`: the report, the upload or the download.
pub(crate) fn undone(what: &str, error: &Error, patience: Duration) -> Failure {
    let refused = |status: u16| match status {
        401 | 403 => Exit::Denied,
        _ => Exit::Error,
    };
    let is_over = [Code::AttemptSuperseded, Code::AttemptClosed].map(Code::as_str);
    let no_answer = |server: &str, cause: &str| {
        let limit = patience.as_secs_f64();
        Failure::new(
            Exit::Unreachable,
            format_args!("no answer from {server} within {limit} s{cause}"),
        )
    };
    match error {
        Error::Environment(_) | Error::Setting { .. } => Failure::usage(error),
        Error::FileUnreadable { .. } | Error::FileUnwritable { .. } | Error::FileExists { .. } => {
            Failure::usage(error)
        }
        Error::FlushTimeout { server, cause, .. } => {
            let cause = cause.as_ref().map(|cause| format!(": {cause}"));
            no_answer(server, &cause.unwrap_or_default())
        }
        Error::Unreachable { server, cause, .. } => no_answer(server, &format!(": {cause}")),
        Error::Refused(problem) if is_over.contains(&problem.code.as_str()) => {
            Failure::new(Exit::Cancelled, format_args!("{what} was refused: {error}"))
        }
        Error::Refused(problem) => Failure::new(
            refused(problem.status),
            format_args!("{what} was refused: {error}"),
        ),
        Error::Foreign { status, .. } | Error::Redirected { status, .. } => Failure::new(
            refused(*status),
            format_args!("{what} was refused: {error}"),
        ),
        Error::TooLarge { .. } => Failure::new(Exit::Error, error),
        _ => Failure::new(Exit::Other, error),
    }
}

/// What an answer means for a script.
pub(crate) fn heard(heard: Heard, output: &mut Output) -> Exit {
    match heard {
        Heard::Stored => Exit::Success,
        Heard::Stop => {
            output.note(
                "the server wants this job to stop: it was cancelled, or its attempt is over",
            );
            Exit::Cancelled
        }
    }
}
