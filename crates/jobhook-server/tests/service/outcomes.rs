//! How operations end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use jobhook::{Failure, Job, Operations};
use jobhook_engine::Launch;
use jobhook_engine::action::Timeouts;
use jobhook_engine::attempt::{Ending, Fault};
use jobhook_engine::log::LogLimits;
use jobhook_engine::memory::MemoryStore;
use jobhook_protocol::Status;
use jobhook_server::config;
use serde_json::json;
use tokio::sync::Notify;

use crate::fixture::{Ended, Place};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Sum {
    numbers: Vec<i64>,
}

async fn sum(job: Job, input: Sum) -> Result<i64, Failure> {
    for (done, number) in input.numbers.iter().enumerate() {
        job.log(format!("adding {number}"))
            .and(job.progress(done + 1, input.numbers.len()))
            .map_err(Failure::of)?;
    }
    Ok(input.numbers.iter().sum())
}

#[track_caller]
fn failed(ended: &Ended, name: &str, message: &str) {
    let action = &ended.action;
    assert_eq!(action.status, Status::Error, "{ended:?}");
    assert_eq!(action.error_name.as_deref(), Some(name), "{ended:?}");
    let said = action.error_message.as_deref().unwrap_or_default();
    assert!(said.contains(message), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_action_is_no_operation_even_if_its_type_is_one_by_now() {
    let place = Place::new(Operations::new().operation("Try.sum", sum)).await;
    let launch = Launch {
        action_type: "Try.sum".into(),
        ..Launch::default()
    };
    let ended = place.ended(place.launch_as(launch).await).await;
    assert_eq!(ended.action.status, Status::Error);
    let message = ended.action.error_message.unwrap();
    assert!(message.contains("launched as a plain action"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operation_returns_are_its_results_and_what_it_logs_its_lines() {
    let place = Place::new(Operations::new().operation("Try.sum", sum)).await;
    let ended = place.run("Try.sum", json!({"numbers": [1, 2, 39]})).await;
    assert_eq!(ended.action.status, Status::Success);
    assert_eq!(ended.action.results.unwrap().as_str(), "42");
    assert_eq!(ended.lines, ["adding 1", "adding 2", "adding 39"]);
    let details = ended.action.status_details.unwrap();
    let details: serde_json::Value = serde_json::from_str(details.as_str()).unwrap();
    assert_eq!(
        (&details["done"], &details["total"]),
        (&json!(3), &json!(3))
    );
    let saw = ended.attempts[0].saw.as_ref().unwrap();
    assert_eq!((&saw.ending, saw.stopped), (&Ending::Returned, false));
    assert!(ended.action.started_at.is_some());
}

/// Field 41 of proc_pid_stat(5): the class that the thread is scheduled in.
async fn class(_: Job, (): ()) -> Result<String, Failure> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").map_err(Failure::of)?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let class = after_name.split_whitespace().nth(38);
    Ok(class.unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_run_in_the_class_of_batch_work_whether_they_block_or_not() {
    let blocking =
        |job: Job, (): ()| futures_util::FutureExt::now_or_never(class(job, ())).unwrap();
    let operations = Operations::new()
        .operation("Try.class", class)
        .blocking_operation("Try.blocking", blocking);
    let place = Place::new(operations).await;
    for id in ["Try.class", "Try.blocking"] {
        let ended = place.run(id, json!(null)).await;
        assert_eq!(ended.action.results.unwrap().as_str(), r#""3""#, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_fails_says_why() {
    let fails = async |_: Job, (): ()| Err::<(), _>(Failure::new("NoPaper", "the tray is empty"));
    let place = Place::new(
        Operations::new()
            .operation("Try.fails", fails)
            .operation("Try.sum", sum),
    )
    .await;
    let ended = place.run("Try.fails", json!(null)).await;
    failed(&ended, "NoPaper", "the tray is empty");
    let ended = place.run("Try.sum", json!({"numbers": "none"})).await;
    failed(&ended, "invalid_input", "expected a sequence");
}

/// Returns more than it promises.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Percent {
    #[schemars(range(max = 100))]
    value: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_the_operation_does_not_promise_is_an_error_that_names_the_place() {
    let doubles = async |_: Job, value: u32| Ok::<_, Failure>(Percent { value: value * 2 });
    let place = Place::new(Operations::new().operation("Try.doubles", doubles)).await;
    let ended = place.run("Try.doubles", json!(50)).await;
    assert_eq!(ended.action.status, Status::Success);
    let ended = place.run("Try.doubles", json!(51)).await;
    failed(
        &ended,
        "invalid_output",
        "the results of `Try.doubles` do not fit: /value",
    );
    assert_eq!(ended.action.results, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_says_itself_what_it_does_not_promise_is_refused_or_has_failed() {
    fn percent(value: u32) -> jobhook::Report {
        let report = jobhook::Report::success().results(&json!({"value": value}));
        report.expect("a number is JSON")
    }
    /// Reports, and hears what becomes of it.
    async fn heard(job: &Job, report: jobhook::Report) -> Result<(), jobhook::Error> {
        let receipt = job.report(report)?;
        receipt.wait_async(Duration::from_secs(60)).await
    }
    let insists = async |job: Job, (): ()| {
        job.report(percent(101)).map_err(Failure::of)?;
        Ok::<_, Failure>(Percent { value: 1 })
    };
    let listens = async |job: Job, (): ()| {
        heard(&job, percent(102)).await.map_err(Failure::of)?;
        Ok::<_, Failure>(Percent { value: 1 })
    };
    let silent = async |job: Job, (): ()| {
        let success = heard(&job, jobhook::Report::success());
        success.await.map_err(Failure::of)?;
        Ok::<_, Failure>(Percent { value: 1 })
    };
    let ignores = async |job: Job, (): ()| {
        assert!(heard(&job, percent(104)).await.is_err());
        Ok::<_, Failure>(Percent { value: 1 })
    };
    let corrects = async |job: Job, (): ()| {
        let wrong = jobhook::Report::new().results(&json!({"value": 103}));
        let report = wrong.expect("a number is JSON").log("guessed");
        job.report(report).map_err(Failure::of)?;
        Ok::<_, Failure>(Percent { value: 1 })
    };
    let place = Place::new(
        Operations::new()
            .operation("Try.corrects", corrects)
            .operation("Try.ignores", ignores)
            .operation("Try.insists", insists)
            .operation("Try.listens", listens)
            .operation("Try.silent", silent),
    )
    .await;
    // Those that wait for the answer hear of it, and give it back.
    for (id, name, says) in [
        ("Try.insists", "invalid_output", "do not fit: /value"),
        ("Try.ignores", "invalid_output", "do not fit: /value"),
        ("Try.listens", "Error", "do not fit: /value"),
        ("Try.silent", "Error", "it is missing"),
    ] {
        let ended = place.run(id, json!(null)).await;
        failed(&ended, name, says);
        assert_eq!(ended.action.results, None);
    }
    let ended = place.run("Try.corrects", json!(null)).await;
    assert_eq!(ended.action.status, Status::Success, "{ended:?}");
    assert_eq!(ended.action.results.unwrap().as_str(), r#"{"value":1}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_panics_is_an_error_and_the_server_lives() {
    let panics = async |_: Job, (): ()| -> Result<(), Failure> { panic!("the {} fell", "sky") };
    let blocks = |_: Job, (): ()| -> Result<(), Failure> { panic!("the floor fell") };
    let place = Place::new(
        Operations::new()
            .operation("Try.panics", panics)
            .blocking_operation("Try.blocks", blocks)
            .operation("Try.sum", sum),
    )
    .await;
    let ended = place.run("Try.panics", json!(null)).await;
    failed(&ended, "panicked", "the sky fell");
    let saw = ended.attempts[0].saw.as_ref().unwrap();
    assert_eq!(saw.ending, Ending::Panicked);
    failed(
        &place.run("Try.blocks", json!(null)).await,
        "panicked",
        "the floor fell",
    );
    let ended = place.run("Try.sum", json!({"numbers": [2]})).await;
    assert_eq!(ended.action.status, Status::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_cancelled_ends_as_cancelled() {
    let waits = async |job: Job, (): ()| {
        job.log("waiting").map_err(Failure::of)?;
        job.cancellation().cancelled().await;
        Err::<(), _>(Failure::new("Stopped", "asked to"))
    };
    let place = Place::new(Operations::new().operation("Try.waits", waits)).await;
    let id = place.launch("Try.waits", json!(null)).await;
    place.until(id, |action| action.log.last == 1).await;
    place
        .engine
        .cancel(id, "anna".into(), Some("too slow".into()))
        .await
        .unwrap();
    let ended = place.ended(id).await;
    assert_eq!(ended.action.status, Status::Cancelled);
    let message = ended.action.error_message.unwrap();
    assert_eq!(message, "cancelled by anna: too slow");
    assert!(ended.attempts[0].saw.as_ref().unwrap().stopped);
    // As a child would, it says in its log how it ended, and does not report an error.
    let last = "ended after it was asked to stop: Stopped: asked to";
    assert_eq!(ended.lines, ["waiting", last]);
    assert_eq!(ended.attempts[0].said, None);
}

/// Grace enough for a test to see that it is given, and no more.
fn hurried() -> config::ServiceRunner {
    config::ServiceRunner {
        grace: Duration::from_millis(50),
        ..config::ServiceRunner::default()
    }
}

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(LogLimits::default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_ignores_the_stop_is_ended_where_it_waits() {
    let ignores = async |_: Job, (): ()| {
        std::future::pending::<()>().await;
        Ok::<_, Failure>(())
    };
    let operations = Operations::new().operation("Try.ignores", ignores);
    let place = Place::on(memory(), operations, hurried()).await;
    let ended = place
        .ended(
            place
                .launch_as(Launch {
                    action_type: "Try.ignores".into(),
                    operation: true,
                    timeouts: Timeouts {
                        run: Some(Duration::from_millis(50)),
                        ..Timeouts::default()
                    },
                    ..Launch::default()
                })
                .await,
        )
        .await;
    assert_eq!(ended.action.status, Status::Timeout);
    assert_eq!(ended.action.error_name.as_deref(), Some("run_timeout"));
    let saw = ended.attempts[0].saw.as_ref().unwrap();
    assert_eq!((&saw.ending, saw.stopped), (&Ending::Aborted, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_computes_for_ever_is_abandoned_and_said_to_be() {
    let released = Arc::new(AtomicBool::new(false));
    let flag = released.clone();
    let computes = move |_: Job, (): ()| {
        while !flag.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        Ok::<_, Failure>(())
    };
    let operations = Operations::new()
        .blocking_operation("Try.computes", computes)
        .operation("Try.sum", sum);
    let place = Place::on(memory(), operations, hurried()).await;
    let id = place.launch("Try.computes", json!(null)).await;
    place
        .until(id, |action| action.status == Status::Running)
        .await;
    // Others go on beside it.
    let other = place.run("Try.sum", json!({"numbers": [3]})).await;
    assert_eq!(other.action.status, Status::Success);
    place.engine.cancel(id, "anna".into(), None).await.unwrap();
    let ended = place.ended(id).await;
    released.store(true, Ordering::Relaxed);
    assert_eq!(ended.action.status, Status::Cancelled);
    let saw = ended.attempts[0].saw.as_ref().unwrap();
    assert_eq!(saw.ending, Ending::Abandoned);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_lines_are_stored_once_each_in_order() {
    let logs = async |job: Job, count: usize| {
        for number in 0..count {
            job.log(format!("line {number}"))?;
        }
        Ok::<_, jobhook::Error>(())
    };
    let place = Place::new(Operations::new().operation("Try.logs", logs)).await;
    let ended = place.run("Try.logs", json!(50_000)).await;
    assert_eq!(ended.action.status, Status::Success);
    assert_eq!(ended.lines.len(), 50_000);
    let in_order = |(number, line): (usize, &String)| *line == format!("line {number}");
    assert!(ended.lines.iter().enumerate().all(in_order));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_logs_more_than_can_wait_still_says_how_it_ended() {
    let line = "x".repeat(1 << 20);
    let floods = move |job: Job, (): ()| {
        // Longer than the server takes for one line, so some find no room.
        let lost = (0..200).filter(|_| job.log(&line).is_err()).count();
        Ok::<_, Failure>(lost)
    };
    let place = Place::new(Operations::new().blocking_operation("Try.floods", floods)).await;
    let ended = place.run("Try.floods", json!(null)).await;
    assert_eq!(ended.action.status, Status::Success);
    assert!(ended.action.results.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_may() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, highest) = (running.clone(), most.clone());
    let counts = move |_: Job, (): ()| {
        let (now, highest) = (now.clone(), highest.clone());
        async move {
            highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Failure>(())
        }
    };
    let settings = config::ServiceRunner {
        concurrency: 3,
        ..config::ServiceRunner::default()
    };
    let operations = Operations::new().operation("Try.counts", counts);
    let place = Place::on(memory(), operations, settings).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(place.launch("Try.counts", json!(null)).await);
    }
    for id in ids {
        assert_eq!(place.ended(id).await.action.status, Status::Success);
    }
    assert!(most.load(Ordering::SeqCst) <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_server_stops_is_an_infrastructure_failure() {
    let begun = Arc::new(Notify::new());
    let began = begun.clone();
    let waits = move |job: Job, (): ()| {
        let began = began.clone();
        async move {
            began.notify_one();
            job.cancellation().cancelled().await;
            Err::<(), _>(Failure::new("Stopped", "asked to"))
        }
    };
    let operations = Operations::new().operation("Try.waits", waits);
    let place = Place::on(memory(), operations, hurried()).await;
    let id = place.launch("Try.waits", json!(null)).await;
    begun.notified().await;
    place.engine.stop().await;
    let ended = place.ended(id).await;
    failed(
        &ended,
        "lost",
        "the server that ran the operation has stopped",
    );
    let closing = ended.attempts[0].closing.as_ref().unwrap();
    assert_eq!(closing.fault, Some(Fault::Infrastructure));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_a_server_that_died_is_lost_and_tried_again_where_tries_are_left() {
    let begun = Arc::new(Notify::new());
    let began = begun.clone();
    let hangs = move |_: Job, (): ()| {
        let began = began.clone();
        async move {
            began.notify_one();
            std::future::pending::<Result<(), Failure>>().await
        }
    };
    let store = memory();
    let died = Place::on(
        store.clone(),
        Operations::new().operation("Try.once", hangs),
        hurried(),
    )
    .await;
    let launch = |attempts| Launch {
        action_type: "Try.once".into(),
        operation: true,
        attempts,
        ..Launch::default()
    };
    let (once, twice) = (
        died.launch_as(launch(1)).await,
        died.launch_as(launch(2)).await,
    );
    for id in [once, twice] {
        died.until(id, |action| action.status == Status::Running)
            .await;
    }
    // The first place is still there, as a process that was killed is not: it does nothing more.
    let returns = async |_: Job, (): ()| Ok::<_, Failure>("done");
    let next = Place::on(
        store,
        Operations::new().operation("Try.once", returns),
        hurried(),
    )
    .await;
    failed(&next.ended(once).await, "lost", "has stopped");
    let ended = next.ended(twice).await;
    assert_eq!(ended.action.status, Status::Success);
    assert_eq!(ended.attempts.len(), 2);
}
