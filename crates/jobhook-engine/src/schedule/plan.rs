//! Which moments of a schedule are to be decided now, and when the next one is.
//!
//! ```text
//!      watermark          now - window        now - jitter - ON_TIME        now
//! ─────────┼────────────────────┼───────────────────────┼───────────────────┼────▶
//!          │ missed, too old    │ missed: catch_up      │ on time: launched │ wake
//! ```
//!
//! A plan is a proposal: it holds only if the schedule's revision and watermark are still what
//! it was made from, which the [ledger](crate::ledger) checks when it is written.
//!
//! Nothing here reads a clock or a store.

use std::collections::VecDeque;
use std::time::Duration;

use super::{CatchUp, MAX_CAUGHT_UP, ON_TIME, Schedule, ScheduleDefinition, SkipReason};
use crate::action::ActionId;
use crate::clock::Timestamp;
use crate::cron::{Cron, CronError, Firing, jitter};

/// How far missed moments are counted one by one.
const MAX_COUNTED: u64 = 10_000;

/// A schedule's moments, from its first to its last.
#[derive(Debug)]
pub struct Moments {
    cron: Cron,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

/// What is to be decided about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The schedule.
    pub schedule: String,
    /// The revision that it was made from.
    pub revision: u32,
    /// The watermark that it was made from.
    pub watermark: Timestamp,
    /// The watermark that it leads to.
    pub decided: Timestamp,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One tick to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A moment fires, if the schedule's `overlap` lets it.
    Fire {
        /// Which.
        firing: Firing,
        /// The action that it launches.
        action: ActionId,
        /// Whether it was missed.
        caught_up: bool,
    },
    /// Moments were missed and stay so.
    Miss {
        /// Which.
        missed: Missed,
        /// Why.
        reason: SkipReason,
    },
}

/// Moments that passed undecided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Firing,
    /// How many, as far as they were counted.
    pub count: u64,
    /// Whether there were more.
    pub more: bool,
}

/// What is to be decided now, and when the next moment is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is due.
    pub due: Option<Decision>,
    /// When to look again, if nothing is due.
    pub wake: Option<Timestamp>,
}

impl Moments {
    /// The moments that a definition names.
    ///
    /// # Errors
    ///
    /// [`CronError`] if it names none or nonsense.
    pub fn of(definition: &ScheduleDefinition) -> Result<Moments, CronError> {
        Ok(Moments {
            cron: Cron::parse(&definition.cron, &definition.timezone)?,
            start: definition.start,
            end: definition.end,
        })
    }

    /// The first moment after `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Firing> {
        let firing = self.cron.next_after(self.not_before_start(after))?;
        Some(firing).filter(|firing| self.end.is_none_or(|end| firing.at <= end))
    }

    /// The last moment after `after` and not after `until`.
    pub fn last_in(&self, after: Timestamp, until: Timestamp) -> Option<Firing> {
        let (after, until) = (
            self.not_before_start(after),
            self.end.map_or(until, |end| until.min(end)),
        );
        if after >= until {
            return None;
        }
        self.cron.last_in(after, until)
    }

    /// The next `count` moments after `after`.
    pub fn preview(&self, after: Timestamp, count: usize) -> Vec<Firing> {
        let first = self.next_after(after);
        std::iter::successors(first, |firing| self.next_after(firing.at))
            .take(count)
            .collect()
    }

    /// The moments after `after` and not after `until`, together.
    pub fn missed(&self, after: Timestamp, until: Timestamp) -> Option<Missed> {
        let mut last = self.next_after(after).filter(|next| next.at <= until)?;
        let (first, mut count) = (last.at, 1);
        while let Some(next) = self.next_after(last.at).filter(|next| next.at <= until) {
            if count == MAX_COUNTED {
                return Some(Missed {
                    first,
                    last: self.last_in(after, until).unwrap_or(next),
                    count,
                    more: true,
                });
            }
            last = next;
            count += 1;
        }
        Some(Missed {
            first,
            last,
            count,
            more: false,
        })
    }

    fn not_before_start(&self, after: Timestamp) -> Timestamp {
        self.start.map_or(after, |start| after.max(before(start)))
    }
}

/// What `schedule` is to decide at `now`.
pub fn plan(schedule: &Schedule, moments: &Moments, now: Timestamp) -> Plan {
    let definition = &schedule.definition;
    let mut steps = Vec::new();
    let on_time = missed_until(definition, now);
    let mut decided = schedule.watermark;
    if let Some(last) = catch_up(&mut steps, definition, moments, decided, on_time, now) {
        decided = last;
    }
    let mut wake = None;
    while let Some(firing) = moments.next_after(decided) {
        let at = firing
            .at
            .plus(jitter(&schedule.name, &firing, definition.jitter));
        if at > now {
            wake = Some(at);
            break;
        }
        decided = firing.at;
        steps.push(fire(firing, false, now));
    }
    if steps.is_empty() {
        return Plan { due: None, wake };
    }
    Plan {
        due: Some(Decision {
            schedule: schedule.name.clone(),
            revision: schedule.revision,
            watermark: schedule.watermark,
            decided,
            steps,
        }),
        wake,
    }
}

/// What lies before this is missed at `now`, whatever its own jitter would have been.
pub fn missed_until(definition: &ScheduleDefinition, now: Timestamp) -> Timestamp {
    minus(minus(now, definition.jitter), ON_TIME)
}

/// What becomes of the moments after `after` up to `until`, which nobody decided in time;
/// returns the last of them.
fn catch_up(
    steps: &mut Vec<Step>,
    definition: &ScheduleDefinition,
    moments: &Moments,
    after: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    if until <= after {
        return None;
    }
    let last = moments.last_in(after, until)?;
    let opens = minus(now, definition.catch_up_window).max(after);
    let kept = match definition.catch_up {
        CatchUp::None => VecDeque::new(),
        CatchUp::One => newest(moments, opens, until, 1),
        CatchUp::All => newest(moments, opens, until, MAX_CAUGHT_UP),
    };
    let mut miss = |after, until, reason| {
        let missed = moments.missed(after, until);
        steps.extend(missed.map(|missed| Step::Miss { missed, reason }));
    };
    if definition.catch_up == CatchUp::None {
        miss(after, until, SkipReason::CatchUp);
    } else {
        miss(after, opens.min(until), SkipReason::Window);
        let first_kept = kept.front().map_or(until, |kept| before(kept.at));
        miss(opens, first_kept, SkipReason::CatchUp);
    }
    steps.extend(kept.into_iter().map(|firing| fire(firing, true, now)));
    Some(last.at)
}

/// The newest `count` moments after `after` and not after `until`, in order.
fn newest(moments: &Moments, after: Timestamp, until: Timestamp, count: usize) -> VecDeque<Firing> {
    let mut kept = VecDeque::new();
    let mut until = until;
    while kept.len() < count
        && let Some(firing) = moments.last_in(after, until)
    {
        until = before(firing.at);
        kept.push_front(firing);
    }
    kept
}

fn fire(firing: Firing, caught_up: bool, now: Timestamp) -> Step {
    Step::Fire {
        firing,
        action: ActionId::draw(now),
        caught_up,
    }
}

/// The moment `duration` earlier.
fn minus(moment: Timestamp, duration: Duration) -> Timestamp {
    let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp(moment.0.saturating_sub(ms))
}

/// The last millisecond before.
fn before(moment: Timestamp) -> Timestamp {
    Timestamp(moment.0.saturating_sub(1))
}
