//! One statement for many rows.
//!
//! A template with `{rows}` in a `VALUES` list becomes a statement for 1, 8, 32 or 128 rows;
//! the sizes are few so that each is prepared once. Places that are left over stay NULL, and
//! every template is written so that a row whose first column is NULL does nothing.

use std::sync::{Arc, OnceLock};

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};

const SIZES: [usize; 4] = [1, 8, 32, 128];

/// A statement over rows that are bound to it.
#[derive(Debug)]
pub(super) struct Bulk {
    template: &'static str,
    columns: usize,
    sized: OnceLock<[Arc<str>; SIZES.len()]>,
}

/// The values of one row, on their way into a statement.
pub(super) struct Binds<'a>(&'a mut SqliteArguments);

/// Whether a row could be bound.
pub(super) type Bound = Result<(), BoxDynError>;

impl Binds<'_> {
    /// Binds the next column.
    pub(super) fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Bound {
        self.0.add(value)
    }
}

impl Bulk {
    /// - `columns`: how many values a row has.
    pub(super) const fn new(columns: usize, template: &'static str) -> Bulk {
        Bulk {
            template,
            columns,
            sized: OnceLock::new(),
        }
    }

    /// Runs it for its effect.
    pub(super) async fn execute<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&mut Binds<'_>, &T) -> Bound + Send,
    ) -> Result<(), sqlx::Error> {
        for (sql, arguments) in self.chunks(rows, bind) {
            sqlx::query_with(AssertSqlSafe(sql), arguments?)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// Runs it for what it finds.
    pub(super) async fn fetch<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&mut Binds<'_>, &T) -> Bound + Send,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut found = Vec::new();
        for (sql, arguments) in self.chunks(rows, bind) {
            let some = sqlx::query_with(AssertSqlSafe(sql), arguments?)
                .fetch_all(&mut *connection)
                .await?;
            found.extend(some);
        }
        Ok(found)
    }

    fn chunks<T>(
        &self,
        rows: &[T],
        bind: impl Fn(&mut Binds<'_>, &T) -> Bound,
    ) -> impl Iterator<Item = (Arc<str>, Result<SqliteArguments, sqlx::Error>)> {
        rows.chunks(SIZES[SIZES.len() - 1]).map(move |chunk| {
            let mut arguments = SqliteArguments::default();
            arguments.reserve(chunk.len() * self.columns, 0);
            let bound = chunk
                .iter()
                .try_for_each(|row| bind(&mut Binds(&mut arguments), row))
                .map_err(sqlx::Error::Encode);
            (self.sql(chunk.len()), bound.map(|()| arguments))
        })
    }

    /// The statement that fits so many rows.
    pub(super) fn sql(&self, rows: usize) -> Arc<str> {
        let sized = self
            .sized
            .get_or_init(|| SIZES.map(|size| self.sized(size)));
        let fits = SIZES.iter().position(|size| rows <= *size);
        Arc::clone(&sized[fits.unwrap_or(SIZES.len() - 1)])
    }

    fn sized(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        let rows = vec![row; rows].join(",");
        self.template.replace("{rows}", &rows).into()
    }
}
