//! A transaction that reads as it goes: loads rows and finds what waits. What is written is
//! gathered, and sent before something is looked for that depends on it, or with the end.

use async_trait::async_trait;
use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::ledger::{ReporterKey, Row, Rows, Transaction, Wanted};
use jobhook_engine::log::LogLimits;
use jobhook_engine::runner::TypeFilter;
use jobhook_engine::store::StoreError;
use jobhook_engine::window::Window;
use sqlx::sqlite::SqliteConnection;

use super::bulk::Bulk;
use super::columns::{self, Reader, action_columns, attempt_columns, id_bytes};
use super::payload::Payload;
use super::recent::Recent;
use super::script::Script;
use super::{binds, failure, flush, trim};

// CROSS JOIN keeps the wanted keys as the outer loop.
static ACTIONS: Bulk = Bulk::new(
    1,
    concat!(
        "SELECT ",
        action_columns!(),
        " FROM (VALUES {rows}) AS v CROSS JOIN actions AS a ON a.id = v.column1"
    ),
);
static PAYLOADS: Bulk = Bulk::new(
    2,
    "SELECT p.action, p.kind, p.body FROM (VALUES {rows}) AS v \
     CROSS JOIN payloads AS p ON p.action = v.column1 AND p.kind = v.column2",
);
static ATTEMPTS: Bulk = Bulk::new(
    2,
    concat!(
        "SELECT ",
        attempt_columns!(),
        " FROM (VALUES {rows}) AS v \
          CROSS JOIN attempts AS t ON t.action = v.column1 AND t.number = v.column2"
    ),
);
static REPORTERS: Bulk = Bulk::new(
    3,
    "SELECT r.action, r.attempt, r.reporter, r.applied FROM (VALUES {rows}) AS v \
     CROSS JOIN reporters AS r \
     ON r.action = v.column1 AND r.attempt = v.column2 AND r.reporter = v.column3",
);

const WAITING_OF_TYPE: &str = "SELECT due_at, id FROM actions INDEXED BY actions_waiting \
    WHERE status < 2 AND action_type = ? AND due_at <= ? ORDER BY due_at, id LIMIT ?";
const WAITING_BUT: &str = "SELECT due_at, id FROM actions INDEXED BY actions_due \
    WHERE status < 2 AND due_at <= ? \
    AND action_type NOT IN (SELECT value FROM json_each(?)) ORDER BY due_at, id LIMIT ?";

/// An open transaction.
pub(super) struct SqliteTransaction<'a> {
    connection: &'a mut SqliteConnection,
    limits: LogLimits,
    recent: &'a mut Recent,
    /// What is not sent yet.
    pending: Script,
}

impl<'a> SqliteTransaction<'a> {
    /// - `recent`: what is kept of transactions before this one.
    pub(super) async fn begin(
        connection: &'a mut SqliteConnection,
        limits: LogLimits,
        recent: &'a mut Recent,
    ) -> Result<SqliteTransaction<'a>, StoreError> {
        let version = sqlx::query_scalar("BEGIN IMMEDIATE; PRAGMA data_version")
            .fetch_one(&mut *connection)
            .await
            .map_err(failure)?;
        recent.be_of_version(version);
        Ok(SqliteTransaction {
            connection,
            limits,
            recent,
            pending: Script::default(),
        })
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.pending.statement("COMMIT");
        self.send().await
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        let script = std::mem::take(&mut self.pending);
        script.run(self.connection).await.map_err(failure)
    }

    async fn load_actions(&mut self, ids: &[ActionId], rows: &mut Rows) -> Result<(), StoreError> {
        let found = ACTIONS
            .fetch(self.connection, ids, |row, id| row.add(id_bytes(*id)))
            .await
            .map_err(failure)?;
        let mut actions: Vec<Action> = Vec::with_capacity(found.len());
        let mut bodies: Vec<(ActionId, Payload)> = Vec::new();
        for row in &found {
            let (action, bits) = columns::action(&mut Reader::new(row))?;
            let has = |payload: &Payload| bits & payload.bit() != 0;
            let present = Payload::ALL.into_iter().filter(has);
            bodies.extend(present.map(|payload| (action.id, payload)));
            actions.push(action);
        }
        self.load_payloads(&bodies, &mut actions).await?;
        for action in actions {
            self.recent.keep_action(&action);
            rows.actions.insert(action.id, Row::stored(action));
        }
        Ok(())
    }

    async fn load_payloads(
        &mut self,
        wanted: &[(ActionId, Payload)],
        actions: &mut [Action],
    ) -> Result<(), StoreError> {
        let found = PAYLOADS
            .fetch(self.connection, wanted, binds::payload_key)
            .await
            .map_err(failure)?;
        // Found in the order of the actions, so the search never goes back.
        let mut actions = actions.iter_mut().peekable();
        for row in &found {
            let mut row = Reader::new(row);
            let id = row.id()?;
            while actions.next_if(|action| action.id != id).is_some() {}
            let (Some(action), code) = (actions.peek_mut(), row.get::<i64>()?) else {
                return Err(columns::damaged(id, "a payload without its action"));
            };
            let payload = Payload::ALL.into_iter().find(|known| known.code() == code);
            let payload = payload.ok_or_else(|| columns::damaged("a payload's kind", code))?;
            payload.put(action, row.get()?)?;
        }
        Ok(())
    }

    async fn load_attempts(
        &mut self,
        wanted: &[AttemptRef],
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        let found = ATTEMPTS
            .fetch(self.connection, wanted, binds::attempt_key)
            .await
            .map_err(failure)?;
        for row in &found {
            let attempt = columns::attempt(&mut Reader::new(row))?;
            self.recent.keep_attempt(&attempt);
            rows.attempts.insert(attempt.at, Row::stored(attempt));
        }
        Ok(())
    }

    async fn load_reporters(
        &mut self,
        wanted: &[ReporterKey],
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        let found = REPORTERS
            .fetch(self.connection, wanted, |row, key| {
                row.add(id_bytes(key.attempt.action))?;
                row.add(i64::from(key.attempt.number))?;
                row.add(key.reporter.as_str())
            })
            .await
            .map_err(failure)?;
        for row in &found {
            let mut row = Reader::new(row);
            let attempt = AttemptRef {
                action: row.id()?,
                number: row.number()?,
            };
            let reporter = row.get()?;
            let window = Window::from_bytes(row.get()?)
                .ok_or_else(|| columns::damaged(attempt, "a reporter's window"))?;
            let key = ReporterKey { attempt, reporter };
            self.recent.keep_reporter(&key, &window);
            rows.reporters.insert(key, Row::stored(window));
        }
        Ok(())
    }

    async fn waiting_of_type(
        &mut self,
        action_type: &str,
        now: Timestamp,
        limit: usize,
        due: &mut Vec<(i64, ActionId)>,
    ) -> Result<(), StoreError> {
        let found = sqlx::query(WAITING_OF_TYPE)
            .bind(action_type)
            .bind(now.0)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failure)?;
        for row in &found {
            let mut row = Reader::new(row);
            due.push((row.get()?, row.id()?));
        }
        Ok(())
    }

    async fn waiting_but(
        &mut self,
        except: &[String],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ActionId>, StoreError> {
        let except = columns::text(&except).map_err(|error| StoreError::Data(error.into()))?;
        let found = sqlx::query(WAITING_BUT)
            .bind(now.0)
            .bind(except)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(failure)?;
        let id = |row| {
            let mut row = Reader::new(row);
            row.get::<i64>()?;
            row.id()
        };
        found.iter().map(id).collect()
    }
}

#[async_trait]
impl Transaction for SqliteTransaction<'_> {
    async fn load(&mut self, wanted: &Wanted, rows: &mut Rows) -> Result<(), StoreError> {
        let left = self.recent.load(wanted, rows);
        self.load_actions(&left.actions, rows).await?;
        self.load_attempts(&left.attempts, rows).await?;
        self.load_reporters(&left.reporters, rows).await
    }

    async fn waiting(
        &mut self,
        types: &TypeFilter,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ActionId>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.send().await?;
        let Some(only) = &types.only else {
            return self.waiting_but(&types.except, now, limit).await;
        };
        // One bounded walk a type: a long queue of others is never passed through.
        let mut only: Vec<&String> = only.iter().filter(|name| types.takes(name)).collect();
        only.sort_unstable();
        only.dedup();
        let mut due = Vec::new();
        for action_type in only {
            self.waiting_of_type(action_type, now, limit, &mut due)
                .await?;
        }
        due.sort_unstable();
        due.truncate(limit);
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    async fn flush(&mut self, rows: &mut Rows) -> Result<(), StoreError> {
        flush::lines(rows, &mut self.pending).map_err(failure)?;
        if trim::exceeding(rows, self.limits) {
            self.send().await?;
            trim::trim(self.connection, rows, self.limits).await?;
        }
        flush::changes(rows, &mut self.pending).map_err(failure)?;
        flush::settle(rows, self.recent);
        Ok(())
    }
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    let bulk = [&ACTIONS, &PAYLOADS, &ATTEMPTS, &REPORTERS].map(|bulk| bulk.example());
    let single = [WAITING_OF_TYPE, WAITING_BUT].map(str::to_owned);
    [bulk.as_slice(), &single].concat()
}
