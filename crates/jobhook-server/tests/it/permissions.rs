//! Who may launch which operation (clauses `OP-10` to `OP-15`).

use serde_json::{Map, Value, json};

use jobhook_server::http::{Access, Grant, StaticToken};
use jobhook_server::tokens::{Scope, TokenHash};

use crate::operations::{JSON, catalogue, put, server};
use crate::server::{Server, Setup};
use crate::wire::Answer;

fn token(name: &str, scope: Scope, claims: Value) -> StaticToken {
    let Value::Object(claims) = claims else {
        panic!("claims are an object")
    };
    StaticToken {
        hash: TokenHash::of(format!("jh_{name}").as_bytes()),
        grant: Grant::new(name, scope, &claims),
    }
}

async fn with_tokens() -> Server {
    let tokens = vec![
        token(
            "blue",
            Scope::Launch,
            json!({"roles": ["dev", "ops"], "team": "blue"}),
        ),
        token(
            "red",
            Scope::Launch,
            json!({"roles": ["ops"], "team": "red"}),
        ),
        token("admin", Scope::Admin, json!({"roles": ["ops"]})),
        token("plain", Scope::Admin, Value::Object(Map::new())),
        token(
            "reader",
            Scope::Read,
            json!({"roles": ["ops"], "team": "blue"}),
        ),
    ];
    Server::with(Setup {
        catalogue: catalogue(),
        access: Access::new(tokens, None),
        ..Setup::default()
    })
    .await
}

async fn by(server: &Server, name: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer jh_{name}");
    let headers = [("Authorization", bearer.as_str()), JSON];
    server.request(method, path, &headers, body).await
}

#[tokio::test]
async fn a_permission_decides_who_launches_and_who_sees() {
    let server = with_tokens().await;
    for (name, permitted) in [
        ("blue", true),
        ("admin", true),
        ("red", false),
        ("plain", false),
    ] {
        let api = r#"{"operationId":"Secret","input":1}"#;
        let at_hook = by(&server, name, "PUT", "/async/Secret", "1").await;
        let at_api = by(&server, name, "POST", "/api/v1/actions", api).await;
        if permitted {
            at_hook.expect(200);
            at_api.expect(201);
        } else {
            // Also with an input that does not fit: who may not launch learns nothing of it.
            at_hook.refusal(403, "not_permitted");
            at_api.refusal(403, "not_permitted");
            let refused = by(&server, name, "PUT", "/async/Secret", "\"x\"").await;
            refused.refusal(403, "not_permitted");
        }
        let seen = by(&server, name, "GET", "/async", "").await.expect(200);
        let sees = seen.as_array().unwrap().contains(&json!("Secret"));
        assert_eq!(sees, permitted, "{name}");
        let full = by(&server, name, "GET", "/api/v1/operations", "").await;
        assert_eq!(full.text().contains("Secret"), permitted, "{name}");
        assert_eq!(full.text().contains("secret.input"), permitted, "{name}");
        assert!(!full.text().contains("permission"));
    }
    let refused = by(&server, "blue", "PUT", "/async/Local", "").await;
    refused.refusal(403, "not_permitted");
}

#[tokio::test]
async fn the_door_is_that_of_the_management_api() {
    let server = with_tokens().await;
    for (method, path) in [
        ("GET", "/async"),
        ("PUT", "/async/Ping"),
        ("PUT", "/async/status"),
    ] {
        let refused = server.request(method, path, &[JSON], "{}").await;
        refused.refusal(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    by(&server, "reader", "GET", "/async", "").await.expect(200);
    let refused = by(&server, "reader", "PUT", "/async/Ping", "{}").await;
    refused.refusal(403, "scope_required");
    // Jobs need no token.
    let refused = server.request("POST", "/async/status", &[], "{}").await;
    refused.refusal(401, "missing_header");

    let open = self::server().await;
    let page = ("Origin", "http://localhost");
    let refused = open.request("GET", "/async", &[page], "").await;
    refused.refusal(403, "origin_refused");
    let refused = open
        .request("PUT", "/async/Ping", &[page, JSON], "{}")
        .await;
    refused.refusal(403, "origin_refused");
    put(&open, "Local", "").await.expect(200);
}

#[tokio::test]
async fn running_a_schedule_by_hand_asks_for_the_permission_of_its_operation() {
    let server = with_tokens().await;
    let body = r#"{"cron":"0 0 1 1 *","operationId":"Secret","input":1}"#;
    let put = by(&server, "admin", "PUT", "/api/v1/schedules/yearly", body).await;
    put.expect(200);
    let run = "/api/v1/schedules/yearly/run";
    let refused = by(&server, "plain", "POST", run, "").await;
    refused.refusal(403, "not_permitted");
    by(&server, "admin", "POST", run, "").await.expect(201);
}

#[tokio::test]
async fn what_was_stored_before_its_type_became_an_operation_is_judged_when_it_is_run_again() {
    let server = with_tokens().await;
    let launch = jobhook_engine::Launch {
        action_type: "Secret".into(),
        arguments: Some(jobhook_protocol::Json::of(&json!(1))),
        ..Default::default()
    };
    let action = server.engine.launch(vec![launch]).await.unwrap().remove(0);
    let job = server.next_job().await;
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    let path = format!("/api/v1/actions/{}/retry", action.id);
    let refused = by(&server, "plain", "POST", &path, "").await;
    refused.refusal(403, "not_permitted");
    by(&server, "admin", "POST", &path, "").await.expect(201);
}

#[tokio::test]
async fn running_an_operation_again_asks_for_the_permission_again() {
    let server = with_tokens().await;
    let launched = by(&server, "blue", "PUT", "/async/Secret", "1")
        .await
        .expect(200);
    let uuid = launched["uuid"].as_str().unwrap();
    let job = server.next_job().await;
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    let path = format!("/api/v1/actions/{uuid}/retry");
    by(&server, "plain", "POST", &path, "")
        .await
        .refusal(403, "not_permitted");
    let again = by(&server, "admin", "POST", &path, "").await.expect(201);
    assert_eq!(
        (
            &again["operationId"],
            &again["retryOf"],
            &again["arguments"]
        ),
        (&json!("Secret"), &json!(uuid), &json!(1))
    );
}
