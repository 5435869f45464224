//! Schedules at work, on a clock that the test moves.

use std::collections::HashSet;

use super::*;
use crate::schedule::{
    CatchUp, Overlap, Schedule, ScheduleDefinition, SkipReason, Source, Tick, TickOutcome,
};
use crate::testing::Clerk;
use crate::testing::store_suite::day::decided;

const MINUTE: Duration = Duration::from_secs(60);
/// A full hour.
const HOUR: Timestamp = Timestamp(1_700_002_800_000);
const NAME: &str = "each-minute";

fn each_minute() -> ScheduleDefinition {
    ScheduleDefinition {
        cron: "* * * * *".into(),
        timezone: "UTC".into(),
        action_type: "Any".into(),
        overlap: Overlap::Allow,
        catch_up: CatchUp::None,
        catch_up_window: 60 * MINUTE,
        ..ScheduleDefinition::default()
    }
}

/// A store and a clock, and the servers that come and go on them.
struct Place {
    store: Arc<MemoryStore>,
    clock: Arc<TestClock>,
}

impl Place {
    fn new() -> Place {
        Place {
            store: Arc::new(MemoryStore::new(LogLimits::default())),
            clock: Arc::new(TestClock::at(HOUR)),
        }
    }

    /// A server whose runner starts nothing.
    async fn server(&self) -> Bench {
        let (runner, _) = HandRunner::new("hand", TypeFilter::all(), 0);
        Bench::on(self.store.clone(), self.clock.clone(), vec![runner]).await
    }

    /// A server with one schedule.
    async fn with(definition: ScheduleDefinition) -> (Place, Bench) {
        let place = Place::new();
        let bench = place.server().await;
        bench.put(definition).await;
        (place, bench)
    }

    async fn history(&self) -> Vec<Tick> {
        Clerk::new(self.store.clone()).history(NAME).await
    }

    async fn schedule(&self) -> Schedule {
        self.store.schedule(NAME).await.unwrap().unwrap()
    }

    /// Waits until everything up to now is decided, by whichever server.
    async fn decided(&self, servers: &[&Bench]) {
        let until = Timestamp(self.clock.now().0 / 60_000 * 60_000);
        let engines: Vec<_> = servers.iter().map(|server| &server.engine).collect();
        decided(&*self.store, NAME, until, &engines).await;
    }
}

impl Bench {
    async fn put(&self, definition: ScheduleDefinition) -> Schedule {
        let put = self.engine.put_schedule(NAME, definition, Source::Api);
        put.await.unwrap()
    }
}

fn is_launched(tick: &Tick) -> bool {
    matches!(tick.outcome, TickOutcome::Launched(_))
}

/// What a tick stands for, in short: how many moments, what became of them, caught up or not.
fn short(ticks: &[Tick]) -> Vec<(u64, Option<SkipReason>, bool)> {
    let short = |tick: &Tick| match tick.outcome {
        TickOutcome::Launched(_) => (tick.count, None, tick.caught_up),
        TickOutcome::Skipped(reason) => (tick.count, Some(reason), tick.caught_up),
        TickOutcome::Queued(_) => panic!("{tick:?} waits"),
    };
    ticks.iter().map(short).collect()
}

#[tokio::test]
async fn after_an_hour_off_catch_up_decides_and_the_history_says_so() {
    const MISSED: Option<SkipReason> = Some(SkipReason::CatchUp);
    const TOO_OLD: Option<SkipReason> = Some(SkipReason::Window);
    let caught_up = (1, None, true);
    let on_time = (1, None, false);
    let half = 30 * MINUTE;
    for (catch_up, window, expected) in [
        (CatchUp::None, half, vec![(59, MISSED, false), on_time]),
        (
            CatchUp::One,
            half,
            vec![
                (30, TOO_OLD, false),
                (28, MISSED, false),
                caught_up,
                on_time,
            ],
        ),
        (
            CatchUp::All,
            half,
            [
                vec![(30, TOO_OLD, false)],
                vec![caught_up; 29],
                vec![on_time],
            ]
            .concat(),
        ),
        (
            CatchUp::One,
            Duration::ZERO,
            vec![(59, TOO_OLD, false), on_time],
        ),
        (
            CatchUp::All,
            60 * MINUTE,
            [vec![caught_up; 59], vec![on_time]].concat(),
        ),
    ] {
        let (place, server) = Place::with(ScheduleDefinition {
            catch_up,
            catch_up_window: window,
            ..each_minute()
        })
        .await;
        server.engine.stop().await;
        place.clock.advance(60 * MINUTE);
        let server = place.server().await;
        place.decided(&[&server]).await;
        let ticks = place.history().await;
        assert_eq!(short(&ticks), expected, "{catch_up:?} {window:?}");
        // Nothing that was missed is looked at again.
        place.clock.advance(MINUTE);
        place.decided(&[&server]).await;
        assert_eq!(place.history().await.len(), ticks.len() + 1);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_an_hour_fires_nothing_twice() {
    let (place, server) = Place::with(each_minute()).await;
    for _ in 0..3 {
        place.clock.advance(MINUTE);
        place.decided(&[&server]).await;
    }
    place.clock.set(Timestamp(HOUR.0 - 57 * 60_000));
    let late = place.server().await;
    for _ in 0..60 {
        place.clock.advance(MINUTE);
    }
    // The hour is over, and the next new minute is the first to fire.
    place.clock.advance(MINUTE);
    place.decided(&[&server, &late]).await;
    let times: Vec<i64> = place
        .history()
        .await
        .iter()
        .map(|tick| (tick.at.0 - HOUR.0) / 60_000)
        .collect();
    assert_eq!(times, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_paused_schedule_misses_its_ticks_and_catches_nothing_up() {
    let (place, server) = Place::with(ScheduleDefinition {
        catch_up: CatchUp::All,
        ..each_minute()
    })
    .await;
    let note = Some("holidays".to_owned());
    let engine = &server.engine;
    engine
        .pause_schedule(NAME, "ann".into(), note)
        .await
        .unwrap();
    place.clock.advance(10 * MINUTE);
    assert_eq!(place.history().await, []);
    engine.resume_schedule(NAME).await.unwrap();
    let paused = Some(SkipReason::Paused);
    assert_eq!(short(&place.history().await), [(10, paused, false)]);
    place.clock.advance(MINUTE);
    place.decided(&[&server]).await;
    assert_eq!(
        short(&place.history().await),
        [(10, paused, false), (1, None, false)]
    );
}

#[tokio::test]
async fn a_new_revision_fires_from_now_on_and_the_old_one_no_more() {
    let (place, server) = Place::with(each_minute()).await;
    place.clock.advance(MINUTE);
    place.decided(&[&server]).await;
    let changed = ScheduleDefinition {
        cron: "*/2 * * * *".into(),
        ..each_minute()
    };
    server.put(changed).await;
    for _ in 0..3 {
        place.clock.advance(MINUTE);
        let minute = (place.clock.now().0 - HOUR.0) / 60_000;
        if minute % 2 == 0 {
            place.decided(&[&server]).await;
        }
    }
    let fired: Vec<(u32, i64)> = place
        .history()
        .await
        .iter()
        .map(|tick| (tick.key.revision, (tick.at.0 - HOUR.0) / 60_000))
        .collect();
    assert_eq!(fired, [(1, 1), (2, 2), (2, 4)]);
}

#[tokio::test]
async fn a_jittered_tick_is_launched_later_and_keeps_its_moment() {
    let (place, server) = Place::with(ScheduleDefinition {
        jitter: Duration::from_secs(50),
        ..each_minute()
    })
    .await;
    for _ in 0..20 {
        place.clock.advance(MINUTE / 2);
        place.clock.advance(MINUTE / 2);
        place.clock.advance(Duration::from_secs(50));
        place.decided(&[&server]).await;
        place.clock.set(Timestamp(place.clock.now().0 - 50_000));
    }
    let ticks = place.history().await;
    assert!(ticks.iter().all(is_launched), "{ticks:?}");
    assert!(ticks.iter().all(|tick| tick.at.0 % 60_000 == 0));
    let moments: HashSet<_> = ticks.iter().map(|tick| tick.at).collect();
    assert_eq!((ticks.len(), moments.len()), (20, 20));
}

#[tokio::test]
async fn a_run_by_hand_does_not_touch_the_next_moment() {
    let (place, server) = Place::with(each_minute()).await;
    let tick = server
        .engine
        .run_schedule(NAME, "ann".into())
        .await
        .unwrap();
    assert_eq!(
        (tick.run_by.as_deref(), is_launched(&tick)),
        (Some("ann"), true)
    );
    assert_eq!(place.schedule().await.watermark, HOUR);
    place.clock.advance(MINUTE);
    place.decided(&[&server]).await;
    assert_eq!(place.history().await.len(), 2);
}

#[tokio::test]
async fn cancel_running_stops_the_job_before_and_starts_the_next_when_it_is_gone() {
    let place = Place::new();
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 5);
    let server = Bench::on(place.store.clone(), place.clock.clone(), vec![runner]).await;
    server
        .put(ScheduleDefinition {
            overlap: Overlap::CancelRunning,
            ..each_minute()
        })
        .await;
    place.clock.advance(MINUTE);
    let mut first = next_started(&mut jobs).await;
    place.clock.advance(MINUTE);
    assert!(first.stopped().await.is_some());
    assert!(jobs.try_recv().is_err(), "the next one waits");
    first.exits(0, place.clock.now()).await;
    let second = next_started(&mut jobs).await;
    let action = place.store.action(second.start.attempt.action).await;
    let moment = Timestamp(HOUR.0 + 120_000);
    assert_eq!(action.unwrap().unwrap().scheduled, Some(moment));
}

#[tokio::test]
async fn a_schedule_that_makes_no_sense_is_refused_and_not_stored() {
    let place = Place::new();
    let (runner, _) = HandRunner::new("hand", TypeFilter::only(["Any"]), 1);
    let server = Bench::on(place.store.clone(), place.clock.clone(), vec![runner]).await;
    let refused = async |name: &str, change: fn(&mut ScheduleDefinition)| {
        let mut definition = each_minute();
        change(&mut definition);
        let put = server.engine.put_schedule(name, definition, Source::Api);
        put.await.unwrap_err()
    };
    for cron in ["* * * *", "* * * * * * * *", "* * 31 2 *"] {
        let mut definition = each_minute();
        definition.cron = cron.into();
        let put = server.engine.put_schedule(NAME, definition, Source::Api);
        let error = put.await.unwrap_err();
        assert!(matches!(error, EngineError::Cron(_)), "{cron}: {error}");
    }
    let error = refused(NAME, |one| one.timezone = "Mars/Olympus".into()).await;
    assert!(error.to_string().contains("Mars/Olympus"), "{error}");
    let error = refused(NAME, |one| one.action_type = "Other".into()).await;
    assert!(error.to_string().contains("`Other`"), "{error}");
    let error = refused("../x", |_| {}).await;
    assert!(matches!(error, EngineError::ScheduleName(_)), "{error}");
    assert_eq!(place.store.schedules().await.unwrap(), []);
}

#[tokio::test]
async fn what_no_runner_takes_is_blocked_and_a_pause_does_not_take_the_blame() {
    let place = Place::new();
    let server = place.server().await;
    server.put(each_minute()).await;
    assert_eq!(server.engine.blocked(&each_minute()), None);
    server.engine.stop().await;
    let (runner, _) = HandRunner::new("hand", TypeFilter::only(["Other"]), 1);
    let server = Bench::on(place.store.clone(), place.clock.clone(), vec![runner]).await;
    let why = server.engine.blocked(&each_minute()).unwrap();
    assert!(why.starts_with("no runner takes the type `Any`: "), "{why}");
    place.clock.advance(5 * MINUTE + MINUTE / 2);
    let engine = &server.engine;
    let pause = async |name: &str| {
        engine
            .pause_schedule(NAME, name.into(), None)
            .await
            .unwrap()
    };
    pause("ann").await;
    let untaken = (5, Some(SkipReason::NoRunner), false);
    assert_eq!(short(&place.history().await), [untaken]);
    // Nothing is missed for this reason once it is paused.
    place.clock.advance(2 * MINUTE);
    pause("bob").await;
    assert_eq!(short(&place.history().await), [untaken]);
    engine.resume_schedule(NAME).await.unwrap();
    let paused = (2, Some(SkipReason::Paused), false);
    assert_eq!(short(&place.history().await), [untaken, paused]);
}
