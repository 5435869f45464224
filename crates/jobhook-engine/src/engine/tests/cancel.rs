//! Cancelling, before, while and after a job runs.

use super::*;

#[tokio::test]
async fn a_cancelled_job_is_stopped_and_never_tried_again() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench
        .launch(Launch {
            attempts: 3,
            ..of_type("Any")
        })
        .await;
    let mut job = next_started(&mut jobs).await;
    bench
        .engine
        .cancel(id, "ann".into(), Some("wrong file".into()))
        .await
        .unwrap();
    assert_eq!(job.stopped().await, Some(Duration::from_secs(10)));
    job.exits(143, NOW).await;
    let action = bench.until_closed(id).await;
    assert_eq!((action.status, action.attempt), (Status::Cancelled, 1));
    assert_eq!(
        action.error_message.as_deref(),
        Some("cancelled by ann: wrong file")
    );
    let again = bench.engine.cancel(id, "ann".into(), None).await;
    assert!(matches!(
        again,
        Err(EngineError::Refused(Refusal::AlreadyFinal(
            Status::Cancelled
        )))
    ));
}

#[tokio::test]
async fn a_job_learns_from_its_answer_that_it_is_cancelled_and_a_success_said_then_stands() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench.engine.cancel(id, "ann".into(), None).await.unwrap();
    assert!(
        bench
            .report(&job, "{}")
            .await
            .unwrap()
            .action
            .cancel
            .is_some()
    );
    job.stopped().await;
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    job.exits(0, NOW).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
}

#[tokio::test]
async fn an_error_said_under_the_cancel_mark_is_a_cancellation() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.engine.cancel(id, "ann".into(), None).await.unwrap();
    let answered = bench
        .report(&job, r#"{"status":"ERROR","errorName":"JobCancelled"}"#)
        .await
        .unwrap();
    assert_eq!(answered.action.status, Status::Cancelled);
}

#[tokio::test]
async fn a_job_that_could_not_be_started_yet_is_not_started_once_it_is_cancelled() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    runner.is_away(true);
    let bench = Bench::with(vec![runner.clone()]).await;
    let id = bench.launch(of_type("Any")).await;
    bench
        .until(id, |action| action.status == Status::Starting)
        .await;
    bench.engine.cancel(id, "ann".into(), None).await.unwrap();
    runner.is_away(false);
    while !bench
        .store
        .action(id)
        .await
        .unwrap()
        .unwrap()
        .status
        .is_final()
    {
        bench.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let action = bench.until_closed(id).await;
    assert_eq!(action.status, Status::Cancelled);
    assert!(jobs.try_recv().is_err(), "nothing was started");
}

#[tokio::test]
async fn a_waiting_action_is_cancelled_at_once() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let running = next_started(&mut jobs).await;
    let waiting = bench.launch(of_type("Any")).await;
    assert_eq!(
        bench
            .engine
            .cancel(waiting, "ann".into(), None)
            .await
            .unwrap()
            .status,
        Status::Cancelled
    );
    running.exits(0, NOW).await;
    let last = bench.launch(of_type("Any")).await;
    assert_eq!(
        next(&mut jobs).await.start.attempt.action,
        last,
        "the cancelled one never starts"
    );
}

#[tokio::test]
async fn a_cancel_whose_sender_has_gone_still_reaches_the_job() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    job.began(NOW).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    let mut cancel = Box::pin(bench.engine.cancel(id, "local".into(), None));
    // Once polled it is in the queue, or even answered; then its sender hangs up.
    let _ = futures_util::poll!(cancel.as_mut());
    drop(cancel);
    assert!(job.stopped().await.is_some());
}
