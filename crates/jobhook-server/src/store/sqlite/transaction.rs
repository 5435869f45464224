//! A transaction as the ledger needs it: rows are read one by one where they are wanted, and
//! written where they changed.
//!
//! Nothing here waits for another thread, so the futures of the ledger are ready at once.

use async_trait::async_trait;
use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::file::{File, PropertyRef};
use jobhook_engine::ledger::{ReporterKey, Row, Rows, Transaction, Wanted};
use jobhook_engine::log::LogLimits;
use jobhook_engine::runner::TypeFilter;
use jobhook_engine::schedule::TickKey;
use jobhook_engine::store::StoreError;
use jobhook_engine::window::Window;
use jobhook_protocol::Sha256Sum;
use rusqlite::{Connection, Params, params};

use super::columns::{self, Reader, action_columns, attempt_columns, id_bytes};
use super::payload::Payload;
use super::warm::Warm;
use super::{failure, files, flush, limit_of, prepare, schedules, trim};

const ACTION: &str = concat!(
    "SELECT ",
    action_columns!(),
    " FROM actions AS a WHERE a.id = ?"
);
/// Changes when another connection has written.
const VERSION: &str = "PRAGMA data_version";
const PAYLOAD: &str = "SELECT body FROM payloads WHERE action = ? AND kind = ?";
const ATTEMPT: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts AS t WHERE t.action = ? AND t.number = ?"
);
const REPORTER: &str =
    "SELECT applied FROM reporters WHERE action = ? AND attempt = ? AND reporter = ?";
const WAITING_OF_TYPE: &str = "SELECT due_at, id FROM actions INDEXED BY actions_waiting \
    WHERE status < 2 AND action_type = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?";
const WAITING_BUT: &str = "SELECT due_at, id FROM actions INDEXED BY actions_due \
    WHERE status < 2 AND due_at <= ? \
    AND action_type NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at, id LIMIT ?";

/// An open transaction; it is rolled back where it is not committed.
pub(super) struct SqliteTransaction<'a> {
    connection: &'a mut Connection,
    warm: &'a mut Warm,
    kept: Rows,
    limits: LogLimits,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn begin(
        connection: &'a mut Connection,
        warm: &'a mut Warm,
        limits: LogLimits,
    ) -> Result<SqliteTransaction<'a>, StoreError> {
        let transaction = SqliteTransaction {
            connection,
            warm,
            kept: Rows::default(),
            limits,
        };
        transaction.run("BEGIN IMMEDIATE")?;
        let version = transaction.one(VERSION, [], |row| row.get())?;
        transaction.warm.check(version.unwrap_or_default());
        Ok(transaction)
    }

    pub(super) fn commit(mut self) -> Result<(), StoreError> {
        self.run("COMMIT")?;
        let kept = std::mem::take(&mut self.kept);
        self.warm.take(kept);
        Ok(())
    }

    fn run(&self, sql: &'static str) -> Result<(), StoreError> {
        let mut statement = prepare(self.connection, sql)?;
        statement.execute([]).map(drop).map_err(failure)
    }

    fn load_action(&self, id: ActionId) -> Result<Option<Action>, StoreError> {
        let read = |row: &mut Reader<'_>| columns::action(row);
        let Some((mut action, bits)) = self.one(ACTION, [id_bytes(&id)], read)? else {
            return Ok(None);
        };
        for payload in Payload::ALL {
            if bits & payload.bit() == 0 {
                continue;
            }
            let key = params![id_bytes(&id), payload.code()];
            let body = self.one(PAYLOAD, key, |row| row.get())?;
            let body = body.ok_or_else(|| columns::damaged(id, "a payload is missing"))?;
            payload.put(&mut action, body)?;
        }
        Ok(Some(action))
    }

    fn load_reporter(&self, key: &ReporterKey) -> Result<Option<Window>, StoreError> {
        let at = key.attempt;
        self.one(
            REPORTER,
            params![id_bytes(&at.action), at.number, key.reporter],
            |row| {
                Window::from_bytes(row.bytes()?)
                    .ok_or_else(|| columns::damaged(at, "a reporter's window"))
            },
        )
    }

    /// The row that a statement finds, if it finds one.
    fn one<T>(
        &self,
        sql: &'static str,
        values: impl Params,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = prepare(self.connection, sql)?;
        let mut rows = statement.query(values).map_err(failure)?;
        let row = rows.next().map_err(failure)?;
        row.map(|row| read(&mut Reader::new(row))).transpose()
    }

    fn due(
        &self,
        sql: &'static str,
        values: impl Params,
        due: &mut Vec<(i64, ActionId)>,
    ) -> Result<(), StoreError> {
        let mut statement = prepare(self.connection, sql)?;
        let mut rows = statement.query(values).map_err(failure)?;
        while let Some(row) = rows.next().map_err(failure)? {
            let mut row = Reader::new(row);
            due.push((row.get()?, row.id()?));
        }
        Ok(())
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.run("ROLLBACK")
        {
            tracing::error!(%error, "A transaction was not rolled back");
        }
    }
}

#[async_trait]
impl Transaction for SqliteTransaction<'_> {
    async fn load(&mut self, wanted: &Wanted, rows: &mut Rows) -> Result<(), StoreError> {
        self.warm.give(wanted, rows);
        for id in &wanted.actions {
            if !rows.actions.contains_key(id)
                && let Some(action) = self.load_action(*id)?
            {
                rows.actions.insert(*id, Row::stored(action));
            }
        }
        for at in &wanted.attempts {
            let AttemptRef { action, number } = at;
            if !rows.attempts.contains_key(at)
                && let Some(attempt) =
                    self.one(ATTEMPT, params![id_bytes(action), number], columns::attempt)?
            {
                rows.attempts.insert(*at, Row::stored(attempt));
            }
        }
        for key in &wanted.reporters {
            if !rows.reporters.contains_key(key)
                && let Some(window) = self.load_reporter(key)?
            {
                rows.reporters.insert(key.clone(), Row::stored(window));
            }
        }
        schedules::load(self.connection, wanted, rows)?;
        files::load(self.connection, wanted, rows)
    }

    async fn waiting(
        &mut self,
        types: &TypeFilter,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ActionId>, StoreError> {
        let mut due = Vec::new();
        if limit == 0 {
            return Ok(Vec::new());
        }
        let at_most = limit_of(limit);
        if let Some(only) = &types.only {
            // One bounded walk a type: a long queue of others is never passed through.
            let mut only: Vec<&String> = only.iter().filter(|name| types.takes(name)).collect();
            only.sort_unstable();
            only.dedup();
            for action_type in only {
                let values = params![action_type, now.0, at_most];
                self.due(WAITING_OF_TYPE, values, &mut due)?;
            }
            due.sort_unstable();
            due.truncate(limit);
        } else {
            let except = columns::json(&types.except)?;
            self.due(WAITING_BUT, params![now.0, except, at_most], &mut due)?;
        }
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    async fn live(&mut self, schedule: &str) -> Result<Vec<ActionId>, StoreError> {
        schedules::live(self.connection, schedule)
    }

    async fn queued(&mut self, schedule: &str, limit: usize) -> Result<Vec<TickKey>, StoreError> {
        schedules::queued(self.connection, schedule, limit)
    }

    async fn file_with(
        &mut self,
        property: &PropertyRef,
        content: &Sha256Sum,
        name: Option<&str>,
    ) -> Result<Option<File>, StoreError> {
        files::file_with(self.connection, property, content, name)
    }

    async fn files_of(&mut self, property: &PropertyRef) -> Result<Vec<File>, StoreError> {
        files::files_of(self.connection, property)
    }

    async fn flush(&mut self, rows: &mut Rows) -> Result<(), StoreError> {
        flush::lines(self.connection, rows)?;
        trim::trim(self.connection, rows, self.limits)?;
        flush::changes(self.connection, rows)?;
        schedules::flush(self.connection, rows)?;
        files::flush(self.connection, rows)
    }

    fn keep(&mut self, rows: Rows) {
        self.kept = rows;
    }
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [
        ACTION,
        PAYLOAD,
        ATTEMPT,
        REPORTER,
        WAITING_OF_TYPE,
        WAITING_BUT,
    ]
    .map(str::to_owned)
    .into()
}
