//! Which action is started when, by whom, and what its end leads to.

use jobhook_protocol::{Access, GrantBody};

use super::*;
use crate::action::{Failure, NewAction};
use crate::file::ObjectRef;
use crate::store::StoreError;
use crate::testing::probed_store::{Probe, ProbedStore};
use crate::testing::{Clerk, factory};
use crate::write::Write;

#[tokio::test]
async fn a_job_that_says_nothing_ends_as_its_exit_code_says() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    for (code, status) in [(0, Status::Success), (3, Status::Error)] {
        let id = bench.launch(of_type("Any")).await;
        let job = next_started(&mut jobs).await;
        assert_eq!(job.start.environment.attempt, Some(1));
        job.exits(code, NOW).await;
        let action = bench.until_closed(id).await;
        assert_eq!(action.status, status);
        if code == 3 {
            assert_eq!(action.error_name.as_deref(), Some("exit_code"));
            assert_eq!(
                action.error_message.as_deref(),
                Some("the program exited with code 3")
            );
        }
    }
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_the_runner_allows() {
    let (bench, mut jobs) = Bench::one_runner(2).await;
    let ids = bench.engine.launch(vec![of_type("Any"); 5]).await.unwrap();
    let mut running = vec![next_started(&mut jobs).await, next_started(&mut jobs).await];
    for _ in 2..5 {
        assert!(jobs.try_recv().is_err(), "a place is not free yet");
        running.remove(0).exits(0, NOW).await;
        running.push(next_started(&mut jobs).await);
    }
    for job in running {
        job.exits(0, NOW).await;
    }
    for action in ids {
        bench.until_closed(action.id).await;
    }
}

#[tokio::test]
async fn the_first_runner_that_takes_a_type_gets_it() {
    let (special, mut specials) = HandRunner::new("special", TypeFilter::only(["A"]), 1);
    let (general, mut generals) = HandRunner::new("general", TypeFilter::only(["A", "B"]), 1);
    let bench = Bench::with(vec![special, general]).await;
    bench.launch(of_type("A")).await;
    bench.launch(of_type("B")).await;
    assert_eq!(next(&mut specials).await.start.action.action_type, "A");
    assert_eq!(next(&mut generals).await.start.action.action_type, "B");
}

#[tokio::test]
async fn a_type_that_no_runner_takes_is_an_error_that_says_so() {
    let (runner, _jobs) = HandRunner::new("hand", TypeFilter::only(["A", "B"]), 1);
    let bench = Bench::with(vec![runner]).await;
    let id = bench.launch(of_type("C")).await;
    let action = bench.store.action(id).await.unwrap().unwrap();
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Error, Some("no_runner"))
    );
    assert_eq!(
        action.error_message.as_deref(),
        Some(
            "no runner takes the type `C`: the configured runners take `A`, `B`; add it to the `actions` of one"
        )
    );
}

#[tokio::test]
async fn a_refused_start_is_an_error_and_is_not_tried_again() {
    let bench = Bench::with(vec![HandRunner::refusing(
        "no",
        "arguments.path is missing",
    )])
    .await;
    let id = bench
        .launch(Launch {
            attempts: 3,
            ..of_type("Any")
        })
        .await;
    let action = bench.until_closed(id).await;
    assert_eq!((action.status, action.attempt), (Status::Error, 1));
    assert_eq!(
        action.error_message.as_deref(),
        Some("the job could not be started: arguments.path is missing")
    );
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another_with_another_key() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench
        .launch(Launch {
            attempts: 2,
            ..of_type("Any")
        })
        .await;
    let first = next_started(&mut jobs).await;
    bench
        .report(&first, r#"{"status":"RUNNING"}"#)
        .await
        .unwrap();
    bench
        .report(&first, r#"{"status":"ERROR","errorMessage":"once"}"#)
        .await
        .unwrap();
    assert_eq!(bench.until(id, |_| true).await.status, Status::Running);
    // Believed while its attempt is open, and judged when that is over.
    let proven = bench
        .prove(&first.start.environment, r#"{"status":"SUCCESS"}"#)
        .await
        .unwrap();
    first.exits(1, NOW).await;

    let second = next_started(&mut jobs).await;
    assert_eq!(second.start.environment.attempt, Some(2));
    assert_ne!(
        second.start.environment.secret_key,
        first.start.environment.secret_key
    );
    // The zombie changes nothing, whether the hook or the ledger meets it.
    let refused = bench.engine.report(proven, Report::default()).await;
    assert!(matches!(
        refused,
        Err(EngineError::Refused(Refusal::Superseded { current: 2 }))
    ));
    let zombie = bench
        .prove(&first.start.environment, r#"{"status":"SUCCESS"}"#)
        .await;
    assert!(matches!(
        zombie,
        Err(Disbelief::Superseded { own: 1, current: 2 })
    ));
    bench
        .report(&second, r#"{"status":"SUCCESS"}"#)
        .await
        .unwrap();
    second.exits(0, NOW).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
    let attempts = bench.store.attempts(id).await.unwrap();
    let outcomes: Vec<Outcome> = attempts
        .iter()
        .filter_map(|attempt| Some(attempt.closing.as_ref()?.outcome))
        .collect();
    assert_eq!(outcomes, [Outcome::Error, Outcome::Success]);
    assert_eq!(
        attempts[0]
            .closing
            .as_ref()
            .unwrap()
            .failure
            .as_ref()
            .unwrap()
            .message,
        "once"
    );
}

#[tokio::test]
async fn a_scheduled_action_starts_when_it_is_due() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let scheduled = Some(NOW.plus(Duration::from_secs(60)));
    let id = bench
        .launch(Launch {
            scheduled,
            ..of_type("Any")
        })
        .await;
    bench.clock.advance(Duration::from_secs(59));
    assert_eq!(
        bench.store.action(id).await.unwrap().unwrap().status,
        Status::Scheduled
    );
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(next(&mut jobs).await.start.attempt.action, id);
}

#[tokio::test]
async fn an_action_that_becomes_due_while_the_dispatcher_looks_is_not_overlooked() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let mut now = NOW;
    for round in 0..200 {
        let scheduled = Some(now.plus(Duration::from_millis(1)));
        let id = bench
            .launch(Launch {
                scheduled,
                ..of_type("Any")
            })
            .await;
        // The moment lies anywhere between the dispatcher's claim and its falling asleep.
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
        bench.clock.advance(Duration::from_millis(1));
        now = now.plus(Duration::from_millis(1));
        let job = next(&mut jobs).await;
        assert_eq!(job.start.attempt.action, id);
        job.began(now).await;
        job.exits(0, now).await;
        bench.until_closed(id).await;
    }
}

#[tokio::test]
async fn what_waits_is_started_also_where_the_clock_was_set_back() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.clock.advance(Duration::from_secs(60));
    bench.launch(of_type("Any")).await;
    let first = next_started(&mut jobs).await;
    let second = bench.launch(of_type("Any")).await;
    bench.clock.set(NOW);
    first.exits(0, NOW).await;
    bench.until_closed(first.start.attempt.action).await;
    // Once it is as late as it was, nothing else has to happen.
    let started = loop {
        bench.clock.advance(Duration::from_secs(1));
        match jobs.try_recv() {
            Ok(started) => break started,
            Err(_) => tokio::task::yield_now().await,
        }
        let late = bench.clock.now().since(NOW);
        assert!(late < Duration::from_secs(1_000_000), "it is never started");
    };
    assert_eq!(started.start.attempt.action, second);
}

/// Holds commits.
#[derive(Debug, Default)]
struct Held {
    lock: tokio::sync::Mutex<()>,
    begun: tokio::sync::Notify,
}

#[async_trait::async_trait]
impl Probe for Held {
    async fn applying(&self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.iter().any(|write| matches!(write, Write::Insert(_))) {
            self.begun.notify_one();
        }
        drop(self.lock.lock().await);
        Ok(())
    }
}

#[tokio::test]
async fn what_is_taken_while_a_server_stops_is_given_to_its_runner_first() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 9);
    runner.ends_with_its_server();
    let store = Arc::new(ProbedStore::new(Held::default()));
    let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
    let settings = Settings::new("here", "http://127.0.0.1:1/async");
    let clock = Arc::new(TestClock::at(NOW));
    let engine = Engine::new(store.clone(), vec![runner], keyring, clock, settings);
    engine.start().await.unwrap();
    engine.launch(vec![of_type("Any")]).await.unwrap();
    let _first = next(&mut jobs).await;
    // The next claim stands.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    store.probe.begun.notified().await;
    let held = store.probe.lock.lock().await;
    let launching = engine.clone();
    let launching = tokio::spawn(async move { launching.launch(vec![of_type("Any")]).await });
    // The claim goes along with the commit that is held.
    store.probe.begun.notified().await;
    let ((), ()) = tokio::join!(engine.stop(), async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(held);
    });
    launching.await.unwrap().unwrap();
    assert_eq!(store.open_attempts().await.unwrap().len(), 2);
    assert!(
        jobs.try_recv().is_ok(),
        "it was started before the runner shut down"
    );
}

#[tokio::test]
async fn only_a_final_action_is_run_again_and_as_a_new_one() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    assert!(matches!(
        bench.engine.retry(id).await,
        Err(EngineError::NotFinal(_))
    ));
    job.exits(1, NOW).await;
    bench.until_closed(id).await;
    let again = bench.engine.retry(id).await.unwrap();
    assert_eq!((again.retry_of, again.attempt), (Some(id), 1));
    assert_eq!(next(&mut jobs).await.start.attempt.action, again.id);
}

#[tokio::test]
async fn an_action_that_is_run_again_has_the_inputs_and_the_grants_of_the_first() {
    let (bench, _jobs) = Bench::one_runner(1).await;
    let clerk = Clerk::new(bench.store.clone());
    clerk.stage(factory::content(1, "a")).await;
    let new = NewAction {
        files: vec![factory::input("a", "x")],
        grants: vec![GrantBody {
            store: "images".into(),
            uuid: "*".into(),
            property: "files".into(),
            access: Access::Read,
        }],
        refusal: Some(Failure::new("no_runner", "not this time")),
        ..factory::of_type("Any")
    };
    let first = clerk.launch(new).await;
    let again = bench.engine.retry(first.id).await.unwrap();
    assert_eq!(again.grants, first.grants);
    let files = clerk.files(&ObjectRef::of_action(again.id)).await;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].content, factory::content(1, "a"));
}
