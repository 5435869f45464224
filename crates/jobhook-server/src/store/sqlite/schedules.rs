//! How schedules and their ticks lie in tables.

use jobhook_engine::action::ActionId;
use jobhook_engine::ledger::{Row, Rows, Wanted};
use jobhook_engine::schedule::{
    KEPT_TICKS, Schedule, Source, Tick, TickKey, TickOutcome, TickQuery,
};
use jobhook_engine::store::StoreError;
use rusqlite::{Connection, params};

use super::columns::{Reader, damaged, json, signed, time};
use super::read::each;
use super::{limit_of, run};

macro_rules! schedule_columns {
    () => {
        "name, revision, definition, source, paused, watermark, ticks, queued, created_at, \
         updated_at, deleted_at"
    };
}

macro_rules! tick_columns {
    () => {
        "schedule, revision, local, fold, number, at, first_at, count, more, decided_at, \
         caught_up, run_by, outcome"
    };
}

const SCHEDULE: &str = concat!(
    "SELECT ",
    schedule_columns!(),
    " FROM schedules WHERE name = ?"
);
const SCHEDULES: &str = concat!(
    "SELECT ",
    schedule_columns!(),
    " FROM schedules WHERE deleted_at IS NULL ORDER BY name"
);
const TICK: &str = concat!(
    "SELECT ",
    tick_columns!(),
    " FROM ticks WHERE schedule = ? AND revision = ? AND local = ? AND fold = ?"
);
const HISTORY: &str = concat!(
    "SELECT ",
    tick_columns!(),
    " FROM ticks INDEXED BY ticks_history WHERE schedule = ? AND number < ? \
     ORDER BY number DESC LIMIT ?"
);
const LIVE: &str = "SELECT id FROM actions INDEXED BY actions_live \
    WHERE schedule IS NOT NULL AND (status < 4 OR open) AND schedule = ? ORDER BY id";
const QUEUED: &str = "SELECT schedule, revision, local, fold FROM ticks INDEXED BY ticks_queued \
    WHERE queued AND schedule = ? ORDER BY number LIMIT ?";
const PUT_SCHEDULE: &str = concat!(
    "INSERT OR REPLACE INTO schedules (",
    schedule_columns!(),
    ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);
const MOVE_SCHEDULE: &str =
    "UPDATE schedules SET watermark = ?2, ticks = ?3, queued = ?4 WHERE name = ?1";
const INSERT_TICK: &str = concat!(
    "INSERT INTO ticks (",
    tick_columns!(),
    ", queued) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);
const SETTLE_TICK: &str = "UPDATE ticks SET outcome = ?5, queued = ?6 \
    WHERE schedule = ?1 AND revision = ?2 AND local = ?3 AND fold = ?4";
const FORGET_TICKS: &str = "DELETE FROM ticks WHERE schedule = ? AND number <= ? AND NOT queued";

pub(super) fn schedules(connection: &Connection) -> Result<Vec<Schedule>, StoreError> {
    each(connection, SCHEDULES, [], read_schedule)
}

/// A schedule, deleted or not.
pub(super) fn schedule(
    connection: &Connection,
    name: &str,
) -> Result<Option<Schedule>, StoreError> {
    let found = each(connection, SCHEDULE, [name], read_schedule)?;
    Ok(found.into_iter().next())
}

pub(super) fn ticks(connection: &Connection, query: &TickQuery) -> Result<Vec<Tick>, StoreError> {
    let before = query.before.map_or(i64::MAX, signed);
    let values = params![query.schedule, before, limit_of(query.limit)];
    each(connection, HISTORY, values, read_tick)
}

pub(super) fn live(connection: &Connection, schedule: &str) -> Result<Vec<ActionId>, StoreError> {
    each(connection, LIVE, [schedule], |row| row.id())
}

pub(super) fn queued(
    connection: &Connection,
    schedule: &str,
    limit: usize,
) -> Result<Vec<TickKey>, StoreError> {
    let values = params![schedule, limit_of(limit)];
    each(connection, QUEUED, values, read_key)
}

/// Loads what is wanted of them.
pub(super) fn load(
    connection: &Connection,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    for name in &wanted.schedules {
        if !rows.schedules.contains_key(name)
            && let Some(schedule) = schedule(connection, name)?
        {
            rows.schedules.insert(name.clone(), Row::stored(schedule));
        }
    }
    for key in &wanted.ticks {
        let values = params![key.schedule, key.revision, key.local, key.fold];
        if !rows.ticks.contains_key(key)
            && let Some(tick) = each(connection, TICK, values, read_tick)?.pop()
        {
            rows.ticks.insert(key.clone(), Row::stored(tick));
        }
    }
    Ok(())
}

/// Writes what changed of them.
pub(super) fn flush(connection: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
    for row in rows.ticks.values_mut() {
        match row.change() {
            None => {}
            Some((tick, None)) => insert_tick(connection, tick)?,
            Some((tick, Some(_))) => settle_tick(connection, tick)?,
        }
        row.mark_stored();
    }
    for row in rows.schedules.values_mut() {
        match row.change() {
            None => continue,
            Some((schedule, Some(stored))) if only_moved(schedule, stored) => {
                move_schedule(connection, schedule)?;
            }
            Some((schedule, _)) => put_schedule(connection, schedule)?,
        }
        forget_ticks(connection, row.get())?;
        row.mark_stored();
    }
    Ok(())
}

/// Whether only the columns of [`MOVE_SCHEDULE`] differ.
fn only_moved(schedule: &Schedule, stored: &Schedule) -> bool {
    schedule.revision == stored.revision
        && schedule.source == stored.source
        && schedule.paused == stored.paused
        && schedule.updated_at == stored.updated_at
        && schedule.deleted_at == stored.deleted_at
}

fn put_schedule(connection: &Connection, schedule: &Schedule) -> Result<(), StoreError> {
    run(
        connection,
        PUT_SCHEDULE,
        params![
            schedule.name,
            schedule.revision,
            json(&schedule.definition)?,
            schedule.source.as_str(),
            schedule.paused.as_ref().map(json).transpose()?,
            schedule.watermark.0,
            signed(schedule.ticks),
            signed(schedule.queued),
            schedule.created_at.0,
            schedule.updated_at.0,
            time(schedule.deleted_at),
        ],
    )
}

fn move_schedule(connection: &Connection, schedule: &Schedule) -> Result<(), StoreError> {
    run(
        connection,
        MOVE_SCHEDULE,
        params![
            schedule.name,
            schedule.watermark.0,
            signed(schedule.ticks),
            signed(schedule.queued),
        ],
    )
}

fn forget_ticks(connection: &Connection, schedule: &Schedule) -> Result<(), StoreError> {
    match schedule.ticks.checked_sub(KEPT_TICKS) {
        None | Some(0) => Ok(()),
        Some(forgotten) => run(
            connection,
            FORGET_TICKS,
            params![schedule.name, signed(forgotten)],
        ),
    }
}

fn insert_tick(connection: &Connection, tick: &Tick) -> Result<(), StoreError> {
    run(
        connection,
        INSERT_TICK,
        params![
            tick.key.schedule,
            tick.key.revision,
            tick.key.local,
            tick.key.fold,
            signed(tick.number),
            tick.at.0,
            tick.first_at.0,
            signed(tick.count),
            tick.more,
            tick.decided_at.0,
            tick.caught_up,
            tick.run_by,
            json(&tick.outcome)?,
            waits(tick),
        ],
    )
}

fn settle_tick(connection: &Connection, tick: &Tick) -> Result<(), StoreError> {
    run(
        connection,
        SETTLE_TICK,
        params![
            tick.key.schedule,
            tick.key.revision,
            tick.key.local,
            tick.key.fold,
            json(&tick.outcome)?,
            waits(tick),
        ],
    )
}

fn waits(tick: &Tick) -> bool {
    matches!(tick.outcome, TickOutcome::Queued(_))
}

fn read_schedule(row: &mut Reader<'_>) -> Result<Schedule, StoreError> {
    let name: String = row.get()?;
    Ok(Schedule {
        revision: row.number()?,
        definition: row
            .json()?
            .ok_or_else(|| damaged(format_args!("schedule {name}"), "its definition is empty"))?,
        source: source(row.text()?)?,
        paused: row.json()?,
        watermark: row.time()?,
        ticks: row.number()?,
        queued: row.number()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        deleted_at: row.optional_time()?,
        name,
    })
}

fn source(word: &str) -> Result<Source, StoreError> {
    [Source::Config, Source::Api]
        .into_iter()
        .find(|source| source.as_str() == word)
        .ok_or_else(|| damaged("a schedule's source", word))
}

fn read_key(row: &mut Reader<'_>) -> Result<TickKey, StoreError> {
    Ok(TickKey {
        schedule: row.get()?,
        revision: row.number()?,
        local: row.get()?,
        fold: row.number()?,
    })
}

fn read_tick(row: &mut Reader<'_>) -> Result<Tick, StoreError> {
    Ok(Tick {
        key: read_key(row)?,
        number: row.number()?,
        at: row.time()?,
        first_at: row.time()?,
        count: row.number()?,
        more: row.get()?,
        decided_at: row.time()?,
        caught_up: row.get()?,
        run_by: row.get()?,
        outcome: row
            .json()?
            .ok_or_else(|| damaged("a tick", "its outcome is empty"))?,
    })
}

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [
        SCHEDULE,
        SCHEDULES,
        TICK,
        HISTORY,
        LIVE,
        QUEUED,
        PUT_SCHEDULE,
        MOVE_SCHEDULE,
        INSERT_TICK,
        SETTLE_TICK,
        FORGET_TICKS,
    ]
    .map(str::to_owned)
    .into()
}
