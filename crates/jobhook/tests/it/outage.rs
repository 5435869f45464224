//! The server is away for a while: the job goes on, and everything arrives, once and in order.

use std::time::{Duration, Instant};

use jobhook::Report;
use jobhook::testing::{Behaviour, FakeHook};

use crate::support::{PATIENCE, lines, numbers};

/// Sends lines while the hook behaves as `outage` makes it, and some after that.
#[track_caller]
fn outlived(outage: impl Fn(&FakeHook), end: impl Fn(&FakeHook)) {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let lines = lines(300);
    for line in &lines[..100] {
        job.log(line).unwrap();
    }
    job.flush(PATIENCE).unwrap();

    outage(&hook);
    for (number, line) in lines[100..200].iter().enumerate() {
        job.log(line).unwrap();
        if number % 10 == 0 {
            job.report(Report::new().message(line)).unwrap();
        }
    }
    assert_eq!(
        job.flush(Duration::from_millis(100)).unwrap_err().code(),
        "flush_timeout"
    );
    end(&hook);

    for line in &lines[200..] {
        job.log(line).unwrap();
    }
    job.succeed(&1).unwrap();
    job.close().unwrap();
    assert_eq!(hook.lines(), lines);
    let numbers = numbers(&hook);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let messages = hook.reports();
    let messages = messages.iter().filter_map(|received| {
        let progress = received.report.progress.as_ref()?;
        progress.message.clone()
    });
    let told: Vec<String> = messages.collect();
    let expected: Vec<String> = lines[100..200].iter().step_by(10).cloned().collect();
    assert_eq!(told, expected);
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_everything_once() {
    outlived(FakeHook::go_away, |hook| hook.come_back().unwrap());
}

#[test]
fn a_server_that_answers_503_for_a_while_has_everything_once() {
    let refuse = Behaviour::Refuse {
        status: 503,
        retry_after: None,
    };
    outlived(
        |hook| hook.behave(refuse.clone()),
        |hook| hook.behave(Behaviour::Well),
    );
}

#[test]
fn reports_that_were_applied_and_not_answered_are_there_once() {
    outlived(
        |hook| hook.behave(Behaviour::CutAfter),
        |hook| hook.behave(Behaviour::Well),
    );
}

#[test]
fn connections_cut_before_the_report_was_read_lose_nothing() {
    outlived(
        |hook| hook.behave(Behaviour::CutBefore),
        |hook| hook.behave(Behaviour::Well),
    );
}

#[test]
fn a_web_page_in_mid_job_is_a_proxy_whose_server_is_away() {
    outlived(
        |hook| hook.behave(Behaviour::WebPage(404)),
        |hook| hook.behave(Behaviour::Well),
    );
}

#[test]
fn retry_after_is_obeyed() {
    let hook = FakeHook::start().unwrap();
    hook.script([Behaviour::Refuse {
        status: 429,
        retry_after: Some(1),
    }]);
    let job = hook.job().build().unwrap();
    let began = Instant::now();
    job.succeed(&()).unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(hook.requests(), 2);
}

#[test]
fn a_server_away_for_longer_than_the_patience_is_an_error_with_the_cause() {
    let hook = FakeHook::start().unwrap();
    hook.go_away();
    let patience = Duration::from_millis(200);
    let job = hook.job().patience(patience).build().unwrap();
    job.log("never stored").unwrap();
    let error = job.flush(PATIENCE).unwrap_err();
    assert_eq!(error.code(), "server_unreachable");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    // It is kept, and told by every later call.
    assert_eq!(job.log("x").unwrap_err().code(), "server_unreachable");
    assert_eq!(job.error().unwrap().code(), "server_unreachable");
    assert_eq!(job.close().unwrap_err().code(), "server_unreachable");
}

#[test]
fn a_full_spool_is_an_error_and_the_log_says_what_is_missing() {
    let hook = FakeHook::start().unwrap();
    hook.go_away();
    let job = hook.job().spool_bytes(1_000).build().unwrap();
    let full = (0..100).find_map(|_| job.log("x".repeat(100)).err());
    let full = full.unwrap();
    assert_eq!(full.code(), "spool_full");
    assert!(full.to_string().contains("1000 bytes wait"), "{full}");
    hook.come_back().unwrap();
    job.flush(PATIENCE).unwrap();
    job.log("after").unwrap();
    job.succeed(&()).unwrap();
    let lines = hook.lines();
    assert!(
        lines[lines.len() - 2].contains("lines are missing here"),
        "{lines:?}"
    );
    assert_eq!(lines[lines.len() - 1], "after");
    assert_eq!(job.close().unwrap_err().code(), "spool_full");
}

#[test]
fn a_server_that_never_answers_is_told_with_the_time_out() {
    let hook = FakeHook::start().unwrap();
    hook.behave(Behaviour::Silent);
    let job = hook
        .job()
        .answer_timeout(Duration::from_millis(150))
        .patience(Duration::from_millis(300))
        .build()
        .unwrap();
    job.report(Report::running()).unwrap();
    let error = job.flush(PATIENCE).unwrap_err();
    assert_eq!(error.code(), "server_unreachable");
    assert!(
        error.to_string().contains("no answer within 0.15 s"),
        "{error}"
    );
}

#[test]
fn the_clock_of_the_server_is_learnt_once() {
    let hook = FakeHook::start().unwrap();
    hook.set_clock_offset_ms(3_600_000);
    let job = hook.job().build().unwrap();
    job.log("a").unwrap();
    job.flush(PATIENCE).unwrap();
    job.succeed(&()).unwrap();
    assert_eq!(hook.requests(), 3, "only the first is sent twice");
    assert_eq!(hook.lines(), ["a"]);
}

#[test]
fn a_program_that_waits_for_room_keeps_step_with_a_server_that_answers() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let lines = lines(20_000);
    for line in &lines {
        job.log(line).unwrap();
        job.wait_for_room(1_000, Duration::ZERO);
    }
    job.close().unwrap();
    assert_eq!(hook.lines(), lines);
    // So little waited each time that they could not all go together.
    assert!(hook.reports().len() > 100, "{}", hook.reports().len());
}

#[test]
fn a_program_that_waits_for_room_is_not_held_up_by_a_server_that_is_away() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    job.log("first").unwrap();
    job.flush(PATIENCE).unwrap();
    hook.go_away();
    let lines = lines(1_000);
    for line in &lines {
        job.log(line).unwrap();
    }
    let limit = Duration::from_millis(300);
    let began = Instant::now();
    job.wait_for_room(100, limit);
    assert!(began.elapsed() >= limit / 2, "{:?}", began.elapsed());
    let again = Instant::now();
    for _ in 0..1_000 {
        job.wait_for_room(100, limit);
    }
    assert!(again.elapsed() < limit, "{:?}", again.elapsed());
    // Once it is back there is room again.
    hook.come_back().unwrap();
    job.wait_for_room(100, PATIENCE);
    job.close().unwrap();
    assert_eq!(hook.lines()[1..], lines);
}
