//! Opening a database: whose it is, which version it has, and how it is to be written.
//!
//! One transaction looks at the file, makes or migrates the schema and draws the
//! installation's id, so two processes that open a new file at once make one database, and
//! whatever is refused was not touched.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobhook_protocol::key::hex;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, SqlitePool};

/// The schema versions that this build can make, oldest first.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "spine", include_str!("migrations/0001_spine.sql"))];

/// `jobh`, in the header of our databases (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x6a6f_6268;

/// How long another process may hold the write lock before we give up.
const BUSY: Duration = Duration::from_secs(10);

/// How long to wait before a lock is tried again where SQLite does not wait by itself.
const AGAIN: Duration = Duration::from_millis(10);

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
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
    pub(super) installation: String,
}

/// The newest schema version that this build knows.
const fn newest() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].0
}

/// Makes the file, or what is there of it, for this user alone: arguments, results and logs are
/// nobody else's business. SQLite gives its own files beside it the same mode.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let unwritable = |error: std::io::Error| OpenError::Unwritable {
        path: path.into(),
        source: sqlx::Error::Io(error),
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(unwritable)?;
    let mode = file.metadata().map_err(unwritable)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(unwritable)?;
    }
    Ok(())
}

pub(super) async fn open(path: &Path) -> Result<Opened, OpenError> {
    make_private(path)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .disable_statement_logging();
    let meaning = |error| meaning(path, error);

    let mut connection = options.connect().await.map_err(meaning)?;
    let installation = prepare(path, &mut connection).await?;
    write_ahead(&mut connection).await.map_err(meaning)?;
    connection.close().await.map_err(meaning)?;

    let options = options
        .synchronous(SqliteSynchronous::Full)
        // Folding 16 MiB at a time back into the database keeps hot pages from being
        // written over and over; what a burst left of the log is cut off.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(64);
    let writer = options
        .clone()
        .pragma("cache_size", "-8192")
        .connect()
        .await
        .map_err(meaning)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A page of lines passes to us without a pause.
        .connect_with(options.pragma("query_only", "ON").row_buffer_size(1024))
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

/// Turns on the write-ahead log, which stays on. SQLite does not wait for the lock here.
async fn write_ahead(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const LOCKED: i32 = 5;

    let given_up = Instant::now() + BUSY;
    loop {
        let done = sqlx::query("PRAGMA journal_mode = WAL")
            .execute(&mut *connection)
            .await;
        match done {
            Err(error) if super::code(&error) == Some(LOCKED) && Instant::now() < given_up => {
                tokio::time::sleep(AGAIN).await;
            }
            done => return done.map(drop),
        }
    }
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
mod tests;
