//! Keeps each log within the store's limits: the oldest lines go first.

use futures_util::TryStreamExt;
use jobhook_engine::action::{ActionId, LogMeter};
use jobhook_engine::ledger::Rows;
use jobhook_engine::log::LogLimits;
use jobhook_engine::store::StoreError;
use sqlx::sqlite::SqliteConnection;

use super::columns::{Reader, id_bytes, signed};
use super::failure;

/// Reads the lengths only: SQLite knows them without reading the text.
const OLDEST: &str =
    "SELECT number, octet_length(text) FROM lines WHERE action = ? ORDER BY number";
const DROP: &str = "DELETE FROM lines WHERE action = ? AND number <= ?";

/// Whether a log that changed has to be trimmed.
pub(super) fn exceeding(rows: &Rows, limits: LogLimits) -> bool {
    rows.actions
        .values()
        .any(|row| row.change().is_some() && exceeds(row.get().log, limits))
}

/// Drops what is beyond `limits` of the logs that changed, and counts it.
pub(super) async fn trim(
    connection: &mut SqliteConnection,
    rows: &mut Rows,
    limits: LogLimits,
) -> Result<(), StoreError> {
    for row in rows.actions.values_mut() {
        let log = row.get().log;
        if row.change().is_some() && exceeds(log, limits) {
            let id = row.get().id;
            row.edit().log = drop_oldest(connection, id, log, limits).await?;
        }
    }
    Ok(())
}

fn exceeds(log: LogMeter, limits: LogLimits) -> bool {
    log.last - log.dropped > limits.lines || log.bytes > limits.bytes
}

async fn drop_oldest(
    connection: &mut SqliteConnection,
    id: ActionId,
    mut log: LogMeter,
    limits: LogLimits,
) -> Result<LogMeter, StoreError> {
    {
        let mut oldest = sqlx::query(OLDEST)
            .bind(id_bytes(id))
            .fetch(&mut *connection);
        while exceeds(log, limits) {
            let Some(row) = oldest.try_next().await.map_err(failure)? else {
                break;
            };
            let mut row = Reader::new(&row);
            log.dropped = row.number()?;
            log.bytes = log.bytes.saturating_sub(row.number()?);
        }
    }
    sqlx::query(DROP)
        .bind(id_bytes(id))
        .bind(signed(log.dropped))
        .execute(connection)
        .await
        .map_err(failure)?;
    Ok(log)
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [OLDEST, DROP].map(str::to_owned).into()
}
