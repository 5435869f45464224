//! What a job said (clauses `REP-*`, `LIFE-*`).

use jobhook_protocol::{Event, Json, LineSource, Progress, Report, Status};
use serde_json::{Map, Value};

use super::{Answer, ReporterKey, Row, Rows, append, finish};
use crate::action::{Action, Failure};
use crate::attempt::Attempt;
use crate::clock::Timestamp;
use crate::verdict;
use crate::window::{Place, WINDOW, Window};
use crate::write::{Refusal, ReportWrite, Reported, Written};

pub(super) fn apply(rows: &mut Rows, write: &ReportWrite, now: Timestamp) -> Answer {
    let at = write.attempt;
    let report = &write.report;
    // Known before anything is changed, and before the rows are borrowed.
    let place = match &report.delivery {
        None => Place::Newest,
        Some(delivery) => {
            let key = ReporterKey {
                attempt: at,
                reporter: delivery.reporter.clone(),
            };
            let window = rows.reporters.get(&key).map(Row::get);
            let place = window.unwrap_or(&Window::default()).place(delivery.seq);
            if place == Place::Outside {
                let high = window.map_or(0, |window| window.high);
                rows.open_attempt(at)?;
                return Err(Refusal::SeqOutOfWindow {
                    seq: delivery.seq,
                    high,
                    window: WINDOW,
                });
            }
            place
        }
    };

    let (action_row, attempt_row) = rows.open_attempt(at)?;
    let reported = |action: &Row<Action>, attempt: &Row<Attempt>, duplicate| {
        let (action, attempt) = (action.get().clone(), attempt.get().clone());
        Ok(Written::Reported(Box::new(Reported {
            action,
            attempt,
            duplicate,
        })))
    };
    if place == Place::Duplicate {
        return reported(action_row, attempt_row, true);
    }
    let counts = place == Place::Newest;
    let status = report.status.filter(|_| counts);
    let next = next_status(action_row.get(), attempt_row.get(), status)?;

    let attempt = attempt_row.edit();
    attempt.heard_at = Some(now);
    attempt.job_time_ms = Some(write.job_time_ms);
    if let Some(seconds) = report.heartbeat.filter(|_| counts) {
        attempt.heartbeat = Some(std::time::Duration::from_secs_f64(seconds));
    }
    let mut lines = Vec::new();
    if !report.is_silent() {
        let action = action_row.edit();
        action.updated_at = now;
        if counts {
            take_content(action, report);
        }
        if let Some(status) = status {
            take_status(action, attempt, report, status, next, now);
        }
        let log = &mut action.log;
        lines.extend(
            report
                .logs
                .iter()
                .map(|line| append(log, at, LineSource::Job, now, line.clone())),
        );
    }
    let answer = reported(action_row, attempt_row, false);
    rows.lines.extend(lines);
    if let Some(delivery) = &report.delivery {
        let key = ReporterKey {
            attempt: at,
            reporter: delivery.reporter.clone(),
        };
        rows.reporters
            .entry(key)
            .or_insert_with(|| Row::new(Window::default()))
            .edit()
            .apply(delivery.seq);
    }
    answer
}

/// Judges what the job says of its status.
fn next_status(
    action: &Action,
    attempt: &Attempt,
    status: Option<Status>,
) -> Result<Status, Refusal> {
    let Some(status) = status else {
        return Ok(action.status);
    };
    if let Some(said) = attempt.said.filter(|said| said.is_final()) {
        // Repeating the last word is fine, taking it back is not.
        return if said == status {
            Ok(action.status)
        } else {
            Err(Refusal::SaidOtherwise { said })
        };
    }
    let event = match status {
        Status::Success => Event::ReportedSuccess,
        Status::Error if action.cancel.is_some() => Event::ReportedErrorAfterCancel,
        // Under a timeout the close says so; until then the action stays live.
        Status::Error if attempt.timed_out.is_some() || verdict::has_tries_left(action) => {
            Event::ReportedErrorToRetry
        }
        Status::Error => Event::ReportedError,
        _ => Event::ReportedRunning,
    };
    Ok(action.status.after(event)?)
}

fn take_content(action: &mut Action, report: &Report) {
    if let Some(details) = &report.status_details {
        action.status_details = Some(details.clone()).filter(|details| !details.is_null());
    }
    if let Some(progress) = &report.progress {
        action.status_details = Some(with_progress(action.status_details.as_ref(), progress));
    }
    if let Some(results) = &report.results {
        action.results = Some(results.clone()).filter(|results| !results.is_null());
    }
    if let Some(name) = &report.error_name {
        action.error_name = Some(name.clone());
    }
    if let Some(message) = &report.error_message {
        action.error_message = Some(message.clone());
    }
}

fn take_status(
    action: &mut Action,
    attempt: &mut Attempt,
    report: &Report,
    status: Status,
    next: Status,
    now: Timestamp,
) {
    action.started_at.get_or_insert(now);
    if attempt.has_final_word() {
        return;
    }
    attempt.said = Some(status);
    if status.is_final() {
        attempt.said_final_at = Some(now);
    }
    if status == Status::Error {
        attempt.said_failure = Some(Failure {
            name: report
                .error_name
                .clone()
                .or_else(|| action.error_name.clone())
                .unwrap_or_else(|| "reported_error".into()),
            message: report
                .error_message
                .clone()
                .or_else(|| action.error_message.clone())
                .unwrap_or_else(|| "the job reported ERROR and did not say why".into()),
        });
    }
    action.status = next;
    match next {
        Status::Success => finish(action, None, now),
        Status::Cancelled => {
            let failure = action.cancel.as_ref().map(verdict::cancel_failure);
            finish(action, failure.as_ref(), now);
        }
        Status::Error => finish(action, attempt.said_failure.as_ref(), now),
        _ => {}
    }
}

/// Sets the keys of `progress` inside `details`; other keys stay. A count without a total or a
/// percentage takes those of the last one away (clause `REP-21`).
fn with_progress(details: Option<&Json>, progress: &Progress) -> Json {
    let mut object = match details.map(Json::value) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    if progress.done.is_some() {
        object.remove("total");
        object.remove("progress");
    }
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    };
    set("progress", progress.percent.map(number));
    set("message", progress.message.clone().map(Value::from));
    set("done", progress.done.map(number));
    set("total", progress.total.map(number));
    Json::of(&Value::Object(object))
}

/// A whole number is written without a fraction.
#[allow(
    clippy::cast_possible_truncation,
    reason = "checked to be whole and exact"
)]
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}
