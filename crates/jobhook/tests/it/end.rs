//! The end of a job, and what may follow it.

use std::time::{Duration, Instant};

use jobhook::testing::{Behaviour, FakeHook};
use jobhook::{Report, Status};

use crate::support::{PATIENCE, lines};

#[test]
fn the_last_lines_are_not_lost_when_the_job_is_dropped() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let lines = lines(1_000);
    for line in &lines {
        job.log(line).unwrap();
    }
    job.progress(1, 1).unwrap();
    drop(job);
    assert_eq!(hook.lines(), lines);
    assert!(hook.reports().last().unwrap().report.progress.is_some());
}

#[test]
fn nothing_but_lines_may_follow_the_end() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    job.succeed(&()).unwrap();
    for error in [
        job.report(Report::running()).unwrap_err(),
        job.progress(1, 2).unwrap_err(),
        job.fail("E", "m").unwrap_err(),
    ] {
        assert_eq!(error.code(), "job_ended");
        assert!(
            error.to_string().contains("already reported SUCCESS"),
            "{error}"
        );
    }
    job.log("bye").unwrap();
    job.report(Report::new().log("bye")).unwrap();
    assert_eq!(job.message("x").unwrap_err().code(), "job_ended");
    job.close().unwrap();
    assert_eq!(hook.lines(), ["bye", "bye"]);
}

/// A server's answer to results that do not fit.
fn invalid_output() -> Behaviour {
    let problem = serde_json::json!({
        "type": "https://jobhook.dev/problems/invalid_output",
        "title": "Invalid output", "status": 422, "code": "invalid_output", "detail": "it is no number",
    });
    Behaviour::Answer {
        status: 422,
        body: problem.to_string(),
    }
}

#[test]
fn results_that_are_refused_are_told_at_the_end_unless_the_job_says_that_it_failed() {
    for failed in [false, true] {
        let hook = FakeHook::start().unwrap();
        hook.script([invalid_output()]);
        let job = hook.job().build().unwrap();
        let receipt = job.report(Report::success()).unwrap();
        assert_eq!(receipt.wait(PATIENCE).unwrap_err().code(), "invalid_output");
        assert_eq!(job.error().unwrap().code(), "invalid_output");
        if failed {
            job.fail("E", "m").unwrap();
            assert!(job.error().is_none());
            job.close().unwrap();
            assert_eq!(hook.status(), Some(Status::Error));
        } else {
            assert_eq!(job.close().unwrap_err().code(), "invalid_output");
        }
    }
}

#[test]
fn a_closed_job_says_so() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let other = job.clone();
    job.close().unwrap();
    job.close().unwrap();
    assert_eq!(other.log("x").unwrap_err().code(), "job_closed");
    assert_eq!(other.flush(PATIENCE).unwrap_err().code(), "job_closed");
    assert_eq!(
        other.report(Report::running()).unwrap_err().code(),
        "job_closed"
    );
}

#[test]
fn the_end_waits_for_a_server_that_is_away_no_longer_than_the_limit() {
    let hook = FakeHook::start().unwrap();
    hook.behave(Behaviour::Silent);
    let limit = Duration::from_millis(200);
    let job = hook.job().flush_limit(limit).build().unwrap();
    job.log("a").unwrap();
    let began = Instant::now();
    let error = job.close().unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(error.code(), "flush_timeout");
    assert!(error.to_string().contains("within 0.2 s"), "{error}");
}

#[test]
fn a_word_that_the_server_does_not_take_is_refused_and_lines_go_on() {
    let hook = FakeHook::start().unwrap();
    let first = hook.job().build().unwrap();
    first.fail("E", "m").unwrap();
    let second = hook.job().build().unwrap();
    second.log("before").unwrap();
    let receipt = second.report(Report::success()).unwrap();
    second.log("after").unwrap();
    second.flush(PATIENCE).unwrap();
    assert_eq!(
        receipt.wait(PATIENCE).unwrap_err().code(),
        "illegal_transition"
    );
    assert_eq!(second.close().unwrap_err().code(), "illegal_transition");
    assert_eq!(hook.lines(), ["before", "after"]);
    assert_eq!(hook.status(), Some(Status::Error));
}

#[tokio::test]
async fn a_close_that_was_interrupted_is_gone_on_with_by_the_next() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    hook.go_away();
    job.log("last words").unwrap();
    let interrupted = tokio::time::timeout(Duration::from_millis(20), job.close_async()).await;
    assert!(interrupted.is_err());
    hook.come_back().unwrap();
    job.close_async().await.unwrap();
    assert_eq!(hook.lines(), ["last words"]);
}
