//! The book-keeper: applies one [`Write`] to the rows it touches, or refuses it.
//!
//! Stores differ in how they keep rows; what a write *means* is here, once. A store loads
//! the rows that a batch touches into [`Rows`], lets [`run`] apply the batch in order, and
//! writes back what changed, all in one transaction.
//!
//! Every change of a status asks [`jobhook_protocol::Status::after`]. A write that is
//! refused has changed nothing. Nothing here reads a clock or waits for anything but the
//! store's own rows.

mod close;
mod files;
mod report;
mod rows;
mod schedules;

use jobhook_protocol::{Event, LineSource, Sha256Sum, Status};

pub use rows::{ReporterKey, Row, Rows};

use crate::action::{
    Action, ActionId, CancelMark, Failure, LogMeter, NewAction, TimeoutKind, Timeouts,
};
use crate::attempt::{Attempt, AttemptRef};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{File, ObjectRef, PropertyRef};
use crate::log::LogLine;
use crate::runner::{Output, OutputLine, TypeFilter};
use crate::schedule::TickKey;
use crate::store::StoreError;
use crate::verdict;
use crate::write::{Claim, Refusal, Write, Written};

/// What one write came to.
pub type Answer = Result<Written, Refusal>;

/// A store's open transaction, as the ledger needs it.
#[async_trait::async_trait]
pub trait Transaction: Send {
    /// Puts the rows of what is wanted that exist and are not there yet into `rows`.
    async fn load(&mut self, wanted: &Wanted, rows: &mut Rows) -> Result<(), StoreError>;

    /// The ids of up to `limit` actions of these types that wait and are due, by due time,
    /// then id.
    async fn waiting(
        &mut self,
        types: &TypeFilter,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<ActionId>, StoreError>;

    /// The ids of the actions of a schedule that are live: not final, or open.
    async fn live(&mut self, schedule: &str) -> Result<Vec<ActionId>, StoreError>;

    /// Up to `limit` ticks of a schedule that wait for the one before, oldest first.
    async fn queued(&mut self, schedule: &str, limit: usize) -> Result<Vec<TickKey>, StoreError>;

    /// The stored file of a property that has this content under this name.
    async fn file_with(
        &mut self,
        property: &PropertyRef,
        content: &Sha256Sum,
        name: Option<&str>,
    ) -> Result<Option<File>, StoreError>;

    /// The stored files of a property, in order.
    async fn files_of(&mut self, property: &PropertyRef) -> Result<Vec<File>, StoreError>;

    /// Writes what changed in `rows`, so that [`Transaction::waiting`] and the like see it, and
    /// marks it unchanged; keeps each log within the store's limits, and the
    /// [newest ticks](crate::schedule::KEPT_TICKS) of each schedule.
    async fn flush(&mut self, rows: &mut Rows) -> Result<(), StoreError>;

    /// Takes the rows once everything is flushed: whoever has them need not read them again, where
    /// the transaction is committed and nobody else writes.
    fn keep(&mut self, rows: Rows) {
        drop(rows);
    }
}

/// Rows to load.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Actions.
    pub actions: Vec<ActionId>,
    /// Attempts.
    pub attempts: Vec<AttemptRef>,
    /// What was applied of reporters.
    pub reporters: Vec<ReporterKey>,
    /// Schedules, deleted ones too.
    pub schedules: Vec<String>,
    /// Ticks.
    pub ticks: Vec<TickKey>,
    /// Contents.
    pub contents: Vec<Sha256Sum>,
    /// What is staged.
    pub staged: Vec<BlobName>,
    /// Objects.
    pub objects: Vec<ObjectRef>,
}

/// Applies `writes` in order inside `transaction`, and answers each.
///
/// # Errors
///
/// [`StoreError`] if the store failed; the transaction is then to be rolled back.
pub async fn run(
    transaction: &mut dyn Transaction,
    writes: &[Write],
    now: Timestamp,
) -> Result<Vec<Answer>, StoreError> {
    let mut rows = Rows::default();
    transaction.load(&wanted(writes), &mut rows).await?;
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        if write.schedule().is_some() {
            answers.push(schedules::apply(transaction, &mut rows, write, now).await?);
            continue;
        }
        if files::concerns(write) {
            answers.push(files::apply(transaction, &mut rows, write, now).await?);
            continue;
        }
        let Write::Claim(claim) = write else {
            let answer = apply(&mut rows, write, now);
            if let Some(schedule) = answer.is_ok().then(|| over(&rows, write)).flatten() {
                schedules::release(transaction, &mut rows, &schedule, now).await?;
            }
            answers.push(answer);
            continue;
        };
        let ids = waiting(transaction, &mut rows, claim, now).await?;
        answers.push(claim_all(&mut rows, claim, &ids, now));
    }
    transaction.flush(&mut rows).await?;
    transaction.keep(rows);
    Ok(answers)
}

/// What a claim takes, by due time, then id: of what waits in the store, and of what this batch has
/// put in or changed, which the store has not seen yet.
async fn waiting(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    claim: &Claim,
    now: Timestamp,
) -> Result<Vec<ActionId>, StoreError> {
    let limit = claim.nonces.len();
    // The store may still list those that this batch has changed, and they may not wait any more.
    let changed = rows.actions.values().filter(|row| row.change().is_some());
    let listed = if limit == 0 {
        0
    } else {
        limit + changed.count()
    };
    let wanted = Wanted {
        actions: transaction.waiting(&claim.types, now, listed).await?,
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    let waits = |action: &&Action| {
        matches!(action.status, Status::Scheduled | Status::Queued)
            && action.due_at <= now
            && claim.types.takes(&action.action_type)
    };
    let waiting = rows.actions.values().map(Row::get).filter(waits);
    let mut waiting: Vec<_> = waiting.map(|action| (action.due_at, action.id)).collect();
    waiting.sort_unstable();
    waiting.truncate(limit);
    Ok(waiting.into_iter().map(|(_, id)| id).collect())
}

/// The schedule of the action that a write was about, if that is over.
fn over(rows: &Rows, write: &Write) -> Option<String> {
    let action = rows.actions.get(&write.action()?)?.get();
    let schedule = action.schedule.as_ref()?;
    (action.status.is_final() && !action.open).then(|| schedule.clone())
}

fn wanted(writes: &[Write]) -> Wanted {
    let mut wanted = Wanted {
        actions: writes.iter().filter_map(Write::action).collect(),
        attempts: writes.iter().filter_map(Write::attempt).collect(),
        reporters: writes.iter().filter_map(ReporterKey::of).collect(),
        schedules: writes
            .iter()
            .filter_map(Write::schedule)
            .map(str::to_owned)
            .collect(),
        ticks: writes.iter().flat_map(schedules::ticks_of).collect(),
        ..Wanted::default()
    };
    wanted.actions.sort_unstable();
    wanted.actions.dedup();
    wanted.attempts.sort_unstable();
    wanted.attempts.dedup();
    wanted.reporters.sort_unstable();
    wanted.reporters.dedup();
    wanted
}

fn apply(rows: &mut Rows, write: &Write, now: Timestamp) -> Answer {
    match write {
        Write::Insert(new) => insert(rows, new, now),
        Write::Claim(claim) => claim_all(rows, claim, &[], now),
        Write::Started { attempt, at } => started(rows, *attempt, *at, now),
        Write::Report(write) => report::apply(rows, write, now),
        Write::Output { attempt, output } => store_output(rows, *attempt, output),
        Write::Gone { attempt, saw } => close::gone(rows, *attempt, saw),
        Write::Close {
            attempt,
            needs_results,
        } => close::close(rows, *attempt, *needs_results, now),
        Write::TimeOut { attempt, kind } => close::time_out(rows, *attempt, *kind),
        Write::Expire { action, kind } => expire(rows, *action, *kind, now),
        Write::Cancel { action, by, reason } => cancel(rows, *action, by, reason.as_deref(), now),
        // These look at rows that they do not name, and are applied by `run`.
        Write::PutSchedule(_)
        | Write::DeleteSchedule { .. }
        | Write::PauseSchedule(_)
        | Write::ResumeSchedule(_)
        | Write::Tick(_)
        | Write::RunSchedule { .. } => Err(Refusal::NoSchedule),
        Write::Stage(_) | Write::Unstage { .. } | Write::Attach(_) | Write::PutObject(_) => {
            Err(Refusal::NoObject)
        }
    }
}

fn insert(rows: &mut Rows, new: &NewAction, now: Timestamp) -> Answer {
    if rows.actions.contains_key(&new.id) {
        return Err(Refusal::Exists);
    }
    let due_at = new.scheduled.unwrap_or(now).max(now);
    let mut action = Action {
        id: new.id,
        action_type: new.action_type.clone(),
        operation: new.operation,
        schedule: new.schedule.clone(),
        status: if due_at > now {
            Status::Scheduled
        } else {
            Status::Scheduled.after(Event::Due)?
        },
        attempt: 1,
        attempts: new.attempts,
        arguments: new.arguments.clone(),
        results: None,
        status_details: None,
        error_name: None,
        error_message: None,
        created_at: now,
        updated_at: now,
        due_at,
        scheduled: new.scheduled,
        expires_at: expiry(&new.timeouts, now, due_at).map(|(at, _)| at),
        started_at: None,
        finished_at: None,
        cancel: None,
        retry_of: new.retry_of,
        timeouts: new.timeouts,
        traceparent: new.traceparent.clone(),
        grants: new.grants.clone(),
        log: LogMeter::default(),
        open: false,
    };
    if let Some(refusal) = &new.refusal {
        action.status = action.status.after(Event::Refused)?;
        finish(&mut action, Some(refusal), now);
    }
    rows.actions.insert(action.id, Row::new(action.clone()));
    Ok(Written::Action(Box::new(action)))
}

/// When an action that waits expires, and by which timeout.
///
/// - `created_at`: what the total timeout counts from.
/// - `due_at`: what the queue timeout counts from.
pub fn expiry(
    timeouts: &Timeouts,
    created_at: Timestamp,
    due_at: Timestamp,
) -> Option<(Timestamp, TimeoutKind)> {
    let queue = timeouts
        .queue
        .map(|queue| (due_at.plus(queue), TimeoutKind::Queue));
    let total = timeouts
        .total
        .map(|total| (created_at.plus(total), TimeoutKind::Total));
    queue.into_iter().chain(total).min_by_key(|(at, _)| *at)
}

fn claim_all(rows: &mut Rows, claim: &Claim, ids: &[ActionId], now: Timestamp) -> Answer {
    let mut claimed = Vec::with_capacity(ids.len());
    for (id, nonce) in ids.iter().zip(&claim.nonces) {
        let Some(row) = rows.actions.get_mut(id) else {
            continue;
        };
        let action = row.edit();
        if action.status == Status::Scheduled {
            action.status = action.status.after(Event::Due)?;
        }
        action.status = action.status.after(Event::Claimed)?;
        action.updated_at = now;
        action.open = true;
        action.expires_at = None;
        // What an earlier attempt left is in that attempt; this one begins clean.
        action.started_at = None;
        action.results = None;
        action.status_details = None;
        action.error_name = None;
        action.error_message = None;
        let attempt = Attempt {
            at: AttemptRef {
                action: *id,
                number: action.attempt,
            },
            runner: claim.runner.clone(),
            worker: claim.worker.clone(),
            key_id: claim.key_id.clone(),
            nonce: nonce.clone(),
            auto_status: claim.terms.auto_status,
            signature_required: claim.terms.signature_required,
            claimed_at: now,
            started_at: None,
            heard_at: None,
            job_time_ms: None,
            heartbeat: None,
            said: None,
            said_final_at: None,
            said_failure: None,
            timed_out: None,
            output_offset: 0,
            output_mark: None,
            saw: None,
            closing: None,
        };
        claimed.push((action.clone(), attempt.clone()));
        rows.attempts.insert(attempt.at, Row::new(attempt));
    }
    Ok(Written::Claimed(claimed))
}

fn started(rows: &mut Rows, at: AttemptRef, when: Timestamp, now: Timestamp) -> Answer {
    let (action, attempt) = rows.open_attempt(at)?;
    let status = action.get().status.after(Event::Started)?;
    let attempt = attempt.edit();
    attempt.started_at.get_or_insert(when);
    let action = action.edit();
    action.status = status;
    action.started_at.get_or_insert(when);
    action.updated_at = now;
    Ok(Written::Done)
}

fn store_output(rows: &mut Rows, at: AttemptRef, output: &Output) -> Answer {
    let (action, attempt) = rows.open_attempt(at)?;
    let stored = attempt.get().output_offset;
    if stored != output.from {
        return Err(Refusal::StaleOffset { stored });
    }
    let kept = attempt.edit();
    kept.output_offset = output.to;
    if output.mark.is_some() {
        kept.output_mark.clone_from(&output.mark);
    }
    let log = &mut action.edit().log;
    let numbered = |line: &OutputLine| {
        let text = line.text.replace('\0', "\u{fffd}");
        append(log, at, line.source, line.time, text)
    };
    let lines: Vec<LogLine> = output.lines.iter().map(numbered).collect();
    rows.lines.extend(lines);
    Ok(Written::Done)
}

/// Numbers a line and counts it.
fn append(
    log: &mut LogMeter,
    at: AttemptRef,
    source: LineSource,
    time: Timestamp,
    text: String,
) -> LogLine {
    log.last += 1;
    log.bytes += text.len() as u64;
    LogLine {
        action: at.action,
        number: log.last,
        time,
        attempt: at.number,
        source,
        text,
    }
}

fn expire(rows: &mut Rows, id: ActionId, kind: TimeoutKind, now: Timestamp) -> Answer {
    let row = rows.actions.get_mut(&id).ok_or(Refusal::NotFound)?;
    let status = row.get().status.after(Event::Expired)?;
    let action = row.edit();
    action.status = status;
    let failure = verdict::timeout_failure(action, None, kind);
    finish(action, Some(&failure), now);
    Ok(Written::Action(Box::new(action.clone())))
}

fn cancel(rows: &mut Rows, id: ActionId, by: &str, reason: Option<&str>, now: Timestamp) -> Answer {
    let row = rows.actions.get_mut(&id).ok_or(Refusal::NotFound)?;
    let status = row.get().status;
    if status.is_final() {
        return Err(Refusal::AlreadyFinal(status));
    }
    if row.get().cancel.is_none() {
        let action = row.edit();
        let mark = CancelMark {
            at: now,
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let failure = verdict::cancel_failure(&mark);
        action.cancel = Some(mark);
        action.updated_at = now;
        if let Ok(status) = status.after(Event::Cancelled) {
            action.status = status;
            finish(action, Some(&failure), now);
        }
    }
    Ok(Written::Action(Box::new(row.get().clone())))
}

/// What every end has in common.
fn finish(action: &mut Action, failure: Option<&Failure>, now: Timestamp) {
    action.error_name = failure.map(|failure| failure.name.clone());
    action.error_message = failure.map(|failure| failure.message.clone());
    action.updated_at = now;
    action.finished_at = Some(now);
    action.expires_at = None;
}
