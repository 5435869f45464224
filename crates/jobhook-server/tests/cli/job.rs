//! `report` and `log`, inside a job.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::http::Response;
use jobhook_protocol::signature::HashKind;
use jobhook_protocol::{Code, Problem, Report, SecretKey, SignedHeaders};

use crate::command::{Ended, Jobhook, jobhook};
use crate::standin::{Request, StandIn, Then, events, json, problem};

pub(crate) const KEY: &str = "s3cret-\u{e9}";
const STORED: &str = r#"{"uuid":"a-1","type":"T","status":"RUNNING"}"#;

/// A job of attempt 1.
pub(crate) fn job(arguments: &[&str], server: &StandIn) -> Jobhook {
    jobhook(arguments)
        .env("JOB_ID", "a-1")
        .env("JOB_SECRET_KEY", KEY)
        .env("JOB_HOOK", &format!("{}/async/", server.url))
        .env("JOB_ATTEMPT", "1")
}

pub(crate) fn signed(request: &Request) -> SignedHeaders {
    SignedHeaders::read(|name| {
        request
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
    })
    .expect("well-formed headers")
}

pub(crate) fn read(request: &Request) -> Report {
    Report::read(request.body.to_vec()).expect("a report")
}

/// Answers the first requests with these, all others with success.
pub(crate) fn server_that_first(
    answers: impl Fn(usize) -> Option<Response<Body>> + Send + Sync + 'static,
) -> StandIn {
    StandIn::start(move |before, _| answers(before).unwrap_or_else(|| json(200, STORED)))
}

pub(crate) fn stores_everything() -> StandIn {
    server_that_first(|_| None)
}

#[track_caller]
fn quiet(ended: &Ended) {
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (0, "", "")
    );
}

#[test]
fn a_report_is_signed_as_a_whole_and_numbered() {
    let server = stores_everything();
    let ended = job(
        &[
            "report",
            "--status",
            "running",
            "--progress",
            "42.5",
            "--message",
            "half way",
            "--results",
            "{\"n\":1.50}",
        ],
        &server,
    )
    .run();
    quiet(&ended);

    let request = &server.seen()[0];
    assert_eq!(request.line, "POST /async/status");
    let key = SecretKey::from_text(KEY).unwrap();
    let headers = signed(request);
    assert_eq!(headers.id, "a-1");
    assert_eq!(headers.hash_kind(&key), Some(HashKind::V1));
    assert!(headers.signature_fits(&key, "POST", "/status", &request.body));

    let mut report = read(request);
    let delivery = report.delivery.take().unwrap();
    assert_eq!(delivery.seq, 1);
    assert!(delivery.reporter.len() >= 16, "{}", delivery.reporter);
    assert_eq!(report.status.unwrap().as_str(), "RUNNING");
    assert_eq!(report.results.unwrap().as_str(), "{\"n\":1.50}");
    let progress = report.progress.unwrap();
    assert_eq!(
        (progress.percent, progress.message.as_deref()),
        (Some(42.5), Some("half way"))
    );
    assert_eq!(report.error_message, None);
}

#[test]
fn a_report_of_nothing_is_a_heartbeat_and_an_error_is_an_error() {
    let server = stores_everything();
    quiet(&job(&["report"], &server).run());
    quiet(&job(&["report", "--error", "-1 files"], &server).run());
    let seen = server.seen();
    assert!(read(&seen[0]).is_silent());
    let report = read(&seen[1]);
    assert_eq!(report.status.unwrap().as_str(), "ERROR");
    assert_eq!(report.error_message.as_deref(), Some("-1 files"));
    let reporter = |request| read(request).delivery.unwrap().reporter;
    assert_ne!(reporter(&seen[0]), reporter(&seen[1]));
}

#[test]
fn under_the_original_the_originals_words_are_used() {
    let server = stores_everything();
    let ended = job(&["report", "--progress", "5", "--message", "m"], &server)
        .env("JOB_ATTEMPT", "")
        .run();
    quiet(&ended);
    let request = &server.seen()[0];
    let headers = signed(request);
    let key = SecretKey::from_text(KEY).unwrap();
    assert_eq!(headers.hash_kind(&key), Some(HashKind::Webda));
    assert!(!headers.has_signature());
    assert_eq!(
        request.json(),
        serde_json::json!({"statusDetails": {"progress": 5.0, "message": "m"}})
    );
}

#[test]
fn a_report_is_sent_again_until_it_is_answered() {
    let server = server_that_first(|before| match before {
        0 => Some(problem(Problem::new(Code::StoreUnavailable, "busy"))),
        // The answer breaks off: nobody knows whether it was stored.
        1 => Some(events("{", Then::Breaks)),
        2 => Some(json(429, "")),
        _ => None,
    });
    quiet(&job(&["report", "--message", "m"], &server).run());
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| request.body == seen[0].body));
    let key = SecretKey::from_text(KEY).unwrap();
    for request in &seen {
        assert!(signed(request).signature_fits(&key, "POST", "/status", &request.body));
    }
}

#[test]
fn a_wrong_clock_is_corrected_once() {
    let hour = 3_600_000;
    let skewed = move || {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let now = i64::try_from(now.as_millis()).expect("a time");
        problem(Problem::new(Code::ClockSkew, "late").with("serverTime", now + hour))
    };
    let server = server_that_first(move |before| (before == 0).then(skewed));
    quiet(&job(&["report"], &server).run());
    let seen = server.seen();
    let moved = signed(&seen[1]).time_ms - signed(&seen[0]).time_ms;
    assert!((moved - hour).abs() < 60_000, "{moved}");
    assert_eq!(seen[0].body, seen[1].body);

    let server = server_that_first(move |_| Some(skewed()));
    let ended = job(&["report"], &server).run();
    assert_eq!(ended.code, 77, "{ended:?}");
    assert_eq!(
        ended.err,
        "error: the report was refused: late (clock_skew)\n"
    );
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_job_that_should_stop_is_told_by_code_3() {
    let stop = r#"{"uuid":"a-1","type":"T","status":"RUNNING","action":"STOP"}"#;
    for refusal in [
        None,
        Some(Code::AttemptSuperseded),
        Some(Code::AttemptClosed),
    ] {
        let server = server_that_first(move |_| {
            Some(match refusal {
                None => json(200, stop),
                Some(code) => problem(Problem::new(code, "over").with("action", "STOP")),
            })
        });
        for arguments in [&["report"][..], &["log", "line"]] {
            let ended = job(arguments, &server).run();
            assert_eq!(ended.code, 3, "{ended:?}");
            assert_eq!(
                ended.err,
                "the server wants this job to stop: it was cancelled, or its attempt is over\n"
            );
        }
    }
}

#[test]
fn a_refusal_is_not_sent_again() {
    for (code, exit) in [
        (Code::IllegalTransition, 1),
        (Code::InvalidField, 1),
        (Code::BodyTooLarge, 1),
        (Code::BadSignature, 77),
        (Code::SignatureRequired, 77),
    ] {
        let server = server_that_first(move |_| Some(problem(Problem::new(code, "no"))));
        let ended = job(&["report"], &server).run();
        assert_eq!(ended.code, exit, "{ended:?}");
        assert_eq!(
            ended.err,
            format!("error: the report was refused: no ({code})\n")
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_server_that_stays_away_is_given_up_after_the_time_given() {
    let server = stores_everything();
    let mut command = job(&["report", "--timeout", "300ms"], &server);
    let url = server.url.clone();
    server.stop();
    command = command.env("JOB_HOOK", &format!("{url}/async"));
    let ended = command.run();
    assert_eq!(ended.code, 69, "{ended:?}");
    assert!(
        ended.err.starts_with(&format!(
            "error: no answer from {url}/async/status within 0.3 s: "
        )),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("Connection refused"), "{}", ended.err);
}

#[test]
fn a_server_that_does_not_answer_is_given_up_as_well() {
    let server = server_that_first(|_| Some(events("{", Then::Hangs)));
    let ended = job(&["report", "--timeout", "300ms"], &server).run();
    assert_eq!(ended.code, 69, "{ended:?}");
    assert_eq!(
        ended.err,
        format!(
            "error: no answer from {}/async/status within 0.3 s\n",
            server.url
        )
    );
}

#[test]
fn a_page_of_something_else_is_no_success() {
    let server = server_that_first(|_| Some(json(200, "<html>")));
    let ended = job(&["report"], &server).run();
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("check the address"), "{}", ended.err);
}

#[test]
fn the_key_is_in_no_message() {
    let server = server_that_first(|_| Some(problem(Problem::new(Code::BadSignature, "no"))));
    for hook in [
        server.url.as_str(),
        "store",
        "nonsense",
        "http://127.0.0.1:1",
    ] {
        let ended = job(&["report", "--timeout", "10ms"], &server)
            .env("JOB_HOOK", hook)
            .run();
        assert_ne!(ended.code, 0);
        assert!(!ended.err.contains("s3cret"), "{}", ended.err);
    }
    let ended = job(&["report"], &server)
        .env("JOB_SECRET_KEY", "s3cret-\u{20ac}")
        .run();
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(
        ended.err.contains("JOB_SECRET_KEY is invalid"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("s3cret"), "{}", ended.err);
}

#[test]
fn lines_of_the_command_line_go_in_one_report() {
    let server = stores_everything();
    quiet(&job(&["log", "one", "--two", "three\nand a half"], &server).run());
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(read(&seen[0]).logs, ["one", "--two", "three\nand a half"]);
}

#[test]
fn lines_of_standard_input_go_in_batches_and_in_order() {
    let server = stores_everything();
    let input: String = (1..=1_234)
        .map(|number| format!("line {number}\n"))
        .collect();
    quiet(&job(&["log"], &server).run_with(input.as_bytes()));
    let reports: Vec<Report> = server.seen().iter().map(read).collect();
    let lines: Vec<String> = reports
        .iter()
        .flat_map(|report| report.logs.clone())
        .collect();
    assert_eq!(lines.len(), 1_234);
    assert!(
        lines
            .iter()
            .zip(1..)
            .all(|(line, number)| *line == format!("line {number}"))
    );
    assert!(reports.iter().all(|report| report.logs.len() <= 500));
    assert!(reports.len() < 100, "{} reports", reports.len());
    let seqs: Vec<u64> = reports
        .iter()
        .map(|report| report.delivery.as_ref().unwrap().seq)
        .collect();
    assert!(
        seqs.iter().copied().eq(1..=reports.len() as u64),
        "{seqs:?}"
    );
}

#[test]
fn no_lines_are_no_report() {
    let server = stores_everything();
    quiet(&job(&["log"], &server).run_with(b""));
    assert!(server.seen().is_empty());
}

#[test]
fn log_ends_early_when_the_job_should_stop() {
    let server = server_that_first(|_| Some(json(200, r#"{"action":"STOP"}"#)));
    // More than the pipe, the channel and one batch hold.
    let input = "a line of some length that is repeated very often\n".repeat(100_000);
    let ended = job(&["log"], &server).run_with(input.as_bytes());
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn three_processes_in_a_row_lose_nothing_and_keep_their_order() {
    // Every second request is refused for the moment.
    let server = server_that_first(|before| (before % 2 == 0).then(|| json(503, "")));
    let lines = |process: u32| -> String {
        let lines = (1..=700).map(|number| format!("{process}: line {number}\n"));
        lines.collect()
    };
    for process in 1..=3 {
        quiet(&job(&["log"], &server).run_with(lines(process).as_bytes()));
    }
    let stored: Vec<Report> = server.seen().iter().skip(1).step_by(2).map(read).collect();
    let stored: Vec<&str> = stored
        .iter()
        .flat_map(|report| report.logs.iter().map(String::as_str))
        .collect();
    let sent = [1, 2, 3].map(lines).concat();
    assert!(sent.lines().eq(stored.iter().copied()), "{}", stored.len());
}
