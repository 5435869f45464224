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
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::readers::READERS;

/// The schema versions that this build can make, oldest first.
const MIGRATIONS: [(i64, &str); 7] = [
    (1, include_str!("migrations/0001_spine.sql")),
    (2, include_str!("migrations/0002_operations.sql")),
    (3, include_str!("migrations/0003_schedules.sql")),
    (4, include_str!("migrations/0004_files.sql")),
    (5, include_str!("migrations/0005_marks.sql")),
    (6, include_str!("migrations/0006_stored_count.sql")),
    (7, include_str!("migrations/0007_small.sql")),
];

/// `jobh`, in the header of our databases (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x6a6f_6268;

/// How long another process may hold the write lock before we give up.
const BUSY: Duration = Duration::from_secs(10);

/// How long to wait before a lock is tried again where SQLite does not wait by itself.
const AGAIN: Duration = Duration::from_millis(10);

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
        source: Box<dyn std::error::Error + Send + Sync>,
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
    pub(super) writer: Connection,
    pub(super) checkpointer: Connection,
    pub(super) readers: Vec<Connection>,
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
        source: error.into(),
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

pub(super) fn open(path: &Path) -> Result<Opened, OpenError> {
    make_private(path)?;
    let meaning = |error| meaning(path, error);

    let mut connection = connect(path, "").map_err(meaning)?;
    let installation = prepare(path, &mut connection)?;
    write_ahead(&connection).map_err(meaning)?;
    connection.close().map_err(|(_, error)| meaning(error))?;

    let writer = connect(path, WRITER).map_err(meaning)?;
    let checkpointer = connect(path, CHECKPOINTER).map_err(meaning)?;
    let readers = (0..READERS).map(|_| connect(path, READER));
    let readers = readers.collect::<Result<_, _>>().map_err(meaning)?;
    Ok(Opened {
        writer,
        checkpointer,
        readers,
        installation,
    })
}

/// What a burst left of the log is cut off.
const WRITER: &str = "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;";

const CHECKPOINTER: &str = "PRAGMA synchronous = FULL;";

const READER: &str = "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;";

fn connect(path: &Path, pragmas: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Statements are planned once, whatever is bound to them: without this, SQLite would plan
    // those that look into a partial index anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA foreign_keys = ON;")?;
    connection.execute_batch(pragmas)?;
    Ok(connection)
}

/// Looks at the database, brings it up to date, and reads the installation's id.
fn prepare(path: &Path, connection: &mut Connection) -> Result<String, OpenError> {
    let meaning = |error| meaning(path, error);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(meaning)?;
    let number = |sql| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(meaning)?;
    let owner = number("PRAGMA application_id").map_err(meaning)?;
    let version = if tables == 0 {
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(meaning)?;
        0
    } else if owner != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into() });
    } else {
        version(path, &transaction)?
    };
    migrate(&transaction, version).map_err(meaning)?;
    let installation = installation(path, &transaction)?;
    transaction.commit().map_err(meaning)?;
    Ok(installation)
}

/// The schema version that the database has.
fn version(path: &Path, transaction: &Transaction<'_>) -> Result<i64, OpenError> {
    let text: Option<String> = transaction
        .query_row("SELECT value FROM meta WHERE key = 'schema'", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|error| meaning(path, error))?;
    let text = text.unwrap_or_default();
    let Ok(found) = text.parse() else {
        let reason = format!("`{text}` is no schema version");
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
    Ok(found)
}

fn migrate(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > from) {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('schema', ?) \
             ON CONFLICT DO UPDATE SET value = excluded.value",
            [version.to_string()],
        )?;
    }
    Ok(())
}

/// Turns on the write-ahead log, which stays on. SQLite does not wait for the lock here.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    const LOCKED: i32 = 5;

    let given_up = Instant::now() + BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if super::errors::code(&error) == Some(LOCKED) && Instant::now() < given_up =>
            {
                std::thread::sleep(AGAIN);
            }
            done => return done,
        }
    }
}

/// Draws the id once; it is read ever after.
fn installation(path: &Path, transaction: &Transaction<'_>) -> Result<String, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::Unwritable {
        path: path.into(),
        source: error.into(),
    })?;
    let draw = "INSERT INTO meta (key, value) VALUES ('installation', ?) ON CONFLICT DO NOTHING";
    let read = "SELECT value FROM meta WHERE key = 'installation'";
    transaction
        .execute(draw, [hex(&bytes)])
        .and_then(|_| transaction.query_row(read, [], |row| row.get(0)))
        .map_err(|error| meaning(path, error))
}

/// What an error of SQLite means to who opens a database.
fn meaning(path: &Path, source: rusqlite::Error) -> OpenError {
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;

    let path = path.to_owned();
    match super::errors::code(&source) {
        Some(NOT_A_DATABASE) => OpenError::NotADatabase { path },
        Some(CORRUPT) => OpenError::Damaged {
            path,
            reason: source.to_string(),
        },
        _ => OpenError::Unwritable {
            path,
            source: source.into(),
        },
    }
}

#[cfg(test)]
mod tests;
