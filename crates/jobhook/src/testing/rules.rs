//! What the fake hook believes and keeps: the order of checks is the server's (`HOOK-9`).

use std::collections::{BTreeMap, HashSet};

use jobhook_protocol::action::STOP;
use jobhook_protocol::verifier::V1_MAX_CLOCK_SKEW_MS;
use jobhook_protocol::{
    Code, JobEnvironment, Json, Problem, Report, SignedHeaders, Status, Verifier,
};

use super::request::{Answer, Request};
use super::shelf::{Shelf, at};
use crate::hook::now_ms;

/// The longest body that a server takes (`LIM-1`).
const BODY_BYTES: usize = 10 << 20;

/// A report as it was applied.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// What it said, with its number.
    pub report: Report,
    /// When it was signed, milliseconds since the Unix epoch.
    pub signed_at_ms: i64,
}

/// The action behind the hook.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) environment: JobEnvironment,
    pub(crate) operation_id: Option<String>,
    pub(crate) arguments: Option<Json>,
    /// What else answers show, or show instead.
    pub(crate) fields: BTreeMap<String, Json>,
    /// In the order of applying.
    pub(crate) received: Vec<Received>,
    /// How many requests came, applied or not.
    pub(crate) requests: usize,
    /// How many connections were made.
    pub(crate) connections: usize,
    pub(crate) stop: bool,
    /// The hook's clock, beside the machine's.
    pub(crate) clock_offset_ms: i64,
    pub(crate) shelf: Shelf,
    applied: HashSet<(String, u64)>,
}

impl Records {
    pub(crate) fn new(environment: JobEnvironment) -> Records {
        Records {
            environment,
            operation_id: None,
            arguments: None,
            fields: BTreeMap::new(),
            received: Vec::new(),
            requests: 0,
            connections: 0,
            stop: false,
            clock_offset_ms: 0,
            shelf: Shelf::default(),
            applied: HashSet::new(),
        }
    }

    /// The last status reported.
    pub(crate) fn status(&self) -> Option<Status> {
        let mut statuses = self.received.iter().rev();
        statuses.find_map(|received| received.report.status)
    }

    /// Judges a request, applies what is right, answers.
    pub(crate) fn take(&mut self, path: &str, request: &Request) -> Answer {
        match self.judge(path, request) {
            Ok(answer) => answer,
            Err(problem) => {
                let status = problem.status;
                let body = serde_json::to_string(&*problem).unwrap_or_default();
                Answer::json(status, body)
            }
        }
    }

    fn judge(&mut self, path: &str, request: &Request) -> Result<Answer, Box<Problem>> {
        let target = request.path.strip_prefix(path).unwrap_or(&request.path);
        if let Some(judged) = self.judge_file(target, request) {
            return judged;
        }
        if !matches!(target, "" | "/status") {
            return Err(Problem::new(Code::NotFound, "reports go to /status").into());
        }
        if request.method != "POST" {
            return Err(Problem::new(Code::MethodNotAllowed, "reports are posted").into());
        }
        let signed_at_ms = self.authenticate(target, request)?;
        if request.body.len() > BODY_BYTES {
            let detail = format!("the body has more than {BODY_BYTES} bytes");
            return Err(Problem::new(Code::BodyTooLarge, detail).into());
        }
        let report = Report::read(request.body.clone())
            .map_err(|error| Problem::new(error.code(), error.to_string()))?;
        let again = report
            .delivery
            .clone()
            .is_some_and(|delivery| !self.applied.insert((delivery.reporter, delivery.seq)));
        if !again {
            self.apply(report, signed_at_ms)?;
        }
        Ok(Answer::json(200, self.answer()))
    }

    /// Judges what is about files.
    fn judge_file(
        &mut self,
        target: &str,
        request: &Request,
    ) -> Option<Result<Answer, Box<Problem>>> {
        let parts: Vec<String> = target.split('/').skip(1).map(unescaped).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let ["data", token] = parts[..] {
            return Some(self.shelf.data(token, request));
        }
        match (request.method.as_str(), &parts[..]) {
            ("PUT", ["upload", ..]) | ("GET", ["download", ..]) => {}
            _ => return None,
        }
        if let Err(problem) = self.authenticate(target, request) {
            return Some(Err(problem));
        }
        let JobEnvironment { hook, attempt, .. } = &self.environment;
        let stage = (hook.as_str(), now_ms(), attempt.is_some());
        match parts[..] {
            ["upload", store, uuid, property] => {
                let at = at(store, uuid, property);
                if let Some(said) = self.status().filter(|said| said.is_final()) {
                    let detail = format!("the job has already said {said}");
                    return Some(Err(Problem::new(Code::AlreadyFinal, detail).into()));
                }
                Some(self.shelf.upload(at, request, stage))
            }
            ["download", store, uuid, property, index] => {
                let at = at(store, uuid, property);
                Some(self.shelf.locate(at, index, stage))
            }
            _ => None,
        }
    }

    fn authenticate(&self, target: &str, request: &Request) -> Result<i64, Box<Problem>> {
        let headers = SignedHeaders::read(|name| request.values(name).map(str::as_bytes));
        let JobEnvironment { id, secret_key, .. } = &self.environment;
        let now_ms = now_ms() + self.clock_offset_ms;
        let verifier = Verifier {
            id,
            key: Some(secret_key),
            now_ms,
            max_clock_skew_ms: Some(V1_MAX_CLOCK_SKEW_MS),
            requires_signature: false,
        };
        let verified = verifier.verify(headers, &request.method, target, &request.body);
        let headers = verified.map_err(|code| {
            let problem = Problem::new(code, format!("the hook does not believe it: {code}"));
            match code {
                Code::ClockSkew => problem.with("serverTime", now_ms),
                _ => problem,
            }
        })?;
        Ok(headers.time_ms)
    }

    fn apply(&mut self, report: Report, signed_at_ms: i64) -> Result<(), Box<Problem>> {
        if let Some(said) = self.status().filter(|said| said.is_final())
            && report.status.is_some_and(|status| status != said)
        {
            if let Some(delivery) = report.delivery {
                self.applied.remove(&(delivery.reporter, delivery.seq));
            }
            let detail = format!("the job has already said {said}");
            return Err(Problem::new(Code::IllegalTransition, detail).into());
        }
        self.received.push(Received {
            report,
            signed_at_ms,
        });
        Ok(())
    }

    fn answer(&self) -> String {
        let text = |text: &str| Json::of(&text.into());
        let number = |number: u32| Json::of(&number.into());
        let status = self.status().unwrap_or(Status::Running);
        let time = "2026-01-01T00:00:00.000Z";
        let mut answer = BTreeMap::from([
            ("type", text(self.operation_id.as_deref().unwrap_or("Fake"))),
            ("uuid", text(&self.environment.id)),
            ("status", text(&status.to_string())),
            ("attempt", number(self.environment.attempt.unwrap_or(1))),
            ("attempts", number(1)),
            ("_creationDate", text(time)),
            ("_lastUpdate", text(time)),
        ]);
        if let Some(id) = &self.operation_id {
            answer.insert("operationId", text(id));
        }
        if let Some(arguments) = &self.arguments {
            answer.insert("arguments", arguments.clone());
        }
        if self.stop {
            answer.insert("action", text(STOP));
        }
        answer.extend(
            self.fields
                .iter()
                .map(|(name, json)| (name.as_str(), json.clone())),
        );
        serde_json::to_string(&answer).unwrap_or_default()
    }
}

/// A part of a path, without its escapes.
fn unescaped(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
