//! Writes back what a batch changed, one statement for each kind of change.
//!
//! Which columns a row's update names is decided by what differs from what is stored: a
//! report with a line moves four columns of its action and three of its attempt, none of
//! which is in an index.

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::{Attempt, AttemptRef};
use jobhook_engine::ledger::{ReporterKey, Rows};
use jobhook_engine::log::{LogLimits, LogLine};
use jobhook_engine::store::StoreError;
use jobhook_engine::window::Window;
use sqlx::sqlite::SqliteConnection;

use super::bulk::{Binds, Bound, Bulk};
use super::columns::{self, Payload, id_bytes, nanos, optional_text, signed, time};
use super::{failure, trim};

static INSERT_ACTIONS: Bulk = Bulk::new(
    21,
    "INSERT INTO actions (id, action_type, attempts, created_at, scheduled, retry_of, timeouts, \
     traceparent, status, attempt, due_at, expires_at, started_at, finished_at, cancel, open, \
     payloads, updated_at, log_last, log_dropped, log_bytes) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
);
static UPDATE_ACTIONS: Bulk = Bulk::new(
    14,
    "UPDATE actions SET status = v.column2, attempt = v.column3, due_at = v.column4, \
     expires_at = v.column5, started_at = v.column6, finished_at = v.column7, \
     cancel = v.column8, open = v.column9, payloads = v.column10, updated_at = v.column11, \
     log_last = v.column12, log_dropped = v.column13, log_bytes = v.column14 \
     FROM (VALUES {rows}) AS v WHERE actions.id = v.column1",
);
static UPDATE_ACTION_LOGS: Bulk = Bulk::new(
    5,
    "UPDATE actions SET updated_at = v.column2, log_last = v.column3, \
     log_dropped = v.column4, log_bytes = v.column5 \
     FROM (VALUES {rows}) AS v WHERE actions.id = v.column1",
);
static PUT_PAYLOADS: Bulk = Bulk::new(
    3,
    "INSERT INTO payloads (action, kind, body) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL \
     ON CONFLICT (action, kind) DO UPDATE SET body = excluded.body",
);
static DELETE_PAYLOADS: Bulk = Bulk::new(
    2,
    "DELETE FROM payloads WHERE (action, kind) IN (VALUES {rows})",
);
static INSERT_ATTEMPTS: Bulk = Bulk::new(
    20,
    "INSERT INTO attempts (action, number, runner, worker, key_id, nonce, auto_status, \
     signature_required, claimed_at, started_at, said, said_final_at, said_failure, timed_out, \
     saw, closing, heard_at, job_time_ms, heartbeat_ns, output_offset) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
);
static UPDATE_ATTEMPTS: Bulk = Bulk::new(
    13,
    "UPDATE attempts SET started_at = v.column3, said = v.column4, said_final_at = v.column5, \
     said_failure = v.column6, timed_out = v.column7, saw = v.column8, closing = v.column9, \
     heard_at = v.column10, job_time_ms = v.column11, heartbeat_ns = v.column12, \
     output_offset = v.column13 \
     FROM (VALUES {rows}) AS v WHERE attempts.action = v.column1 AND attempts.number = v.column2",
);
static UPDATE_ATTEMPTS_HEARD: Bulk = Bulk::new(
    6,
    "UPDATE attempts SET heard_at = v.column3, job_time_ms = v.column4, \
     heartbeat_ns = v.column5, output_offset = v.column6 \
     FROM (VALUES {rows}) AS v WHERE attempts.action = v.column1 AND attempts.number = v.column2",
);
static PUT_REPORTERS: Bulk = Bulk::new(
    4,
    "INSERT INTO reporters (action, attempt, reporter, applied) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL \
     ON CONFLICT (action, attempt, reporter) DO UPDATE SET applied = excluded.applied",
);
static DELETE_REPORTERS: Bulk = Bulk::new(
    2,
    "DELETE FROM reporters WHERE (action, attempt) IN (VALUES {rows})",
);
static INSERT_LINES: Bulk = Bulk::new(
    6,
    "INSERT INTO lines (action, number, time, attempt, source, text) \
     SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL",
);

/// What is to be done, by statement.
#[derive(Default)]
struct Changes<'a> {
    new_actions: Vec<&'a Action>,
    actions: Vec<&'a Action>,
    action_logs: Vec<&'a Action>,
    payloads: Vec<(ActionId, Payload, &'a str)>,
    payloads_gone: Vec<(ActionId, Payload)>,
    new_attempts: Vec<&'a Attempt>,
    attempts: Vec<&'a Attempt>,
    attempts_heard: Vec<&'a Attempt>,
    reporters: Vec<(&'a ReporterKey, &'a Window)>,
}

/// Writes what changed in `rows` and marks it as stored.
pub(super) async fn flush(
    connection: &mut SqliteConnection,
    rows: &mut Rows,
    limits: LogLimits,
) -> Result<(), StoreError> {
    let lines = std::mem::take(&mut rows.lines);
    execute(connection, &INSERT_LINES, &lines, bind_line).await?;
    // What it drops is counted in the actions that are written next.
    trim::trim(connection, rows, limits).await?;

    let changes = Changes::of(rows);
    execute(
        connection,
        &INSERT_ACTIONS,
        &changes.new_actions,
        bind_new_action,
    )
    .await?;
    let bind = bind_action;
    execute(connection, &UPDATE_ACTIONS, &changes.actions, bind).await?;
    let bind = bind_action_log;
    execute(connection, &UPDATE_ACTION_LOGS, &changes.action_logs, bind).await?;
    execute(connection, &PUT_PAYLOADS, &changes.payloads, bind_payload).await?;
    let bind = |row: &mut Binds<'_>, (id, payload): &(ActionId, Payload)| {
        row.add(id_bytes(*id))?;
        row.add(payload.code())
    };
    execute(connection, &DELETE_PAYLOADS, &changes.payloads_gone, bind).await?;
    let bind = bind_new_attempt;
    execute(connection, &INSERT_ATTEMPTS, &changes.new_attempts, bind).await?;
    execute(
        connection,
        &UPDATE_ATTEMPTS,
        &changes.attempts,
        bind_attempt,
    )
    .await?;
    let bind = bind_attempt_heard;
    execute(
        connection,
        &UPDATE_ATTEMPTS_HEARD,
        &changes.attempts_heard,
        bind,
    )
    .await?;
    execute(
        connection,
        &PUT_REPORTERS,
        &changes.reporters,
        bind_reporter,
    )
    .await?;
    let closed = std::mem::take(&mut rows.closed);
    let bind = |row: &mut Binds<'_>, at: &AttemptRef| bind_attempt_ref(row, *at);
    execute(connection, &DELETE_REPORTERS, &closed, bind).await?;

    rows.actions.values_mut().for_each(|row| row.mark_stored());
    rows.attempts.values_mut().for_each(|row| row.mark_stored());
    rows.reporters
        .values_mut()
        .for_each(|row| row.mark_stored());
    Ok(())
}

async fn execute<T: Sync>(
    connection: &mut SqliteConnection,
    bulk: &Bulk,
    rows: &[T],
    bind: impl Fn(&mut Binds<'_>, &T) -> Bound + Send,
) -> Result<(), StoreError> {
    bulk.execute(connection, rows, bind).await.map_err(failure)
}

impl<'a> Changes<'a> {
    fn of(rows: &'a Rows) -> Changes<'a> {
        let mut changes = Changes::default();
        for row in rows.actions.values() {
            match row.change() {
                None => {}
                Some((action, None)) => changes.new_action(action),
                Some((action, Some(stored))) => changes.action(action, stored),
            }
        }
        for row in rows.attempts.values() {
            match row.change() {
                None => {}
                Some((attempt, None)) => changes.new_attempts.push(attempt),
                Some((attempt, Some(stored))) if only_heard(attempt, stored) => {
                    changes.attempts_heard.push(attempt);
                }
                Some((attempt, Some(_))) => changes.attempts.push(attempt),
            }
        }
        for (key, row) in &rows.reporters {
            if let Some((window, _)) = row.change() {
                changes.reporters.push((key, window));
            }
        }
        changes
    }

    fn new_action(&mut self, action: &'a Action) {
        self.new_actions.push(action);
        for payload in Payload::ALL {
            if let Some(body) = payload.of(action) {
                self.payloads.push((action.id, payload, body));
            }
        }
    }

    fn action(&mut self, action: &'a Action, stored: &Action) {
        let mut same_payloads = true;
        // The first kind is the arguments, which never change.
        for payload in Payload::ALL.into_iter().skip(1) {
            let (now, before) = (payload.of(action), payload.of(stored));
            if same(now, before) {
                continue;
            }
            same_payloads &= now.is_some() == before.is_some();
            match now {
                Some(body) => self.payloads.push((action.id, payload, body)),
                None => self.payloads_gone.push((action.id, payload)),
            }
        }
        if same_payloads && only_logged(action, stored) {
            self.action_logs.push(action);
        } else {
            self.actions.push(action);
        }
    }
}

/// Texts that are shared are not compared.
fn same(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one, other) || one == other,
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Whether only the columns of [`UPDATE_ACTION_LOGS`] differ.
fn only_logged(action: &Action, stored: &Action) -> bool {
    action.status == stored.status
        && action.attempt == stored.attempt
        && action.due_at == stored.due_at
        && action.expires_at == stored.expires_at
        && action.started_at == stored.started_at
        && action.finished_at == stored.finished_at
        && action.cancel == stored.cancel
        && action.open == stored.open
}

/// Whether only the columns of [`UPDATE_ATTEMPTS_HEARD`] differ.
fn only_heard(attempt: &Attempt, stored: &Attempt) -> bool {
    attempt.started_at == stored.started_at
        && attempt.said == stored.said
        && attempt.said_final_at == stored.said_final_at
        && attempt.said_failure == stored.said_failure
        && attempt.timed_out == stored.timed_out
        && attempt.saw == stored.saw
        && attempt.closing == stored.closing
}

fn bind_new_action(row: &mut Binds<'_>, action: &&Action) -> Bound {
    row.add(id_bytes(action.id))?;
    row.add(action.action_type.as_str())?;
    row.add(i64::from(action.attempts))?;
    row.add(action.created_at.0)?;
    row.add(time(action.scheduled))?;
    row.add(action.retry_of.map(id_bytes))?;
    row.add(columns::timeouts_text(&action.timeouts)?)?;
    row.add(action.traceparent.as_deref())?;
    bind_state(row, action)
}

fn bind_action(row: &mut Binds<'_>, action: &&Action) -> Bound {
    row.add(id_bytes(action.id))?;
    bind_state(row, action)
}

fn bind_state(row: &mut Binds<'_>, action: &Action) -> Bound {
    row.add(columns::status_code(action.status))?;
    row.add(i64::from(action.attempt))?;
    row.add(action.due_at.0)?;
    row.add(time(action.expires_at))?;
    row.add(time(action.started_at))?;
    row.add(time(action.finished_at))?;
    row.add(optional_text(action.cancel.as_ref())?)?;
    row.add(action.open)?;
    row.add(columns::payload_bits(action))?;
    bind_log(row, action)
}

fn bind_action_log(row: &mut Binds<'_>, action: &&Action) -> Bound {
    row.add(id_bytes(action.id))?;
    bind_log(row, action)
}

fn bind_log(row: &mut Binds<'_>, action: &Action) -> Bound {
    row.add(action.updated_at.0)?;
    row.add(signed(action.log.last))?;
    row.add(signed(action.log.dropped))?;
    row.add(signed(action.log.bytes))
}

fn bind_payload(row: &mut Binds<'_>, (id, payload, body): &(ActionId, Payload, &str)) -> Bound {
    row.add(id_bytes(*id))?;
    row.add(payload.code())?;
    row.add(*body)
}

fn bind_attempt_ref(row: &mut Binds<'_>, at: AttemptRef) -> Bound {
    row.add(id_bytes(at.action))?;
    row.add(i64::from(at.number))
}

fn bind_new_attempt(row: &mut Binds<'_>, attempt: &&Attempt) -> Bound {
    bind_attempt_ref(row, attempt.at)?;
    row.add(attempt.runner.as_str())?;
    row.add(attempt.worker.as_str())?;
    row.add(attempt.key_id.as_str())?;
    row.add(attempt.nonce.as_str())?;
    row.add(attempt.auto_status)?;
    row.add(attempt.signature_required)?;
    row.add(attempt.claimed_at.0)?;
    bind_course(row, attempt)
}

fn bind_attempt(row: &mut Binds<'_>, attempt: &&Attempt) -> Bound {
    bind_attempt_ref(row, attempt.at)?;
    bind_course(row, attempt)
}

fn bind_course(row: &mut Binds<'_>, attempt: &Attempt) -> Bound {
    row.add(time(attempt.started_at))?;
    row.add(attempt.said.map(columns::status_code))?;
    row.add(time(attempt.said_final_at))?;
    row.add(optional_text(attempt.said_failure.as_ref())?)?;
    row.add(attempt.timed_out.map(|kind| kind.as_str()))?;
    row.add(optional_text(attempt.saw.as_ref())?)?;
    row.add(optional_text(attempt.closing.as_ref())?)?;
    bind_heard(row, attempt)
}

fn bind_attempt_heard(row: &mut Binds<'_>, attempt: &&Attempt) -> Bound {
    bind_attempt_ref(row, attempt.at)?;
    bind_heard(row, attempt)
}

fn bind_heard(row: &mut Binds<'_>, attempt: &Attempt) -> Bound {
    row.add(time(attempt.heard_at))?;
    row.add(attempt.job_time_ms)?;
    row.add(nanos(attempt.heartbeat))?;
    row.add(signed(attempt.output_offset))
}

fn bind_reporter(row: &mut Binds<'_>, (key, window): &(&ReporterKey, &Window)) -> Bound {
    bind_attempt_ref(row, key.attempt)?;
    row.add(key.reporter.as_str())?;
    row.add(window.to_bytes())
}

fn bind_line(row: &mut Binds<'_>, line: &LogLine) -> Bound {
    row.add(id_bytes(line.action))?;
    row.add(signed(line.number))?;
    row.add(line.time.0)?;
    row.add(i64::from(line.attempt))?;
    row.add(columns::source_code(line.source))?;
    row.add(line.text.as_str())
}
