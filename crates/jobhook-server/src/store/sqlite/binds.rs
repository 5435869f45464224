//! The values of rows, in the order of the statements in [`super::flush`].

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::{Attempt, AttemptRef};
use jobhook_engine::ledger::ReporterKey;
use jobhook_engine::log::LogLine;
use jobhook_engine::store::StoreError;
use jobhook_engine::window::Window;
use rusqlite::{CachedStatement, ToSql};
use serde::Serialize;

use super::columns::{self, id_bytes, nanos, signed, time};
use super::failure;
use super::payload::{self, Payload};

/// Whether a row could be bound.
pub(super) type Bound = Result<(), StoreError>;

/// The values of one row, on their way into a statement.
pub(super) struct Binds<'b, 'c> {
    statement: &'b mut CachedStatement<'c>,
    bound: usize,
}

impl<'b, 'c> Binds<'b, 'c> {
    pub(super) fn of(statement: &'b mut CachedStatement<'c>) -> Binds<'b, 'c> {
        Binds {
            statement,
            bound: 0,
        }
    }

    /// Binds the next column.
    fn add(&mut self, value: impl ToSql) -> Bound {
        self.bound += 1;
        let bound = self.statement.raw_bind_parameter(self.bound, value);
        bound.map_err(failure)
    }

    /// Binds the JSON text of one of our own values.
    fn json(&mut self, value: Option<&(impl Serialize + ?Sized)>) -> Bound {
        let text = columns::optional_text(value);
        self.add(text.map_err(|error| StoreError::Data(error.into()))?)
    }

    /// Runs the statement with what was bound.
    pub(super) fn run(self) -> Bound {
        self.statement.raw_execute().map(drop).map_err(failure)
    }
}

pub(super) fn new_action(row: &mut Binds<'_, '_>, action: &&Action) -> Bound {
    row.add(id_bytes(&action.id))?;
    row.add(action.action_type.as_str())?;
    row.add(action.operation)?;
    row.add(action.schedule.as_deref())?;
    row.add(action.attempts)?;
    row.add(action.created_at.0)?;
    row.add(time(action.scheduled))?;
    row.add(action.retry_of.as_ref().map(id_bytes))?;
    row.json(columns::timeouts(&action.timeouts))?;
    row.add(action.traceparent.as_deref())?;
    row.json(columns::grants(&action.grants))?;
    state(row, action)
}

pub(super) fn action(row: &mut Binds<'_, '_>, action: &&Action) -> Bound {
    row.add(id_bytes(&action.id))?;
    state(row, action)
}

fn state(row: &mut Binds<'_, '_>, action: &Action) -> Bound {
    row.add(columns::status_code(action.status))?;
    row.add(action.attempt)?;
    row.add(action.due_at.0)?;
    row.add(time(action.expires_at))?;
    row.add(time(action.started_at))?;
    row.add(time(action.finished_at))?;
    row.json(action.cancel.as_ref())?;
    row.add(action.open)?;
    row.add(payload::bits(action))?;
    log(row, action)
}

pub(super) fn action_log(row: &mut Binds<'_, '_>, action: &&Action) -> Bound {
    row.add(id_bytes(&action.id))?;
    log(row, action)
}

fn log(row: &mut Binds<'_, '_>, action: &Action) -> Bound {
    row.add(action.updated_at.0)?;
    row.add(signed(action.log.last))?;
    row.add(signed(action.log.dropped))?;
    row.add(signed(action.log.bytes))
}

pub(super) fn payload(
    row: &mut Binds<'_, '_>,
    (id, kind, body): &(ActionId, Payload, &str),
) -> Bound {
    payload_key(row, &(*id, *kind))?;
    row.add(*body)
}

pub(super) fn payload_key(row: &mut Binds<'_, '_>, (id, kind): &(ActionId, Payload)) -> Bound {
    row.add(id_bytes(id))?;
    row.add(kind.code())
}

pub(super) fn attempt_key(row: &mut Binds<'_, '_>, at: &AttemptRef) -> Bound {
    row.add(id_bytes(&at.action))?;
    row.add(at.number)
}

pub(super) fn new_attempt(row: &mut Binds<'_, '_>, attempt: &&Attempt) -> Bound {
    attempt_key(row, &attempt.at)?;
    row.add(attempt.runner.as_str())?;
    row.add(attempt.worker.as_str())?;
    row.add(attempt.key_id.as_str())?;
    row.add(attempt.nonce.as_str())?;
    row.add(attempt.auto_status)?;
    row.add(attempt.signature_required)?;
    row.add(attempt.claimed_at.0)?;
    course(row, attempt)
}

pub(super) fn attempt(row: &mut Binds<'_, '_>, attempt: &&Attempt) -> Bound {
    attempt_key(row, &attempt.at)?;
    course(row, attempt)
}

fn course(row: &mut Binds<'_, '_>, attempt: &Attempt) -> Bound {
    row.add(time(attempt.started_at))?;
    row.add(attempt.said.map(columns::status_code))?;
    row.add(time(attempt.said_final_at))?;
    row.json(attempt.said_failure.as_ref())?;
    row.add(attempt.timed_out.map(|kind| kind.as_str()))?;
    row.json(attempt.saw.as_ref())?;
    row.json(attempt.closing.as_ref())?;
    heard(row, attempt)
}

pub(super) fn attempt_heard(row: &mut Binds<'_, '_>, attempt: &&Attempt) -> Bound {
    attempt_key(row, &attempt.at)?;
    heard(row, attempt)
}

fn heard(row: &mut Binds<'_, '_>, attempt: &Attempt) -> Bound {
    row.add(time(attempt.heard_at))?;
    row.add(attempt.job_time_ms)?;
    row.add(nanos(attempt.heartbeat))?;
    row.add(signed(attempt.output_offset))?;
    row.add(attempt.output_mark.as_deref())
}

pub(super) fn reporter(row: &mut Binds<'_, '_>, (key, window): &(&ReporterKey, &Window)) -> Bound {
    attempt_key(row, &key.attempt)?;
    row.add(key.reporter.as_str())?;
    row.add(window.to_bytes())
}

pub(super) fn line(row: &mut Binds<'_, '_>, line: &LogLine) -> Bound {
    row.add(id_bytes(&line.action))?;
    row.add(signed(line.number))?;
    row.add(line.time.0)?;
    row.add(line.attempt)?;
    row.add(columns::source_code(line.source))?;
    row.add(line.text.as_str())
}
