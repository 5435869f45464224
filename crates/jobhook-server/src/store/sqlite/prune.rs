//! Removes finished actions.
//!
//! Which ones is read from a snapshot, without holding anything up. They are removed in small
//! transactions, and other writes get their turn in between. What is final and closed stays
//! so; nothing can come back to life between the two.

use jobhook_engine::action::ActionId;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::file::ObjectRef;
use jobhook_engine::retention::{Keep, Retention};
use jobhook_engine::store::StoreError;
use jobhook_protocol::Status;
use rusqlite::{Connection, params};

use super::columns::{Reader, id_bytes, signed, status_code};
use super::{SqliteStore, failure, limit_of, prepare, unused};

/// How many lines one transaction removes at most, about: some ten milliseconds' work.
const LINES: u64 = 5_000;
/// How many actions one transaction removes at most.
const ACTIONS: usize = 100;
/// After how many files a transaction removes nothing else.
const FILES: usize = 1_000;

/// The first id that is kept for being among the newest.
const NEWEST: &str = "SELECT id FROM actions INDEXED BY actions_status WHERE status = ? \
    ORDER BY id DESC LIMIT 1 OFFSET ?";
const BEFORE: &str = "SELECT id, log_last, log_dropped FROM actions INDEXED BY actions_status \
    WHERE status = ? AND id < ? AND open = 0 ORDER BY id LIMIT ?";
/// What ended by a moment was launched by then: so the ids are bounded, too.
const ENDED: &str = "SELECT id, log_last, log_dropped FROM actions INDEXED BY actions_status \
    WHERE status = ? AND id < ? AND finished_at <= ? AND open = 0 ORDER BY id LIMIT ?";
const DROP_LINES: &str = "DELETE FROM lines WHERE action = ? AND number <= ?";
/// Payloads, attempts and reporters go with it.
const DROP: &str = "DELETE FROM actions WHERE id = ? AND open = 0 AND finished_at IS NOT NULL";

/// An action to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Doomed {
    id: ActionId,
    last_line: u64,
    lines: u64,
}

pub(super) async fn prune(
    store: &SqliteStore,
    rules: &Retention,
    now: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let rules: Vec<(Status, Keep)> = rules.rules().collect();
    let doomed = store
        .readers
        .read(move |connection| beyond(connection, &rules, now, limit))
        .await?;
    let mut gone = 0;
    let mut rest = doomed.as_slice();
    while let Some(first) = rest.first() {
        // A long log goes by parts; its action goes with the last.
        let from = first.last_line.saturating_sub(first.lines);
        let mut upto = from + LINES;
        while upto < first.last_line {
            let (id, number) = (first.id, upto);
            store
                .writer
                .run(move |connection| {
                    let mut statement = connection.prepare_cached(DROP_LINES)?;
                    statement.execute(params![id_bytes(&id), signed(number)])
                })
                .await?;
            upto += LINES;
        }
        let batch = rest[..batch_of(rest)].to_vec();
        let removed = store
            .writer
            .run(move |connection| remove(connection, &batch, now))
            .await?;
        rest = &rest[removed.looked_at..];
        gone += removed.gone;
    }
    Ok(gone)
}

/// How many of the first fit into a transaction; the first always does.
fn batch_of(doomed: &[Doomed]) -> usize {
    let mut lines = 0;
    doomed
        .iter()
        .take(ACTIONS)
        .take_while(|action| {
            let fits = lines == 0 || lines + action.lines <= LINES;
            lines += action.lines;
            fits
        })
        .count()
        .max(1)
}

/// What one transaction did.
#[derive(Clone, Copy, Debug, Default)]
struct Removed {
    /// So many of its actions, the first ones.
    looked_at: usize,
    /// So many of them were removed.
    gone: usize,
}

fn remove(
    connection: &mut Connection,
    batch: &[Doomed],
    now: Timestamp,
) -> rusqlite::Result<Removed> {
    let transaction = connection.transaction()?;
    let (mut done, mut files) = (Removed::default(), 0);
    for action in batch {
        if files >= FILES {
            break;
        }
        let removed = transaction
            .prepare_cached(DROP)?
            .execute([id_bytes(&action.id)])?;
        if removed > 0 {
            let mut statement = transaction.prepare_cached(DROP_LINES)?;
            statement.execute(params![id_bytes(&action.id), i64::MAX])?;
            let object = ObjectRef::of_action(action.id);
            files += unused::drop_files(&transaction, &object, now)?;
        }
        done.looked_at += 1;
        done.gone += removed;
    }
    transaction.commit()?;
    Ok(done)
}

/// The first launched of those that are beyond the rules.
fn beyond(
    connection: &Connection,
    rules: &[(Status, Keep)],
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Doomed>, StoreError> {
    let mut doomed = Vec::new();
    for (status, keep) in rules {
        let status = status_code(*status);
        if let Some(cutoff) = keep.cutoff(now) {
            let bound = last_id_of(cutoff);
            let values = params![status, id_bytes(&bound), cutoff.0, limit_of(limit)];
            find(connection, ENDED, values, &mut doomed)?;
        }
        if let Some(count) = keep.count {
            let bound = match count.checked_sub(1) {
                None => Some(last_id_of(Timestamp(i64::MAX))),
                Some(others) => {
                    let mut statement = prepare(connection, NEWEST)?;
                    let mut rows = statement
                        .query(params![status, signed(others)])
                        .map_err(failure)?;
                    let row = rows.next().map_err(failure)?;
                    row.map(|row| Reader::new(row).id()).transpose()?
                }
            };
            if let Some(bound) = bound {
                let values = params![status, id_bytes(&bound), limit_of(limit)];
                find(connection, BEFORE, values, &mut doomed)?;
            }
        }
    }
    doomed.sort_unstable();
    doomed.dedup();
    doomed.truncate(limit);
    Ok(doomed)
}

fn find(
    connection: &Connection,
    sql: &'static str,
    values: impl rusqlite::Params,
    doomed: &mut Vec<Doomed>,
) -> Result<(), StoreError> {
    let mut statement = prepare(connection, sql)?;
    let mut rows = statement.query(values).map_err(failure)?;
    while let Some(row) = rows.next().map_err(failure)? {
        let mut row = Reader::new(row);
        let (id, last_line, dropped): (ActionId, u64, u64) =
            (row.id()?, row.number()?, row.number()?);
        doomed.push(Doomed {
            id,
            last_line,
            lines: last_line.saturating_sub(dropped),
        });
    }
    Ok(())
}

/// No id that was drawn at `moment` or before is above.
fn last_id_of(moment: Timestamp) -> ActionId {
    let ms = u64::try_from(moment.0).unwrap_or(0).min((1 << 48) - 1);
    let mut bytes = [0xff; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    ActionId(uuid::Uuid::from_bytes(bytes))
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [NEWEST, BEFORE, ENDED, DROP_LINES, DROP]
        .map(str::to_owned)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doomed(lines: &[u64]) -> Vec<Doomed> {
        let action = |lines: &u64| Doomed {
            id: ActionId(uuid::Uuid::nil()),
            last_line: *lines,
            lines: *lines,
        };
        lines.iter().map(action).collect()
    }

    #[test]
    fn a_transaction_is_bounded_by_lines_and_actions() {
        assert_eq!(batch_of(&doomed(&[1_000_000, 1])), 1);
        assert_eq!(batch_of(&doomed(&[2_000, 3_000, 1])), 2);
        assert_eq!(batch_of(&doomed(&[0; 500])), ACTIONS);
    }

    #[test]
    fn an_id_lies_below_the_bound_of_its_moment_and_above_the_one_before() {
        let id = ActionId::draw(Timestamp(1_700_000_000_000));
        assert!(id < last_id_of(Timestamp(1_700_000_000_000)));
        assert!(id > last_id_of(Timestamp(1_699_999_999_999)));
    }
}
