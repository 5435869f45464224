//! Ticks that wait for the action before them: which is next, and how the wait ends.

use super::{Row, Rows, Transaction, Wanted, launch, standing};
use crate::action::ActionId;
use crate::clock::Timestamp;
use crate::schedule::{SkipReason, Tick, TickKey, TickOutcome};
use crate::store::StoreError;

/// Launches what waits for an action of the schedule that may have been the last live one.
pub(in crate::ledger) async fn release(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    name: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let wanted = Wanted {
        schedules: vec![name.to_owned()],
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    if standing(rows, name).map_or(0, |schedule| schedule.queued) == 0 {
        return Ok(());
    }
    transaction.flush(rows).await?;
    if !transaction.live(name).await?.is_empty() {
        return Ok(());
    }
    let Some((tick, action)) = next(transaction, rows, name).await? else {
        return Ok(());
    };
    if let Ok(outcome) = launch(rows, &tick, action, now) {
        settle(rows, &tick.key, outcome);
    }
    Ok(())
}

/// Whether a tick waits that is launched before any later one.
pub(super) async fn is_anything_next(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    name: &str,
) -> Result<bool, StoreError> {
    Ok(next(transaction, rows, name).await?.is_some())
}

/// The tick that is launched next, of those that wait, and its action. A pause holds moments
/// back, and nothing that somebody wants by hand.
async fn next(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    name: &str,
) -> Result<Option<(Tick, ActionId)>, StoreError> {
    let limit = match standing(rows, name) {
        Ok(schedule) if schedule.queued == 0 => return Ok(None),
        Ok(schedule) if schedule.paused.is_none() => 1,
        Ok(_) => usize::MAX,
        Err(_) => return Ok(None),
    };
    let queued = transaction.queued(name, limit).await?;
    load_ticks(transaction, rows, &queued).await?;
    let ticks = queued.iter().filter_map(|key| rows.ticks.get(key));
    let mut ticks = ticks.map(Row::get).filter_map(|tick| match tick.outcome {
        TickOutcome::Queued(action) if limit == 1 || tick.run_by.is_some() => {
            Some((tick.clone(), action))
        }
        _ => None,
    });
    Ok(ticks.next())
}

/// Ends the wait of every tick that waits.
pub(super) async fn skip_queued(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    name: &str,
    reason: SkipReason,
) -> Result<(), StoreError> {
    transaction.flush(rows).await?;
    let queued = transaction.queued(name, usize::MAX).await?;
    load_ticks(transaction, rows, &queued).await?;
    for key in &queued {
        settle(rows, key, TickOutcome::Skipped(reason));
    }
    Ok(())
}

async fn load_ticks(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    keys: &[TickKey],
) -> Result<(), StoreError> {
    let wanted = Wanted {
        ticks: keys.to_vec(),
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await
}

/// A tick does not wait any more.
fn settle(rows: &mut Rows, key: &TickKey, outcome: TickOutcome) {
    if let Some(row) = rows.ticks.get_mut(key) {
        row.edit().outcome = outcome;
        if let Some(schedule) = rows.schedules.get_mut(&key.schedule) {
            let schedule = schedule.edit();
            schedule.queued = schedule.queued.saturating_sub(1);
        }
    }
}
