//! Launching operations by name: at the hook's address, over the management API, and what their
//! jobs may give back.

use serde_json::{Value, json};

use jobhook_server::operations::Catalogue;

use crate::server::{Server, Setup};
use crate::wire::Answer;

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

pub(crate) fn catalogue() -> Catalogue {
    let definitions = json!({
        "application": {"name": "reports", "version": "1.2.3"},
        "operations": {
            "Report.Generate": {"id": "Report.Generate", "input": "report.generate.input", "output": "report.generate.output"},
            "Ping": {"id": "Ping"},
            "Secret": {"id": "Secret", "input": "secret.input", "permission": "roles CONTAINS 'ops' AND (team = 'blue' OR scope = 'admin')"},
            "Local": {"id": "Local", "permission": "name = \"local\""},
            "status": {"id": "status"},
        },
        "schemas": {
            "report.generate.input": {
                "type": "object",
                "properties": {"month": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}, "pages": {"type": "integer", "minimum": 1}, "tree": {}},
                "required": ["month"],
                "additionalProperties": false,
            },
            "report.generate.output": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
            "secret.input": {"type": "integer"},
        },
    });
    let mut catalogue = Catalogue::default();
    catalogue
        .add(serde_json::from_value(definitions).unwrap(), "ops.json")
        .unwrap();
    catalogue
}

pub(crate) async fn server() -> Server {
    Server::with(Setup {
        catalogue: catalogue(),
        ..Setup::default()
    })
    .await
}

pub(crate) async fn put(server: &Server, path: &str, body: &str) -> Answer {
    server
        .request("PUT", &format!("/async/{path}"), &[JSON], body)
        .await
}

async fn nothing_is_stored(server: &Server) {
    let list = server.get("/api/v1/actions").await.expect(200);
    assert_eq!(list, json!({"actions": []}));
}

#[tokio::test]
async fn an_operation_is_launched_by_its_name_and_answered_with_the_action() {
    let server = server().await;
    let answer = put(
        &server,
        "Report.Generate",
        r#"{"month":"2026-01","pages":10}"#,
    )
    .await;
    let action = answer.expect(200);
    let uuid = action["uuid"].as_str().unwrap();
    assert_eq!(
        action,
        json!({
            "uuid": uuid, "type": "Report.Generate", "operationId": "Report.Generate",
            "arguments": {"month": "2026-01", "pages": 10}, "status": "QUEUED", "attempt": 1,
            "attempts": 1, "createdAt": "2025-11-24T16:00:00.000Z", "closed": false, "lines": 0,
        })
    );
    let job = server.next_job().await;
    assert_eq!(job.id, uuid);
    let seen = server.webda(&job, "").await.expect(200);
    assert_eq!(
        (&seen["operationId"], &seen["arguments"]["month"]),
        (&json!("Report.Generate"), &json!("2026-01"))
    );
    // An empty `schedule`, an encoded name, no body and an operation called `status`.
    for path in ["Report%2EGenerate?schedule=", "Report.Generate"] {
        put(&server, path, r#"{"month":"2026-01"}"#)
            .await
            .expect(200);
    }
    for path in ["Ping", "status"] {
        let answer = server
            .request("PUT", &format!("/async/{path}"), &[], "")
            .await;
        assert_eq!(answer.expect(200)["type"], path);
        put(&server, path, "[1,2]").await.expect(200);
    }
}

#[tokio::test]
async fn the_management_api_launches_operations_too() {
    let server = server().await;
    let body = r#"{"operationId":"Report.Generate","input":{"month":"2026-01"},"attempts":3,"timeout":"1m"}"#;
    let answer = server.post("/api/v1/actions", body).await;
    let action = answer.expect(201);
    assert_eq!(
        (&action["operationId"], &action["type"], &action["attempts"]),
        (
            &json!("Report.Generate"),
            &json!("Report.Generate"),
            &json!(3)
        )
    );
    assert!(answer.header("location").is_some());
    let several = r#"[{"operationId":"Ping"},{"type":"Any","arguments":1},{"operationId":"Ping","input":null}]"#;
    let launched = server.post("/api/v1/actions", several).await.expect(201);
    assert_eq!(launched[1].get("operationId"), None);
    assert_eq!(launched[2].get("arguments"), None);
}

#[tokio::test]
async fn an_operation_that_is_not_known_is_refused_whatever_its_name() {
    let server = server().await;
    let names = [
        "Report.Generated",
        "report.generate",
        "constructor",
        "__proto__",
        "prototype",
        "toString",
        "hasOwnProperty",
        "%00",
        "%ff",
        "%2e%2e",
        "AsyncOperationAction",
        &"x".repeat(2_000),
    ];
    for name in names {
        put(&server, name, "{}")
            .await
            .refusal(404, "unknown_operation");
    }
    for name in ["constructor", "__proto__", "Any", ""] {
        let body = json!({"operationId": name, "input": {}}).to_string();
        let code = if name.is_empty() {
            (400, "invalid_field")
        } else {
            (404, "unknown_operation")
        };
        let refused = server.post("/api/v1/actions", &body).await;
        refused.refusal(code.0, code.1);
    }
    let detail = put(&server, "Report.Generat", "{}")
        .await
        .refusal(404, "unknown_operation");
    assert!(
        detail.contains("did you mean `Report.Generate`?"),
        "{detail}"
    );
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_with_every_path_and_nothing_is_stored() {
    let server = server().await;
    let refused = put(
        &server,
        "Report.Generate",
        r#"{"month":"hunter2","pages":0,"colour":1}"#,
    )
    .await;
    let detail = refused.refusal(400, "invalid_input");
    let problem: Value = serde_json::from_str(&refused.text()).unwrap();
    let errors = problem["errors"].as_array().unwrap();
    let mut paths: Vec<&str> = errors
        .iter()
        .map(|error| error["path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["", "/month", "/pages"]);
    assert!(
        detail.contains("/pages: ") && detail.contains("colour"),
        "{detail}"
    );
    assert!(!refused.text().contains("hunter2"), "{}", refused.text());

    for (input, says) in [
        ("", "it is missing"),
        ("null", "it is missing"),
        ("[]", "object"),
        ("3", "object"),
        (r#""month""#, "object"),
        ("{}", "required"),
        (r#"{"month":3}"#, "/month: "),
        (r#"{"month":"2026-01","tree":1e999}"#, "out of range"),
    ] {
        let detail = put(&server, "Report.Generate", input)
            .await
            .refusal(400, "invalid_input");
        assert!(detail.contains(says), "{input}: {detail}");
        if !input.is_empty() {
            let body = format!(
                r#"[{{"type":"Any"}},{{"operationId":"Report.Generate","input":{input}}}]"#
            );
            let detail = server
                .post("/api/v1/actions", &body)
                .await
                .refusal(400, "invalid_input");
            assert!(
                detail.contains("launch 2") && detail.contains(says),
                "{detail}"
            );
        }
    }
    let missing = server
        .post("/api/v1/actions", r#"{"operationId":"Report.Generate"}"#)
        .await;
    missing.refusal(400, "invalid_input");
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn what_is_no_json_too_long_or_too_deep_is_refused() {
    let server = server().await;
    for body in [
        "{",
        "month",
        "{}{}",
        "{\"month\": \"2026-01\"",
        "NaN",
        "\u{feff}{}",
    ] {
        let refused = put(&server, "Report.Generate", body).await;
        refused.refusal(400, "malformed_body");
    }
    let with = |tree: &str| format!(r#"{{"month":"2026-01","tree":{tree}}}"#);
    let nested = |depth: usize| with(&("[".repeat(depth) + &"]".repeat(depth)));
    for depth in [128, 10_000] {
        let refused = put(&server, "Report.Generate", &nested(depth)).await;
        refused.refusal(400, "malformed_body");
        let body = format!(r#"{{"operationId":"Ping","input":{}}}"#, nested(depth));
        let refused = server.post("/api/v1/actions", &body).await;
        refused.refusal(400, "malformed_body");
    }
    for (size, from) in [(1 << 20, "arguments"), (12_000_000, "body")] {
        let long = with(&format!("\"{}\"", "x".repeat(size)));
        let refused = put(&server, "Report.Generate", &long).await;
        let detail = refused.refusal(413, "body_too_large");
        assert!(detail.contains("1048576") || from == "body", "{detail}");
    }
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let refused = server.request("PUT", "/async/Ping", &[form], "{}").await;
    refused.refusal(415, "unsupported_media_type");
    nothing_is_stored(&server).await;
    // Up to the limits it is taken.
    let taken = put(&server, "Report.Generate", &nested(127)).await;
    assert_eq!(taken.status, 200);
    let long = with(&format!("\"{}\"", "x".repeat((1 << 20) - 100)));
    put(&server, "Report.Generate", &long).await.expect(200);
}

#[tokio::test]
async fn a_megabyte_of_faults_is_counted_and_not_told() {
    let server = Server::with(Setup {
        catalogue: {
            let mut catalogue = Catalogue::default();
            let definitions = json!({
                "operations": {"Words": {"id": "Words", "input": "words"}},
                "schemas": {"words": {"items": {"type": "string"}}},
            });
            catalogue
                .add(serde_json::from_value(definitions).unwrap(), "ops.json")
                .unwrap();
            catalogue
        },
        ..Setup::default()
    })
    .await;
    let zeros = format!("[{}0]", "0,".repeat(500_000));
    let refused = put(&server, "Words", &zeros).await;
    let detail = refused.refusal(400, "invalid_input");
    assert!(detail.ends_with("and 499981 more"), "{detail}");
    assert!(refused.text().len() < 10_000);
}

#[tokio::test]
async fn a_launch_is_a_plain_one_or_one_of_an_operation() {
    let server = server().await;
    for body in [
        r#"{"type":"Any","operationId":"Ping"}"#,
        r#"{"operationId":"Ping","arguments":[]}"#,
        r#"{"type":"Any","input":3}"#,
        r#"{"input":3}"#,
        r#"{"operationId":7}"#,
    ] {
        let detail = server
            .post("/api/v1/actions", body)
            .await
            .refusal(400, "invalid_field");
        assert!(detail.contains("operationId"), "{detail}");
    }
    let body = r#"{"type":"Report.Generate","arguments":{"month":"2026-01"}}"#;
    let refused = server.post("/api/v1/actions", body).await;
    let detail = refused.refusal(400, "operation_needs_input");
    assert!(detail.contains("`operationId` and `input`"), "{detail}");
    nothing_is_stored(&server).await;
}

#[tokio::test]
async fn operations_are_listed_as_the_original_does() {
    let server = server().await;
    let ids = json!(["Local", "Ping", "Report.Generate", "status"]);
    assert_eq!(server.get("/async").await.expect(200), ids);
    assert_eq!(server.get("/async?full").await.expect(200), ids);
    let full = server.get("/async?full=false").await;
    let definitions = full.expect(200);
    assert_eq!(
        definitions["application"],
        json!({"name": "reports", "version": "1.2.3"})
    );
    assert_eq!(
        definitions["operations"]["Report.Generate"],
        json!({"id": "Report.Generate", "input": "report.generate.input", "output": "report.generate.output"})
    );
    assert_eq!(definitions["operations"]["Local"], json!({"id": "Local"}));
    let schemas: Vec<&String> = definitions["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(schemas, ["report.generate.input", "report.generate.output"]);
    assert_eq!(server.get("/api/v1/operations").await.text(), full.text());
    let refused = server.get("/async?ful=1").await;
    refused.refusal(400, "invalid_parameter");
    for (method, path) in [
        ("GET", "/async/Ping"),
        ("DELETE", "/async"),
        ("POST", "/api/v1/operations"),
    ] {
        let refused = server.request(method, path, &[], "").await;
        refused.refusal(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn an_input_in_which_a_name_comes_twice_is_refused() {
    let server = self::server().await;
    let twice = r#"{"month":"2026-01","month":"2026-02"}"#;
    let refused = put(&server, "Report.Generate", twice).await;
    refused.refusal(400, "invalid_input");
    assert!(refused.text().contains("`month` is there twice"));
}

#[tokio::test]
async fn results_that_do_not_fit_are_refused_and_the_job_may_say_error() {
    let server = server().await;
    put(&server, "Report.Generate", r#"{"month":"2026-01"}"#)
        .await
        .expect(200);
    let job = server.next_job().await;
    let bad = r#"{"status":"SUCCESS","results":{"url":7},"logs":["done"]}"#;
    let refused = server.v1(&job, bad).await;
    let detail = refused.refusal(422, "invalid_output");
    assert!(
        detail.contains("`Report.Generate`") && detail.contains("/url: "),
        "{detail}"
    );
    assert!(
        refused.text().contains(r#""errors":[{"message":"#),
        "{}",
        refused.text()
    );
    let refused = server.webda(&job, r#"{"status":"SUCCESS"}"#).await;
    let detail = refused.refusal(422, "invalid_output");
    assert!(detail.contains("it is missing"), "{detail}");
    let action = server.until(&job.id, |_| true).await;
    assert!(action.results.is_none() && !action.status.is_final());
    assert_eq!(server.lines(&job.id).await, [""; 0]);
    // Else a SUCCESS, or an exit code of 0, would make of them what nobody has judged.
    for early in [
        r#"{"status":"RUNNING","results":[1]}"#,
        r#"{"results":null}"#,
    ] {
        let refused = server.v1(&job, early).await;
        refused.refusal(422, "invalid_output");
    }
    // What a failure leaves may be anything.
    let error = r#"{"status":"ERROR","errorName":"NoPaper","errorMessage":"url","results":[1]}"#;
    assert_eq!(server.v1(&job, error).await.expect(200)["status"], "ERROR");
}

#[tokio::test]
async fn results_may_come_before_the_success_and_must_fit_after_it() {
    let server = server().await;
    put(&server, "Report.Generate", r#"{"month":"2026-01"}"#)
        .await
        .expect(200);
    let job = server.next_job().await;
    server
        .v1(&job, r#"{"results":{"url":"https://x"}}"#)
        .await
        .expect(200);
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    let refused = server.v1(&job, r#"{"results":{"url":7}}"#).await;
    refused.refusal(422, "invalid_output");
    server
        .v1(&job, r#"{"results":{"url":"https://y"}}"#)
        .await
        .expect(200);
    // Nobody judges what other actions give back.
    let other = server.job().await;
    let fine = server
        .v1(&other, r#"{"status":"SUCCESS","results":{"url":7}}"#)
        .await;
    fine.expect(200);
}
