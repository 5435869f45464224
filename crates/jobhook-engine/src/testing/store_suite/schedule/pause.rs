//! A schedule that is paused: what it says, what it misses, and what is launched all the same.

use super::*;
use crate::write::ResumeSchedule;

async fn resume(clerk: &Clerk, missed: Option<Missed>) -> Answer {
    let schedule = stored(clerk).await;
    let resume = ResumeSchedule {
        name: schedule.name,
        revision: schedule.revision,
        watermark: schedule.watermark,
        missed,
    };
    clerk.write(Write::ResumeSchedule(Box::new(resume))).await
}

async fn note(clerk: &Clerk) -> (String, Option<String>) {
    let note = stored(clerk).await.paused.unwrap();
    (note.by, note.note)
}

fn three_missed() -> Missed {
    Missed {
        first: minute(1),
        last: firing(3),
        count: 3,
        more: false,
    }
}

pub async fn a_paused_schedule_does_not_fire_and_its_history_says_so(clerk: Clerk) {
    let before = start(&clerk, Overlap::Queue).await;
    let paused = schedule_of(pause(&clerk).await);
    let note = paused.paused.clone().unwrap();
    assert_eq!(
        (note.by.as_str(), note.note.as_deref()),
        ("ann", Some("holidays"))
    );
    assert_eq!(stored(&clerk).await, paused);
    let tick = clerk.write(Write::Tick(Box::new(decision(&before, 1))));
    assert_eq!(tick.await, Err(Refusal::ScheduleMoved));
    let late = clerk.at(minute(5));
    let resumed = schedule_of(resume(&late, Some(three_missed())).await);
    assert_eq!((resumed.paused, resumed.watermark), (None, minute(5)));
    let ticks = history(&clerk).await;
    assert_eq!(ticks[0].outcome, TickOutcome::Skipped(SkipReason::Paused));
    assert_eq!((ticks.len(), ticks[0].count), (1, 3));
    assert_eq!(resume(&late, None).await, Err(Refusal::NotPaused));
}

pub async fn nothing_that_waits_is_launched_while_paused(clerk: Clerk) {
    start(&clerk, Overlap::Queue).await;
    tick(&clerk, 1).await;
    tick(&clerk, 2).await;
    pause(&clerk).await.unwrap();
    clerk.end(clerk.take().await, exited(0)).await;
    assert_eq!(clerk.claim_ids(5).await, []);
    resume(&clerk, None).await.unwrap();
    clerk.take().await;
}

pub async fn a_pause_without_a_note_leaves_the_note_that_is_there(clerk: Clerk) {
    let of = |by: &str, note: Option<&str>| (by.to_owned(), note.map(str::to_owned));
    start(&clerk, Overlap::Skip).await;
    pause_by(&clerk, "bob", None, None).await.unwrap();
    assert_eq!(note(&clerk).await, of("bob", None));
    pause(&clerk).await.unwrap();
    pause_by(&clerk, "bob", None, None).await.unwrap();
    assert_eq!(note(&clerk).await, of("ann", Some("holidays")));
    let answer = pause_by(&clerk, "bob", Some("counting"), None).await;
    answer.unwrap();
    assert_eq!(note(&clerk).await, of("bob", Some("counting")));
}

pub async fn what_no_runner_took_was_not_missed_by_a_pause(clerk: Clerk) {
    let before = start(&clerk, Overlap::Skip).await;
    let untaken = |schedule: &Schedule| Untaken {
        revision: schedule.revision,
        watermark: schedule.watermark,
        missed: three_missed(),
    };
    let at = clerk.at(minute(4));
    let paused = pause_by(&at, "ann", None, Some(untaken(&before))).await;
    assert_eq!(schedule_of(paused).watermark, minute(3));
    let ticks = history(&clerk).await;
    assert_eq!(ticks[0].outcome, TickOutcome::Skipped(SkipReason::NoRunner));
    assert_eq!((ticks.len(), ticks[0].count), (1, 3));
    let again = pause_by(&at, "ann", None, Some(untaken(&before))).await;
    assert_eq!(again, Err(Refusal::ScheduleMoved));
}

pub async fn a_run_by_hand_goes_past_what_a_pause_holds_back(clerk: Clerk) {
    start(&clerk, Overlap::Queue).await;
    tick(&clerk, 1).await;
    tick(&clerk, 2).await;
    pause(&clerk).await.unwrap();
    let wanted = ticked(run(&clerk).await).ticks.remove(0);
    let TickOutcome::Queued(action) = wanted.outcome else {
        panic!("{wanted:?} does not wait for the job that runs");
    };
    clerk.end(clerk.take().await, exited(0)).await;
    let at = clerk.take().await;
    assert_eq!(at.action, action);
    clerk.end(at, exited(0)).await;
    assert_eq!(clerk.claim_ids(5).await, []);
    // Now nothing runs, and only a moment is held back.
    launched(&ticked(run(&clerk).await).ticks[0]);
    clerk.end(clerk.take().await, exited(0)).await;
    assert_eq!(stored(&clerk).await.queued, 1);
    resume(&clerk, None).await.unwrap();
    let at = clerk.take().await;
    assert_eq!(clerk.action(at.action).await.scheduled, Some(minute(2)));
}

pub async fn where_a_newer_tick_replaces_an_older_one_a_run_by_hand_does_too(clerk: Clerk) {
    start(&clerk, Overlap::CancelRunning).await;
    tick(&clerk, 1).await;
    let at = clerk.take().await;
    tick(&clerk, 2).await;
    pause(&clerk).await.unwrap();
    clerk.end(at, exited(0)).await;
    assert_eq!(stored(&clerk).await.queued, 1);
    launched(&ticked(run(&clerk).await).ticks[0]);
    clerk.end(clerk.take().await, exited(0)).await;
    resume(&clerk, None).await.unwrap();
    assert_eq!(clerk.claim_ids(5).await, []);
    let replaced = TickOutcome::Skipped(SkipReason::Replaced);
    assert_eq!(outcomes(&clerk).await[1], replaced);
}
