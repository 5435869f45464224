//! Reading, beside the writer. Each answer is one statement, so it is of one moment.

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::log::LogLine;
use jobhook_engine::store::{ActionQuery, StoreError, Wake};
use jobhook_protocol::Status;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqlitePool};

use super::bulk::Bulk;
use super::columns::{
    self, Reader, action_columns, attempt_columns, id_bytes, signed, status_code,
};
use super::failure;
use super::payload::Payload;

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
const ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts AS t WHERE t.action = ? ORDER BY t.number"
);
static LAST_ATTEMPTS: Bulk = Bulk::new(
    1,
    concat!(
        "SELECT ",
        attempt_columns!(),
        " FROM (VALUES {rows}) AS v CROSS JOIN attempts AS t ON t.action = v.column1 \
         AND t.number = (SELECT max(number) FROM attempts WHERE action = v.column1)"
    ),
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
    "SELECT * FROM (SELECT id FROM actions WHERE TRUE {filters} ORDER BY id DESC LIMIT ?2)";

pub(super) async fn action(pool: &SqlitePool, id: ActionId) -> Result<Option<Action>, StoreError> {
    let row = sqlx::query(ACTION)
        .bind(id_bytes(id))
        .fetch_optional(pool)
        .await
        .map_err(failure)?;
    row.map(|row| read_action(&mut Reader::new(&row)))
        .transpose()
}

pub(super) async fn attempts(pool: &SqlitePool, id: ActionId) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query(ATTEMPTS)
        .bind(id_bytes(id))
        .fetch_all(pool)
        .await
        .map_err(failure)?;
    each(&rows, columns::attempt)
}

pub(super) async fn last_attempts(
    pool: &SqlitePool,
    ids: &[ActionId],
) -> Result<Vec<Attempt>, StoreError> {
    let mut connection = pool.acquire().await.map_err(failure)?;
    let rows = LAST_ATTEMPTS
        .fetch(&mut connection, ids, |row, id| row.add(id_bytes(*id)))
        .await
        .map_err(failure)?;
    each(&rows, columns::attempt)
}

pub(super) async fn list(
    pool: &SqlitePool,
    query: &ActionQuery,
) -> Result<Vec<Action>, StoreError> {
    let rows = sqlx::query(AssertSqlSafe(list_sql(query)))
        .bind(query.before.map(id_bytes))
        .bind(i64::try_from(query.limit).unwrap_or(i64::MAX))
        .bind(query.action_type.as_deref())
        .fetch_all(pool)
        .await
        .map_err(failure)?;
    each(&rows, read_action)
}

/// Only numbers of our own and placeholders go into the text.
fn list_sql(query: &ActionQuery) -> String {
    let before = query.before.map_or("", |_| "AND id < ?1");
    let of_type = query
        .action_type
        .as_ref()
        .map_or("", |_| "AND action_type = ?3");
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
        "SELECT {} FROM (SELECT id FROM ({}) ORDER BY id DESC LIMIT ?2) AS page \
         CROSS JOIN actions AS a ON a.id = page.id ORDER BY page.id DESC",
        whole_action!(),
        parts.join(" UNION ALL ")
    )
}

pub(super) async fn lines(
    pool: &SqlitePool,
    id: ActionId,
    after: u64,
    limit: usize,
) -> Result<Vec<LogLine>, StoreError> {
    let rows = sqlx::query(LINES)
        .bind(id_bytes(id))
        .bind(signed(after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
        .map_err(failure)?;
    each(&rows, |row| columns::line(id, row))
}

pub(super) async fn open_attempts(pool: &SqlitePool) -> Result<Vec<(Action, Attempt)>, StoreError> {
    let rows = sqlx::query(OPEN).fetch_all(pool).await.map_err(failure)?;
    each(&rows, |row| Ok((read_action(row)?, columns::attempt(row)?)))
}

pub(super) async fn next_wake(pool: &SqlitePool, now: Timestamp) -> Result<Wake, StoreError> {
    let row = sqlx::query(WAKE)
        .bind(now.0)
        .fetch_one(pool)
        .await
        .map_err(failure)?;
    let mut row = Reader::new(&row);
    Ok(Wake {
        due: row.optional_time()?,
        expiry: row.optional_time()?,
    })
}

pub(super) async fn expiring(
    pool: &SqlitePool,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Action>, StoreError> {
    let rows = sqlx::query(EXPIRING)
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
        .map_err(failure)?;
    each(&rows, read_action)
}

fn each<T>(
    rows: &[SqliteRow],
    read: impl Fn(&mut Reader<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| read(&mut Reader::new(row))).collect()
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
                }));
            }
        }
    }
    let single = [ACTION, ATTEMPTS, OPEN, LINES, WAKE, EXPIRING].map(str::to_owned);
    [lists.as_slice(), &single, &[LAST_ATTEMPTS.example()]].concat()
}
