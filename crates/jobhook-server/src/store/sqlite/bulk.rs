//! One statement for many rows.
//!
//! A template with `{rows}` in a `VALUES` list becomes a statement for 1, 8, 32 or 128 rows;
//! the sizes are few so that each is prepared once. Places that are left over are NULL, and
//! every template is written so that a row whose first column is NULL does nothing.

use std::sync::{Arc, OnceLock};

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};

/// How many rows one statement handles at most.
pub(super) const FULL: usize = 128;

const SIZES: [usize; 4] = [1, 8, 32, FULL];

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

    /// Runs it for what it finds.
    pub(super) async fn fetch<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&mut Binds<'_>, &T) -> Bound + Send,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut found = Vec::new();
        for (chunk, sql, places) in self.chunks(rows) {
            let mut arguments = SqliteArguments::default();
            self.bind(&mut arguments, chunk, places, &bind)?;
            let some = sqlx::query_with(AssertSqlSafe(sql), arguments)
                .fetch_all(&mut *connection)
                .await?;
            found.extend(some);
        }
        Ok(found)
    }

    /// Divides rows; each part comes with the statement that fits, and its places.
    pub(super) fn chunks<'r, T>(
        &self,
        rows: &'r [T],
    ) -> impl Iterator<Item = (&'r [T], Arc<str>, usize)> {
        let sized = self
            .sized
            .get_or_init(|| SIZES.map(|size| self.sized(size)));
        rows.chunks(FULL).map(|chunk| {
            let fits = SIZES.iter().position(|size| chunk.len() <= *size);
            let fits = fits.unwrap_or(SIZES.len() - 1);
            (chunk, Arc::clone(&sized[fits]), SIZES[fits])
        })
    }

    /// Binds rows, and nothing to the places that are left over.
    pub(super) fn bind<T>(
        &self,
        arguments: &mut SqliteArguments,
        rows: &[T],
        places: usize,
        bind: impl Fn(&mut Binds<'_>, &T) -> Bound,
    ) -> Result<(), sqlx::Error> {
        let empty = (places - rows.len()) * self.columns;
        arguments.reserve(places * self.columns, 0);
        let mut binds = Binds(arguments);
        rows.iter()
            .try_for_each(|row| bind(&mut binds, row))
            .and_then(|()| (0..empty).try_for_each(|_| binds.add(None::<i64>)))
            .map_err(sqlx::Error::Encode)
    }

    fn sized(&self, rows: usize) -> Arc<str> {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        let rows = vec![row; rows].join(",");
        self.template.replace("{rows}", &rows).into()
    }
}

#[cfg(test)]
impl Bulk {
    /// The statement for 32 rows.
    pub(super) fn example(&self) -> String {
        self.sized(32).to_string()
    }
}
