//! Keeps each log within the store's limits: the oldest lines go first.

use jobhook_engine::action::{ActionId, LogMeter};
use jobhook_engine::ledger::Rows;
use jobhook_engine::log::LogLimits;
use jobhook_engine::store::StoreError;
use rusqlite::{Connection, params};

use super::columns::{Reader, id_bytes, signed};
use super::{failure, prepare};

/// Reads the lengths only: SQLite knows them without reading the text.
const OLDEST: &str =
    "SELECT number, octet_length(text) FROM lines WHERE action = ? ORDER BY number";
const DROP: &str = "DELETE FROM lines WHERE action = ? AND number <= ?";

/// Drops what is beyond `limits` of the logs that have overflown, and counts it.
pub(super) fn trim(
    connection: &Connection,
    rows: &mut Rows,
    limits: LogLimits,
) -> Result<(), StoreError> {
    for row in rows.actions.values_mut() {
        let log = row.get().log;
        if row.change().is_some() && limits.overflow(log) {
            let id = row.get().id;
            row.edit().log = drop_oldest(connection, id, log, limits)?;
        }
    }
    Ok(())
}

fn drop_oldest(
    connection: &Connection,
    id: ActionId,
    mut log: LogMeter,
    limits: LogLimits,
) -> Result<LogMeter, StoreError> {
    let mut statement = prepare(connection, OLDEST)?;
    let mut oldest = statement.query([id_bytes(&id)]).map_err(failure)?;
    while limits.are_exceeded(log) {
        let Some(row) = oldest.next().map_err(failure)? else {
            break;
        };
        let mut row = Reader::new(row);
        log.dropped = row.number()?;
        log.bytes = log.bytes.saturating_sub(row.number()?);
    }
    drop(oldest);
    let mut statement = prepare(connection, DROP)?;
    statement
        .execute(params![id_bytes(&id), signed(log.dropped)])
        .map_err(failure)?;
    Ok(log)
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [OLDEST, DROP].map(str::to_owned).into()
}
