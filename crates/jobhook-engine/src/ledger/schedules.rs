//! Schedules: they are made, paused and taken away, and their moments are decided.
//!
//! A decision is made from a revision and a watermark, and counts only if both still stand:
//! of several servers that decide the same moment, the first to commit does, and the others
//! are refused. The key of a tick is the second lock on the same door.
//!
//! A tick that has to wait for the action before it stays `queued` until that one is over;
//! the very transaction in which it ends launches the next.

mod pause;
mod waiting;

use super::{Answer, Row, Rows, Transaction, Wanted, cancel, insert};
use crate::action::{ActionId, NewAction};
use crate::clock::Timestamp;
use crate::file::ObjectLimits;
use crate::schedule::plan::{Decision, Missed, Step};
use crate::schedule::{
    MAX_QUEUED, Overlap, Schedule, SkipReason, Source, Tick, TickKey, TickOutcome,
};
use crate::store::StoreError;
use crate::write::{PutSchedule, Refusal, Ticked, Write, Written};
use pause::{pause, resume};
pub(super) use waiting::release;
use waiting::skip_queued;

/// The keys of the ticks that a write is about to make.
pub(super) fn ticks_of(write: &Write) -> Vec<TickKey> {
    let Write::Tick(decision) = write else {
        return Vec::new();
    };
    let steps = decision.steps.iter();
    steps.map(|step| key(decision, step)).collect()
}

pub(super) async fn apply(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    write: &Write,
    now: Timestamp,
) -> Result<Answer, StoreError> {
    Ok(match write {
        Write::PutSchedule(put) => self::put(rows, put, now),
        Write::DeleteSchedule { name, source } => match standing(rows, name) {
            Ok(schedule) if schedule.source == Source::Config && *source == Source::Api => {
                Err(Refusal::Configured)
            }
            Ok(_) => return delete(transaction, rows, name, now).await,
            Err(refusal) => Err(refusal),
        },
        Write::PauseSchedule(pause) => self::pause(rows, pause, now),
        Write::ResumeSchedule(resume) => {
            let answer = self::resume(rows, resume, now);
            if answer.is_ok() {
                release(transaction, rows, &resume.name, now).await?;
            }
            answer.map(|_| written(rows, &resume.name))
        }
        Write::Tick(decision) => return tick(transaction, rows, decision, now).await,
        Write::RunSchedule { name, action, by } => {
            return run_now(transaction, rows, name, *action, by, now).await;
        }
        _ => Err(Refusal::NoSchedule),
    })
}

/// The schedule, unless it is deleted.
fn standing<'r>(rows: &'r Rows, name: &str) -> Result<&'r Schedule, Refusal> {
    rows.schedules
        .get(name)
        .map(Row::get)
        .filter(|schedule| schedule.deleted_at.is_none())
        .ok_or(Refusal::NoSchedule)
}

fn edit<'r>(rows: &'r mut Rows, name: &str) -> Result<&'r mut Schedule, Refusal> {
    standing(rows, name)?;
    let row = rows.schedules.get_mut(name).ok_or(Refusal::NoSchedule)?;
    Ok(row.edit())
}

fn written(rows: &Rows, name: &str) -> Written {
    match rows.schedules.get(name) {
        Some(row) => Written::Schedule(Box::new(row.get().clone())),
        None => Written::Done,
    }
}

fn put(rows: &mut Rows, put: &PutSchedule, now: Timestamp) -> Answer {
    let before = rows.schedules.get(&put.name).map(Row::get);
    let Some(before) = before else {
        let schedule = Schedule {
            name: put.name.clone(),
            revision: 1,
            definition: put.definition.clone(),
            source: put.source,
            paused: None,
            watermark: now,
            ticks: 0,
            queued: 0,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        rows.schedules.insert(put.name.clone(), Row::new(schedule));
        return Ok(written(rows, &put.name));
    };
    let deleted = before.deleted_at.is_some();
    if !deleted && before.source == Source::Config && put.source == Source::Api {
        return Err(Refusal::Configured);
    }
    let same = before.definition == put.definition;
    if deleted || !same || before.source != put.source {
        let row = rows
            .schedules
            .get_mut(&put.name)
            .ok_or(Refusal::NoSchedule)?;
        let schedule = row.edit();
        schedule.updated_at = now;
        schedule.source = put.source;
        if deleted {
            schedule.deleted_at = None;
            schedule.paused = None;
            schedule.created_at = now;
            // Its moments have a revision of their own, so it may start behind the old one.
            schedule.watermark = now;
        }
        if deleted || !same {
            schedule.revision += 1;
            schedule.definition = put.definition.clone();
            // A clock that was set back brings no moment a second time.
            schedule.watermark = schedule.watermark.max(now);
        }
    }
    Ok(written(rows, &put.name))
}

async fn delete(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    name: &str,
    now: Timestamp,
) -> Result<Answer, StoreError> {
    skip_queued(transaction, rows, name, SkipReason::Deleted).await?;
    Ok(edit(rows, name)
        .map(|schedule| {
            schedule.deleted_at = Some(now);
            schedule.updated_at = now;
        })
        .map(|()| written(rows, name)))
}

async fn tick(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    decision: &Decision,
    now: Timestamp,
) -> Result<Answer, StoreError> {
    let schedule = match standing(rows, &decision.schedule) {
        Ok(schedule) => schedule,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let stands = (schedule.revision, schedule.watermark) == (decision.revision, decision.watermark);
    if !stands || schedule.paused.is_some() {
        return Ok(Err(Refusal::ScheduleMoved));
    }
    if let Ok(schedule) = edit(rows, &decision.schedule) {
        schedule.watermark = schedule.watermark.max(decision.decided);
    }
    let mut ticked = Ticked::default();
    for step in &decision.steps {
        let key = key(decision, step);
        if rows.ticks.contains_key(&key) {
            continue;
        }
        let tick = match step {
            Step::Miss { missed, reason } => record_missed(rows, key, missed, *reason, now),
            Step::Fire {
                firing,
                action,
                caught_up,
            } => {
                let mut tick = Tick::of(key, firing.at, now);
                tick.caught_up = *caught_up;
                let cancelled = &mut ticked.cancelled;
                let outcome = fire(transaction, rows, &tick, *action, cancelled, now).await?;
                tick.outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(Refusal::QueueFull { .. }) => TickOutcome::Skipped(SkipReason::QueueFull),
                    Err(_) => TickOutcome::Skipped(SkipReason::Overlap),
                };
                record(rows, tick)
            }
        };
        ticked.ticks.push(tick);
    }
    release(transaction, rows, &decision.schedule, now).await?;
    Ok(Ok(Written::Ticked(Box::new(ticked))))
}

async fn run_now(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    name: &str,
    action: ActionId,
    by: &str,
    now: Timestamp,
) -> Result<Answer, StoreError> {
    let schedule = match standing(rows, name) {
        Ok(schedule) => schedule,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let key = TickKey {
        schedule: name.to_owned(),
        revision: schedule.revision,
        local: format!("run-{}", schedule.ticks + 1),
        fold: 0,
    };
    let mut tick = Tick::of(key, now, now);
    tick.run_by = Some(by.to_owned());
    let mut ticked = Ticked::default();
    match fire(transaction, rows, &tick, action, &mut ticked.cancelled, now).await? {
        Ok(outcome) => tick.outcome = outcome,
        Err(refusal) => return Ok(Err(refusal)),
    }
    ticked.ticks.push(record(rows, tick));
    Ok(Ok(Written::Ticked(Box::new(ticked))))
}

/// Launches an action for a tick, or lets it wait. A refusal has changed nothing.
async fn fire(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    tick: &Tick,
    action: ActionId,
    cancelled: &mut Vec<ActionId>,
    now: Timestamp,
) -> Result<Result<TickOutcome, Refusal>, StoreError> {
    let name = tick.key.schedule.as_str();
    let Ok(schedule) = standing(rows, name) else {
        return Ok(Err(Refusal::NoSchedule));
    };
    let (overlap, queued) = (schedule.definition.overlap, schedule.queued);
    if overlap == Overlap::Allow {
        return Ok(launch(rows, tick, action, now));
    }
    transaction.flush(rows).await?;
    let live = transaction.live(name).await?;
    let busy = !live.is_empty() || waiting::is_anything_next(transaction, rows, name).await?;
    match overlap {
        Overlap::Skip if busy => {
            let action = live.first().copied().unwrap_or(action);
            return Ok(Err(Refusal::Overlaps { action }));
        }
        Overlap::Queue if busy && queued >= MAX_QUEUED => {
            return Ok(Err(Refusal::QueueFull { queued }));
        }
        Overlap::Queue if busy => return Ok(Ok(TickOutcome::Queued(action))),
        // What a pause holds back is older, and must not come after this one.
        Overlap::CancelRunning if busy || queued > 0 => {
            skip_queued(transaction, rows, name, SkipReason::Replaced).await?;
            if !cancel_live(transaction, rows, name, &live, now).await? {
                cancelled.extend(live);
                return Ok(Ok(TickOutcome::Queued(action)));
            }
            cancelled.extend(live);
        }
        _ => {}
    }
    Ok(launch(rows, tick, action, now))
}

/// Marks the live actions of a schedule as cancelled; whether that ended them all at once.
async fn cancel_live(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    schedule: &str,
    live: &[ActionId],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let wanted = Wanted {
        actions: live.to_vec(),
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    let mut over = true;
    for id in live {
        let by = format!("schedule {schedule}");
        let reason = "the next tick of its schedule has come";
        // One that is final already is refused, and waits for its job to be gone.
        let _ = cancel(rows, *id, &by, Some(reason), now);
        over &= rows
            .actions
            .get(id)
            .is_none_or(|row| row.get().status.is_final() && !row.get().open);
    }
    Ok(over)
}

/// Stores the action of a tick, as the schedule is defined now.
fn launch(
    rows: &mut Rows,
    tick: &Tick,
    action: ActionId,
    now: Timestamp,
) -> Result<TickOutcome, Refusal> {
    let schedule = standing(rows, &tick.key.schedule)?;
    let definition = &schedule.definition;
    let new = NewAction {
        id: action,
        action_type: definition.action_type.clone(),
        operation: definition.operation,
        schedule: Some(schedule.name.clone()),
        arguments: definition.arguments.clone(),
        attempts: definition.attempts.max(1),
        scheduled: Some(tick.at),
        timeouts: definition.timeouts,
        retry_of: None,
        traceparent: None,
        refusal: None,
        files: Vec::new(),
        most: ObjectLimits::NONE,
        inputs_of: None,
        grants: Vec::new(),
    };
    insert(rows, &new, now)?;
    Ok(TickOutcome::Launched(action))
}

fn key(decision: &Decision, step: &Step) -> TickKey {
    let firing = match step {
        Step::Fire { firing, .. } => firing,
        Step::Miss { missed, .. } => &missed.last,
    };
    TickKey {
        schedule: decision.schedule.clone(),
        revision: decision.revision,
        local: firing.local.clone(),
        fold: firing.fold,
    }
}

fn record_missed(
    rows: &mut Rows,
    key: TickKey,
    missed: &Missed,
    reason: SkipReason,
    now: Timestamp,
) -> Tick {
    let mut tick = Tick::of(key, missed.last.at, now);
    tick.first_at = missed.first;
    tick.count = missed.count;
    tick.more = missed.more;
    tick.outcome = TickOutcome::Skipped(reason);
    record(rows, tick)
}

/// Numbers a tick and keeps it.
fn record(rows: &mut Rows, mut tick: Tick) -> Tick {
    if let Some(row) = rows.schedules.get_mut(&tick.key.schedule) {
        let schedule = row.edit();
        schedule.ticks += 1;
        tick.number = schedule.ticks;
        if matches!(tick.outcome, TickOutcome::Queued(_)) {
            schedule.queued += 1;
        }
    }
    rows.ticks.insert(tick.key.clone(), Row::new(tick.clone()));
    tick
}

impl Tick {
    /// A tick that is decided at `now`, before it is.
    fn of(key: TickKey, at: Timestamp, now: Timestamp) -> Tick {
        Tick {
            key,
            number: 0,
            at,
            first_at: at,
            count: 1,
            more: false,
            decided_at: now,
            caught_up: false,
            run_by: None,
            outcome: TickOutcome::Skipped(SkipReason::Overlap),
        }
    }
}
