//! From wall times to moments, across the changes of a zone's offset.
//!
//! Time is cut where the offset changes. Within one stretch, wall time and time are the same
//! but for a constant, and croner finds the next or previous wall time that matches. Between
//! two stretches lies a gap or a fold:
//!
//! ```text
//! gap    01:59:59 │ 03:00:00      fixed times of 02:00..03:00 fire at the line, as one
//! fold   02:59:59 │ 02:00:00      of the second 02:00..03:00, fixed times do not fire again
//! ```
//!
//! Expressions that are not fixed take each stretch as it is.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneTransition};
use jiff::{SignedDuration, Timestamp as Moment};

use super::{Cron, Firing};
use crate::clock::Timestamp;

/// The line between two stretches.
struct Line {
    at: Moment,
    before: Offset,
    after: Offset,
    /// What the clocks would have shown, had the offset not changed.
    old: DateTime,
    /// What they show.
    new: DateTime,
}

pub(super) fn forward(cron: &Cron, after: Timestamp) -> Option<Firing> {
    let after = moment(after);
    let zone = &cron.zone;
    let mut offset = zone.to_offset(after);
    // Where to look on, and whether the place itself counts.
    let mut from = (whole(offset.to_datetime(after)), false);
    if let Some(line) = line_at_or_before(zone, after) {
        let start = cron.start_of_stretch(&line);
        if start > from.0 {
            from = (start, true);
        }
    }
    let mut lines = zone.following(after);
    loop {
        let matching = cron.pattern.find_next_occurrence(&from.0, from.1).ok()?;
        let line = lines.next().map(|change| line(zone, &change));
        let at = offset.to_timestamp(matching).ok();
        let Some(line) = line else {
            return Some(cron.firing(at?, matching, offset));
        };
        if let Some(at) = at.filter(|at| *at < line.at) {
            return Some(cron.firing(at, matching, offset));
        }
        if matching < line.new
            && let Some(firing) = cron.firing_after_gap(&line)
        {
            return Some(firing);
        }
        from = (cron.start_of_stretch(&line), true);
        offset = line.after;
    }
}

pub(super) fn backward(cron: &Cron, after: Timestamp, until: Timestamp) -> Option<Firing> {
    if until <= after {
        return None;
    }
    let (after, until) = (moment(after), moment(until));
    let zone = &cron.zone;
    let mut offset = zone.to_offset(until);
    let mut from = (whole(offset.to_datetime(until)), true);
    let mut lines = zone.preceding(just_after(until));
    loop {
        let matching = cron
            .pattern
            .find_previous_occurrence(&from.0, from.1)
            .ok()?;
        let Some(line) = lines.next().map(|change| line(zone, &change)) else {
            let at = offset.to_timestamp(matching).ok()?;
            return (at > after).then(|| cron.firing(at, matching, offset));
        };
        let found = if matching >= cron.start_of_stretch(&line) {
            let at = offset.to_timestamp(matching).ok()?;
            Some((at, cron.firing(at, matching, offset)))
        } else {
            cron.firing_after_gap(&line).map(|firing| (line.at, firing))
        };
        if let Some((at, firing)) = found {
            return (at > after).then_some(firing);
        }
        if line.at <= after {
            return None;
        }
        from = (line.old, false);
        offset = line.before;
    }
}

impl Cron {
    /// The first wall time after `line` that counts.
    fn start_of_stretch(&self, line: &Line) -> DateTime {
        if self.fixed {
            line.new.max(line.old)
        } else {
            line.new
        }
    }

    /// What fires at `line` for the fixed times that it leaves out. Of several, the latest
    /// gives its name. A date that is left out as a whole has no times.
    fn firing_after_gap(&self, line: &Line) -> Option<Firing> {
        if !self.fixed || line.new <= line.old {
            return None;
        }
        let mut from = (line.new, true);
        loop {
            let named = self
                .pattern
                .find_previous_occurrence(&from.0, from.1)
                .ok()?;
            if named < line.old {
                return None;
            }
            if !left_out(line, named.date()) {
                return Some(Firing {
                    at: Timestamp(line.at.as_millisecond()),
                    local: named.to_string(),
                    fold: 0,
                });
            }
            from = (
                named.date().to_datetime(jiff::civil::Time::midnight()),
                false,
            );
        }
    }

    fn firing(&self, at: Moment, local: DateTime, offset: Offset) -> Firing {
        let fold = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Fold { before, .. } => u8::from(before != offset),
            _ => 0,
        };
        Firing {
            at: Timestamp(at.as_millisecond()),
            local: local.to_string(),
            fold,
        }
    }
}

/// Whether no moment of `date` exists, as of the 30th of December 2011 in Samoa.
fn left_out(line: &Line, date: Date) -> bool {
    let midnight = |date: Date| date.to_datetime(jiff::civil::Time::midnight());
    line.old <= midnight(date) && date.tomorrow().is_ok_and(|next| midnight(next) <= line.new)
}

fn line_at_or_before(zone: &TimeZone, moment: Moment) -> Option<Line> {
    let change = zone.preceding(just_after(moment)).next()?;
    Some(line(zone, &change))
}

fn line(zone: &TimeZone, change: &TimeZoneTransition<'_>) -> Line {
    let at = change.timestamp();
    let just_before = at
        .checked_sub(SignedDuration::from_nanos(1))
        .unwrap_or(Moment::MIN);
    let (before, after) = (zone.to_offset(just_before), change.offset());
    Line {
        at,
        before,
        after,
        old: before.to_datetime(at),
        new: after.to_datetime(at),
    }
}

/// Kept within the years that croner searches.
fn moment(at: Timestamp) -> Moment {
    const FIRST: Moment = Moment::constant(-62_135_596_800, 0); // 0001-01-01T00:00:00Z
    const LAST: Moment = Moment::constant(95_649_119_999, 0); // 5000-12-31T23:59:59Z
    let outside = if at.0 < 0 { FIRST } else { LAST };
    Moment::from_millisecond(at.0).map_or(outside, |moment| moment.clamp(FIRST, LAST))
}

fn just_after(moment: Moment) -> Moment {
    moment
        .checked_add(SignedDuration::from_nanos(1))
        .unwrap_or(Moment::MAX)
}

/// Without its fraction of a second.
fn whole(local: DateTime) -> DateTime {
    local.with().subsec_nanosecond(0).build().unwrap_or(local)
}
