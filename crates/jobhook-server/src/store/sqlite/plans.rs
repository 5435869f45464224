//! How SQLite means to run our statements: by index, and without sorting.

use rusqlite::Connection;

use super::{files, flush, open, prune, read, schedules, transaction, trim, unused};

fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let explained = format!("EXPLAIN QUERY PLAN {statement}");
    let mut statement = connection.prepare(&explained).unwrap();
    let steps = statement.raw_query().mapped(|row| row.get("detail"));
    steps.collect::<Result<_, _>>().unwrap()
}

/// Walks that are meant: along what was bound or found before, along a page of all actions,
/// which ends at its limit, along all schedules, and along all open attempts.
fn is_meant(step: &str) -> bool {
    let bound = [
        "SCAN 32-ROW VALUES",
        "SCAN CONSTANT ROW",
        "SCAN json_each",
        "SCAN (subquery",
        "SCAN page",
    ];
    step == "SCAN actions"
        || step == "SCAN schedules"
        || step == "SCAN t USING INDEX attempts_open"
        || bound.iter().any(|start| step.starts_with(start))
}

#[test]
fn every_statement_goes_by_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobhook.db");
    let opened = open::open(&path).unwrap();
    let statements = [
        flush::statements(),
        transaction::statements(),
        trim::statements(),
        read::statements(),
        schedules::statements(),
        prune::statements(),
        files::statements(),
        unused::statements(),
    ];
    for statement in statements.concat() {
        for step in plan(&opened.writer, &statement) {
            let scans = step.starts_with("SCAN") && !is_meant(&step);
            // Pages of several statuses are merged; nothing else is sorted.
            let sorts = step.contains("TEMP B-TREE") && !statement.contains("UNION ALL");
            // A walk along the queue that looked into the table would cost each row twice.
            let looks = step.contains("INDEX actions_due") && !step.contains("COVERING");
            assert!(!scans && !sorts && !looks, "{step}: {statement}");
        }
    }
}
