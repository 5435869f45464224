//! Timeouts, lingering and settling, on a clock that the test moves.

use super::*;

#[tokio::test]
async fn a_job_that_lingers_after_its_final_word_is_stopped() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench
        .report(&job, r#"{"status":"ERROR","errorMessage":"no"}"#)
        .await
        .unwrap();
    bench.clock.advance(Duration::from_secs(31));
    assert!(job.stopped().await.is_some());
    job.exits(143, bench.clock.now()).await;
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.error_message.as_deref()),
        (Status::Error, Some("no"))
    );
}

#[tokio::test]
async fn a_job_that_runs_too_long_is_stopped_and_timed_out() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench
        .launch(with_timeouts(Timeouts {
            run: Some(Duration::from_secs(60)),
            ..Timeouts::default()
        }))
        .await;
    let mut job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.clock.advance(Duration::from_secs(60));
    assert!(job.stopped().await.is_some());
    job.exits(143, bench.clock.now()).await;
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Timeout, Some("run_timeout"))
    );
    assert_eq!(
        action.error_message.as_deref(),
        Some("its job ran longer than its run timeout of 60 s")
    );
}

#[tokio::test]
async fn silence_beyond_three_announced_heartbeats_is_a_timeout() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench
        .report(&job, r#"{"status":"RUNNING","heartbeat":2}"#)
        .await
        .unwrap();
    for _ in 0..5 {
        bench.clock.advance(Duration::from_secs(5));
        bench.report(&job, "").await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(6));
    assert!(job.stopped().await.is_some());
    job.exits(137, bench.clock.now()).await;
    bench.clock.advance(Duration::from_secs(5));
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Timeout, Some("heartbeat_timeout"))
    );
}

#[tokio::test]
async fn without_an_announcement_silence_means_nothing() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"RUNNING"}"#).await.unwrap();
    bench.clock.advance(Duration::from_secs(1_000_000));
    job.show(Sighting::Output(Output {
        from: 0,
        to: 1,
        lines: Vec::new(),
        mark: None,
    }))
    .await;
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    job.exits(0, bench.clock.now()).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
    assert_eq!(job.stopped().await, None, "nobody stopped it");
}

#[tokio::test]
async fn a_final_word_on_its_way_is_waited_for_when_the_job_is_gone() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"RUNNING"}"#).await.unwrap();
    job.exits(1, NOW).await;
    // Its place is free meanwhile.
    bench.launch(of_type("Any")).await;
    next_started(&mut jobs).await;
    assert!(bench.store.action(id).await.unwrap().unwrap().open);
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
    let attempts = bench.store.attempts(id).await.unwrap();
    assert!(
        attempts[0].closing.as_ref().unwrap().disagree,
        "it said SUCCESS and exited with 1"
    );
}

#[tokio::test]
async fn however_many_expire_at_once_none_is_left() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let _busy = next_started(&mut jobs).await;
    let timeouts = Timeouts {
        queue: Some(Duration::from_secs(60)),
        ..Timeouts::default()
    };
    let launches = (0..2500).map(|_| with_timeouts(timeouts)).collect();
    let launched = bench.engine.launch(launches).await.unwrap();
    bench.clock.advance(Duration::from_secs(60));
    for action in launched {
        while bench.store.action(action.id).await.unwrap().unwrap().status != Status::Timeout {
            bench.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_action_that_nobody_takes_expires() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let _running = next_started(&mut jobs).await;
    let queue = Timeouts {
        queue: Some(Duration::from_secs(5)),
        ..Timeouts::default()
    };
    let total = Timeouts {
        total: Some(Duration::from_secs(7)),
        ..Timeouts::default()
    };
    let (queue, total) = (
        bench.launch(with_timeouts(queue)).await,
        bench.launch(with_timeouts(total)).await,
    );
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(
        bench.until_closed(queue).await.error_name.as_deref(),
        Some("queue_timeout")
    );
    bench.clock.advance(Duration::from_secs(2));
    let action = bench.until_closed(total).await;
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Timeout, Some("total_timeout"))
    );
}
