//! The end of an attempt: its job is gone, it is judged, it closes.

use jobhook_protocol::Event;

use super::{Answer, Rows, finish};
use crate::action::{Action, TimeoutKind};
use crate::attempt::{Attempt, AttemptRef, Closing, Saw};
use crate::clock::Timestamp;
use crate::ledger::expiry;
use crate::verdict::{self, Verdict};
use crate::write::{Refusal, Written};

/// Keeps what the runner saw; the first sight stands. A job that ended in time has not run into a
/// timeout, however late that was seen: it may have ended while no server ran.
pub(super) fn gone(rows: &mut Rows, at: AttemptRef, saw: &Saw) -> Answer {
    let (action, attempt) = rows.open_attempt(at)?;
    if attempt.get().saw.is_none() {
        let in_time = ended_in_time(action.get(), attempt.get(), saw);
        let attempt = attempt.edit();
        attempt.saw = Some(saw.clone());
        if in_time {
            attempt.timed_out = None;
        }
    }
    Ok(Written::Done)
}

/// Whether the time that is said to be over was not, when the job ended by itself.
fn ended_in_time(action: &Action, attempt: &Attempt, saw: &Saw) -> bool {
    let until = match attempt.timed_out {
        Some(TimeoutKind::Run) => attempt.started_at.and_then(|at| action.run_ends(at)),
        Some(TimeoutKind::Total) => action.total_ends(),
        // Silence counts from when a server is there to hear.
        Some(TimeoutKind::Heartbeat | TimeoutKind::Queue) | None => None,
    };
    !saw.stopped && until.is_some_and(|until| saw.at < until)
}

pub(super) fn close(
    rows: &mut Rows,
    at: AttemptRef,
    needs_results: bool,
    now: Timestamp,
) -> Answer {
    let (action_row, attempt_row) = rows.open_attempt(at)?;
    let saw = attempt_row.get().saw.clone().ok_or(Refusal::NotGone)?;
    let Verdict {
        outcome,
        failure,
        fault,
        disagree,
        event,
    } = verdict::judge(action_row.get(), attempt_row.get(), &saw, needs_results);
    let status = action_row.get().status.after(event)?;
    let closing = Closing {
        at: now,
        outcome,
        failure: failure.clone(),
        fault,
        disagree,
    };
    attempt_row.edit().closing = Some(closing.clone());

    let action = action_row.edit();
    let was_final = action.status.is_final();
    action.status = status;
    action.open = false;
    action.updated_at = now;
    if !was_final && status.is_final() {
        finish(action, failure.as_ref(), now);
    } else if !was_final && event == Event::ClosedToRetry {
        action.attempt += 1;
        action.due_at = now;
        action.expires_at = expiry(&action.timeouts, action.created_at, now).map(|(at, _)| at);
        action.error_name = failure.as_ref().map(|failure| failure.name.clone());
        action.error_message = failure.as_ref().map(|failure| failure.message.clone());
    }
    let written = Written::Closed(Box::new(action.clone()), closing);
    rows.closed.push(at);
    Ok(written)
}

/// Marks the attempt, unless its job has had its last word.
pub(super) fn time_out(rows: &mut Rows, at: AttemptRef, kind: TimeoutKind) -> Answer {
    let (_, attempt) = rows.open_attempt(at)?;
    if !attempt.get().has_final_word() && attempt.get().timed_out.is_none() {
        attempt.edit().timed_out = Some(kind);
    }
    Ok(Written::Done)
}
