//! One report, sent once, and what its answer means (clauses `HOOK-13` to `HOOK-19`, `SIG-11`,
//! `SIG-12`, `SIG-24`).
//!
//! Each sending is signed afresh, with the server's clock as far as it is known. When to send
//! again is not decided here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jobhook_protocol::action::STOP;
use jobhook_protocol::signature::{JOB_HASH, JOB_ID, JOB_SIGNATURE, JOB_TIME};
use jobhook_protocol::{Code, JobEnvironment, Problem, Report, sign_v1, sign_webda};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use crate::Error;
use crate::failure::INVALID_OUTPUT;
use crate::http::{foreign, retry_after, shown, text_up_to, why};
use crate::standing::Standing;

pub(crate) const TARGET: &str = "/status";
/// A time has at most 15 digits (clause `SIG-3`).
const LATEST_TIME_MS: i64 = 1_000_000_000_000_000;
/// An answer to a report holds the action's arguments and results, and is never longer, in bytes.
pub(crate) const LONGEST_ANSWER: usize = 64 << 20;
/// So often a report with lines gets 500 and nothing else before it is sent without them.
const SPEECHLESS_BECAUSE_OF_LINES: u32 = 2;

/// What became of one sending.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is stored.
    Stored {
        standing: Box<Standing>,
        /// `lines_refused`, once, where its lines were not.
        trouble: Option<Error>,
    },
    /// Nobody knows; send it again, but not before so long.
    Again {
        cause: String,
        after: Option<Duration>,
    },
    /// It was refused; others may pass.
    Refused(Error),
    /// It was refused, and so will be all others.
    Over {
        error: Error,
        /// Whether the job's work is no longer wanted.
        stop: bool,
    },
}

/// Where a job reports to.
#[derive(Debug)]
pub(crate) struct Hook {
    environment: JobEnvironment,
    http: Client,
    url: Url,
    /// How long one answer may take.
    answer_timeout: Duration,
    /// What to add to our clock to get the server's, in milliseconds.
    offset_ms: i64,
    /// Whether it ever answered as a hook does.
    met: bool,
    /// How often in a row it answered 500 and nothing else.
    speechless: u32,
    lines: Lines,
}

/// Whether the server takes lines. The original does not where its action has no `logs`, and
/// answers 500 without storing anything; such an action never gets any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Taken,
    Refused,
}

impl Hook {
    pub(crate) fn new(
        environment: JobEnvironment,
        http: Client,
        url: Url,
        answer_timeout: Duration,
    ) -> Hook {
        Hook {
            environment,
            http,
            url,
            answer_timeout,
            offset_ms: 0,
            met: false,
            speechless: 0,
            lines: Lines::Taken,
        }
    }

    /// Where reports go.
    pub(crate) fn url(environment: &JobEnvironment) -> Result<Url, Error> {
        Url::parse(&format!("{}{TARGET}", environment.hook)).map_err(|error| {
            jobhook_protocol::EnvironmentError::Invalid {
                name: jobhook_protocol::environment::JOB_HOOK,
                reason: format!("it is no address: {error}"),
            }
            .into()
        })
    }

    /// Sends `body`, without its lines if the server does not take any (clause `HOOK-22`).
    pub(crate) async fn post(&mut self, body: &Bytes) -> Outcome {
        if self.lines == Lines::Refused {
            let rest = apart(body).map(|(_, rest)| rest);
            return self.post_as_it_is(rest.as_ref().unwrap_or(body)).await;
        }
        let outcome = self.post_as_it_is(body).await;
        if self.environment.attempt.is_some() || self.speechless < SPEECHLESS_BECAUSE_OF_LINES {
            return outcome;
        }
        let Some((lines, rest)) = apart(body) else {
            return outcome;
        };
        let rest = self.post_as_it_is(&rest).await;
        let Outcome::Stored { standing, .. } = rest else {
            return rest;
        };
        // It may have been away and just come back; then it takes the lines now.
        let lines = self.post_as_it_is(&lines).await;
        if self.speechless == 0 {
            return lines;
        }
        self.lines = Lines::Refused;
        let server = shown(&self.url);
        let trouble = Some(Error::LinesRefused { server });
        Outcome::Stored { standing, trouble }
    }

    /// Sends `body`, with the server's clock if it has to be learnt.
    async fn post_as_it_is(&mut self, body: &Bytes) -> Outcome {
        match self.post_once(body).await {
            Ok(outcome) => outcome,
            Err(skew) => {
                self.offset_ms = skew.server_time_ms.saturating_sub(now_ms());
                match self.post_once(body).await {
                    Ok(outcome) => outcome,
                    Err(skew) => over(Error::Refused(skew.problem)),
                }
            }
        }
    }

    async fn post_once(&mut self, body: &Bytes) -> Result<Outcome, Skew> {
        let request = self.http.post(self.url.clone());
        let request = request
            .timeout(self.answer_timeout)
            .header(CONTENT_TYPE, "application/json");
        let time_ms = now_ms().saturating_add(self.offset_ms);
        let request = signed(request, &self.environment, time_ms, ("POST", TARGET), body);
        match request.body(body.clone()).send().await {
            Ok(response) => self.judge(response).await,
            Err(error) => Ok(again(why(error, self.answer_timeout), None)),
        }
    }

    async fn judge(&mut self, response: Response) -> Result<Outcome, Skew> {
        let status = response.status();
        let headers = response.headers().clone();
        let after = retry_after(&headers);
        let text = match text_up_to(response, LONGEST_ANSWER, self.answer_timeout).await {
            Ok(text) => text,
            // The report may have been applied; whoever cuts an answer short is asked again.
            Err(cause) => return Ok(again(cause, after)),
        };
        if status.is_success() {
            return Ok(self.accepted(status, &headers, &text));
        }
        if status == StatusCode::INTERNAL_SERVER_ERROR && text.is_empty() {
            self.speechless += 1;
        } else {
            self.speechless = 0;
        }
        let problem = serde_json::from_str::<Problem>(&text).ok().map(Box::new);
        if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
            let cause = match problem {
                Some(problem) => format!("{} ({})", problem.detail, problem.code),
                None => format!("it answered {status}"),
            };
            return Ok(again(cause, after));
        }
        match problem {
            Some(problem) => judge_problem(problem),
            None => Ok(self.stranger(status, &headers)),
        }
    }

    fn accepted(&mut self, status: StatusCode, headers: &HeaderMap, text: &str) -> Outcome {
        let Some(standing) = Standing::read(text) else {
            return self.stranger(status, headers);
        };
        self.met = true;
        self.speechless = 0;
        Outcome::Stored {
            standing: Box::new(standing),
            trouble: None,
        }
    }

    /// Something else answered. In the middle of a job it is a proxy whose server is away.
    fn stranger(&self, status: StatusCode, headers: &HeaderMap) -> Outcome {
        match foreign(shown(&self.url), status, headers) {
            error @ Error::Foreign { .. } if self.met => again(error.to_string(), None),
            error => over(error),
        }
    }
}

/// Signs a request as its server knows it: the body too, where there is an attempt.
///
/// - `line`: the method, and what follows the hook's own address (clause `SIG-10`).
pub(crate) fn signed(
    request: RequestBuilder,
    environment: &JobEnvironment,
    time_ms: i64,
    line: (&str, &str),
    body: &[u8],
) -> RequestBuilder {
    let JobEnvironment {
        id,
        secret_key: key,
        attempt,
        ..
    } = environment;
    let time = time_ms.to_string();
    let request = request.header(JOB_ID, id).header(JOB_TIME, &time);
    match attempt {
        Some(_) => {
            let (hash, signature) = sign_v1(key, id, &time, line.0, line.1, body);
            request
                .header(JOB_HASH, hash)
                .header(JOB_SIGNATURE, signature)
        }
        None => request.header(JOB_HASH, sign_webda(key, &time)),
    }
}

/// The report's lines, and all else of it; none if it has no lines.
fn apart(body: &Bytes) -> Option<(Bytes, Bytes)> {
    let mut rest = Report::read(body.to_vec()).ok()?;
    let lines = Report {
        logs: std::mem::take(&mut rest.logs),
        ..Report::default()
    };
    let bytes = |report| serde_json::to_vec(report).ok().map(Bytes::from);
    if lines.logs.is_empty() {
        return None;
    }
    Some((bytes(&lines)?, bytes(&rest)?))
}

/// The server's clock is another.
struct Skew {
    server_time_ms: i64,
    problem: Box<Problem>,
}

fn judge_problem(problem: Box<Problem>) -> Result<Outcome, Skew> {
    let more = |name: &str| problem.more.get(name);
    let is = |code: Code| problem.code == code.as_str();
    if let Some(server_time_ms) = told_time(&problem) {
        return Err(Skew {
            server_time_ms,
            problem,
        });
    }
    let is_of_one_report = is(Code::IllegalTransition) || is(Code::BodyTooLarge);
    if is_of_one_report || problem.code == INVALID_OUTPUT {
        return Ok(Outcome::Refused(Error::Refused(problem)));
    }
    let stop = more("action").and_then(serde_json::Value::as_str) == Some(STOP);
    Ok(Outcome::Over {
        error: Error::Refused(problem),
        stop,
    })
}

/// The server's clock, where a request was refused for its own.
pub(crate) fn told_time(problem: &Problem) -> Option<i64> {
    if problem.code != Code::ClockSkew.as_str() {
        return None;
    }
    let told = problem.more.get("serverTime")?.as_i64()?;
    (0..LATEST_TIME_MS).contains(&told).then_some(told)
}

fn again(cause: String, after: Option<Duration>) -> Outcome {
    Outcome::Again { cause, after }
}

fn over(error: Error) -> Outcome {
    Outcome::Over { error, stop: false }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
