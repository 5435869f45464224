//! Reading, beside the writer. Each answer is one statement, so it is of one moment.

use jobhook_engine::action::{Action, ActionId, Standing};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::log::LogLine;
use jobhook_engine::store::{ActionQuery, StoreError, Wake};
use jobhook_protocol::Status;
use jobhook_protocol::key::hex;
use rusqlite::{Connection, Params, ToSql, params};

use super::columns::{
    self, Reader, action_columns, attempt_columns, id_bytes, signed, status_code,
};
use super::payload::Payload;
use super::{failure, limit_of, prepare};

/// The columns of an action with its payloads.
macro_rules! whole_action {
    () => {
        concat!(
            action_columns!(),
            ", (SELECT body FROM payloads WHERE action = a.id AND kind = 0)",
            ", (SELECT body FROM payloads WHERE action = a.id AND kind = 1)",
            ", (SELECT body FROM payloads WHERE action = a.id AND kind = 2)",
            ", (SELECT body FROM payloads WHERE action = a.id AND kind = 3)",
            ", (SELECT body FROM payloads WHERE action = a.id AND kind = 4)"
        )
    };
}

const ACTION: &str = concat!(
    "SELECT ",
    whole_action!(),
    " FROM actions AS a WHERE a.id = ?"
);
const STANDING: &str =
    "SELECT a.status, a.attempt, a.open, a.grants FROM actions AS a WHERE a.id = ?";
const ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts AS t WHERE t.action = ? ORDER BY t.number"
);
const LAST_ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM (SELECT unhex(value) AS action FROM json_each(?)) AS v \
      CROSS JOIN attempts AS t ON t.action = v.action \
      AND t.number = (SELECT max(number) FROM attempts WHERE action = v.action)"
);
const OPEN: &str = concat!(
    "SELECT ",
    whole_action!(),
    ", ",
    attempt_columns!(),
    " FROM attempts AS t INDEXED BY attempts_open CROSS JOIN actions AS a ON a.id = t.action \
     WHERE t.closing IS NULL ORDER BY t.action, t.number"
);
const LINES: &str = "SELECT number, time, attempt, source, text FROM lines \
    WHERE action = ? AND number > ? ORDER BY number LIMIT ?";
const WAKE: &str = "SELECT \
    (SELECT min(due_at) FROM actions INDEXED BY actions_due WHERE status < 2 AND due_at > ?1), \
    (SELECT min(expires_at) FROM actions INDEXED BY actions_expiring \
     WHERE expires_at IS NOT NULL AND expires_at > ?1)";
const EXPIRING: &str = concat!(
    "SELECT ",
    whole_action!(),
    " FROM actions AS a INDEXED BY actions_expiring \
     WHERE a.expires_at IS NOT NULL AND a.expires_at <= ? ORDER BY a.expires_at, a.id LIMIT ?"
);
/// Each part is in the order of its index and ends at the limit.
const LIST_PART: &str =
    "SELECT * FROM (SELECT id FROM actions WHERE TRUE {filters} ORDER BY id DESC LIMIT :limit)";

pub(super) fn action(connection: &Connection, id: ActionId) -> Result<Option<Action>, StoreError> {
    let found = each(connection, ACTION, [id_bytes(&id)], read_action)?;
    Ok(found.into_iter().next())
}

pub(super) fn standing(
    connection: &Connection,
    id: ActionId,
) -> Result<Option<Standing>, StoreError> {
    let found = each(connection, STANDING, [id_bytes(&id)], columns::standing)?;
    Ok(found.into_iter().next())
}

pub(super) fn attempts(connection: &Connection, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
    each(connection, ATTEMPTS, [id_bytes(&id)], columns::attempt)
}

pub(super) fn last_attempts(
    connection: &Connection,
    ids: &[ActionId],
) -> Result<Vec<Attempt>, StoreError> {
    let ids: Vec<String> = ids.iter().map(|id| hex(id.0.as_bytes())).collect();
    let ids = columns::json(&ids)?;
    each(connection, LAST_ATTEMPTS, [ids], columns::attempt)
}

pub(super) fn list(
    connection: &Connection,
    query: &ActionQuery,
) -> Result<Vec<Action>, StoreError> {
    let (limit, before) = (limit_of(query.limit), query.before.as_ref().map(id_bytes));
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":limit", &limit)];
    if let Some(before) = &before {
        values.push((":before", before));
    }
    if let Some(action_type) = &query.action_type {
        values.push((":type", action_type));
    }
    let mut spent = 0;
    let is_last = |action: &Action| query.ends_with(action, &mut spent);
    each_until(connection, &list_sql(query), &*values, read_action, is_last)
}

/// Only numbers of our own and placeholders go into the text.
fn list_sql(query: &ActionQuery) -> String {
    let before = query.before.map_or("", |_| "AND id < :before");
    let of_type = query
        .action_type
        .as_ref()
        .map_or("", |_| "AND action_type = :type");
    let part =
        |status: String| LIST_PART.replace("{filters}", &format!("{before} {of_type} {status}"));
    let wanted = |status: &Status| query.statuses.contains(status);
    let parts: Vec<String> = if query.statuses.is_empty() || Status::ALL.iter().all(wanted) {
        vec![part(String::new())]
    } else {
        let of_status = |status| format!("AND status = {}", status_code(status));
        let wanted = Status::ALL.into_iter().filter(wanted);
        wanted.map(of_status).map(part).collect()
    };
    format!(
        "SELECT {} FROM (SELECT id FROM ({}) ORDER BY id DESC LIMIT :limit) AS page \
         CROSS JOIN actions AS a ON a.id = page.id ORDER BY page.id DESC",
        whole_action!(),
        parts.join(" UNION ALL ")
    )
}

pub(super) fn lines(
    connection: &Connection,
    id: ActionId,
    after: u64,
    limit: usize,
) -> Result<Vec<LogLine>, StoreError> {
    let values = params![id_bytes(&id), signed(after), limit_of(limit)];
    each(connection, LINES, values, |row| columns::line(id, row))
}

pub(super) fn open_attempts(connection: &Connection) -> Result<Vec<(Action, Attempt)>, StoreError> {
    each(connection, OPEN, [], |row| {
        Ok((read_action(row)?, columns::attempt(row)?))
    })
}

pub(super) fn next_wake(connection: &Connection, now: Timestamp) -> Result<Wake, StoreError> {
    let found = each(connection, WAKE, [now.0], |row| {
        Ok(Wake {
            due: row.optional_time()?,
            expiry: row.optional_time()?,
        })
    })?;
    Ok(found.into_iter().next().unwrap_or_default())
}

pub(super) fn expiring(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Action>, StoreError> {
    each(
        connection,
        EXPIRING,
        params![now.0, limit_of(limit)],
        read_action,
    )
}

/// Reads every row that a statement finds.
pub(super) fn each<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl Fn(&mut Reader<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    each_until(connection, sql, values, read, |_| false)
}

/// Reads rows up to the last that is wanted.
fn each_until<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl Fn(&mut Reader<'_>) -> Result<T, StoreError>,
    mut is_last: impl FnMut(&T) -> bool,
) -> Result<Vec<T>, StoreError> {
    let mut statement = prepare(connection, sql)?;
    let mut rows = statement.query(values).map_err(failure)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        let one = read(&mut Reader::new(row))?;
        let enough = is_last(&one);
        found.push(one);
        if enough {
            break;
        }
    }
    Ok(found)
}

fn read_action(row: &mut Reader<'_>) -> Result<Action, StoreError> {
    let (mut action, _) = columns::action(row)?;
    for payload in Payload::ALL {
        if let Some(body) = row.get::<Option<String>>()? {
            payload.put(&mut action, body)?;
        }
    }
    Ok(action)
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let mut lists = Vec::new();
    for statuses in [&[][..], &[Status::Error], &[Status::Error, Status::Running]] {
        for action_type in [None, Some("Echo".to_owned())] {
            for before in [None, Some(ActionId(uuid::Uuid::nil()))] {
                lists.push(list_sql(&ActionQuery {
                    statuses: statuses.to_vec(),
                    action_type: action_type.clone(),
                    before,
                    limit: 1,
                    weight: None,
                }));
            }
        }
    }
    let single = [
        ACTION,
        STANDING,
        ATTEMPTS,
        LAST_ATTEMPTS,
        OPEN,
        LINES,
        WAKE,
        EXPIRING,
    ];
    [lists.as_slice(), &single.map(str::to_owned)].concat()
}
