//! Opening a database: whose it is, which version it has, and how it is to be written.
//!
//! One transaction looks at the file, makes or migrates the schema and draws the
//! installation's id, so two processes that open a new file at once make one database, and
//! whatever is refused was not touched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jobhook_protocol::key::hex;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, SqlitePool};

/// The schema versions that this build can make, oldest first.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "spine", include_str!("migrations/0001_spine.sql"))];

/// `jobh`, in the header of our databases (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x6a6f_6268;

/// How long another process may hold the write lock before we give up.
const BUSY: Duration = Duration::from_secs(10);

const READERS: u32 = 4;

/// Why a database was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No such folder, no permission, no space, or somebody holds its lock.
    #[error("the database `{}` cannot be opened for writing", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file is something else.
    #[error("`{}` is not an SQLite database", path.display())]
    NotADatabase {
        /// Which.
        path: PathBuf,
    },
    /// An SQLite database, but none of ours.
    #[error("`{}` is the database of another program", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// Made by a newer version of this program.
    #[error(
        "the database `{}` has schema version {found}, which a newer jobhook made; \
         this one knows versions up to {known}", path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// The version it has.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// Its content is not what was written.
    #[error("the database `{}` is damaged: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// An open database.
pub(super) struct Opened {
    pub(super) writer: SqlitePool,
    pub(super) readers: SqlitePool,
    pub(super) installation: String,
}

/// The newest schema version that this build knows.
const fn newest() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].0
}

pub(super) async fn open(path: &Path) -> Result<Opened, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .disable_statement_logging();
    let meaning = |error| meaning(path, error);

    let mut connection = options.connect().await.map_err(meaning)?;
    let installation = prepare(path, &mut connection).await?;
    connection.close().await.map_err(meaning)?;

    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Folding 16 MiB at a time back into the database keeps hot pages from being
        // written over and over; what a burst left of the log is cut off.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(256);
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options.clone().pragma("cache_size", "-8192"))
        .await
        .map_err(meaning)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options.pragma("query_only", "ON"))
        .await
        .map_err(meaning)?;
    Ok(Opened {
        writer,
        readers,
        installation,
    })
}

/// Looks at the database, brings it up to date, and reads the installation's id.
async fn prepare(path: &Path, connection: &mut SqliteConnection) -> Result<String, OpenError> {
    let meaning = |error| meaning(path, error);
    let mut transaction = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(meaning)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *transaction)
        .await
        .map_err(meaning)?;
    let owner: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *transaction)
        .await
        .map_err(meaning)?;
    if tables == 0 {
        sqlx::query(AssertSqlSafe(format!(
            "PRAGMA application_id = {APPLICATION_ID}"
        )))
        .execute(&mut *transaction)
        .await
        .map_err(meaning)?;
    } else if owner != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into() });
    } else {
        refuse_newer(path, &mut transaction).await?;
    }
    migrate(path, &mut transaction).await?;
    let installation = installation(&mut transaction).await.map_err(meaning)?;
    transaction.commit().await.map_err(meaning)?;
    Ok(installation)
}

async fn refuse_newer(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let version: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'schema'")
        .fetch_optional(connection)
        .await
        .map_err(|error| meaning(path, error))?;
    let version = version.unwrap_or_default();
    let Ok(found) = version.parse() else {
        let reason = format!("`{version}` is no schema version");
        return Err(OpenError::Damaged {
            path: path.into(),
            reason,
        });
    };
    if found > newest() {
        return Err(OpenError::Newer {
            path: path.into(),
            found,
            known: newest(),
        });
    }
    Ok(())
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        let kind = MigrationType::Simple;
        Migration::new(version, name.into(), kind, sql.into_sql_str(), false)
    };
    let migrator = Migrator::with_migrations(MIGRATIONS.map(migration).into());
    // Not `run`, whose future is not `Send` for a borrowed connection.
    migrator
        .run_direct(None, connection, false)
        .await
        .map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error)
            | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => meaning(path, error),
            error => OpenError::Damaged {
                path: path.into(),
                reason: error.to_string(),
            },
        })
}

/// Draws the id once; it is read ever after.
async fn installation(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| sqlx::Error::Io(std::io::Error::other(error.to_string())))?;
    sqlx::query("INSERT INTO meta (key, value) VALUES ('installation', ?) ON CONFLICT DO NOTHING")
        .bind(hex(&bytes))
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar("SELECT value FROM meta WHERE key = 'installation'")
        .fetch_one(connection)
        .await
}

/// What an error of SQLite means to who opens a database.
fn meaning(path: &Path, source: sqlx::Error) -> OpenError {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;

    let path = path.to_owned();
    match super::code(&source) {
        Some(NOT_A_DATABASE) => OpenError::NotADatabase { path },
        Some(CORRUPT) => OpenError::Damaged {
            path,
            reason: source.to_string(),
        },
        _ => OpenError::Unwritable { path, source },
    }
}

#[cfg(test)]
mod tests {
    use jobhook_engine::log::LogLimits;
    use tempfile::TempDir;

    use super::*;
    use crate::store::sqlite::SqliteStore;

    fn place() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobhook.db");
        (directory, path)
    }

    async fn refusal(path: &Path) -> OpenError {
        SqliteStore::open(path, LogLimits::default())
            .await
            .unwrap_err()
    }

    async fn run(path: &Path, sql: &'static str) {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn ask(pool: &SqlitePool, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_refused_and_both_are_named() {
        let (_directory, path) = place();
        open(&path).await.unwrap();
        run(&path, "UPDATE meta SET value = '99' WHERE key = 'schema'").await;
        let refusal = refusal(&path).await.to_string();
        assert!(
            refusal.contains("version 99, which a newer jobhook made"),
            "{refusal}"
        );
        assert!(refusal.contains("versions up to 1"), "{refusal}");
        assert!(refusal.contains("jobhook.db"), "{refusal}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_and_left_alone() {
        let (_directory, path) = place();
        let text = "this is a letter, and not a database\n".repeat(100);
        std::fs::write(&path, &text).unwrap();
        assert!(matches!(
            refusal(&path).await,
            OpenError::NotADatabase { .. }
        ));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[tokio::test]
    async fn the_database_of_another_program_is_refused_and_left_alone() {
        let (_directory, path) = place();
        run(&path, "CREATE TABLE recipes (name TEXT)").await;
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(refusal(&path).await, OpenError::Foreign { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_damaged_schema_version_is_refused() {
        let (_directory, path) = place();
        open(&path).await.unwrap();
        run(&path, "DELETE FROM meta WHERE key = 'schema'").await;
        assert!(matches!(refusal(&path).await, OpenError::Damaged { .. }));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_refused() {
        let (directory, path) = place();
        std::fs::write(&path, "").unwrap();
        for place in [
            directory.path().to_owned(),
            directory.path().join("missing").join("jobhook.db"),
            path.join("jobhook.db"),
        ] {
            let refusal = refusal(&place).await;
            assert!(
                matches!(refusal, OpenError::Unwritable { .. }),
                "{refusal:?}"
            );
            assert!(refusal.to_string().contains(&place.display().to_string()));
        }
    }

    #[tokio::test]
    async fn an_empty_file_becomes_a_database_with_the_newest_schema() {
        let (_directory, path) = place();
        std::fs::write(&path, "").unwrap();
        let opened = open(&path).await.unwrap();
        let version = ask(
            &opened.readers,
            "SELECT value FROM meta WHERE key = 'schema'",
        )
        .await;
        assert_eq!(version, newest().to_string());
    }

    #[tokio::test]
    async fn commits_are_durable_and_readers_do_not_write() {
        let (_directory, path) = place();
        let opened = open(&path).await.unwrap();
        let pragma = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
        assert_eq!(ask(&opened.writer, pragma).await, "2");
        assert_eq!(ask(&opened.writer, "PRAGMA journal_mode").await, "wal");
        let pragma = "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys";
        assert_eq!(ask(&opened.writer, pragma).await, "1");
        let write = sqlx::query("DELETE FROM meta")
            .execute(&opened.readers)
            .await;
        assert!(write.is_err());
    }

    #[tokio::test]
    async fn several_that_open_a_new_database_at_once_share_it() {
        let (_directory, path) = place();
        let opening: Vec<_> = (0..4)
            .map(|_| path.clone())
            .map(|path| tokio::spawn(async move { open(&path).await }))
            .collect();
        let mut installations = Vec::new();
        for opened in opening {
            installations.push(opened.await.unwrap().unwrap().installation);
        }
        assert_eq!(installations[0].len(), 32);
        installations.dedup();
        assert_eq!(installations.len(), 1);
    }
}
