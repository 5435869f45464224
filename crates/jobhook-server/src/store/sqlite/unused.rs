//! What happens when a file goes: a content that no file has is idle, and is forgotten later.
//!
//! A content that is attached again is used again, in the transaction that attaches it. So what is
//! idle here has no file, and what was forgotten is not there to be attached.

use std::collections::BTreeSet;

use jobhook_engine::blob::BlobName;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::file::{ACTIONS, ObjectRef};
use rusqlite::{Connection, TransactionBehavior, params};

use super::limit_of;

const CONTENTS_OF: &str = "SELECT content FROM files WHERE store = ? AND id = ?";
/// Its files go with it.
const DROP_OBJECT: &str = "DELETE FROM objects WHERE store = ? AND id = ?";
const IDLE: &str = "UPDATE contents SET idle_since = ?2 WHERE sha256 = ?1 \
    AND NOT EXISTS (SELECT 1 FROM files INDEXED BY files_content WHERE content = ?1)";
const IDLE_LONGEST: &str = "SELECT sha256, blob FROM contents INDEXED BY contents_idle \
    WHERE idle_since <= ? ORDER BY idle_since, sha256 LIMIT ?";
const FORGET_CONTENT: &str = "DELETE FROM contents WHERE sha256 = ?";
const STAGED_LONGEST: &str = "SELECT blob FROM staged INDEXED BY staged_at \
    WHERE at <= ? ORDER BY at, blob LIMIT ?";
const FORGET_STAGED: &str = "DELETE FROM staged WHERE blob = ?";

/// Takes away an object that is no action.
pub(super) fn drop_object(
    connection: &mut Connection,
    at: &ObjectRef,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    if at.store == ACTIONS {
        return Ok(false);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let contents = contents_of(&transaction, at)?;
    let was_there = remove(&transaction, at, &contents, now)?;
    transaction.commit()?;
    Ok(was_there)
}

/// Takes away the files of an action that is removed, and answers how many it had. One without
/// files costs one look.
pub(super) fn drop_files(
    transaction: &Connection,
    action: &ObjectRef,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let contents = contents_of(transaction, action)?;
    if !contents.is_empty() {
        remove(transaction, action, &contents, now)?;
    }
    Ok(contents.len())
}

/// The content of each of its files.
fn contents_of(transaction: &Connection, at: &ObjectRef) -> rusqlite::Result<Vec<[u8; 32]>> {
    let mut statement = transaction.prepare_cached(CONTENTS_OF)?;
    let contents = statement.query_map([&at.store, &at.id], |row| row.get(0))?;
    contents.collect()
}

fn remove(
    transaction: &Connection,
    at: &ObjectRef,
    contents: &[[u8; 32]],
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(DROP_OBJECT)?;
    let removed = statement.execute([&at.store, &at.id])?;
    let mut statement = transaction.prepare_cached(IDLE)?;
    for sha256 in contents.iter().collect::<BTreeSet<_>>() {
        statement.execute(params![sha256, now.0])?;
    }
    Ok(removed > 0)
}

pub(super) fn forget(
    connection: &mut Connection,
    idle_before: Timestamp,
    staged_before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<BlobName>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut blobs = Vec::new();
    {
        let mut statement = transaction.prepare_cached(IDLE_LONGEST)?;
        let idle = statement.query_map(params![idle_before.0, limit_of(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let idle: Vec<([u8; 32], String)> = idle.collect::<Result<_, _>>()?;
        let mut statement = transaction.prepare_cached(FORGET_CONTENT)?;
        for (sha256, blob) in idle {
            statement.execute([sha256])?;
            blobs.push(BlobName(blob));
        }
        let left = limit.saturating_sub(blobs.len());
        let mut statement = transaction.prepare_cached(STAGED_LONGEST)?;
        let staged =
            statement.query_map(params![staged_before.0, limit_of(left)], |row| row.get(0))?;
        let staged: Vec<String> = staged.collect::<Result<_, _>>()?;
        let mut statement = transaction.prepare_cached(FORGET_STAGED)?;
        for blob in staged {
            statement.execute([&blob])?;
            blobs.push(BlobName(blob));
        }
    }
    transaction.commit()?;
    Ok(blobs)
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [
        CONTENTS_OF,
        DROP_OBJECT,
        IDLE,
        IDLE_LONGEST,
        FORGET_CONTENT,
        STAGED_LONGEST,
        FORGET_STAGED,
    ]
    .map(str::to_owned)
    .into()
}
