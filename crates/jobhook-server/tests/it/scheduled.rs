//! Scheduling for later: which times are taken, and that jobs start on them.

use std::time::Duration;

use serde_json::{Value, json};

use jobhook_server::operations::Catalogue;

use crate::server::{NOW, Server, Setup};

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn server(resolution: Duration) -> Server {
    let definitions = json!({"operations": {"Ping": {"id": "Ping"}}});
    let mut catalogue = Catalogue::default();
    catalogue
        .add(serde_json::from_value(definitions).unwrap(), "ops.json")
        .unwrap();
    Server::with(Setup {
        catalogue,
        resolution,
        ..Setup::default()
    })
    .await
}

#[tokio::test]
async fn a_scheduled_action_starts_on_its_time_and_not_before() {
    let server = server(Duration::from_secs(1)).await;
    let at = NOW + 3_600_000;
    let path = format!("/async/Ping?schedule={}", at + 999);
    let action = server
        .request("PUT", &path, &[JSON], "{}")
        .await
        .expect(200);
    let scheduled = |action: &Value| (action["status"].clone(), action["scheduled"].clone());
    let expected = (json!("SCHEDULED"), json!("2025-11-24T17:00:00.000Z"));
    assert_eq!(scheduled(&action), expected);
    let body = r#"{"type":"Any","scheduled":"2025-11-24T18:00:00.500+01:00"}"#;
    let plain = server.post("/api/v1/actions", body).await.expect(201);
    assert_eq!(scheduled(&plain), expected);

    server.clock.advance(Duration::from_millis(3_599_999));
    // Whatever would start too early would have started before this one.
    let now = server.job().await;
    let early = [&action, &plain].map(|action| action["uuid"].as_str().unwrap().to_owned());
    assert!(!early.contains(&now.id));
    for uuid in &early {
        let action = server.until(uuid, |_| true).await;
        assert_eq!(action.status.to_string(), "SCHEDULED");
    }
    server.clock.advance(Duration::from_millis(1));
    let mut started = [server.next_job().await.id, server.next_job().await.id];
    let mut expected = early;
    started.sort_unstable();
    expected.sort_unstable();
    assert_eq!(started, expected);
}

#[tokio::test]
async fn a_time_is_rounded_down_to_the_resolution_maybe_to_now() {
    let server = server(Duration::from_secs(60)).await;
    let launch = async |at: i64| {
        let body = format!(r#"{{"operationId":"Ping","scheduled":{at}}}"#);
        server.post("/api/v1/actions", &body).await.expect(201)
    };
    server.clock.advance(Duration::from_secs(30));
    let soon = launch(NOW + 59_999).await;
    assert_eq!(soon["status"], "QUEUED");
    let later = launch(NOW + 119_999).await;
    assert_eq!(later["scheduled"], "2025-11-24T16:01:00.000Z");
}

#[tokio::test]
async fn nonsense_is_refused_with_what_would_be_right_and_nothing_is_stored() {
    let server = server(Duration::from_secs(1)).await;
    for (query, says) in [
        (
            "tomorrow",
            "it must be milliseconds since 1970, or RFC 3339",
        ),
        ("2026-01-01", "RFC 3339"),
        ("%2B10m", "RFC 3339"),
        ("1.5e12", "RFC 3339"),
        ("-5", "before now"),
        ("0", "before now"),
        ("1764000012", "is it in seconds?"),
        ("1763999939999", "before now"),
        ("2025-11-24T15:00:00Z", "before now"),
        ("9999-12-31T23:59:59Z", "more than ten years ahead"),
        ("9999-01-01T00:00:00Z", "more than ten years ahead"),
        ("99999999999999999999999999", "more than ten years ahead"),
    ] {
        let path = format!("/async/Ping?schedule={query}");
        let refused = server.request("PUT", &path, &[JSON], "{}").await;
        let detail = refused.refusal(400, "invalid_time");
        assert!(detail.contains(says), "{query}: {detail}");
    }
    for value in [
        r#""tomorrow""#,
        "-5",
        "1.764e12",
        "1764000000000.5",
        "[]",
        "true",
        "{}",
        r#""""#,
    ] {
        for launch in [r#""type":"Any""#, r#""operationId":"Ping""#] {
            let body = format!(r#"[{{"type":"Any"}},{{{launch},"scheduled":{value}}}]"#);
            let refused = server.post("/api/v1/actions", &body).await;
            let detail = refused.refusal(400, "invalid_time");
            assert!(detail.contains("scheduled of launch 2"), "{detail}");
        }
    }
    let twice = server
        .request("PUT", "/async/Ping?schedule=1&schedule=2", &[JSON], "{}")
        .await;
    twice.refusal(400, "invalid_parameter");
    let list = server.get("/api/v1/actions").await.expect(200);
    assert_eq!(list, json!({"actions": []}));
}
