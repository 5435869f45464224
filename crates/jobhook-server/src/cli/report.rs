//! `jobhook report`, inside a job: how it stands.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jobhook_protocol::{Progress, Report as ReportBody, Status};

use super::exit::{Failure, Outcome};
use super::job::{EXIT_CODES, Reporter, heard};
use super::launch::json_argument;
use super::output::Output;
use crate::config::{Surroundings, duration};

/// Inside a job: say how it stands
///
/// Reads JOB_ID, JOB_SECRET_KEY, JOB_HOOK and JOB_ATTEMPT from the environment. Without any
/// flag it says that the job is alive.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Report {
    /// The job's status
    #[arg(long, ignore_case = true)]
    status: Option<Word>,
    /// How far it is, 0 to 100
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    progress: Option<f64>,
    /// What it is doing
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,
    /// What it made: JSON, @FILE for a file with JSON, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    results: Option<String>,
    /// What went wrong; the status is ERROR unless --status says otherwise
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    error: Option<String>,
    /// How long to go on trying if nobody answers
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPERCASE")]
enum Word {
    Running,
    Success,
    Error,
}

impl From<Word> for Status {
    fn from(word: Word) -> Status {
        match word {
            Word::Running => Status::Running,
            Word::Success => Status::Success,
            Word::Error => Status::Error,
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim_end().parse::<f64>();
    match number {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("a number from 0 to 100 is expected".to_owned()),
    }
}

pub(crate) async fn run(
    report: Report,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    if report.error.is_some() && report.status == Some(Word::Success) {
        return Err(Failure::usage(
            "--error and --status SUCCESS contradict each other",
        ));
    }
    let results = report
        .results
        .map(|text| json_argument("--results", &text, surroundings.directory()))
        .transpose()?;
    let failed = report.error.as_ref().map(|_| Word::Error);
    let progress = Progress {
        percent: report.progress,
        message: report.message,
        ..Progress::default()
    };
    let body = ReportBody {
        status: report.status.or(failed).map(Status::from),
        error_message: report.error,
        results,
        progress: (progress != Progress::default()).then_some(progress),
        ..ReportBody::default()
    };
    let reporter = Reporter::new(surroundings, report.timeout)?;
    Ok(heard(reporter.send(body.into()).await?, output))
}
