//! Schedules: made, paused and taken away; their ticks decided once.

mod pause;

use std::time::Duration;

use jobhook_protocol::Status;

use crate::action::ActionId;
use crate::clock::Timestamp;
use crate::cron::Firing;
use crate::ledger::Answer;
use crate::schedule::plan::{Decision, Missed, Step};
use crate::schedule::{
    Overlap, Schedule, ScheduleDefinition, SkipReason, Source, Tick, TickOutcome, TickQuery,
};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{PauseSchedule, PutSchedule, Refusal, Ticked, Untaken, Write, Written};

pub use pause::*;

const NAME: &str = "nightly";

fn definition(overlap: Overlap) -> ScheduleDefinition {
    ScheduleDefinition {
        cron: "* * * * *".into(),
        timezone: "UTC".into(),
        action_type: "Echo".into(),
        arguments: Some(json(r#"{"b":1, "a":[1.0]}"#)),
        attempts: 3,
        overlap,
        catch_up_window: Duration::from_secs(3600),
        start: Some(after(-5)),
        ..ScheduleDefinition::default()
    }
}

async fn put_by(clerk: &Clerk, definition: ScheduleDefinition, source: Source) -> Answer {
    let name = NAME.to_owned();
    let put = PutSchedule {
        name,
        definition,
        source,
    };
    clerk.write(Write::PutSchedule(Box::new(put))).await
}

async fn put(clerk: &Clerk, overlap: Overlap) -> Schedule {
    let answer = put_by(clerk, definition(overlap), Source::Api).await;
    schedule_of(answer)
}

/// Puts the schedule an hour ago, so that its first hour has passed.
async fn start(clerk: &Clerk, overlap: Overlap) -> Schedule {
    put(&clerk.at(minute(0)), overlap).await
}

/// The n-th minute since [`start`].
const fn minute(n: i64) -> Timestamp {
    after((n - 60) * 60_000)
}

#[track_caller]
fn schedule_of(answer: Answer) -> Schedule {
    match answer {
        Ok(Written::Schedule(schedule)) => *schedule,
        other => panic!("answered with {other:?}"),
    }
}

fn firing(n: i64) -> Firing {
    Firing {
        at: minute(n),
        local: format!("minute {n}"),
        fold: 0,
    }
}

/// The minute fires.
fn decision(schedule: &Schedule, n: i64) -> Decision {
    Decision {
        schedule: schedule.name.clone(),
        revision: schedule.revision,
        watermark: schedule.watermark,
        decided: minute(n),
        steps: vec![Step::Fire {
            firing: firing(n),
            action: ActionId::draw(NOW),
            caught_up: false,
        }],
    }
}

#[track_caller]
fn ticked(answer: Answer) -> Ticked {
    match answer {
        Ok(Written::Ticked(ticked)) => *ticked,
        other => panic!("answered with {other:?}"),
    }
}

/// Decides a minute from what is stored.
async fn tick(clerk: &Clerk, n: i64) -> Tick {
    let decision = decision(&stored(clerk).await, n);
    let answer = clerk.write(Write::Tick(Box::new(decision))).await;
    ticked(answer).ticks.remove(0)
}

async fn run(clerk: &Clerk) -> Answer {
    let (name, by) = (NAME.to_owned(), "ann".to_owned());
    let action = ActionId::draw(NOW);
    clerk.write(Write::RunSchedule { name, action, by }).await
}

async fn stored(clerk: &Clerk) -> Schedule {
    clerk.store().schedule(NAME).await.unwrap().unwrap()
}

async fn history(clerk: &Clerk) -> Vec<Tick> {
    let query = TickQuery {
        schedule: NAME.to_owned(),
        before: None,
        limit: 100,
    };
    clerk.store().ticks(&query).await.unwrap()
}

async fn outcomes(clerk: &Clerk) -> Vec<TickOutcome> {
    let ticks = history(clerk).await.into_iter().rev();
    ticks.map(|tick| tick.outcome).collect()
}

#[track_caller]
fn launched(tick: &Tick) -> ActionId {
    match tick.outcome {
        TickOutcome::Launched(action) => action,
        other => panic!("the tick is {other:?}"),
    }
}

async fn pause(clerk: &Clerk) -> Answer {
    pause_by(clerk, "ann", Some("holidays"), None).await
}

async fn pause_by(clerk: &Clerk, by: &str, note: Option<&str>, untaken: Option<Untaken>) -> Answer {
    let pause = PauseSchedule {
        name: NAME.to_owned(),
        by: by.to_owned(),
        note: note.map(str::to_owned),
        untaken,
    };
    clerk.write(Write::PauseSchedule(Box::new(pause))).await
}

async fn delete(clerk: &Clerk, source: Source) -> Answer {
    let name = NAME.to_owned();
    clerk.write(Write::DeleteSchedule { name, source }).await
}

pub async fn a_schedule_reads_back_whole_and_starts_from_now(clerk: Clerk) {
    let schedule = put(&clerk, Overlap::Queue).await;
    assert_eq!((schedule.revision, schedule.watermark), (1, NOW));
    assert_eq!(schedule.definition, definition(Overlap::Queue));
    assert_eq!(stored(&clerk).await, schedule);
    assert_eq!(clerk.store().schedules().await.unwrap(), [schedule]);
}

pub async fn the_same_definition_again_changes_nothing(clerk: Clerk) {
    let schedule = put(&clerk, Overlap::Skip).await;
    assert_eq!(put(&clerk.at(after(9)), Overlap::Skip).await, schedule);
}

pub async fn a_changed_definition_is_a_new_revision_from_now(clerk: Clerk) {
    put(&clerk, Overlap::Skip).await;
    let changed = put(&clerk.at(after(9)), Overlap::Allow).await;
    assert_eq!((changed.revision, changed.watermark), (2, after(9)));
    let set_back = put(&clerk.at(after(-9)), Overlap::Skip).await;
    assert_eq!((set_back.revision, set_back.watermark), (3, after(9)));
}

pub async fn what_the_configuration_made_only_it_changes(clerk: Clerk) {
    let config = put_by(&clerk, definition(Overlap::Skip), Source::Config).await;
    config.unwrap();
    let other = put_by(&clerk, definition(Overlap::Allow), Source::Api).await;
    assert_eq!(other, Err(Refusal::Configured));
    assert_eq!(delete(&clerk, Source::Api).await, Err(Refusal::Configured));
    pause(&clerk).await.unwrap();
    delete(&clerk, Source::Config).await.unwrap();
}

pub async fn a_deleted_schedule_is_gone_and_its_history_stays(clerk: Clerk) {
    start(&clerk, Overlap::Skip).await;
    tick(&clerk, 1).await;
    delete(&clerk, Source::Api).await.unwrap();
    assert_eq!(clerk.store().schedule(NAME).await.unwrap(), None);
    assert_eq!(clerk.store().schedules().await.unwrap(), []);
    assert_eq!(history(&clerk).await.len(), 1);
    let again = delete(&clerk, Source::Api).await;
    assert_eq!(again, Err(Refusal::NoSchedule));
    let again = start(&clerk, Overlap::Skip).await;
    assert_eq!((again.revision, again.ticks), (2, 1));
}

pub async fn a_tick_launches_what_the_schedule_says(clerk: Clerk) {
    start(&clerk, Overlap::Skip).await;
    let tick = tick(&clerk, 1).await;
    let action = clerk.action(launched(&tick)).await;
    assert_eq!(action.schedule.as_deref(), Some(NAME));
    assert_eq!(action.arguments, definition(Overlap::Skip).arguments);
    assert_eq!((action.attempts, action.status), (3, Status::Queued));
    assert_eq!(action.scheduled, Some(minute(1)));
    assert_eq!(stored(&clerk).await.watermark, minute(1));
    assert_eq!(history(&clerk).await, [tick]);
}

pub async fn a_moment_is_decided_once(clerk: Clerk) {
    let schedule = start(&clerk, Overlap::Allow).await;
    let decide = |n| Write::Tick(Box::new(decision(&schedule, n)));
    let answers = clerk.batch(&[decide(1), decide(1)]).await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(Refusal::ScheduleMoved));
    assert_eq!(clerk.write(decide(2)).await, Err(Refusal::ScheduleMoved));
    // The key holds even where a watermark does not.
    let mut again = decision(&stored(&clerk).await, 2);
    again.steps = decision(&schedule, 1).steps;
    let again = clerk.write(Write::Tick(Box::new(again))).await;
    assert_eq!(ticked(again).ticks, []);
    assert_eq!(clerk.claim_ids(5).await.len(), 1);
}

pub async fn an_older_revision_does_not_fire(clerk: Clerk) {
    let schedule = start(&clerk, Overlap::Skip).await;
    start(&clerk, Overlap::Allow).await;
    let old = clerk.write(Write::Tick(Box::new(decision(&schedule, 1))));
    assert_eq!(old.await, Err(Refusal::ScheduleMoved));
    assert_eq!(clerk.claim_ids(5).await, []);
}

pub async fn many_missed_moments_are_one_tick(clerk: Clerk) {
    let schedule = start(&clerk, Overlap::Skip).await;
    let missed = Missed {
        first: minute(1),
        last: firing(59),
        count: 59,
        more: false,
    };
    let mut decision = decision(&schedule, 60);
    let reason = SkipReason::CatchUp;
    decision.steps.insert(0, Step::Miss { missed, reason });
    let ticks = ticked(clerk.write(Write::Tick(Box::new(decision))).await).ticks;
    assert_eq!((ticks[0].count, ticks[0].first_at), (59, minute(1)));
    assert_eq!(ticks[0].outcome, TickOutcome::Skipped(reason));
    launched(&ticks[1]);
    let newest_first: Vec<Tick> = ticks.into_iter().rev().collect();
    assert_eq!(history(&clerk).await, newest_first);
}

pub async fn skip_launches_nothing_beside_a_live_action(clerk: Clerk) {
    start(&clerk, Overlap::Skip).await;
    let first = launched(&tick(&clerk, 1).await);
    let skipped = TickOutcome::Skipped(SkipReason::Overlap);
    assert_eq!(tick(&clerk, 2).await.outcome, skipped);
    let at = clerk.take().await;
    // A final word does not free the place: the job still runs.
    clerk.say(at, says(Status::Success)).await;
    assert_eq!(tick(&clerk, 3).await.outcome, skipped);
    let refused = run(&clerk).await;
    assert_eq!(refused, Err(Refusal::Overlaps { action: first }));
    clerk.end(at, exited(0)).await;
    launched(&tick(&clerk, 4).await);
}

pub async fn a_pending_retry_is_live(clerk: Clerk) {
    start(&clerk, Overlap::Skip).await;
    tick(&clerk, 1).await;
    let at = clerk.take().await;
    clerk.end(at, exited(1)).await;
    let skipped = TickOutcome::Skipped(SkipReason::Overlap);
    assert_eq!(tick(&clerk, 2).await.outcome, skipped);
}

pub async fn allow_launches_beside_a_live_action(clerk: Clerk) {
    start(&clerk, Overlap::Allow).await;
    launched(&tick(&clerk, 1).await);
    launched(&tick(&clerk, 2).await);
    assert_eq!(clerk.claim_ids(5).await.len(), 2);
}

pub async fn queue_launches_one_when_the_one_before_closes(clerk: Clerk) {
    start(&clerk, Overlap::Queue).await;
    tick(&clerk, 1).await;
    let waits = [tick(&clerk, 2).await, tick(&clerk, 3).await];
    let queued = waits.map(|tick| match tick.outcome {
        TickOutcome::Queued(action) => action,
        other => panic!("the tick is {other:?}"),
    });
    assert_eq!(stored(&clerk).await.queued, 2);
    let at = clerk.take().await;
    clerk.say(at, says(Status::Success)).await;
    assert_eq!(clerk.claim_ids(5).await, []);
    clerk.end(at, exited(0)).await;
    let at = clerk.take().await;
    assert_eq!(at.action, queued[0]);
    assert_eq!(stored(&clerk).await.queued, 1);
    clerk.cancel(at.action).await.unwrap();
    assert_eq!(clerk.claim_ids(5).await, []);
    clerk.end(at, exited(0)).await;
    // One that is cancelled before it was taken makes way at once.
    tick(&clerk, 4).await;
    clerk.cancel(queued[1]).await.unwrap();
    let at = clerk.take().await;
    assert_eq!(clerk.action(at.action).await.scheduled, Some(minute(4)));
    assert_eq!(stored(&clerk).await.queued, 0);
    for outcome in outcomes(&clerk).await {
        assert!(matches!(outcome, TickOutcome::Launched(_)), "{outcome:?}");
    }
}

pub async fn cancel_running_cancels_the_one_before_and_starts_when_it_has_closed(clerk: Clerk) {
    start(&clerk, Overlap::CancelRunning).await;
    let first = launched(&tick(&clerk, 1).await);
    // What has not started makes way at once.
    let second = launched(&tick(&clerk, 2).await);
    assert_eq!(clerk.action(first).await.status, Status::Cancelled);
    let at = clerk.take().await;
    assert_eq!(at.action, second);
    let schedule = stored(&clerk).await;
    let answer = clerk
        .write(Write::Tick(Box::new(decision(&schedule, 3))))
        .await;
    assert_eq!(ticked(answer).cancelled, [second]);
    tick(&clerk, 4).await;
    assert!(clerk.action(second).await.cancel.is_some());
    assert_eq!(clerk.claim_ids(5).await, []);
    clerk.end(at, exited(0)).await;
    let last = clerk.take().await;
    let replaced = TickOutcome::Skipped(SkipReason::Replaced);
    let all = [first, second].map(TickOutcome::Launched).into_iter();
    let all: Vec<_> = all
        .chain([replaced, TickOutcome::Launched(last.action)])
        .collect();
    assert_eq!(outcomes(&clerk).await, all);
}

pub async fn what_waits_is_skipped_when_the_schedule_is_deleted(clerk: Clerk) {
    start(&clerk, Overlap::Queue).await;
    tick(&clerk, 1).await;
    tick(&clerk, 2).await;
    delete(&clerk, Source::Api).await.unwrap();
    let at = clerk.take().await;
    clerk.cancel(at.action).await.unwrap();
    clerk.end(at, exited(0)).await;
    assert_eq!(clerk.claim_ids(5).await, []);
    let deleted = TickOutcome::Skipped(SkipReason::Deleted);
    assert_eq!(outcomes(&clerk).await[1], deleted);
}

pub async fn a_run_by_hand_is_a_tick_of_its_own(clerk: Clerk) {
    start(&clerk, Overlap::Allow).await;
    pause(&clerk).await.unwrap();
    let ran = ticked(run(&clerk).await).ticks.remove(0);
    assert_eq!(ran.run_by.as_deref(), Some("ann"));
    assert_eq!(ran.key.local, "run-1");
    launched(&ran);
    assert_eq!(ticked(run(&clerk).await).ticks[0].key.local, "run-2");
    assert_eq!(stored(&clerk).await.watermark, minute(0));
    assert_eq!(history(&clerk).await[1], ran);
}

pub async fn an_unknown_schedule_is_refused(clerk: Clerk) {
    assert_eq!(pause(&clerk).await, Err(Refusal::NoSchedule));
    assert_eq!(run(&clerk).await, Err(Refusal::NoSchedule));
    assert_eq!(delete(&clerk, Source::Api).await, Err(Refusal::NoSchedule));
    assert_eq!(history(&clerk).await, []);
}

pub async fn a_page_of_ticks_goes_back_from_the_newest(clerk: Clerk) {
    start(&clerk, Overlap::Skip).await;
    for n in 1..6 {
        tick(&clerk, n).await;
    }
    let page = |before| TickQuery {
        schedule: NAME.to_owned(),
        before,
        limit: 2,
    };
    let numbers = async |before| {
        let ticks = clerk.store().ticks(&page(before)).await.unwrap();
        ticks.iter().map(|tick| tick.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None).await, [5, 4]);
    assert_eq!(numbers(Some(4)).await, [3, 2]);
    assert_eq!(numbers(Some(2)).await, [1]);
}
