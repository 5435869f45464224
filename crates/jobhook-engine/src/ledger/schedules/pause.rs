//! A schedule is kept from firing, and let go on.
//!
//! What it misses meanwhile is one tick of its history. What it had missed before, because no
//! runner took what it launches, is another: nobody paused it then.

use super::{Answer, Rows, edit, record_missed, standing, written};
use crate::clock::Timestamp;
use crate::schedule::plan::Missed;
use crate::schedule::{PauseNote, SkipReason, TickKey};
use crate::write::{PauseSchedule, Refusal, ResumeSchedule};

pub(super) fn pause(rows: &mut Rows, pause: &PauseSchedule, now: Timestamp) -> Answer {
    let schedule = standing(rows, &pause.name)?;
    let stands = (schedule.revision, schedule.watermark);
    if let Some(untaken) = &pause.untaken {
        if (untaken.revision, untaken.watermark) != stands {
            return Err(Refusal::ScheduleMoved);
        }
        miss(
            rows,
            &pause.name,
            &untaken.missed,
            SkipReason::NoRunner,
            now,
        )?;
    }
    let schedule = edit(rows, &pause.name)?;
    let before = schedule.paused.take();
    schedule.paused = Some(match (before, &pause.note) {
        // Who has nothing to add takes nothing away.
        (Some(before), None) => before,
        (before, note) => PauseNote {
            at: before.map_or(now, |before| before.at),
            by: pause.by.clone(),
            note: note.clone(),
        },
    });
    schedule.updated_at = now;
    Ok(written(rows, &pause.name))
}

pub(super) fn resume(rows: &mut Rows, resume: &ResumeSchedule, now: Timestamp) -> Answer {
    let schedule = standing(rows, &resume.name)?;
    if schedule.paused.is_none() {
        return Err(Refusal::NotPaused);
    }
    if (schedule.revision, schedule.watermark) != (resume.revision, resume.watermark) {
        return Err(Refusal::ScheduleMoved);
    }
    let schedule = edit(rows, &resume.name)?;
    schedule.paused = None;
    schedule.updated_at = now;
    schedule.watermark = schedule.watermark.max(now);
    if let Some(missed) = &resume.missed {
        miss(rows, &resume.name, missed, SkipReason::Paused, now)?;
    }
    Ok(written(rows, &resume.name))
}

/// Decides that moments were missed, once.
fn miss(
    rows: &mut Rows,
    name: &str,
    missed: &Missed,
    reason: SkipReason,
    now: Timestamp,
) -> Result<(), Refusal> {
    let schedule = edit(rows, name)?;
    schedule.watermark = schedule.watermark.max(missed.last.at);
    let key = TickKey {
        schedule: name.to_owned(),
        revision: schedule.revision,
        local: missed.last.local.clone(),
        fold: missed.last.fold,
    };
    if !rows.ticks.contains_key(&key) {
        record_missed(rows, key, missed, reason, now);
    }
    Ok(())
}
