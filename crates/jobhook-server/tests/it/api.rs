//! The management API: looking at actions, cancelling and retrying them.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use crate::server::{Server, Setup};

/// Launches one and returns its id.
async fn launch(server: &Server, body: &str) -> String {
    let launched = server.post("/api/v1/actions", body).await.expect(201);
    launched["uuid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_unknown_id_of_any_form_is_not_found() {
    let server = Server::start().await;
    let job = server.job().await;
    let ids = [
        "019ab697-e800-7a3e-8b21-4d6f0e9c1a57",
        "constructor",
        "__proto__",
        "%2e%2e%2fx",
        "..",
        "%00",
        "%ff",
        "a%20b",
        &job.id.to_uppercase(),
        &job.id.replace('-', ""),
    ];
    for id in ids {
        let base = format!("/api/v1/actions/{id}");
        server.get(&base).await.refusal(404, "action_not_found");
        server
            .get(&format!("{base}/logs"))
            .await
            .refusal(404, "action_not_found");
        server
            .post(&format!("{base}/cancel"), "")
            .await
            .refusal(404, "action_not_found");
        server
            .post(&format!("{base}/retry"), "")
            .await
            .refusal(404, "action_not_found");
    }
    server
        .get("/api/v1/actions/../x")
        .await
        .refusal(404, "not_found");
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let server = Server::start().await;
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v2/actions",
        "/api/v1/actions/",
        "/api/v1/actions/x/y",
        "/favicon.ico",
    ] {
        server.get(path).await.refusal(404, "not_found");
    }
    let refused = server.request("DELETE", "/api/v1/actions", &[], "").await;
    refused.refusal(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("GET,HEAD,POST"));
    let refused = server.get("/api/v1/actions/x/cancel").await;
    refused.refusal(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), Some("POST"));
    let mut wire = server.connect().await;
    wire.send(server.bytes("HEAD", "/api/v1/actions", &[], b""))
        .await;
    let head = wire.head().await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("14"))
    );
}

#[tokio::test]
async fn the_list_is_read_page_by_page_newest_first() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(launch(&server, &format!(r#"{{"type":"Any","arguments":{n}}}"#)).await);
    }
    ids.reverse();
    let (mut seen, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = server
            .get(&format!("/api/v1/actions?limit=3{cursor}"))
            .await
            .expect(200);
        pages += 1;
        for action in page["actions"].as_array().unwrap() {
            seen.push(action["uuid"].as_str().unwrap().to_owned());
        }
        match page.get("next") {
            Some(next) => cursor = format!("&cursor={}", next.as_str().unwrap()),
            None => break,
        }
        // What is launched meanwhile belongs before the first page.
        launch(&server, r#"{"type":"Any"}"#).await;
    }
    assert_eq!((pages, seen), (3, ids));
    let exactly = server.get("/api/v1/actions?limit=9").await.expect(200);
    assert_eq!(exactly["actions"].as_array().unwrap().len(), 9);
    assert_eq!(exactly.get("next"), None);
}

#[tokio::test]
async fn the_list_is_narrowed_by_status_and_type() {
    let server = Server::start().await;
    let running = server.job().await;
    server
        .v1(&running, r#"{"status":"RUNNING"}"#)
        .await
        .expect(200);
    let done = server.job().await;
    server
        .v1(&done, r#"{"status":"SUCCESS"}"#)
        .await
        .expect(200);
    let other = launch(&server, r#"{"type":"Other"}"#).await;
    let listed = async |query: &str| {
        let page = server
            .get(&format!("/api/v1/actions?{query}"))
            .await
            .expect(200);
        let actions = page["actions"].as_array().unwrap().clone();
        actions
            .iter()
            .map(|action| action["uuid"].as_str().unwrap().to_owned())
            .collect::<HashSet<_>>()
    };
    let set = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<HashSet<_>>();
    assert_eq!(listed("status=RUNNING").await, set(&[&running.id]));
    assert_eq!(
        listed("status=RUNNING,SUCCESS").await,
        set(&[&running.id, &done.id])
    );
    assert_eq!(
        listed("status=ERROR&status=SUCCESS").await,
        set(&[&other, &done.id])
    );
    assert_eq!(listed("type=Other").await, set(&[&other]));
    assert_eq!(listed("type=Any&status=ERROR").await, set(&[]));
    assert_eq!(listed("type=O%74her&limit=1").await, set(&[&other]));
}

#[tokio::test]
async fn an_impossible_parameter_is_named() {
    let server = Server::start().await;
    let job = server.job().await;
    for (query, name) in [
        ("status=BANANA", "status"),
        ("status=", "status"),
        ("status=RUNNING,", "status"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("stauts=RUNNING", "did you mean `status`"),
    ] {
        let detail = server
            .get(&format!("/api/v1/actions?{query}"))
            .await
            .refusal(400, "invalid_parameter");
        assert!(detail.contains(name), "{detail}");
    }
    for query in [
        "after=-1",
        "after=x",
        "limit=10001",
        "limit=0",
        "after=1&after=1",
    ] {
        let path = format!("/api/v1/actions/{}/logs?{query}", job.id);
        server.get(&path).await.refusal(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn an_action_shows_its_witnesses_its_attempts_and_no_key() {
    let server = Server::start().await;
    let first = server.job_of(2).await;
    server
        .v1(
            &first,
            r#"{"status":"ERROR","errorName":"Odd","errorMessage":"a < b"}"#,
        )
        .await
        .expect(200);
    first.exits(3).await;
    let second = server.next_job().await;
    server
        .v1(&second, r#"{"status":"SUCCESS","results":{"ok":true}}"#)
        .await
        .expect(200);
    second.exits(1).await;
    server.until_closed(&second.id).await;

    let answer = server.get(&format!("/api/v1/actions/{}", second.id)).await;
    let action = answer.expect(200);
    let saw = "the program exited with code 1";
    assert_eq!(
        action["witness"],
        json!({"said": "SUCCESS", "saw": saw, "disagree": true})
    );
    assert_eq!(
        (&action["status"], &action["closed"]),
        (&json!("SUCCESS"), &json!(true))
    );
    assert_eq!(
        action["history"],
        json!([
            {
                "attempt": 1, "runner": "hand", "claimedAt": "2025-11-24T16:00:00.000Z", "closedAt": "2025-11-24T16:00:00.000Z",
                "outcome": "error", "failure": "code", "errorName": "Odd", "errorMessage": "a < b",
                "witness": {"said": "ERROR", "saw": "the program exited with code 3"},
            },
            {
                "attempt": 2, "runner": "hand", "claimedAt": "2025-11-24T16:00:00.000Z", "closedAt": "2025-11-24T16:00:00.000Z",
                "outcome": "success", "witness": {"said": "SUCCESS", "saw": saw, "disagree": true},
            },
        ])
    );
    assert!(!answer.text().contains(&second.key.reveal()));
    let listed = server.get("/api/v1/actions").await.expect(200);
    assert_eq!(listed["actions"][0]["witness"], action["witness"]);
    assert_eq!(listed["actions"][0].get("history"), None);
}

#[tokio::test]
async fn cancel_marks_what_runs_and_ends_what_waits() {
    let server = Server::start().await;
    let job = server.job().await;
    let path = format!("/api/v1/actions/{}/cancel", job.id);
    let cancelled = server
        .post(&path, r#"{"reason":"<enough>"}"#)
        .await
        .expect(200);
    let mark = json!({"at": "2025-11-24T16:00:00.000Z", "by": "local", "reason": "<enough>"});
    assert_eq!(
        (&cancelled["status"], &cancelled["cancel"]),
        (&json!("STARTING"), &mark)
    );
    // The first mark stands, with a body or without.
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(
        server
            .post(&path, r#"{"reason":"again"}"#)
            .await
            .expect(200)["cancel"],
        mark
    );
    assert_eq!(
        server.request("POST", &path, &[], "").await.expect(200)["cancel"],
        mark
    );
    job.exits(143).await;
    server.until_closed(&job.id).await;
    let detail = server.post(&path, "").await.refusal(409, "already_final");
    assert!(detail.contains("CANCELLED"), "{detail}");
}

#[tokio::test]
async fn cancel_takes_a_reason_and_nothing_else() {
    let server = Server::start().await;
    let path = format!("/api/v1/actions/{}/cancel", server.job().await.id);
    let detail = server
        .post(&path, r#"{"reson":"x"}"#)
        .await
        .refusal(400, "unknown_field");
    assert!(detail.contains("did you mean `reason`"), "{detail}");
    server
        .post(&path, r#"{"reason":7}"#)
        .await
        .refusal(400, "invalid_field");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1025));
    let detail = server
        .post(&path, &long)
        .await
        .refusal(400, "invalid_field");
    assert!(detail.ends_with("at most 1,024 are taken"), "{detail}");
    let long = format!(r#"{{"{}":1}}"#, "é".repeat(5000));
    let detail = server
        .post(&path, &long)
        .await
        .refusal(400, "unknown_field");
    let shown = format!(
        "there is no field `{}…`; known are `reason`",
        "é".repeat(64)
    );
    assert_eq!(detail, shown);
    for body in ["[]", "null", "x", r#""why""#] {
        server
            .post(&path, body)
            .await
            .refusal(400, "malformed_body");
    }
}

#[tokio::test]
async fn retry_launches_a_final_action_again_as_a_new_one() {
    let server = Server::start().await;
    let id = launch(
        &server,
        r#"{"type":"Any","arguments":[1.50],"attempts":2,"timeout":9}"#,
    )
    .await;
    let job = server.next_job().await;
    let path = format!("/api/v1/actions/{id}/retry");
    let detail = server.post(&path, "").await.refusal(409, "not_final");
    assert!(detail.contains("STARTING"), "{detail}");
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    let answer = server.request("POST", &path, &[], "").await;
    let again = answer.expect(201);
    let uuid = again["uuid"].as_str().unwrap();
    assert_ne!(uuid, id);
    assert_eq!(
        answer.header("location"),
        Some(format!("/api/v1/actions/{uuid}").as_str())
    );
    assert_eq!(
        (&again["retryOf"], &again["attempts"]),
        (&json!(id), &json!(2))
    );
    assert!(answer.text().contains(r#""arguments":[1.50]"#));
    assert_eq!(
        server.until(uuid, |_| true).await.timeouts.run,
        Some(Duration::from_secs(9))
    );
}

#[tokio::test]
async fn lines_are_read_page_by_page() {
    let server = Server::start().await;
    let job = server.job().await;
    for body in [r#"{"logs":["1","2","3"]}"#, r#"{"logs":["4","5"]}"#] {
        server.v1(&job, body).await.expect(200);
    }
    let path = format!("/api/v1/actions/{}/logs", job.id);
    let first = server.get(&format!("{path}?limit=2")).await.expect(200);
    assert_eq!(first["next"], 2);
    assert_eq!(
        first["lines"][1],
        json!({"number": 2, "time": "2025-11-24T16:00:00.000Z", "attempt": 1, "source": "job", "text": "2"})
    );
    let second = server.get(&format!("{path}?after=2")).await.expect(200);
    assert_eq!(
        (second["lines"].as_array().unwrap().len(), &second["next"]),
        (3, &json!(5))
    );
    let third = server.get(&format!("{path}?after=5")).await.expect(200);
    assert_eq!(third, json!({"lines": [], "next": 5}));
}

#[tokio::test]
async fn dropped_lines_are_counted() {
    let log = jobhook_engine::log::LogLimits {
        lines: 3,
        bytes: 1000,
    };
    let server = Server::with(Setup {
        log,
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    server
        .v1(&job, r#"{"logs":["1","2","3","4","5"]}"#)
        .await
        .expect(200);
    let path = format!("/api/v1/actions/{}/logs", job.id);
    let page = server.get(&path).await.expect(200);
    assert_eq!(
        (&page["dropped"], &page["lines"][0]["number"]),
        (&json!(2), &json!(3))
    );
    let page = server.get(&format!("{path}?after=1")).await.expect(200);
    assert_eq!(page["dropped"], 1);
    let page = server.get(&format!("{path}?after=2")).await.expect(200);
    assert_eq!(page.get("dropped"), None);
    let action = server
        .get(&format!("/api/v1/actions/{}", job.id))
        .await
        .expect(200);
    assert_eq!(
        (&action["lines"], &action["linesDropped"]),
        (&json!(5), &json!(2))
    );
}

#[tokio::test]
async fn the_server_is_ready_once_it_has_started() {
    let server = Server::with(Setup {
        started: false,
        ..Setup::default()
    })
    .await;
    server.get("/healthz").await.expect(200);
    let unready = server.get("/readyz").await;
    unready.refusal(503, "store_unavailable");
    assert_eq!(unready.header("retry-after"), Some("1"));
    server.engine.start().await.unwrap();
    server.get("/readyz").await.expect(200);
    server.engine.stop().await;
    server
        .get("/readyz")
        .await
        .refusal(503, "store_unavailable");
    server.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn the_server_describes_itself() {
    let server = Server::start().await;
    let body = server.get("/.well-known/jobhook").await.expect(200);
    assert_eq!(body["profiles"], json!(["webda", "v1"]));
    assert_eq!(body["hook"], "/async");
    assert_eq!(body["limits"]["hookBody"], 10_485_760);
}
