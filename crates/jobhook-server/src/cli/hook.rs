//! Reports from inside a job, sent until they are answered (clauses `HOOK-17`, `SIG-24`,
//! `REP-10` to `REP-12`).
//!
//! A report of profile `v1` is numbered, so it can be sent again blindly: it is applied once.
//! Each sending is signed afresh; the key stays in here and in the environment.
//!
//! Without `JOB_ATTEMPT` the server is the original or speaks like it: then the original's
//! hash is sent and nothing that it would not understand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jobhook_protocol::action::STOP;
use jobhook_protocol::signature::{JOB_HASH, JOB_ID, JOB_SIGNATURE, JOB_TIME};
use jobhook_protocol::{
    Code, Delivery, EnvironmentError, JobEnvironment, Json, Problem, Report, sign_v1, sign_webda,
};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::exit::{Exit, Failure};
use super::http::{chain, client, shown};

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const TARGET: &str = "/status";

/// Sends the reports of this process, one after the other.
#[derive(Debug)]
pub(crate) struct Reporter {
    environment: JobEnvironment,
    http: Client,
    hook: Url,
    name: String,
    seq: u64,
    /// What to add to our clock to get the server's, in milliseconds.
    offset_ms: i64,
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

/// Why a report is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportFailure {
    /// This is no job's environment.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Nothing can be sent at all.
    #[error("{0}")]
    Client(String),
    /// No answer within the time given.
    #[error("no answer from {hook} within {} s: {cause}", patience.as_secs_f64())]
    Unreachable {
        hook: String,
        patience: Duration,
        cause: String,
    },
    /// The server said no.
    #[error("the report was refused: {} ({})", .0.detail, .0.code)]
    Refused(Box<Problem>),
    /// The server said no without saying why, as the original does.
    #[error("the report was refused: {hook} answered {status}")]
    Foreign { hook: String, status: StatusCode },
}

impl From<ReportFailure> for Failure {
    fn from(failure: ReportFailure) -> Failure {
        let refused = |status: u16| match status {
            401 | 403 => Exit::Denied,
            _ => Exit::Error,
        };
        let exit = match &failure {
            ReportFailure::Environment(_) => Exit::Usage,
            ReportFailure::Client(_) => Exit::Other,
            ReportFailure::Unreachable { .. } => Exit::Unreachable,
            ReportFailure::Refused(problem) => refused(problem.status),
            ReportFailure::Foreign { status, .. } => refused(status.as_u16()),
        };
        Failure::new(exit, failure)
    }
}

/// Why one sending did not do.
enum Miss {
    /// Send it again, but not before so long.
    Again {
        cause: String,
        after: Option<Duration>,
    },
    /// Send it again with this clock.
    Skewed {
        server_time_ms: i64,
        problem: Box<Problem>,
    },
    Final(ReportFailure),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    action: Option<String>,
}

impl Reporter {
    /// A reporter with a name of its own.
    ///
    /// - `patience`: how long each report may take to be answered, tries included.
    pub(crate) fn new(
        environment: JobEnvironment,
        patience: Duration,
    ) -> Result<Reporter, ReportFailure> {
        let invalid = |reason: &str| EnvironmentError::Invalid {
            name: jobhook_protocol::environment::JOB_HOOK,
            reason: reason.to_owned(),
        };
        let hook = Url::parse(&format!("{}{TARGET}", environment.hook))
            .map_err(|_| invalid("it must be an http or https address"))?;
        if environment.hook.contains(['?', '#']) {
            return Err(invalid("it must not have a query or a fragment").into());
        }
        let http = client(&hook).map_err(|error| ReportFailure::Client(error.to_string()))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            ReportFailure::Client(format!("the system gives no random numbers: {error}"))
        })?;
        Ok(Reporter {
            environment,
            http,
            hook,
            name: jobhook_protocol::key::hex(&random),
            seq: 0,
            offset_ms: 0,
            patience,
        })
    }

    /// Sends a report until it is answered.
    ///
    /// # Errors
    ///
    /// [`ReportFailure`]: refused, or not answered in time. In the latter case it may have
    /// been stored nevertheless.
    pub(crate) async fn send(&mut self, mut report: Report) -> Result<Heard, ReportFailure> {
        if self.environment.attempt.is_some() {
            self.seq += 1;
            report.delivery = Some(Delivery {
                reporter: self.name.clone(),
                seq: self.seq,
            });
        } else {
            in_the_words_of_the_original(&mut report);
        }
        let body = serde_json::to_vec(&report)
            .map_err(|error| ReportFailure::Client(error.to_string()))?;

        let began = Instant::now();
        let mut backoff = Backoff::default();
        let mut clock_set = false;
        loop {
            let left = self.patience.saturating_sub(began.elapsed());
            match self.send_once(body.clone(), left).await {
                Ok(heard) => return Ok(heard),
                Err(Miss::Final(failure)) => return Err(failure),
                Err(Miss::Skewed { problem, .. }) if clock_set => {
                    return Err(ReportFailure::Refused(problem));
                }
                Err(Miss::Skewed { server_time_ms, .. }) => {
                    self.offset_ms = server_time_ms - now_ms();
                    clock_set = true;
                }
                Err(Miss::Again { cause, after }) => {
                    let pause = backoff.next().max(after.unwrap_or_default());
                    if began.elapsed() + pause >= self.patience {
                        return Err(ReportFailure::Unreachable {
                            hook: self.shown(),
                            patience: self.patience,
                            cause,
                        });
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    async fn send_once(&self, body: Vec<u8>, left: Duration) -> Result<Heard, Miss> {
        let JobEnvironment {
            id,
            secret_key: key,
            attempt,
            ..
        } = &self.environment;
        let time = (now_ms() + self.offset_ms).to_string();
        let mut request = self
            .http
            .post(self.hook.clone())
            .timeout(left.min(ANSWER_TIMEOUT).max(Duration::from_millis(100)))
            .header(CONTENT_TYPE, "application/json")
            .header(JOB_ID, id)
            .header(JOB_TIME, &time);
        request = match attempt {
            Some(_) => {
                let (hash, signature) = sign_v1(key, id, &time, "POST", TARGET, &body);
                request
                    .header(JOB_HASH, hash)
                    .header(JOB_SIGNATURE, signature)
            }
            None => request.header(JOB_HASH, sign_webda(key, &time)),
        };
        let again = |error: reqwest::Error| Miss::Again {
            cause: chain(&error.without_url()),
            after: None,
        };
        let response = request.body(body).send().await.map_err(again)?;
        let status = response.status();
        let after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        if status.is_success() {
            // An answer that cannot be read is not a jobhook server's; it is a success still.
            let text = response.text().await.map_err(again)?;
            let stop = serde_json::from_str::<Answer>(&text)
                .is_ok_and(|answer| answer.action.as_deref() == Some(STOP));
            return Ok(if stop { Heard::Stop } else { Heard::Stored });
        }
        let text = response.text().await.unwrap_or_default();
        let problem = serde_json::from_str::<Problem>(&text).ok().map(Box::new);
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            let cause = match problem {
                Some(problem) => format!("{} ({})", problem.detail, problem.code),
                None => format!("it answered {status}"),
            };
            return Err(Miss::Again { cause, after });
        }
        let Some(problem) = problem else {
            let hook = self.shown();
            return Err(Miss::Final(ReportFailure::Foreign { hook, status }));
        };
        let more = |name: &str| problem.more.get(name);
        if more("action").and_then(serde_json::Value::as_str) == Some(STOP) {
            return Ok(Heard::Stop);
        }
        match more("serverTime").and_then(serde_json::Value::as_i64) {
            Some(server_time_ms) if problem.code == Code::ClockSkew.as_str() => Err(Miss::Skewed {
                server_time_ms,
                problem,
            }),
            _ => Err(Miss::Final(ReportFailure::Refused(problem))),
        }
    }

    fn shown(&self) -> String {
        shown(&self.hook)
    }
}

/// The original knows neither `progress` nor numbered reports, but keeps any details.
fn in_the_words_of_the_original(report: &mut Report) {
    report.delivery = None;
    let Some(progress) = report.progress.take() else {
        return;
    };
    let details = [
        ("progress", progress.percent.map(serde_json::Value::from)),
        ("message", progress.message.map(serde_json::Value::from)),
        ("done", progress.done.map(serde_json::Value::from)),
        ("total", progress.total.map(serde_json::Value::from)),
    ];
    let details: serde_json::Map<_, _> = details
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    report.status_details = Some(Json::of(&details.into()));
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
