//! Lets schedules fire.
//!
//! One loop an engine: read the schedules, [plan](crate::schedule::plan) each, write what is
//! due, sleep until the next moment. Engines that share a store plan the same and write the
//! same; the first to commit decides, the others are refused and look again.
//!
//! A schedule whose type none of this engine's runners takes is left to the others: its
//! watermark stays, so what they do not decide is missed and not lost.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Parts;
use crate::schedule::Schedule;
use crate::schedule::plan::{Decision, Moments, plan};
use crate::store::StoreError;
use crate::write::{Refusal, Ticked, Write, Written};

/// How long to wait before a store that failed is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How soon a schedule that another server was told of is seen here.
const LOOK: Duration = Duration::from_secs(60);

/// What is known of the schedules, so that it is read and said once.
#[derive(Debug, Default)]
struct Known {
    moments: HashMap<String, (u32, Option<Moments>)>,
    untaken: HashSet<(String, u32)>,
}

pub(crate) async fn run(parts: Arc<Parts>) {
    let mut hints = parts.changes.schedules();
    let mut known = Known::default();
    loop {
        hints.borrow_and_update();
        let wake = match look(&parts, &mut known).await {
            Ok(None) => continue,
            Ok(Some(wake)) => wake,
            Err(error) => {
                tracing::warn!(error = %crate::batcher::chain(&error), "The schedules could not be read");
                parts.clock.now().plus(AGAIN)
            }
        };
        tokio::select! {
            // The sender lives in `parts`, which outlives this loop.
            _ = hints.changed() => {}
            () = parts.clock.sleep_until(wake) => {}
            () = parts.draining.cancelled() => return,
        }
    }
}

/// Decides what is due; returns when to look again, or `None` for at once.
async fn look(parts: &Parts, known: &mut Known) -> Result<Option<Timestamp>, StoreError> {
    let schedules = parts.store.schedules().await?;
    let now = parts.clock.now();
    let mut wake = now.plus(LOOK);
    let mut due = Vec::new();
    known.forget_others(&schedules);
    for schedule in &schedules {
        if schedule.paused.is_some() || !known.is_taken(parts, schedule) {
            continue;
        }
        let Some(moments) = known.moments_of(schedule) else {
            continue;
        };
        let plan = plan(schedule, moments, now);
        due.extend(plan.due);
        wake = wake.min(plan.wake.unwrap_or(wake));
    }
    if due.is_empty() || parts.draining.is_cancelled() {
        return Ok(Some(wake));
    }
    let decided = due.into_iter().map(|decision| decide(parts, decision));
    let decided = futures_util::future::join_all(decided).await;
    // What is decided moved a watermark, so the next look finds the next moment.
    let failed = decided.contains(&false);
    Ok(failed.then(|| now.plus(AGAIN)))
}

/// Writes one decision; whether the schedule is now decided, by this server or another.
async fn decide(parts: &Parts, decision: Decision) -> bool {
    let name = decision.schedule.clone();
    match parts.batcher.write(Write::Tick(Box::new(decision))).await {
        Ok(Ok(Written::Ticked(ticked))) => {
            say(&name, &ticked);
            true
        }
        Ok(Err(Refusal::ScheduleMoved | Refusal::NoSchedule)) => true,
        Ok(other) => {
            tracing::error!(schedule = name, answer = ?other, "A tick of schedule `{name}` was not decided");
            false
        }
        // The batcher has logged what went wrong.
        Err(_) => false,
    }
}

fn say(name: &str, ticked: &Ticked) {
    for tick in &ticked.ticks {
        tracing::info!(
            schedule = name, tick.at = tick.at.0, tick.local = tick.key.local, tick.count = tick.count, outcome = ?tick.outcome,
            "Schedule `{name}` fires",
        );
    }
}

impl Known {
    fn forget_others(&mut self, schedules: &[Schedule]) {
        if self.moments.len() > schedules.len() {
            let names: HashSet<&str> = schedules.iter().map(|one| one.name.as_str()).collect();
            self.moments.retain(|name, _| names.contains(name.as_str()));
            self.untaken
                .retain(|(name, _)| names.contains(name.as_str()));
        }
    }

    /// The schedule's moments; a definition that names none is said once.
    fn moments_of(&mut self, schedule: &Schedule) -> Option<&Moments> {
        let known = self.moments.get(&schedule.name);
        if known.is_none_or(|(revision, _)| *revision != schedule.revision) {
            let moments = Moments::of(&schedule.definition).inspect_err(|error| {
                let name = &schedule.name;
                tracing::error!(schedule = name, %error, "Schedule `{name}` is stored with times that cannot be read, and does not fire; put it again");
            });
            self.moments
                .insert(schedule.name.clone(), (schedule.revision, moments.ok()));
        }
        self.moments.get(&schedule.name)?.1.as_ref()
    }

    /// Whether one of this engine's runners takes what the schedule launches; if not, that is
    /// said once.
    fn is_taken(&mut self, parts: &Parts, schedule: &Schedule) -> bool {
        let action_type = &schedule.definition.action_type;
        let taken = parts.takes(action_type);
        if !taken
            && self
                .untaken
                .insert((schedule.name.clone(), schedule.revision))
        {
            let name = &schedule.name;
            tracing::warn!(
                schedule = name,
                "Schedule `{name}` does not fire from here: no runner of this server takes the type `{action_type}`"
            );
        }
        taken
    }
}
