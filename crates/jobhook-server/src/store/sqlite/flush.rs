//! What a batch changed, as one statement for each kind of change.
//!
//! Which columns a row's update names is decided by what differs from what is stored: a
//! report with a line moves four columns of its action and three of its attempt, none of
//! which is in an index.

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::ledger::{ReporterKey, Rows};
use jobhook_engine::window::Window;

use super::binds;
use super::bulk::Bulk;
use super::payload::Payload;
use super::recent::Recent;
use super::script::Script;

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

/// Adds the new lines.
pub(super) fn lines(rows: &mut Rows, script: &mut Script) -> Result<(), sqlx::Error> {
    let lines = std::mem::take(&mut rows.lines);
    script.bulk(&INSERT_LINES, &lines, binds::line)
}

/// Adds all other changes; what a full log dropped is counted by then.
pub(super) fn changes(rows: &mut Rows, script: &mut Script) -> Result<(), sqlx::Error> {
    let closed = std::mem::take(&mut rows.closed);
    let now = Changes::of(rows);
    script.bulk(&INSERT_ACTIONS, &now.new_actions, binds::new_action)?;
    script.bulk(&UPDATE_ACTIONS, &now.actions, binds::action)?;
    script.bulk(&UPDATE_ACTION_LOGS, &now.action_logs, binds::action_log)?;
    script.bulk(&PUT_PAYLOADS, &now.payloads, binds::payload)?;
    script.bulk(&DELETE_PAYLOADS, &now.payloads_gone, binds::payload_key)?;
    script.bulk(&INSERT_ATTEMPTS, &now.new_attempts, binds::new_attempt)?;
    script.bulk(&UPDATE_ATTEMPTS, &now.attempts, binds::attempt)?;
    script.bulk(
        &UPDATE_ATTEMPTS_HEARD,
        &now.attempts_heard,
        binds::attempt_heard,
    )?;
    script.bulk(&PUT_REPORTERS, &now.reporters, binds::reporter)?;
    script.bulk(&DELETE_REPORTERS, &closed, binds::attempt_key)
}

/// Marks what was written, and keeps it for the batches to come.
pub(super) fn settle(rows: &mut Rows, recent: &mut Recent) {
    for row in rows.actions.values_mut() {
        if row.change().is_some() {
            row.mark_stored();
            recent.keep_action(row.get());
        }
    }
    for row in rows.attempts.values_mut() {
        if row.change().is_some() {
            row.mark_stored();
            recent.keep_attempt(row.get());
        }
    }
    for (key, row) in &mut rows.reporters {
        if row.change().is_some() {
            row.mark_stored();
            recent.keep_reporter(key, row.get());
        }
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

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [
        &INSERT_ACTIONS,
        &UPDATE_ACTIONS,
        &UPDATE_ACTION_LOGS,
        &PUT_PAYLOADS,
        &DELETE_PAYLOADS,
        &INSERT_ATTEMPTS,
        &UPDATE_ATTEMPTS,
        &UPDATE_ATTEMPTS_HEARD,
        &PUT_REPORTERS,
        &DELETE_REPORTERS,
        &INSERT_LINES,
    ]
    .map(|bulk| bulk.example())
    .into()
}
