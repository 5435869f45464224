use jobhook_engine::action::ActionId;
use jobhook_engine::file::Volume;
use tempfile::TempDir;

use super::super::{files, read};
use super::*;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobhook.db");
    (directory, path)
}

fn refusal(path: &Path) -> OpenError {
    open(path).map(drop).unwrap_err()
}

fn run(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn ask(connection: &Connection, sql: &str) -> String {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_both_are_named() {
    let (_directory, path) = place();
    open(&path).unwrap();
    run(&path, "UPDATE meta SET value = '99' WHERE key = 'schema'");
    let refusal = refusal(&path).to_string();
    assert!(
        refusal.contains("version 99, which a newer jobhook made"),
        "{refusal}"
    );
    let known = format!("versions up to {}", newest());
    assert!(refusal.contains(&known), "{refusal}");
    assert!(refusal.contains("jobhook.db"), "{refusal}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (_directory, path) = place();
    let text = "this is a letter, and not a database\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(refusal(&path), OpenError::NotADatabase { .. }));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let (_directory, path) = place();
    run(&path, "CREATE TABLE recipes (name TEXT)");
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(refusal(&path), OpenError::Foreign { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_schema_version_is_refused() {
    let (_directory, path) = place();
    open(&path).unwrap();
    run(&path, "DELETE FROM meta WHERE key = 'schema'");
    assert!(matches!(refusal(&path), OpenError::Damaged { .. }));
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let (directory, path) = place();
    std::fs::write(&path, "").unwrap();
    for place in [
        directory.path().to_owned(),
        directory.path().join("missing").join("jobhook.db"),
        path.join("jobhook.db"),
    ] {
        let refusal = refusal(&place);
        assert!(
            matches!(refusal, OpenError::Unwritable { .. }),
            "{refusal:?}"
        );
        assert!(refusal.to_string().contains(&place.display().to_string()));
    }
}

#[test]
fn an_empty_file_becomes_a_database_with_the_newest_schema() {
    let (_directory, path) = place();
    std::fs::write(&path, "").unwrap();
    let opened = open(&path).unwrap();
    let version = ask(
        &opened.readers[0],
        "SELECT value FROM meta WHERE key = 'schema'",
    );
    assert_eq!(version, newest().to_string());
}

#[test]
fn commits_are_durable_and_readers_do_not_write() {
    let (_directory, path) = place();
    let opened = open(&path).unwrap();
    let pragma = "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous";
    assert_eq!(ask(&opened.writer, pragma), "2");
    assert_eq!(ask(&opened.writer, "PRAGMA journal_mode"), "wal");
    let pragma = "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys";
    assert_eq!(ask(&opened.writer, pragma), "1");
    for reader in &opened.readers {
        assert!(reader.execute("DELETE FROM meta", []).is_err());
    }
}

#[test]
fn several_that_open_a_new_database_at_once_share_it() {
    let (_directory, path) = place();
    let opening: Vec<_> = (0..4)
        .map(|_| path.clone())
        .map(|path| std::thread::spawn(move || open(&path)))
        .collect();
    let mut installations = Vec::new();
    for opened in opening {
        installations.push(opened.join().unwrap().unwrap().installation);
    }
    assert_eq!(installations[0].len(), 32);
    installations.dedup();
    assert_eq!(installations.len(), 1);
}

#[test]
fn a_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let (directory, path) = place();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let opened = open(&path).unwrap();
    ask(&opened.writer, "SELECT value FROM meta LIMIT 1");
    for file in std::fs::read_dir(directory.path()).unwrap().flatten() {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.path());
    }
}

/// A database as an older version has left it, with these rows.
fn database_of(path: &Path, version: usize, rows: &str) {
    let mut connection = Connection::open(path).unwrap();
    let id = format!("PRAGMA application_id = {APPLICATION_ID}");
    connection.execute_batch(&id).unwrap();
    let transaction = connection.transaction().unwrap();
    for (version, sql) in &MIGRATIONS[..version] {
        transaction.execute_batch(sql).unwrap();
        let schema = "INSERT OR REPLACE INTO meta (key, value) VALUES ('schema', ?)";
        transaction.execute(schema, [version.to_string()]).unwrap();
    }
    transaction.execute_batch(rows).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn an_older_database_is_brought_up_to_date_and_keeps_what_it_holds() {
    let (_directory, path) = place();
    let action = "INSERT INTO actions (id, action_type, status, attempt, attempts, created_at, \
        updated_at, due_at, log_last, log_dropped, log_bytes, open, payloads) \
        VALUES (zeroblob(16), 'Echo', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)";
    database_of(&path, 3, action);

    let opened = open(&path).unwrap();
    let id = ActionId(uuid::Uuid::nil());
    let action = read::action(&opened.readers[0], id).unwrap().unwrap();
    assert_eq!(
        (action.action_type.as_str(), action.grants),
        ("Echo", vec![])
    );
    let stored = files::stored(&opened.readers[0]).unwrap();
    assert_eq!(stored, Volume::default());
}

#[test]
fn what_an_older_database_holds_of_files_is_counted_when_it_is_brought_up_to_date() {
    let (_directory, path) = place();
    database_of(&path, 5, "
        INSERT INTO contents VALUES (x'01', x'01', x'01', 3, 'a', NULL), (x'02', x'02', x'02', 4, 'b', NULL);
        INSERT INTO staged VALUES ('c', x'03', x'03', x'03', 5, 0);
    ");
    let opened = open(&path).unwrap();
    let stored = files::stored(&opened.readers[0]).unwrap();
    assert_eq!((stored.count, stored.bytes), (3, 12));
    let forget = "DELETE FROM contents WHERE sha256 = x'01'; DELETE FROM staged";
    opened.writer.execute_batch(forget).unwrap();
    let stored = files::stored(&opened.readers[0]).unwrap();
    assert_eq!((stored.count, stored.bytes), (1, 4));
    assert_eq!(stored.small, 0);
}
