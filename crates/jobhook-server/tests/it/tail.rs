//! The stream of an action's log.

use jobhook_engine::log::LogLimits;
use serde_json::json;

use crate::server::{Job, NOW, Server, Setup};
use crate::wire::Events;

async fn log(server: &Server, job: &Job, lines: std::ops::RangeInclusive<u64>) {
    let lines: Vec<String> = lines.map(|line| format!("line {line}")).collect();
    server
        .v1(job, &json!({ "logs": lines }).to_string())
        .await
        .expect(200);
}

/// Reads `log` events up to this number, and checks that none is missing.
async fn read_to(events: &mut Events, from: u64, to: u64) {
    for number in from..=to {
        let event = events.next_named("log").await;
        assert_eq!(event.id, Some(number));
        assert_eq!(event.data["number"], number);
        assert_eq!(event.data["text"], format!("line {number}"));
    }
}

async fn finish(server: &Server, job: &Job) {
    server.v1(job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    job.exits(0).await;
}

#[tokio::test]
async fn a_follower_sees_lines_as_they_come_and_the_end() {
    let server = Server::start().await;
    let job = server.job().await;
    log(&server, &job, 1..=2).await;
    let mut events = server.follow(&job.id, &[]).await;
    read_to(&mut events, 1, 2).await;
    log(&server, &job, 3..=3).await;
    read_to(&mut events, 3, 3).await;
    finish(&server, &job).await;
    let end = events.next_named("end").await;
    assert_eq!(
        (&end.data["status"], &end.data["closed"]),
        (&json!("SUCCESS"), &json!(true))
    );
    assert_eq!(end.data["witness"]["saw"], "the program exited with code 0");
    assert_eq!(events.next_or_comment().await, None);
}

#[tokio::test]
async fn a_final_action_ends_its_stream_only_when_it_is_closed() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut events = server.follow(&job.id, &[]).await;
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    loop {
        let status = events.next_named("status").await.data;
        if status["status"] == "SUCCESS" {
            assert_eq!(status["closed"], false);
            break;
        }
    }
    log(&server, &job, 1..=1).await;
    read_to(&mut events, 1, 1).await;
    job.exits(0).await;
    events.next_named("end").await;
}

#[tokio::test]
async fn the_stream_of_what_is_over_ends_at_once() {
    let server = Server::start().await;
    let id = server
        .post("/api/v1/actions", r#"{"type":"Nobody's"}"#)
        .await
        .expect(201)["uuid"]
        .clone();
    let mut events = server.follow(id.as_str().unwrap(), &[]).await;
    assert_eq!(events.next().await.unwrap().name, "status");
    assert_eq!(events.next().await.unwrap().name, "end");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_stream_resumes_exactly_where_it_broke_off() {
    let server = Server::start().await;
    let job = server.job().await;
    log(&server, &job, 1..=2500).await;
    let mut events = server.follow(&job.id, &[]).await;
    read_to(&mut events, 1, 1234).await;
    // In the middle of a page.
    drop(events);
    log(&server, &job, 2501..=2600).await;
    let mut events = server.follow(&job.id, &[("Last-Event-ID", "1234")]).await;
    read_to(&mut events, 1235, 2600).await;
    log(&server, &job, 2601..=2601).await;
    read_to(&mut events, 2601, 2601).await;
}

#[tokio::test]
async fn a_stream_may_begin_after_a_line() {
    let server = Server::start().await;
    let job = server.job().await;
    log(&server, &job, 1..=5).await;
    for (query, last, first) in [("?after=3", None, 4), ("?after=1", Some("4"), 5)] {
        let mut headers = vec![("Accept", "text/html, text/event-stream;q=0.9")];
        headers.extend(last.map(|last| ("Last-Event-ID", last)));
        let mut wire = server.connect().await;
        let path = format!("/api/v1/actions/{}/logs{query}", job.id);
        wire.send(server.bytes("GET", &path, &headers, b"")).await;
        let mut events = Events::of(wire).await;
        read_to(&mut events, first, 5).await;
    }
    let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", "x")];
    let path = format!("/api/v1/actions/{}/logs", job.id);
    let refused = server.request("GET", &path, &headers, "").await;
    assert!(
        refused
            .refusal(400, "invalid_parameter")
            .contains("Last-Event-ID")
    );
    let nobody = "/api/v1/actions/019ab697-e800-7a3e-8b21-4d6f0e9c1a57/logs";
    server
        .request("GET", nobody, &headers[..1], "")
        .await
        .refusal(404, "action_not_found");
}

#[tokio::test]
async fn a_gap_says_how_many_lines_are_gone() {
    let log_limits = LogLimits {
        lines: 10,
        bytes: 100_000,
    };
    let server = Server::with(Setup {
        log: log_limits,
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    log(&server, &job, 1..=25).await;
    let mut events = server.follow(&job.id, &[]).await;
    let gap = events.next_named("gap").await;
    assert_eq!((gap.id, gap.data), (Some(15), json!({"dropped": 15})));
    read_to(&mut events, 16, 25).await;
    drop(events);
    log(&server, &job, 26..=50).await;
    let mut events = server.follow(&job.id, &[("Last-Event-ID", "20")]).await;
    assert_eq!(events.next_named("gap").await.data, json!({"dropped": 20}));
    read_to(&mut events, 41, 50).await;
}

#[tokio::test]
async fn a_log_of_which_nothing_is_left_is_one_gap() {
    let log_limits = LogLimits {
        lines: 10,
        bytes: 5,
    };
    let server = Server::with(Setup {
        log: log_limits,
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    log(&server, &job, 1..=3).await;
    finish(&server, &job).await;
    let mut events = server.follow(&job.id, &[]).await;
    let gap = events.next_named("gap").await;
    assert_eq!((gap.id, gap.data), (Some(3), json!({"dropped": 3})));
    events.next_named("end").await;
}

#[tokio::test]
async fn a_status_comes_when_something_shows_and_not_with_every_line() {
    let server = Server::start().await;
    let job = server.job().await;
    server.v1(&job, r#"{"status":"RUNNING"}"#).await.expect(200);
    let mut events = server.follow(&job.id, &[]).await;
    assert_eq!(events.next().await.unwrap().data["status"], "RUNNING");
    for line in 1..=20 {
        log(&server, &job, line..=line).await;
        let event = events.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.id), ("log", Some(line)));
    }
    server
        .v1(&job, r#"{"progress":{"percent":50}}"#)
        .await
        .expect(200);
    let status = events.next().await.unwrap();
    assert_eq!((status.name.as_str(), status.id), ("status", None));
    assert_eq!(status.data["statusDetails"], json!({"progress": 50}));
}

#[tokio::test]
async fn quick_changes_are_gathered_and_the_last_is_never_lost() {
    let server = Server::start().await;
    let job = server.job().await;
    server.v1(&job, r#"{"status":"RUNNING"}"#).await.expect(200);
    let mut events = server.follow(&job.id, &[]).await;
    events.next_named("status").await;
    for percent in 1..=100 {
        let body = format!(r#"{{"progress":{{"percent":{percent}}}}}"#);
        server.v1(&job, &body).await.expect(200);
    }
    let mut seen = 0;
    loop {
        seen += 1;
        if events.next_named("status").await.data["statusDetails"]["progress"] == 100 {
            break;
        }
    }
    assert!(seen < 100, "{seen} events for 100 changes");
}

#[tokio::test]
async fn data_over_several_lines_stays_in_one_event() {
    let server = Server::start().await;
    let body = "{\"type\":\"Any\",\"arguments\":{\n  \"a\":\r\n  [1,\n 2]\n}}";
    let launched = server.post("/api/v1/actions", body).await.expect(201);
    let mut events = server.follow(launched["uuid"].as_str().unwrap(), &[]).await;
    assert_eq!(
        events.next().await.unwrap().data["arguments"],
        json!({"a": [1, 2]})
    );
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives() {
    let server = Server::with(Setup::impatient()).await;
    let job = server.job().await;
    let mut events = server.follow(&job.id, &[]).await;
    events.next_named("status").await;
    for _ in 0..3 {
        assert_eq!(events.next_or_comment().await.unwrap().name, "");
    }
    log(&server, &job, 1..=1).await;
    read_to(&mut events, 1, 1).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_keeps_nobody_waiting() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut slow = server.follow(&job.id, &[]).await;
    let long = "x".repeat(200_000);
    for _ in 0..40 {
        server
            .v1(&job, &json!({ "logs": [long] }).to_string())
            .await
            .expect(200);
    }
    finish(&server, &job).await;
    let mut lines = 0;
    while let Some(event) = slow.next().await {
        lines += u64::from(event.name == "log");
    }
    assert_eq!(lines, 40);
}

#[tokio::test]
async fn many_followers_see_the_same() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut followers = Vec::new();
    for _ in 0..8 {
        followers.push(server.follow(&job.id, &[]).await);
    }
    log(&server, &job, 1..=300).await;
    finish(&server, &job).await;
    for mut events in followers {
        read_to(&mut events, 1, 300).await;
        events.next_named("end").await;
    }
    assert_eq!(server.now(), NOW);
}
