//! What a batch changed, row by row.
//!
//! Which columns a row's update names is decided by what differs from what is stored: a
//! report with a line moves four columns of its action and four of its attempt, none of
//! which is in an index.

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::ledger::{ReporterKey, Rows};
use jobhook_engine::window::Window;
use rusqlite::Connection;

use super::binds::{self, Binds, Bound};
use super::payload::Payload;
use super::prepare;

const INSERT_ACTION: &str = "INSERT INTO actions (id, action_type, operation, schedule, \
    attempts, created_at, scheduled, retry_of, timeouts, traceparent, grants, status, attempt, due_at, expires_at, \
    started_at, finished_at, cancel, open, payloads, updated_at, log_last, log_dropped, log_bytes) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const UPDATE_ACTION: &str = "UPDATE actions SET status = ?2, attempt = ?3, due_at = ?4, \
    expires_at = ?5, started_at = ?6, finished_at = ?7, cancel = ?8, open = ?9, payloads = ?10, \
    updated_at = ?11, log_last = ?12, log_dropped = ?13, log_bytes = ?14 WHERE id = ?1";
const UPDATE_ACTION_LOG: &str = "UPDATE actions SET updated_at = ?2, log_last = ?3, \
    log_dropped = ?4, log_bytes = ?5 WHERE id = ?1";
const PUT_PAYLOAD: &str = "INSERT INTO payloads (action, kind, body) VALUES (?, ?, ?) \
    ON CONFLICT (action, kind) DO UPDATE SET body = excluded.body";
const DELETE_PAYLOAD: &str = "DELETE FROM payloads WHERE action = ? AND kind = ?";
const INSERT_ATTEMPT: &str = "INSERT INTO attempts (action, number, runner, worker, key_id, \
    nonce, auto_status, signature_required, claimed_at, started_at, said, said_final_at, \
    said_failure, timed_out, saw, closing, heard_at, job_time_ms, heartbeat_ns, output_offset, \
    output_mark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const UPDATE_ATTEMPT: &str = "UPDATE attempts SET started_at = ?3, said = ?4, \
    said_final_at = ?5, said_failure = ?6, timed_out = ?7, saw = ?8, closing = ?9, \
    heard_at = ?10, job_time_ms = ?11, heartbeat_ns = ?12, output_offset = ?13, output_mark = ?14 \
    WHERE action = ?1 AND number = ?2";
const UPDATE_ATTEMPT_HEARD: &str = "UPDATE attempts SET heard_at = ?3, job_time_ms = ?4, \
    heartbeat_ns = ?5, output_offset = ?6, output_mark = ?7 WHERE action = ?1 AND number = ?2";
const PUT_REPORTER: &str = "INSERT INTO reporters (action, attempt, reporter, applied) \
    VALUES (?, ?, ?, ?) \
    ON CONFLICT (action, attempt, reporter) DO UPDATE SET applied = excluded.applied";
const DELETE_REPORTERS: &str = "DELETE FROM reporters WHERE action = ? AND attempt = ?";
const INSERT_LINE: &str = "INSERT INTO lines (action, number, time, attempt, source, text) \
    VALUES (?, ?, ?, ?, ?, ?)";

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

/// Writes the new lines.
pub(super) fn lines(connection: &Connection, rows: &mut Rows) -> Bound {
    let lines = std::mem::take(&mut rows.lines);
    each(connection, INSERT_LINE, &lines, binds::line)
}

/// Writes all other changes, and marks them; what a full log dropped is counted by then.
pub(super) fn changes(connection: &Connection, rows: &mut Rows) -> Bound {
    let closed = std::mem::take(&mut rows.closed);
    let now = Changes::of(rows);
    each(
        connection,
        INSERT_ACTION,
        &now.new_actions,
        binds::new_action,
    )?;
    each(connection, UPDATE_ACTION, &now.actions, binds::action)?;
    each(
        connection,
        UPDATE_ACTION_LOG,
        &now.action_logs,
        binds::action_log,
    )?;
    each(connection, PUT_PAYLOAD, &now.payloads, binds::payload)?;
    each(
        connection,
        DELETE_PAYLOAD,
        &now.payloads_gone,
        binds::payload_key,
    )?;
    each(
        connection,
        INSERT_ATTEMPT,
        &now.new_attempts,
        binds::new_attempt,
    )?;
    each(connection, UPDATE_ATTEMPT, &now.attempts, binds::attempt)?;
    each(
        connection,
        UPDATE_ATTEMPT_HEARD,
        &now.attempts_heard,
        binds::attempt_heard,
    )?;
    each(connection, PUT_REPORTER, &now.reporters, binds::reporter)?;
    each(connection, DELETE_REPORTERS, &closed, binds::attempt_key)?;
    settle(rows);
    Ok(())
}

/// Runs a statement for each row, and prepares it only if there are any.
fn each<T>(
    connection: &Connection,
    sql: &'static str,
    rows: &[T],
    bind: impl Fn(&mut Binds<'_, '_>, &T) -> Bound,
) -> Bound {
    if rows.is_empty() {
        return Ok(());
    }
    let mut statement = prepare(connection, sql)?;
    rows.iter().try_for_each(|row| {
        let mut binds = Binds::of(&mut statement);
        bind(&mut binds, row)?;
        binds.run()
    })
}

fn settle(rows: &mut Rows) {
    for row in rows.actions.values_mut() {
        row.mark_stored();
    }
    for row in rows.attempts.values_mut() {
        row.mark_stored();
    }
    for row in rows.reporters.values_mut() {
        row.mark_stored();
    }
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

/// Whether only the columns of [`UPDATE_ACTION_LOG`] differ.
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

/// Whether only the columns of [`UPDATE_ATTEMPT_HEARD`] differ.
fn only_heard(attempt: &Attempt, stored: &Attempt) -> bool {
    attempt.started_at == stored.started_at
        && attempt.said == stored.said
        && attempt.said_final_at == stored.said_final_at
        && attempt.said_failure == stored.said_failure
        && attempt.timed_out == stored.timed_out
        && attempt.saw == stored.saw
        && attempt.closing == stored.closing
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [
        INSERT_ACTION,
        UPDATE_ACTION,
        UPDATE_ACTION_LOG,
        PUT_PAYLOAD,
        DELETE_PAYLOAD,
        INSERT_ATTEMPT,
        UPDATE_ATTEMPT,
        UPDATE_ATTEMPT_HEARD,
        PUT_REPORTER,
        DELETE_REPORTERS,
        INSERT_LINE,
    ]
    .map(str::to_owned)
    .into()
}
