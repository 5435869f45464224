//! Schedules over HTTP.

use jobhook_engine::clock::Timestamp;
use serde_json::{Value, json};

use crate::server::{NOW, Server};
use crate::wire::Answer;

const ONE: &str = "/api/v1/schedules/nightly";

async fn put(server: &Server, path: &str, body: &str) -> Answer {
    let headers = [("Content-Type", "application/json")];
    server.request("PUT", path, &headers, body).await
}

async fn made(server: &Server) -> Value {
    let body = r#"{"cron":"0 * * * *","type":"Any","arguments":{"b":1, "a":2}}"#;
    put(server, ONE, body).await.expect(200)
}

/// Waits until the schedule has had so many ticks, and returns them.
async fn ticks(server: &Server, count: usize) -> Vec<Value> {
    let mut hints = server.engine.changes().schedules();
    let look = async {
        loop {
            hints.borrow_and_update();
            let page = server.get(&format!("{ONE}/ticks")).await.expect(200);
            let ticks = page["ticks"].as_array().unwrap().clone();
            if ticks.len() >= count {
                return ticks;
            }
            hints.changed().await.unwrap();
        }
    };
    tokio::time::timeout(crate::wire::PATIENCE, look)
        .await
        .expect("the ticks are decided")
}

#[tokio::test]
async fn a_schedule_is_put_shown_listed_and_deleted() {
    let server = Server::start().await;
    let schedule = made(&server).await;
    for (field, value) in [
        ("name", json!("nightly")),
        ("revision", json!(1)),
        ("source", json!("api")),
        ("timezone", json!("UTC")),
        ("overlap", json!("skip")),
        ("catchUp", json!("one")),
        ("catchUpWindow", json!(3600.0)),
        ("attempts", json!(1)),
    ] {
        assert_eq!(schedule[field], value, "{field}");
    }
    assert_eq!(schedule["next"]["at"], "2025-11-24T17:00:00.000Z");
    assert_eq!(made(&server).await, schedule);
    assert_eq!(server.get(ONE).await.expect(200), schedule);
    let list = server.get("/api/v1/schedules").await.expect(200);
    assert_eq!(list, json!({ "schedules": [schedule] }));
    server.request("DELETE", ONE, &[], "").await;
    server.get(ONE).await.refusal(404, "schedule_not_found");
    server
        .request("DELETE", ONE, &[], "")
        .await
        .refusal(404, "schedule_not_found");
}

#[tokio::test]
async fn its_ticks_launch_and_are_its_history() {
    let server = Server::start().await;
    made(&server).await;
    server.clock.set(Timestamp(NOW + 3_600_000));
    let job = server.next_job().await;
    let action = server.get(&format!("/api/v1/actions/{}", job.id)).await;
    assert_eq!(action.expect(200)["schedule"], "nightly");
    server.clock.set(Timestamp(NOW + 7_200_000));
    let ticks = ticks(&server, 2).await;
    assert_eq!(ticks[0]["reason"], "overlap");
    assert_eq!(ticks[1]["action"], job.id.as_str());
    assert_eq!(ticks[1]["local"], "2025-11-24T17:00:00");
    let page = server
        .get(&format!("{ONE}/ticks?limit=1"))
        .await
        .expect(200);
    assert_eq!(page["next"], 2);
    let refused = server.post(&format!("{ONE}/run"), "").await;
    let detail = refused.refusal(409, "schedule_overlap");
    assert!(detail.contains(&job.id), "{detail}");
    job.exits(0).await;
    server.until_closed(&job.id).await;
    let tick = server.post(&format!("{ONE}/run"), "").await.expect(201);
    assert_eq!(
        (&tick["runBy"], &tick["outcome"]),
        (&json!("local"), &json!("launched"))
    );
}

#[tokio::test]
async fn a_paused_schedule_says_why_and_goes_on_when_it_is_resumed() {
    let server = Server::start().await;
    made(&server).await;
    let resume = format!("{ONE}/resume");
    server
        .post(&resume, "")
        .await
        .refusal(409, "schedule_not_paused");
    let pause = format!("{ONE}/pause");
    let paused = server.post(&pause, r#"{"note":"holidays"}"#).await;
    let paused = paused.expect(200);
    assert_eq!(paused["paused"]["note"], "holidays");
    assert_eq!(paused["next"], Value::Null);
    server.clock.set(Timestamp(NOW + 7_200_000));
    let resumed = server.post(&resume, "").await.expect(200);
    assert_eq!(resumed["next"]["at"], "2025-11-24T19:00:00.000Z");
    let ticks = ticks(&server, 1).await;
    assert_eq!(
        (&ticks[0]["reason"], &ticks[0]["count"]),
        (&json!("paused"), &json!(2))
    );
}

#[tokio::test]
async fn a_preview_names_the_next_moments() {
    let server = Server::start().await;
    made(&server).await;
    let preview = server
        .get(&format!("{ONE}/preview?limit=2"))
        .await
        .expect(200);
    assert_eq!(preview["firings"][1]["at"], "2025-11-24T18:00:00.000Z");
    let path = "/api/v1/schedules/preview?limit=1";
    let body = r#"{"cron":"30 2 * * *","timezone":"Europe/Berlin"}"#;
    let preview = server.post(path, body).await.expect(200);
    let next = json!([{"at":"2025-11-25T01:30:00.000Z","local":"2025-11-25T02:30:00","fold":0}]);
    assert_eq!(preview["firings"], next);
    server
        .post(path, r#"{"cron":"* * * *"}"#)
        .await
        .refusal(400, "invalid_schedule");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_nothing_is_stored() {
    let server = Server::start().await;
    for (body, code) in [
        (r#"{"cron":"* * * *","type":"Any"}"#, "invalid_schedule"),
        (
            r#"{"cron":"* * * * * * * *","type":"Any"}"#,
            "invalid_schedule",
        ),
        (r#"{"cron":"* * 31 2 *","type":"Any"}"#, "invalid_schedule"),
        (
            r#"{"cron":"@daily","timezone":"Mars/Olympus","type":"Any"}"#,
            "invalid_schedule",
        ),
        (r#"{"cron":"@daily"}"#, "invalid_field"),
        (r#"{"type":"Any"}"#, "invalid_field"),
        (
            r#"{"cron":"@daily","type":"Any","overlap":"maybe"}"#,
            "invalid_field",
        ),
        (
            r#"{"cron":"@daily","type":"Any","catchUp":1}"#,
            "invalid_field",
        ),
        (
            r#"{"cron":"@daily","type":"Any","start":"tomorrow"}"#,
            "invalid_field",
        ),
        (
            r#"{"cron":"@daily","type":"Any","end":"9999-12-31T23:59:59Z"}"#,
            "invalid_field",
        ),
        (
            r#"{"cron":"@daily","type":"Any","start":"2027-01-01T00:00:00Z","end":"2026-12-31T00:00:00Z"}"#,
            "invalid_schedule",
        ),
        (
            r#"{"cron":"@daily","timezone":"localtime","type":"Any"}"#,
            "invalid_schedule",
        ),
        (
            r#"{"cron":"@daily","type":"Any","jitter":-1}"#,
            "invalid_field",
        ),
        (
            r#"{"cron":"@daily","type":"Any","catch_up":"one"}"#,
            "unknown_field",
        ),
        (r#"[]"#, "malformed_body"),
    ] {
        let refused = put(&server, ONE, body).await;
        refused.refusal(400, code);
    }
    let nobody = put(&server, ONE, r#"{"cron":"@daily","type":"Other"}"#).await;
    assert!(nobody.refusal(409, "no_runner").contains("`Other`"));
    let good = r#"{"cron":"@daily","type":"Any"}"#;
    for name in ["constructor%20", "..%2fx", "-x", "1x", "preview.%00"] {
        let path = format!("/api/v1/schedules/{name}");
        let named = put(&server, &path, good).await;
        assert!(named.status == 400 || named.status == 404, "{name}");
    }
    let list = server.get("/api/v1/schedules").await.expect(200);
    assert_eq!(list, json!({ "schedules": [] }));
    for path in ["pause", "resume", "run"] {
        let path = format!("/api/v1/schedules/constructor/{path}");
        let unknown = server.post(&path, "").await;
        unknown.refusal(404, "schedule_not_found");
    }
}

#[tokio::test]
async fn a_time_beyond_the_last_year_is_too_far_and_not_misspelt() {
    let server = Server::start().await;
    let body = r#"{"cron":"@daily","type":"Any","end":"9999-12-31T23:59:59Z"}"#;
    let detail = put(&server, ONE, body).await.refusal(400, "invalid_field");
    assert!(
        detail.ends_with("it lies too far ahead: at most 9999-12-30T22:00:00Z"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_note_has_at_most_1024_characters_and_stays_if_nothing_new_is_said() {
    let server = Server::start().await;
    made(&server).await;
    let pause = format!("{ONE}/pause");
    let note = |length: usize| format!(r#"{{"note":"{}"}}"#, "ä".repeat(length));
    let refused = server.post(&pause, &note(1025)).await;
    assert_eq!(
        refused.refusal(400, "invalid_field"),
        "the field `note` is invalid: it has 1025 characters; at most 1,024 are taken"
    );
    assert_eq!(server.get(ONE).await.expect(200).get("paused"), None);
    let paused = server.post(&pause, &note(1024)).await.expect(200);
    let again = server.post(&pause, "").await.expect(200);
    assert_eq!(again["paused"], paused["paused"]);
}
