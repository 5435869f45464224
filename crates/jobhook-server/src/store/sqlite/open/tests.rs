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

async fn ask(database: impl sqlx::SqliteExecutor<'_>, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
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
    let mut opened = open(&path).await.unwrap();
    let pragma = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
    assert_eq!(ask(&mut opened.writer, pragma).await, "2");
    assert_eq!(ask(&mut opened.writer, "PRAGMA journal_mode").await, "wal");
    let pragma = "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys";
    assert_eq!(ask(&mut opened.writer, pragma).await, "1");
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

#[tokio::test]
async fn a_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let (directory, path) = place();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut opened = open(&path).await.unwrap();
    ask(&mut opened.writer, "SELECT value FROM meta LIMIT 1").await;
    for file in std::fs::read_dir(directory.path()).unwrap().flatten() {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}
