//! Launching actions over the management API.

use std::time::Duration;

use jobhook_engine::action::ActionId;
use serde_json::{Value, json};

use crate::server::Server;

async fn launch_refused(body: &str, status: u16, code: &str) -> String {
    let server = Server::start().await;
    let detail = server
        .post("/api/v1/actions", body)
        .await
        .refusal(status, code);
    let list = server.get("/api/v1/actions").await.expect(200);
    assert_eq!(list, json!({"actions": []}));
    detail
}

#[tokio::test]
async fn a_launch_is_answered_with_the_action_and_its_address() {
    let server = Server::start().await;
    let body = r#"{"type":"Any","arguments":{"n":1.50,"t":"<&>"},"attempts":3,"timeout":"1m"}"#;
    let answer = server.post("/api/v1/actions", body).await;
    let action = answer.expect(201);
    let uuid = action["uuid"].as_str().unwrap();
    assert_eq!(
        action,
        json!({
            "uuid": uuid, "type": "Any", "status": "QUEUED", "attempt": 1, "attempts": 3,
            "arguments": {"n": 1.50, "t": "<&>"}, "createdAt": "2025-11-24T16:00:00.000Z",
            "closed": false, "lines": 0,
        })
    );
    assert!(answer.text().contains("1.50"));
    let address = format!("/api/v1/actions/{uuid}");
    assert_eq!(answer.header("location"), Some(address.as_str()));
    assert_eq!(server.get(&address).await.expect(200)["uuid"], uuid);
    let stored = server.until(uuid, |_| true).await;
    assert_eq!(stored.timeouts.run, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn an_array_launches_all_in_its_order() {
    let server = Server::start().await;
    let body = r#"[{"type":"Any","arguments":1},{"type":"Any","arguments":2,"timeout":0.5},{"type":"Other"}]"#;
    let answer = server.post("/api/v1/actions", body).await;
    let launched = answer.expect(201);
    let arguments: Vec<&Value> = launched
        .as_array()
        .unwrap()
        .iter()
        .map(|action| &action["arguments"])
        .collect();
    assert_eq!(arguments, [&json!(1), &json!(2), &Value::Null]);
    assert_eq!(answer.header("location"), None);
    assert_eq!(
        server.post("/api/v1/actions", "[]").await.expect(201),
        json!([])
    );
}

#[tokio::test]
async fn an_array_with_one_bad_launch_launches_none() {
    let body = r#"[{"type":"Any"},{"type":"Any","atempts":2}]"#;
    let detail = launch_refused(body, 400, "unknown_field").await;
    assert!(
        detail.contains("launch 2") && detail.contains("did you mean `attempts`"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_type_that_no_runner_takes_ends_as_an_error_that_says_so() {
    let server = Server::start().await;
    let action = server
        .post("/api/v1/actions", r#"{"type":"Nobody's"}"#)
        .await
        .expect(201);
    assert_eq!(
        (&action["status"], &action["errorName"]),
        (&json!("ERROR"), &json!("no_runner"))
    );
    let message = action["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("`Nobody's`") && message.contains("`Any`"),
        "{message}"
    );
    assert_eq!(action["closed"], true);
}

#[tokio::test]
async fn an_unknown_field_is_refused_with_the_nearest_known_one() {
    for (field, hint) in [
        ("argumnets", "`arguments`"),
        ("Type", "`type`"),
        ("retries", "known are"),
    ] {
        let body = format!(r#"{{"type":"Any","{field}":1}}"#);
        let detail = launch_refused(&body, 400, "unknown_field").await;
        assert!(
            detail.contains(&format!("`{field}`")) && detail.contains(hint),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_is_named() {
    for (field, body) in [
        ("type", r#"{}"#),
        ("type", r#"{"type":""}"#),
        ("type", r#"{"type":null}"#),
        ("type", r#"{"type":7}"#),
        ("type", r#"{"type":"Any","type":"Any"}"#),
        ("attempts", r#"{"type":"Any","attempts":0}"#),
        ("attempts", r#"{"type":"Any","attempts":1.5}"#),
        ("attempts", r#"{"type":"Any","attempts":4294967296}"#),
        ("timeout", r#"{"type":"Any","timeout":0}"#),
        ("timeout", r#"{"type":"Any","timeout":"soon"}"#),
        ("timeout", r#"{"type":"Any","timeout":1e300}"#),
    ] {
        let detail = launch_refused(body, 400, "invalid_field").await;
        assert!(detail.contains(&format!("`{field}`")), "{detail}");
    }
}

#[tokio::test]
async fn a_launch_that_is_not_json_is_malformed() {
    let deep = format!(
        r#"{{"type":"Any","arguments":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    for body in [
        "",
        "not json",
        "null",
        "7",
        r#"{"type":"Any","arguments":{]}"#,
        "[1]",
        &deep,
    ] {
        launch_refused(body, 400, "malformed_body").await;
    }
}

#[tokio::test]
async fn arguments_have_a_limit_and_reach_it() {
    let server = Server::start().await;
    let body = |length: usize| {
        format!(
            r#"{{"type":"Any","arguments":"{}"}}"#,
            "x".repeat(length - 2)
        )
    };
    server
        .post("/api/v1/actions", &body(1 << 20))
        .await
        .expect(201);
    let over = server.post("/api/v1/actions", &body((1 << 20) + 1)).await;
    assert!(over.refusal(413, "body_too_large").contains("1048576"));
    let over = server
        .post("/api/v1/actions", &" ".repeat(12_000_000))
        .await;
    over.refusal(413, "body_too_large");
}

#[tokio::test]
async fn unstorable_text_in_arguments_is_replaced() {
    let server = Server::start().await;
    let action = server
        .post(
            "/api/v1/actions",
            r#"{"type":"Any","arguments":"\u0000\ud800"}"#,
        )
        .await;
    assert_eq!(action.expect(201)["arguments"], "\u{fffd}\u{fffd}");
}

#[tokio::test]
async fn the_trace_of_a_launch_reaches_its_job() {
    let server = Server::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (sent, kept) in [(trace, Some(trace)), ("nonsense", None)] {
        let headers = [("Content-Type", "application/json"), ("traceparent", sent)];
        server
            .request("POST", "/api/v1/actions", &headers, r#"{"type":"Any"}"#)
            .await
            .expect(201);
        let job = server.next_job().await;
        assert_eq!(job.hand.start.environment.traceparent.as_deref(), kept);
    }
}

#[tokio::test]
async fn ids_tell_the_order_of_launches() {
    let server = Server::start().await;
    let body = r#"[{"type":"Any"},{"type":"Any"},{"type":"Any"}]"#;
    let launched = server.post("/api/v1/actions", body).await.expect(201);
    let launched = launched.as_array().unwrap().iter();
    let ids: Vec<ActionId> = launched
        .map(|action| action["uuid"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn a_type_fits_on_a_line() {
    let server = Server::start().await;
    let launch = |name: &str| serde_json::json!({ "type": name }).to_string();
    for wrong in ["x".repeat(257), "a\nb".into(), "a\u{1b}[31m".into()] {
        let refused = server.post("/api/v1/actions", &launch(&wrong)).await;
        refused.refusal(400, "invalid_field");
    }
    let longest = launch(&"é".repeat(256));
    server.post("/api/v1/actions", &longest).await.expect(201);
}
