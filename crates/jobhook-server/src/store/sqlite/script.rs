//! Several statements that make one trip to the connection's thread.
//!
//! A trip costs as much as a dozen rows: two threads wake each other. So a transaction
//! gathers what it writes and sends it together, with its end.

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};

use super::bulk::{Binds, Bound, Bulk};

/// Statements and their values, in order.
#[derive(Debug, Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
}

impl Script {
    /// Adds a statement that has no values.
    pub(super) fn statement(&mut self, sql: &'static str) {
        self.sql.push_str(sql);
        self.sql.push(';');
    }

    /// Adds a statement with one value.
    pub(super) fn statement_with<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(
        &mut self,
        sql: &'static str,
        value: T,
    ) -> Result<(), sqlx::Error> {
        self.statement(sql);
        self.arguments.add(value).map_err(sqlx::Error::Encode)
    }

    /// Adds what `bulk` does with `rows`; nothing if there are none.
    pub(super) fn bulk<T>(
        &mut self,
        bulk: &Bulk,
        rows: &[T],
        bind: impl Fn(&mut Binds<'_>, &T) -> Bound,
    ) -> Result<(), sqlx::Error> {
        for (chunk, sql, places) in bulk.chunks(rows) {
            self.sql.push_str(&sql);
            self.sql.push(';');
            bulk.bind(&mut self.arguments, chunk, places, &bind)?;
        }
        Ok(())
    }

    /// Runs it.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.sql.is_empty() {
            return Ok(());
        }
        sqlx::query_with(AssertSqlSafe(self.sql), self.arguments)
            .execute(connection)
            .await
            .map(drop)
    }
}
