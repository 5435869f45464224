//! What a job says (clauses `REP-*`): the body of `POST {hook}/status`.
//!
//! [`Report::read`] refuses what a job may not say, so nothing behind it meets a job that
//! claims to be queued. Fields it does not know are ignored; an empty body is a heartbeat.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::Code;
use crate::json::{self, Json, JsonError};
use crate::status::{Status, UnknownStatus};

/// The largest `seq`, exact in every language's numbers (clause `REP-9`).
pub const MAX_SEQ: u64 = (1 << 53) - 1;

/// One message to the hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `RUNNING`, `SUCCESS` or `ERROR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What went wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What went wrong, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// Replaces the action's details.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_details: Option<Json>,
    /// What the job made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<Json>,
    /// Lines for the action's log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    /// What the job says about its machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Json>,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Seconds after which the job speaks again; silence beyond three of them means trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<f64>,
    /// Who sends it, and as its how-manyeth.
    #[serde(flatten)]
    pub delivery: Option<Delivery>,
}

/// Names a report so that it is applied once, however often it is sent (profile `v1`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Delivery {
    /// Drawn at random by each process: 1–64 of `[A-Za-z0-9_.-]`.
    pub reporter: String,
    /// 1, 2, 3… for each reporter.
    pub seq: u64,
}

/// How far a job is. Keys that are absent stay as they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many of `total` are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<f64>,
    /// How many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// Why a body is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not a JSON object within the limits.
    #[error(transparent)]
    Body(#[from] JsonError),
    /// No such status.
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    /// A status that only the server sets.
    #[error("a job may report RUNNING, SUCCESS or ERROR, not {0}")]
    StatusNotAllowed(Status),
    /// A field has a value it cannot have.
    #[error("the field `{field}` is invalid: {expected}")]
    Field {
        /// Its name on the wire.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl ReportError {
    /// The code of the answer.
    pub fn code(&self) -> Code {
        match self {
            ReportError::Body(_) => Code::MalformedBody,
            ReportError::UnknownStatus(_) => Code::UnknownStatus,
            ReportError::StatusNotAllowed(_) => Code::StatusNotAllowed,
            ReportError::Field { .. } => Code::InvalidField,
        }
    }
}

/// The object as sent; each field is judged by itself, so that an error can name it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error_name: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    status_details: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    results: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    agent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    progress: Option<&'a RawValue>,
    #[serde(borrow, default)]
    heartbeat: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reporter: Option<&'a RawValue>,
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
}

/// `null` is a value here, and not the absence of one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Report {
    /// Reads the bytes of a body.
    ///
    /// # Errors
    ///
    /// [`ReportError`], for the first thing that is wrong.
    pub fn read(body: Vec<u8>) -> Result<Report, ReportError> {
        let text = json::clean(body)?;
        if text.trim_ascii().is_empty() {
            return Ok(Report::default());
        }
        if !text.trim_ascii_start().starts_with('{') {
            return Err(JsonError::Malformed("a report is a JSON object".into()).into());
        }
        let body: Body<'_> =
            serde_json::from_str(&text).map_err(|error| JsonError::Malformed(error.to_string()))?;
        Ok(Report {
            status: body.status.map(read_status).transpose()?,
            error_message: body.error_message.map(as_text),
            error_name: body.error_name.map(as_text),
            status_details: body.status_details.map(Json::from),
            results: body.results.map(Json::from),
            logs: body.logs.map(read_logs).transpose()?.unwrap_or_default(),
            agent: body.agent.map(Json::from),
            progress: body.progress.map(read_progress).transpose()?,
            heartbeat: body.heartbeat.map(read_heartbeat).transpose()?,
            delivery: read_delivery(body.reporter, body.seq)?,
        })
    }

    /// Whether it carries nothing to store: a heartbeat.
    pub fn is_silent(&self) -> bool {
        *self
            == Report {
                delivery: self.delivery.clone(),
                heartbeat: self.heartbeat,
                ..Report::default()
            }
    }
}

fn read_status(raw: &RawValue) -> Result<Status, ReportError> {
    let word: String = serde_json::from_str(raw.get()).map_err(|_| UnknownStatus(as_text(raw)))?;
    let status: Status = word.parse()?;
    if status.is_reportable() {
        Ok(status)
    } else {
        Err(ReportError::StatusNotAllowed(status))
    }
}

/// A string as it is, anything else as its JSON text.
fn as_text(raw: &RawValue) -> String {
    if raw.get().starts_with('"')
        && let Ok(text) = serde_json::from_str(raw.get())
    {
        return text;
    }
    raw.get().to_owned()
}

fn read_logs(raw: &RawValue) -> Result<Vec<String>, ReportError> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| invalid("logs", "it must be an array of lines"))?;
    Ok(items.into_iter().map(as_text).collect())
}

fn read_progress(raw: &RawValue) -> Result<Progress, ReportError> {
    let expected = "it must be an object of numbers `percent` (0 to 100), `done`, `total` (not negative) and a text `message`";
    let progress: Progress =
        serde_json::from_str(raw.get()).map_err(|_| invalid("progress", expected))?;
    let fits =
        |number: Option<f64>, most: f64| number.is_none_or(|number| (0.0..=most).contains(&number));
    if fits(progress.percent, 100.0)
        && fits(progress.done, f64::MAX)
        && fits(progress.total, f64::MAX)
    {
        Ok(progress)
    } else {
        Err(invalid("progress", expected))
    }
}

fn read_heartbeat(raw: &RawValue) -> Result<f64, ReportError> {
    match serde_json::from_str(raw.get()) {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(invalid(
            "heartbeat",
            "it must be a number of seconds from 0.1 to 86400",
        )),
    }
}

fn read_delivery(
    reporter: Option<&RawValue>,
    seq: Option<&RawValue>,
) -> Result<Option<Delivery>, ReportError> {
    match (reporter, seq) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid("reporter", "it must be there where `seq` is")),
        (Some(_), None) => Err(invalid("seq", "it must be there where `reporter` is")),
        (Some(reporter), Some(seq)) => {
            let reporter: Option<String> = serde_json::from_str(reporter.get()).ok();
            let reporter = reporter
                .filter(|reporter| crate::signature::is_id(reporter.as_bytes()))
                .ok_or(invalid(
                    "reporter",
                    "it must be 1 to 64 of A-Z a-z 0-9 _ . -",
                ))?;
            let seq = serde_json::from_str(seq.get())
                .ok()
                .filter(|seq| (1..=MAX_SEQ).contains(seq))
                .ok_or(invalid(
                    "seq",
                    "it must be a whole number from 1 to 9007199254740991",
                ))?;
            Ok(Some(Delivery { reporter, seq }))
        }
    }
}

fn invalid(field: &'static str, expected: &'static str) -> ReportError {
    ReportError::Field { field, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Report, ReportError> {
        Report::read(body.into())
    }

    #[track_caller]
    fn refused(body: &str, code: Code) {
        assert_eq!(read(body).unwrap_err().code(), code, "{body}");
    }

    #[test]
    fn a_report_of_everything_reads_back_as_it_was_written() {
        let report = Report {
            status: Some(Status::Running),
            error_message: Some("a < b && c".into()),
            status_details: Some(Json::from_text("null".into()).unwrap()),
            results: Some(Json::from_text("[1.50]".into()).unwrap()),
            logs: vec!["one".into(), "two\n".into()],
            progress: Some(Progress {
                percent: Some(12.5),
                ..Progress::default()
            }),
            heartbeat: Some(2.0),
            delivery: Some(Delivery {
                reporter: "r-1".into(),
                seq: 1,
            }),
            ..Report::default()
        };
        assert_eq!(
            Report::read(serde_json::to_vec(&report).unwrap()),
            Ok(report)
        );
    }

    #[test]
    fn an_empty_body_is_a_heartbeat() {
        assert!(read("").unwrap().is_silent());
        assert!(read("{}").unwrap().is_silent());
        assert!(!read(r#"{"logs":["x"]}"#).unwrap().is_silent());
    }

    #[test]
    fn what_is_not_an_object_is_malformed() {
        for body in ["null", "[]", "1", "\"x\"", "{", "{\"a\":1}x", "\u{feff}{}"] {
            refused(body, Code::MalformedBody);
        }
    }

    #[test]
    fn a_job_may_not_say_what_only_the_server_knows() {
        refused(r#"{"status":"QUEUED"}"#, Code::StatusNotAllowed);
        refused(r#"{"status":"BANANA"}"#, Code::UnknownStatus);
        refused(r#"{"status":{"x":1}}"#, Code::UnknownStatus);
        assert_eq!(read(r#"{"status":null}"#).unwrap().status, None);
    }

    #[test]
    fn a_field_that_cannot_be_is_named() {
        for (body, field) in [
            (r#"{"logs":"text"}"#, "logs"),
            (r#"{"progress":{"percent":101}}"#, "progress"),
            (r#"{"progress":7}"#, "progress"),
            (r#"{"heartbeat":0}"#, "heartbeat"),
            (r#"{"reporter":"a"}"#, "seq"),
            (r#"{"seq":1}"#, "reporter"),
            (r#"{"reporter":"a","seq":0}"#, "seq"),
            (r#"{"reporter":"a","seq":1.5}"#, "seq"),
            (r#"{"reporter":"a b","seq":1}"#, "reporter"),
        ] {
            assert!(
                matches!(read(body), Err(ReportError::Field { field: f, .. }) if f == field),
                "{body}"
            );
        }
    }

    #[test]
    fn lines_and_errors_that_are_not_text_are_kept_as_json() {
        let report =
            read(r#"{"logs":["a",1,{"b":[2]}],"errorMessage":{"c":3},"errorName":"E"}"#).unwrap();
        assert_eq!(report.logs, ["a", "1", r#"{"b":[2]}"#]);
        assert_eq!(report.error_message.as_deref(), Some(r#"{"c":3}"#));
        assert_eq!(report.error_name.as_deref(), Some("E"));
    }

    #[test]
    fn text_is_kept_as_sent_but_for_what_cannot_be_stored() {
        let report = read(r#"{"logs":["<b>&\u0000\ud800</b>"]}"#).unwrap();
        assert_eq!(report.logs, ["<b>&\u{fffd}\u{fffd}</b>"]);
    }
}
