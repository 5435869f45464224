//! How a schedule is read from a body, and how it and its ticks look (clauses `SCHED-*`).

use std::time::Duration;

use jobhook_engine::clock::Timestamp;
use jobhook_engine::cron::Firing;
use jobhook_engine::schedule::plan::Moments;
use jobhook_engine::schedule::{CatchUp, Overlap, Schedule, ScheduleDefinition, Tick, TickOutcome};
use jobhook_protocol::{FiringBody, PauseBody, ScheduleBody, TickBody};

use super::body::time;
use super::fields::Fields;
use super::launch;
use super::refusal::Answered;
use crate::moment::{self, NoMoment};

/// The default of `catchUpWindow`.
const WINDOW: Duration = Duration::from_secs(3600);

/// What a schedule may have: all of a launch but its time, and its own.
const FIELDS: [&str; 14] = [
    "type",
    "arguments",
    "operationId",
    "input",
    "attempts",
    "timeout",
    "cron",
    "timezone",
    "overlap",
    "catchUp",
    "catchUpWindow",
    "jitter",
    "start",
    "end",
];

/// Reads the body of `PUT /schedules/{name}`.
///
/// - `terms`: what its launches are judged by, now and not again when it fires.
pub(super) fn read(text: &str, terms: &launch::Terms<'_>) -> Answered<ScheduleDefinition> {
    let fields = Fields::read(text, &FIELDS, String::new())?;
    let launch = launch::from_fields(&fields, "", terms)?;
    let (cron, timezone) = times(&fields)?;
    Ok(ScheduleDefinition {
        cron,
        timezone,
        action_type: launch.action_type,
        operation: launch.operation,
        arguments: launch.arguments,
        attempts: launch.attempts,
        timeouts: launch.timeouts,
        overlap: word(&fields, "overlap", Overlap::ALL, Overlap::as_str)?,
        catch_up: match fields.get("catchUp") {
            None => CatchUp::One,
            Some(_) => word(&fields, "catchUp", CatchUp::ALL, CatchUp::as_str)?,
        },
        catch_up_window: length(&fields, "catchUpWindow")?.unwrap_or(WINDOW),
        jitter: length(&fields, "jitter")?.unwrap_or_default(),
        start: moment_of(&fields, "start")?,
        end: moment_of(&fields, "end")?,
    })
}

/// Reads the body of `POST /schedules/preview`.
pub(super) fn read_times(text: &str) -> Answered<ScheduleDefinition> {
    let fields = Fields::read(text, &["cron", "timezone"], String::new())?;
    let (cron, timezone) = times(&fields)?;
    Ok(ScheduleDefinition {
        cron,
        timezone,
        ..ScheduleDefinition::default()
    })
}

fn times(fields: &Fields<'_>) -> Answered<(String, String)> {
    let expected = "it must be a cron expression, such as \"30 2 * * *\"";
    let cron = fields
        .parsed("cron", expected)?
        .ok_or_else(|| fields.invalid("cron", expected))?;
    let expected = "it must be the name of a time zone, such as \"Europe/Berlin\"";
    let timezone: Option<String> = fields.parsed("timezone", expected)?;
    Ok((cron, timezone.unwrap_or_else(|| "UTC".to_owned())))
}

fn word<T: Copy + Default, const N: usize>(
    fields: &Fields<'_>,
    name: &str,
    all: [T; N],
    as_str: fn(T) -> &'static str,
) -> Answered<T> {
    let expected = format!("it must be one of {}", all.map(as_str).join(", "));
    let Some(text) = fields.parsed::<String>(name, &expected)? else {
        return Ok(T::default());
    };
    all.into_iter()
        .find(|one| as_str(*one) == text)
        .ok_or_else(|| fields.invalid(name, &expected))
}

fn length(fields: &Fields<'_>, name: &str) -> Answered<Option<Duration>> {
    let Some(raw) = fields.get(name) else {
        return Ok(None);
    };
    if matches!(raw.get(), "0" | "\"0s\"") {
        return Ok(Some(Duration::ZERO));
    }
    let expected = "it must be a number of seconds, or a text such as \"30s\", \"5m\", \"1h\"";
    launch::duration(raw.get())
        .map(Some)
        .ok_or_else(|| fields.invalid(name, expected))
}

fn moment_of(fields: &Fields<'_>, name: &str) -> Answered<Option<Timestamp>> {
    let expected = "it must be a time with its offset, such as \"2026-03-29T00:00:00Z\"";
    let text: Option<String> = fields.parsed(name, expected)?;
    let read = |text: String| match moment::read(&text) {
        Ok(at) => Ok(at),
        Err(NoMoment::Nonsense) => Err(fields.invalid(name, expected)),
        Err(NoMoment::TooFar) => {
            let expected = format!("it lies too far ahead: at most {}", moment::LAST);
            Err(fields.invalid(name, &expected))
        }
    };
    text.map(read).transpose()
}

/// A schedule as it is shown.
///
/// - `blocked`: why it cannot fire.
pub(super) fn schedule(schedule: Schedule, blocked: Option<String>) -> ScheduleBody {
    let definition = schedule.definition;
    let next = Moments::of(&definition)
        .ok()
        .filter(|_| schedule.paused.is_none() && blocked.is_none())
        .and_then(|moments| moments.next_after(schedule.watermark));
    ScheduleBody {
        name: schedule.name,
        revision: schedule.revision,
        source: schedule.source.as_str().to_owned(),
        cron: definition.cron,
        timezone: definition.timezone,
        operation_id: definition.operation.then(|| definition.action_type.clone()),
        action_type: definition.action_type,
        arguments: definition.arguments,
        attempts: definition.attempts.max(1),
        timeout: definition.timeouts.run.map(|run| run.as_secs_f64()),
        overlap: definition.overlap.as_str().to_owned(),
        catch_up: definition.catch_up.as_str().to_owned(),
        catch_up_window: definition.catch_up_window.as_secs_f64(),
        jitter: definition.jitter.as_secs_f64(),
        start: definition.start.map(time),
        end: definition.end.map(time),
        paused: schedule.paused.map(|paused| PauseBody {
            at: time(paused.at),
            by: paused.by,
            note: paused.note,
        }),
        blocked,
        next: next.map(firing),
        ticks: schedule.ticks,
        queued: schedule.queued,
        created_at: time(schedule.created_at),
        updated_at: time(schedule.updated_at),
    }
}

/// A moment as it is shown.
pub(super) fn firing(firing: Firing) -> FiringBody {
    FiringBody {
        at: time(firing.at),
        local: firing.local,
        fold: firing.fold,
    }
}

/// A tick as it is shown.
pub(super) fn tick(tick: Tick) -> TickBody {
    let (outcome, action, reason) = match tick.outcome {
        TickOutcome::Launched(action) => ("launched", Some(action), None),
        // The action comes to be when it is launched, or never.
        TickOutcome::Queued(_) => ("queued", None, None),
        TickOutcome::Skipped(reason) => ("skipped", None, Some(reason)),
    };
    TickBody {
        number: tick.number,
        revision: tick.key.revision,
        at: time(tick.at),
        local: tick.key.local,
        fold: tick.key.fold,
        decided_at: time(tick.decided_at),
        outcome: outcome.to_owned(),
        action: action.map(|id| id.to_string()),
        reason: reason.map(|reason| reason.as_str().to_owned()),
        count: tick.count,
        more: tick.more,
        first_at: (tick.count > 1).then(|| time(tick.first_at)),
        caught_up: tick.caught_up,
        run_by: tick.run_by,
    }
}
