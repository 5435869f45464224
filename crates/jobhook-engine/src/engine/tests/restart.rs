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
async fn a_job_that_ended_in_time_while_no_server_ran_is_not_timed_out_and_not_tried_again() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let launch = Launch {
        attempts: 2,
        ..with_timeouts(Timeouts {
            run: Some(Duration::from_secs(60)),
            ..Timeouts::default()
        })
    };
    let id = bench.launch(launch).await;
    let _job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.engine.stop().await;

    bench.clock.advance(Duration::from_secs(1000));
    let bench = Bench::on(bench.store, bench.clock, vec![runner]).await;
    let mut again = next(&mut jobs).await;
    assert!(again.stopped().await.is_some(), "it may still run");
    again.exits(0, NOW.plus(Duration::from_secs(30))).await;
    let action = bench.until_closed(id).await;
    assert_eq!((action.status, action.attempt), (Status::Success, 1));
}

#[tokio::test]
async fn a_runner_of_the_same_kind_goes_on_with_the_jobs_of_one_that_has_another_name_now() {
    let (old, mut jobs) = HandRunner::new("old", TypeFilter::all(), 1);
    let bench = Bench::with(vec![old]).await;
    let launch = Launch {
        attempts: 2,
        ..of_type("Any")
    };
    let id = bench.launch(launch).await;
    let job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.engine.stop().await;

    let (other, _others) = HandRunner::new("other", TypeFilter::only(["Other"]), 1);
    let (new, mut jobs) = HandRunner::new("new", TypeFilter::all(), 1);
    new.finds(job.start.attempt);
    let bench = Bench::on(bench.store, bench.clock, vec![other, new]).await;
    let mut again = next(&mut jobs).await;
    assert_eq!(again.start.attempt, job.start.attempt);
    assert!(again.start.taken_up);
    again
        .show(Sighting::Output(Output {
            from: 0,
            to: 4,
            lines: vec![OutputLine {
                source: jobhook_protocol::LineSource::Stdout,
                time: NOW,
                text: "one".into(),
            }],
            mark: None,
        }))
        .await;
    again.exits(0, NOW).await;
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.attempt, action.log.last),
        (Status::Success, 1, 1)
    );
    assert!(again.stopped().await.is_none(), "it was not stopped");
}

#[tokio::test]
async fn an_attempt_is_not_lost_before_every_runner_knows_whether_it_has_its_job() {
    let (old, mut jobs) = HandRunner::new("old", TypeFilter::all(), 1);
    let bench = Bench::with(vec![old]).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.engine.stop().await;

    let (new, mut jobs) = HandRunner::new("new", TypeFilter::all(), 1);
    new.is_unsure();
    let bench = Bench::on(bench.store, bench.clock, vec![new.clone()]).await;
    // It is asked again when the clock moves, and knows by then.
    new.finds(job.start.attempt);
    let again = loop {
        bench.clock.advance(Duration::from_secs(1));
        match jobs.try_recv() {
            Ok(again) => break again,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    again.exits(0, NOW).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
}

#[tokio::test]
async fn what_waits_for_a_type_that_no_runner_takes_any_more_waits_on_and_says_so() {
    let (runner, _jobs) = HandRunner::new("hand", TypeFilter::only(["Any"]), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let later = Launch {
        scheduled: Some(NOW.plus(Duration::from_secs(60))),
        ..of_type("Any")
    };
    let id = bench.launch(later).await;
    bench.engine.stop().await;

    let (other, _jobs) = HandRunner::new("other", TypeFilter::only(["Other"]), 1);
    let bench = Bench::on(bench.store, bench.clock, vec![other]).await;
    let action = bench.store.action(id).await.unwrap().unwrap();
    let why = bench.engine.waits_in_vain(&action).unwrap();
    assert!(why.contains("no runner takes the type `Any`"), "{why}");
    bench.engine.stop().await;

    let bench = Bench::on(bench.store, bench.clock, vec![runner]).await;
    let action = bench.store.action(id).await.unwrap().unwrap();
    assert_eq!(bench.engine.waits_in_vain(&action), None);
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
    let open = next_started(&mut jobs).await;
    bench.engine.stop().await;
    let _bench = Bench::on(bench.store, bench.clock, vec![runner.clone()]).await;
    next_started(&mut jobs).await;
    assert_eq!(runner.kept().await, [open.start.attempt]);
}
