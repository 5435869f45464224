//! What the next server makes of what the last one left.

use super::*;

#[tokio::test]
async fn a_new_server_takes_up_what_runs_and_goes_on_from_the_stored_output() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let heartbeat = Timeouts {
        heartbeat: Some(Duration::from_secs(10)),
        ..Timeouts::default()
    };
    let id = bench.launch(with_timeouts(heartbeat)).await;
    let job = next_started(&mut jobs).await;
    let line = OutputLine {
        source: jobhook_protocol::LineSource::Stdout,
        time: NOW,
        text: "one".into(),
    };
    job.show(Sighting::Output(Output {
        from: 0,
        to: 11,
        lines: vec![line],
        mark: Some("here".into()),
    }))
    .await;
    bench.until(id, |action| action.log.last == 1).await;
    bench.engine.stop().await;

    // An outage is nobody's silence.
    bench.clock.advance(Duration::from_secs(1000));
    let bench = Bench::on(bench.store, bench.clock, vec![runner]).await;
    let mut again = next(&mut jobs).await;
    assert_eq!(
        (
            again.start.attempt,
            again.start.output_offset,
            again.start.output_mark.as_deref()
        ),
        (job.start.attempt, 11, Some("here"))
    );
    assert_eq!(again.start.environment, job.start.environment);
    let waiting = bench.launch(of_type("Any")).await;
    bench
        .until(waiting, |action| action.status == Status::Queued)
        .await;
    assert!(
        jobs.try_recv().is_err(),
        "the job that goes on holds its place"
    );
    bench.clock.advance(Duration::from_secs(10));
    assert!(
        again.stopped().await.is_some(),
        "silence counts from when the server was ready"
    );
}

#[tokio::test]
async fn an_end_seen_before_a_crash_is_judged_after_it() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"RUNNING"}"#).await.unwrap();
    job.exits(3, NOW).await;
    let attempts = |bench: &Bench| bench.store.clone();
    bench.until(id, |_| true).await;
    while attempts(&bench).attempts(id).await.unwrap()[0]
        .saw
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    bench.engine.stop().await;
    let bench = Bench::on(bench.store, bench.clock, vec![runner]).await;
    bench.clock.advance(Duration::from_secs(3));
    assert_eq!(
        bench.until_closed(id).await.error_message.as_deref(),
        Some("the program exited with code 3")
    );
    assert!(jobs.try_recv().is_err(), "nothing was started again");
}

#[tokio::test]
async fn a_job_whose_runner_was_removed_is_stopped_and_lost() {
    let (old, mut jobs) = HandRunner::new("old", TypeFilter::all(), 1);
    let bench = Bench::with(vec![old]).await;
    let id = bench.launch(of_type("Any")).await;
    let _job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.engine.stop().await;
    let (new, _jobs) = HandRunner::new("new", TypeFilter::all(), 1);
    let bench = Bench::on(bench.store, bench.clock, vec![new]).await;
    let action = bench.until_closed(id).await;
    assert_eq!(action.error_name.as_deref(), Some("lost"));
    let attempts = bench.store.attempts(id).await.unwrap();
    assert_eq!(
        attempts[0].closing.as_ref().unwrap().fault,
        Some(Fault::Infrastructure)
    );
}

#[tokio::test]
async fn what_is_left_of_a_closed_attempt_is_forgotten_by_the_next_server() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 2);
    let bench = Bench::with(vec![runner.clone()]).await;
    let closed = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench.engine.stop().await;
    // Closed by a server that has no such runner, so that nobody forgets it.
    let bench = Bench::on(bench.store, bench.clock, Vec::new()).await;
    bench.until_closed(closed).await;
    bench.engine.stop().await;

    let bench = Bench::on(bench.store, bench.clock, vec![runner.clone()]).await;
    assert_eq!(job.stopped().await, None, "the runner has let go of it");
    bench.launch(of_type("Any")).await;
    let open = next_started(&mut jobs).await.start.attempt;
    bench.engine.stop().await;
    let _bench = Bench::on(bench.store, bench.clock, vec![runner.clone()]).await;
    next_started(&mut jobs).await;
    assert_eq!(runner.kept().await, [open]);
}
