//! Schedules from outside: put, delete, pause, resume, run.

use super::{Engine, EngineError, unexpected};
use crate::action::ActionId;
use crate::ledger::Answer;
use crate::runner::{TypeFilter, untaken};
use crate::schedule::plan::{Moments, missed_until};
use crate::schedule::{Schedule, ScheduleDefinition, Source, Tick, is_name};
use crate::write::{PauseSchedule, PutSchedule, Refusal, ResumeSchedule, Untaken, Write, Written};

/// Checks what would be put where runners take `types`: what [`Engine::check_schedule`] says,
/// for who has no engine.
///
/// # Errors
///
/// [`EngineError`]: [`EngineError::ScheduleName`], [`EngineError::Cron`],
/// [`EngineError::ScheduleEndsFirst`], [`EngineError::NoRunner`].
pub fn check_schedule<'t>(
    name: &str,
    definition: &ScheduleDefinition,
    types: impl Iterator<Item = &'t TypeFilter> + Clone,
) -> Result<Moments, EngineError> {
    if !is_name(name) {
        return Err(EngineError::ScheduleName(name.to_owned()));
    }
    let moments = Moments::of(definition)?;
    if definition.ends_first() {
        return Err(EngineError::ScheduleEndsFirst);
    }
    match untaken(&definition.action_type, types) {
        Some(why) => Err(EngineError::NoRunner(why)),
        None => Ok(moments),
    }
}

impl Engine {
    /// Checks what would be put: its name, its times, and that a runner takes what it launches.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`EngineError::ScheduleName`], [`EngineError::Cron`],
    /// [`EngineError::ScheduleEndsFirst`], [`EngineError::NoRunner`].
    pub fn check_schedule(
        &self,
        name: &str,
        definition: &ScheduleDefinition,
    ) -> Result<Moments, EngineError> {
        check_schedule(name, definition, self.types())
    }

    /// Makes or changes a schedule. A new or changed one starts from now; the same definition
    /// again changes nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: what [`Engine::check_schedule`] says, [`Refusal::Configured`] or the
    /// store's.
    pub async fn put_schedule(
        &self,
        name: &str,
        definition: ScheduleDefinition,
        source: Source,
    ) -> Result<Schedule, EngineError> {
        self.check_schedule(name, &definition)?;
        let put = PutSchedule {
            name: name.to_owned(),
            definition,
            source,
        };
        let write = Write::PutSchedule(Box::new(put));
        into_schedule(self.0.batcher.write(write).await?)
    }

    /// Takes a schedule away. Its actions and its history stay.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`Refusal::NoSchedule`], [`Refusal::Configured`] or the store's.
    pub async fn delete_schedule(
        &self,
        name: &str,
        source: Source,
    ) -> Result<Schedule, EngineError> {
        let name = name.to_owned();
        let write = Write::DeleteSchedule { name, source };
        into_schedule(self.0.batcher.write(write).await?)
    }

    /// Why a schedule cannot fire, whatever the time: no runner takes what it launches, or its
    /// times cannot be read. `None` if it can.
    pub fn blocked(&self, definition: &ScheduleDefinition) -> Option<String> {
        let unreadable = || Moments::of(definition).err().map(|error| error.to_string());
        untaken(&definition.action_type, self.types()).or_else(unreadable)
    }

    /// Keeps a schedule from firing until it is resumed.
    ///
    /// - `by`: the name of the token that asks, or `local`.
    /// - `note`: why; `None` leaves the note that is there.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`Refusal::NoSchedule`] or the store's.
    pub async fn pause_schedule(
        &self,
        name: &str,
        by: String,
        note: Option<String>,
    ) -> Result<Schedule, EngineError> {
        loop {
            let schedule = self.0.store.schedule(name).await?;
            let schedule = schedule.ok_or(Refusal::NoSchedule)?;
            let pause = PauseSchedule {
                name: name.to_owned(),
                by: by.clone(),
                note: note.clone(),
                untaken: self.untaken(&schedule),
            };
            let write = Write::PauseSchedule(Box::new(pause));
            match self.0.batcher.write(write).await? {
                // It was changed between the reading and the writing.
                Err(Refusal::ScheduleMoved) => {}
                answer => return into_schedule(answer),
            }
        }
    }

    /// What a schedule has missed so far because no runner takes what it launches.
    fn untaken(&self, schedule: &Schedule) -> Option<Untaken> {
        let definition = &schedule.definition;
        if schedule.paused.is_some() || self.0.takes(&definition.action_type) {
            return None;
        }
        // What is still on time another server may decide.
        let until = missed_until(definition, self.0.clock.now());
        let moments = Moments::of(definition).ok()?;
        Some(Untaken {
            revision: schedule.revision,
            watermark: schedule.watermark,
            missed: moments.missed(schedule.watermark, until)?,
        })
    }

    /// Lets a schedule fire from now on. What it missed while it was paused is one skipped tick
    /// of its history, and is not caught up.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`Refusal::NoSchedule`], [`Refusal::NotPaused`] or the store's.
    pub async fn resume_schedule(&self, name: &str) -> Result<Schedule, EngineError> {
        loop {
            let schedule = self.0.store.schedule(name).await?;
            let schedule = schedule.ok_or(Refusal::NoSchedule)?;
            // Times that cannot be read were not missed.
            let missed = Moments::of(&schedule.definition)
                .ok()
                .and_then(|moments| moments.missed(schedule.watermark, self.0.clock.now()));
            let resume = ResumeSchedule {
                name: schedule.name,
                revision: schedule.revision,
                watermark: schedule.watermark,
                missed,
            };
            let write = Write::ResumeSchedule(Box::new(resume));
            match self.0.batcher.write(write).await? {
                // It was changed between the reading and the writing.
                Err(Refusal::ScheduleMoved) => {}
                answer => return into_schedule(answer),
            }
        }
    }

    /// Runs a schedule by hand, now, paused or not. Its `overlap` decides as it does for any
    /// tick, but a tick that would be skipped is refused instead.
    ///
    /// - `by`: the name of the token that asks, or `local`.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: [`Refusal::NoSchedule`], [`Refusal::Overlaps`],
    /// [`Refusal::QueueFull`], [`EngineError::NoRunner`] or the store's.
    pub async fn run_schedule(&self, name: &str, by: String) -> Result<Tick, EngineError> {
        let schedule = self.0.store.schedule(name).await?;
        let schedule = schedule.ok_or(Refusal::NoSchedule)?;
        if let Some(why) = untaken(&schedule.definition.action_type, self.types()) {
            return Err(EngineError::NoRunner(why));
        }
        let write = Write::RunSchedule {
            name: name.to_owned(),
            action: ActionId::draw(self.0.clock.now()),
            by,
        };
        match self.0.batcher.write(write).await?? {
            Written::Ticked(mut ticked) => ticked
                .ticks
                .pop()
                .ok_or_else(|| unexpected(&Written::Ticked(ticked))),
            other => Err(unexpected(&other)),
        }
    }
}

fn into_schedule(answer: Answer) -> Result<Schedule, EngineError> {
    match answer? {
        Written::Schedule(schedule) => Ok(*schedule),
        other => Err(unexpected(&other)),
    }
}
