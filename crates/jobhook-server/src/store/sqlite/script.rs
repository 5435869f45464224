//! Several statements that make one trip to the connection's thread.
//!
//! A trip costs as much as a dozen rows: two threads wake each other. So a transaction
//! gathers what it writes and sends it together, with its end. Only a full bulk travels
//! alone: it is prepared once, where a long script would be prepared and kept whole.

use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, SqlSafeStr, SqlStr, Sqlite, Type};

use super::bulk::{Binds, Bound, Bulk, FULL};

/// Statements and their values, in order.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Trips that are complete.
    trips: Vec<(SqlStr, SqliteArguments)>,
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
            if chunk.len() == FULL {
                let mut arguments = SqliteArguments::default();
                bulk.bind(&mut arguments, chunk, places, &bind)?;
                self.end_trip();
                self.trips
                    .push((AssertSqlSafe(sql).into_sql_str(), arguments));
            } else {
                self.sql.push_str(&sql);
                self.sql.push(';');
                bulk.bind(&mut self.arguments, chunk, places, &bind)?;
            }
        }
        Ok(())
    }

    fn end_trip(&mut self) {
        if !self.sql.is_empty() {
            let sql = AssertSqlSafe(std::mem::take(&mut self.sql)).into_sql_str();
            self.trips.push((sql, std::mem::take(&mut self.arguments)));
        }
    }

    /// Runs it.
    pub(super) async fn run(
        mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        self.end_trip();
        for (sql, arguments) in self.trips {
            sqlx::query_with(sql, arguments)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}
