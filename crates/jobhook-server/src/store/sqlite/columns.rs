//! How values lie in columns, both ways.
//!
//! The numbers here are in databases and never change their meaning.

use std::time::Duration;

use jobhook_engine::action::{Action, ActionId, LogMeter, Standing, TimeoutKind, Timeouts};
use jobhook_engine::attempt::{Attempt, AttemptRef};
use jobhook_engine::clock::Timestamp;
use jobhook_engine::log::LogLine;
use jobhook_engine::store::StoreError;
use jobhook_protocol::{GrantBody, LineSource, Status};
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// The columns that [`action`] reads, of a table called `a`.
macro_rules! action_columns {
    () => {
        "a.id, a.action_type, a.status, a.attempt, a.attempts, a.created_at, a.updated_at, \
         a.due_at, a.scheduled, a.expires_at, a.started_at, a.finished_at, a.cancel, \
         a.retry_of, a.timeouts, a.traceparent, a.grants, a.log_last, a.log_dropped, a.log_bytes, \
         a.open, a.operation, a.schedule, a.payloads"
    };
}

/// The columns that [`attempt`] reads, of a table called `t`.
macro_rules! attempt_columns {
    () => {
        "t.action, t.number, t.runner, t.worker, t.key_id, t.nonce, t.auto_status, \
         t.signature_required, t.claimed_at, t.started_at, t.heard_at, t.job_time_ms, \
         t.heartbeat_ns, t.said, t.said_final_at, t.said_failure, t.timed_out, \
         t.output_offset, t.output_mark, t.saw, t.closing"
    };
}

pub(super) use {action_columns, attempt_columns};

pub(super) const fn status_code(status: Status) -> i64 {
    match status {
        Status::Scheduled => 0,
        Status::Queued => 1,
        Status::Starting => 2,
        Status::Running => 3,
        Status::Success => 4,
        Status::Error => 5,
        Status::Timeout => 6,
        Status::Cancelled => 7,
    }
}

pub(super) const fn source_code(source: LineSource) -> i64 {
    match source {
        LineSource::Job => 0,
        LineSource::Stdout => 1,
        LineSource::Stderr => 2,
        LineSource::Server => 3,
    }
}

/// The bytes of an id, as they are bound.
pub(super) fn id_bytes(id: &ActionId) -> &[u8] {
    id.0.as_bytes()
}

/// SQLite has no unsigned numbers. Ours count lines and bytes, and stay far below the edge.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn time(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.0)
}

pub(super) fn nanos(duration: Option<Duration>) -> Option<i64> {
    duration.map(|duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// JSON text of one of our own types.
pub(super) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(value)
}

/// [`text`] of what is to be stored.
pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    text(value).map_err(|error| StoreError::Data(error.into()))
}

/// The JSON text of an optional value.
pub(super) fn optional_text<T: Serialize + ?Sized>(
    value: Option<&T>,
) -> Result<Option<String>, serde_json::Error> {
    value.map(text).transpose()
}

/// Timeouts as they are kept: nothing where there are none.
pub(super) fn timeouts(timeouts: &Timeouts) -> Option<&Timeouts> {
    Some(timeouts).filter(|timeouts| **timeouts != Timeouts::default())
}

/// Grants as they are kept: nothing where there are none.
pub(super) fn grants(grants: &[GrantBody]) -> Option<&[GrantBody]> {
    Some(grants).filter(|grants| !grants.is_empty())
}

pub(super) fn damaged(what: impl std::fmt::Display, why: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {why}"))
}

/// Reads a row column by column.
pub(super) struct Reader<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Reader<'r> {
    pub(super) fn new(row: &'r Row<'r>) -> Reader<'r> {
        Reader { row, next: 0 }
    }

    pub(super) fn get<T: FromSql>(&mut self) -> Result<T, StoreError> {
        let value = self.row.get(self.next);
        self.next += 1;
        value.map_err(super::failure)
    }

    fn borrowed(&mut self) -> Result<ValueRef<'r>, StoreError> {
        let value = self.row.get_ref(self.next);
        self.next += 1;
        value.map_err(super::failure)
    }

    pub(super) fn text(&mut self) -> Result<&'r str, StoreError> {
        self.optional_text()?
            .ok_or_else(|| damaged("a text column", "it is empty"))
    }

    fn optional_text(&mut self) -> Result<Option<&'r str>, StoreError> {
        let text = self.borrowed()?.as_str_or_null();
        text.map_err(|error| damaged("a text column", error))
    }

    fn optional_id(&mut self) -> Result<Option<ActionId>, StoreError> {
        let bytes = self.borrowed()?.as_blob_or_null();
        let bytes = bytes.map_err(|error| damaged("an id", error))?;
        bytes
            .map(|bytes| Uuid::from_slice(bytes).map(ActionId))
            .transpose()
            .map_err(|error| damaged("an id", error))
    }

    pub(super) fn id(&mut self) -> Result<ActionId, StoreError> {
        self.optional_id()?
            .ok_or_else(|| damaged("an id", "it is empty"))
    }

    pub(super) fn bytes(&mut self) -> Result<&'r [u8], StoreError> {
        let bytes = self.borrowed()?.as_blob();
        bytes.map_err(|error| damaged("a column of bytes", error))
    }

    pub(super) fn number<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        let number: i64 = self.get()?;
        T::try_from(number).map_err(|_| damaged("a number", format!("{number} is out of range")))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.get().map(Timestamp)
    }

    pub(super) fn optional_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>()?.map(Timestamp))
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        let text = self.optional_text()?;
        text.map(serde_json::from_str)
            .transpose()
            .map_err(|error| damaged("a JSON column", error))
    }
}

fn status(code: i64) -> Result<Status, StoreError> {
    Status::ALL
        .into_iter()
        .find(|status| status_code(*status) == code)
        .ok_or_else(|| damaged("a status", code))
}

fn source(code: i64) -> Result<LineSource, StoreError> {
    match code {
        0 => Ok(LineSource::Job),
        1 => Ok(LineSource::Stdout),
        2 => Ok(LineSource::Stderr),
        3 => Ok(LineSource::Server),
        _ => Err(damaged("a line's source", code)),
    }
}

fn timeout_kind(word: &str) -> Result<TimeoutKind, StoreError> {
    [
        TimeoutKind::Queue,
        TimeoutKind::Run,
        TimeoutKind::Heartbeat,
        TimeoutKind::Total,
    ]
    .into_iter()
    .find(|kind| kind.as_str() == word)
    .ok_or_else(|| damaged("a timeout", word))
}

/// Reads an action without its payloads, and the bits of those that it has.
pub(super) fn action(row: &mut Reader<'_>) -> Result<(Action, i64), StoreError> {
    let mut action = Action {
        id: row.id()?,
        action_type: row.get()?,
        operation: false,
        schedule: None,
        status: status(row.get()?)?,
        attempt: row.number()?,
        attempts: row.number()?,
        arguments: None,
        results: None,
        status_details: None,
        error_name: None,
        error_message: None,
        created_at: row.time()?,
        updated_at: row.time()?,
        due_at: row.time()?,
        scheduled: row.optional_time()?,
        expires_at: row.optional_time()?,
        started_at: row.optional_time()?,
        finished_at: row.optional_time()?,
        cancel: row.json()?,
        retry_of: row.optional_id()?,
        timeouts: row.json()?.unwrap_or_default(),
        traceparent: row.get()?,
        grants: row.json()?.unwrap_or_default(),
        log: LogMeter {
            last: row.number()?,
            dropped: row.number()?,
            bytes: row.number()?,
        },
        open: row.get()?,
    };
    action.operation = row.get()?;
    action.schedule = row.get()?;
    Ok((action, row.get()?))
}

/// Reads what decides on files: status, attempt, open, grants.
pub(super) fn standing(row: &mut Reader<'_>) -> Result<Standing, StoreError> {
    Ok(Standing {
        status: status(row.get()?)?,
        attempt: row.number()?,
        open: row.get()?,
        grants: row.json()?.unwrap_or_default(),
    })
}

/// Reads an attempt.
pub(super) fn attempt(row: &mut Reader<'_>) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        at: AttemptRef {
            action: row.id()?,
            number: row.number()?,
        },
        runner: row.get()?,
        worker: row.get()?,
        key_id: row.get()?,
        nonce: row.get()?,
        auto_status: row.get()?,
        signature_required: row.get()?,
        claimed_at: row.time()?,
        started_at: row.optional_time()?,
        heard_at: row.optional_time()?,
        job_time_ms: row.get()?,
        heartbeat: row
            .get::<Option<i64>>()?
            .map(|nanos| Duration::from_nanos(nanos.unsigned_abs())),
        said: row.get::<Option<i64>>()?.map(status).transpose()?,
        said_final_at: row.optional_time()?,
        said_failure: row.json()?,
        timed_out: row.optional_text()?.map(timeout_kind).transpose()?,
        output_offset: row.number()?,
        output_mark: row.optional_text()?.map(str::to_owned),
        saw: row.json()?,
        closing: row.json()?,
    })
}

/// Reads a line of an action's log: number, time, attempt, source, text.
pub(super) fn line(action: ActionId, row: &mut Reader<'_>) -> Result<LogLine, StoreError> {
    Ok(LogLine {
        action,
        number: row.number()?,
        time: row.time()?,
        attempt: row.number()?,
        source: source(row.get()?)?,
        text: row.get()?,
    })
}
