use std::time::Duration;

use jobhook_engine::keyring::{Keyring, MasterKey};
use jobhook_engine::log::LogLimits;
use jobhook_engine::memory::MemoryStore;
use jobhook_engine::retention::Keep;
use jobhook_engine::store::ActionQuery;
use jobhook_engine::testing::{TestClock, factory};
use jobhook_engine::{Launch, Settings};
use tokio::sync::mpsc;

use super::*;

/// Longer than any of this takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);

/// An engine without runners: what is launched has failed at once.
fn engine() -> (Engine, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at(factory::NOW));
    let engine = Engine::new(
        Arc::new(MemoryStore::new(LogLimits::default())),
        Vec::new(),
        Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new()),
        clock.clone(),
        Settings::new("one", "http://127.0.0.1:1/async"),
    );
    (engine, clock)
}

async fn launch(engine: &Engine, count: usize) {
    let launches = (0..count).map(|_| Launch {
        action_type: "Nobody".into(),
        ..Launch::default()
    });
    let actions = engine.launch(launches.collect()).await.unwrap();
    assert!(actions.iter().all(|action| action.finished_at.is_some()));
}

async fn left(engine: &Engine) -> usize {
    let query = ActionQuery {
        limit: usize::MAX,
        ..ActionQuery::default()
    };
    engine.store().list(&query).await.unwrap().len()
}

fn rules() -> Retention {
    Retention::all(Keep {
        age: Some(DAY),
        count: None,
    })
}

#[tokio::test]
async fn what_is_beyond_retention_goes_however_much_it_is() {
    let (engine, clock) = engine();
    launch(&engine, AT_ONCE + 2).await;
    clock.advance(DAY / 2);
    launch(&engine, 1).await;
    prune(&engine, &rules(), &CancellationToken::new()).await;
    assert_eq!(left(&engine).await, AT_ONCE + 3);
    clock.advance(DAY / 2);
    prune(&engine, &rules(), &CancellationToken::new()).await;
    assert_eq!(left(&engine).await, 1);
}

#[tokio::test]
async fn a_server_that_stops_removes_nothing_more() {
    let (engine, clock) = engine();
    launch(&engine, 1).await;
    clock.advance(DAY);
    let stopping = CancellationToken::new();
    stopping.cancel();
    prune(&engine, &rules(), &stopping).await;
    assert_eq!(left(&engine).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chore_is_done_when_its_expression_fires_and_again() {
    let (engine, clock) = engine();
    launch(&engine, 1).await;
    clock.advance(DAY);
    let (done, mut fired) = mpsc::unbounded_channel();
    let pruned = engine.clone();
    let chore = Chore::new("prune", move |stopping| {
        let (engine, done) = (pruned.clone(), done.clone());
        Box::pin(async move {
            prune(&engine, &rules(), &stopping).await;
            let _ = done.send(());
        })
    });
    let each_second = Cron::parse("* * * * * *", "UTC").unwrap();
    let housekeeping = Housekeeping::begin([(each_second, chore)]).await.unwrap();
    for _ in 0..2 {
        let firing = tokio::time::timeout(PATIENCE, fired.recv()).await;
        assert_eq!(firing.expect("it fires"), Some(()));
    }
    assert_eq!(left(&engine).await, 0);
    housekeeping.stop().await;
}

#[tokio::test]
async fn a_chore_that_is_under_way_is_not_begun_twice_and_stopping_waits_for_it() {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let chore = Chore::new("runs", move |stopping: CancellationToken| {
        let sender = sender.clone();
        Box::pin(async move {
            stopping.cancelled().await;
            let _ = sender.send(());
        })
    });
    let housekeeping = Housekeeping::begin([]).await.unwrap();
    let (running, stopping) = (housekeeping.running.clone(), housekeeping.stopping.clone());
    assert!(chore.fire(&running, &stopping));
    assert!(!chore.fire(&running, &stopping));
    housekeeping.stop().await;
    assert_eq!(ended.try_recv(), Ok(()));
    assert!(!chore.fire(&running, &stopping), "all has stopped");
}

#[tokio::test]
async fn a_chore_that_panicked_is_begun_again() {
    let chore = Chore::new("runs", |_| Box::pin(async { panic!("on purpose") }));
    let (running, stopping) = (TaskTracker::new(), CancellationToken::new());
    assert!(chore.fire(&running, &stopping));
    running.close();
    running.wait().await;
    assert!(chore.fire(&running, &stopping));
}

#[tokio::test]
async fn nearly_every_kind_of_expression_can_be_scheduled() {
    for expression in [
        "17 * * * *",
        "*/10 * * * * *",
        "@weekly",
        "0 3 * * mon-FRI",
        "0 3 1,15-20/2 JAN *",
        "0 3 L * *",
        "0 3 15W * *",
        "0 3 * * TUE#2",
        "0 3 * * FRIL",
        "0 3 13 * +FRI",
        "0 3 * * SAT-SUN",
    ] {
        let chore = Chore::new("runs", |_| Box::pin(async {}));
        let cron = Cron::parse(expression, "UTC").unwrap();
        assert!(understands(&cron), "{expression}");
        let begun = Housekeeping::begin([(cron, chore)]).await;
        begun.expect(expression).stop().await;
    }
    assert!(!understands(&Cron::parse("0 3 LW * *", "UTC").unwrap()));
}
