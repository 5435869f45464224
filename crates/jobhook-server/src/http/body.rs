//! How an action looks: to its job at the hook, and to everybody else at the API.
//!
//! Texts go out as they are stored. Keys cannot: they are in none of the types here.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::fmt::temporal::DateTimePrinter;
use jobhook_engine::action::Action;
use jobhook_engine::attempt::Attempt;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::log::LogLine;
use jobhook_engine::verdict;
use jobhook_engine::write::Reported;
use jobhook_protocol::action::STOP;
use jobhook_protocol::{
    ActionAnswer, ActionBody, AttemptBody, CancelBody, LogLineBody, WitnessBody,
};
use serde::Serialize;

use super::refusal::Refused;

/// 200 with a JSON body.
pub(super) fn json(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let content_type = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, content_type)], bytes).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "An answer could not be written as JSON");
            Refused::internal().into_response()
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(super) fn time(at: Timestamp) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let limit = || {
        if at.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        }
    };
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_else(|_| limit());
    PRINTER.timestamp_to_string(&at)
}

/// What a job is answered.
pub(super) fn answer(reported: Reported) -> ActionAnswer {
    let Reported {
        action, attempt, ..
    } = reported;
    ActionAnswer {
        operation_id: action.operation.then(|| action.action_type.clone()),
        action_type: action.action_type,
        arguments: action.arguments,
        uuid: action.id.to_string(),
        status: action.status,
        attempt: attempt.at.number,
        attempts: action.attempts,
        creation_date: time(action.created_at),
        last_update: time(action.updated_at),
        last_job_update: attempt.heard_at.map(|at| at.0),
        results: action.results,
        error_name: action.error_name,
        error_message: action.error_message,
        action: action.cancel.is_some().then(|| STOP.to_owned()),
    }
}

/// What the API shows of an action; `newest` is its newest attempt.
pub(super) fn action(action: Action, newest: Option<&Attempt>) -> ActionBody {
    let ended = ended(&action, newest);
    ActionBody {
        uuid: action.id.to_string(),
        operation_id: action.operation.then(|| action.action_type.clone()),
        schedule: action.schedule,
        action_type: action.action_type,
        status: action.status,
        attempt: action.attempt,
        attempts: action.attempts,
        arguments: action.arguments,
        results: action.results,
        error_name: action.error_name,
        error_message: action.error_message,
        status_details: action.status_details,
        created_at: time(action.created_at),
        scheduled: action.scheduled.map(time),
        started_at: action.started_at.map(time),
        waiting: None,
        finished_at: ended.map(time),
        cancel: action.cancel.map(|mark| CancelBody {
            at: time(mark.at),
            by: mark.by,
            reason: mark.reason,
        }),
        retry_of: action.retry_of.map(|id| id.to_string()),
        witness: newest
            .map(witness)
            .filter(|witness| *witness != WitnessBody::default()),
        closed: action.status.is_final() && !action.open,
        lines: action.log.last,
        lines_dropped: action.log.dropped,
        history: Vec::new(),
    }
}

/// When an action ended: with its job, where that had no last word. No server may have been there
/// to see it, and the clocks of two machines may differ.
fn ended(action: &Action, newest: Option<&Attempt>) -> Option<Timestamp> {
    let saw = newest
        .filter(|newest| newest.at.number == action.attempt && newest.said_final_at.is_none())
        .and_then(|newest| newest.saw.as_ref());
    let began = action.started_at.unwrap_or(action.created_at);
    let finished_at = action.finished_at?;
    Some(saw.map_or(finished_at, |saw| saw.at.max(began).min(finished_at)))
}

/// The same with all its attempts, oldest first.
pub(super) fn with_history(shown: Action, attempts: &[Attempt]) -> ActionBody {
    ActionBody {
        history: attempts.iter().map(attempt).collect(),
        ..action(shown, attempts.last())
    }
}

fn attempt(attempt: &Attempt) -> AttemptBody {
    let closing = attempt.closing.as_ref();
    let failure = closing.and_then(|closing| closing.failure.as_ref());
    AttemptBody {
        attempt: attempt.at.number,
        runner: attempt.runner.clone(),
        claimed_at: time(attempt.claimed_at),
        started_at: attempt.started_at.map(time),
        closed_at: closing.map(|closing| time(closing.at)),
        outcome: closing.map(|closing| closing.outcome.as_str().to_owned()),
        failure: closing
            .and_then(|closing| closing.fault)
            .map(|fault| fault.as_str().to_owned()),
        error_name: failure.map(|failure| failure.name.clone()),
        error_message: failure.map(|failure| failure.message.clone()),
        witness: witness(attempt),
    }
}

fn witness(attempt: &Attempt) -> WitnessBody {
    WitnessBody {
        said: attempt.said,
        saw: attempt
            .saw
            .as_ref()
            .map(|saw| verdict::sight(&saw.ending, saw.stopped)),
        disagree: attempt
            .closing
            .as_ref()
            .is_some_and(|closing| closing.disagree),
    }
}

/// A line of a log.
pub(super) fn line(line: LogLine) -> LogLineBody {
    LogLineBody {
        number: line.number,
        time: time(line.time),
        attempt: line.attempt,
        source: line.source,
        text: line.text,
    }
}

#[cfg(test)]
mod tests {
    use jobhook_engine::attempt::Saw;
    use jobhook_engine::testing::factory;

    use super::*;

    #[test]
    fn an_action_ended_with_its_job_whenever_a_server_saw_that() {
        let at = |ms| Some(Timestamp(factory::NOW.0 + ms));
        let mut action = factory::taken("Any");
        let mut attempt = factory::attempt_of(&action);
        (action.started_at, action.finished_at) = (at(10), at(9000));
        assert_eq!(ended(&action, Some(&attempt)), at(9000));
        for (saw, shown) in [(500, 500), (3, 10), (9999, 9000)] {
            attempt.saw = Some(Saw {
                at: Timestamp(factory::NOW.0 + saw),
                ..factory::saw(factory::exited(0))
            });
            assert_eq!(ended(&action, Some(&attempt)), at(shown));
        }
        attempt.said_final_at = at(8999);
        assert_eq!(ended(&action, Some(&attempt)), at(9000), "by its word");
        attempt.said_final_at = None;
        // Cancelled while it waited for its next try.
        action.attempt += 1;
        assert_eq!(ended(&action, Some(&attempt)), at(9000));
    }

    #[test]
    fn times_have_milliseconds_even_if_there_are_none() {
        assert_eq!(
            time(Timestamp(1_764_000_000_000)),
            "2025-11-24T16:00:00.000Z"
        );
        assert_eq!(
            time(Timestamp(1_764_000_000_003)),
            "2025-11-24T16:00:00.003Z"
        );
        assert!(time(Timestamp(i64::MAX)).starts_with("9999-"));
        assert!(time(Timestamp(i64::MIN)).starts_with("-009999-"));
    }
}
