//! The hook: both profiles at work, and HTTP as clients really speak it.

use std::time::Duration;

use serde_json::json;

use crate::server::{NOW, Server, Setup};

#[tokio::test]
async fn the_worked_example_of_profile_webda_is_answered_with_the_action() {
    let server = Server::start().await;
    let launched = server
        .post(
            "/api/v1/actions",
            r#"{"type":"Any","arguments":{"path":"docs/protocol.md","exact":1.50}}"#,
        )
        .await;
    let uuid = launched.expect(201)["uuid"].as_str().unwrap().to_owned();
    let job = server.next_job().await;
    assert_eq!(job.id, uuid);

    server.clock.advance(Duration::from_millis(412));
    let answer = server
        .webda(&job, r#"{"status":"RUNNING","logs":["hello"]}"#)
        .await;
    let body = answer.expect(200);
    assert_eq!(
        body,
        json!({
            "type": "Any", "arguments": {"path": "docs/protocol.md", "exact": 1.50}, "uuid": uuid, "status": "RUNNING",
            "attempt": 1, "attempts": 1, "_creationDate": "2025-11-24T16:00:00.000Z",
            "_lastUpdate": "2025-11-24T16:00:00.412Z", "_lastJobUpdate": NOW + 412,
        })
    );
    assert!(
        answer.text().contains(r#""exact":1.50"#),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(server.lines(&uuid).await, ["hello"]);
}

#[tokio::test]
async fn the_calls_of_the_original_client_work_in_a_row() {
    let server = Server::start().await;
    let job = server.job().await;
    for body in [
        "",
        "{}",
        r#"{"logs":["if x<y: fail & stop","a < b && c > d"]}"#,
        r#"{"status":"RUNNING","statusDetails":{"a":[1,2]},"agent":{"os":"any"}}"#,
        r#"{"status":"SUCCESS","results":{"zero":0,"no":false,"text":"","none":null}}"#,
        r#"{"status":"SUCCESS"}"#,
        r#"{"logs":["after the end"]}"#,
    ] {
        server.webda(&job, body).await.expect(200);
    }
    let action = server
        .get(&format!("/api/v1/actions/{}", job.id))
        .await
        .expect(200);
    assert_eq!(action["status"], "SUCCESS");
    assert_eq!(
        action["results"],
        json!({"zero": 0, "no": false, "text": "", "none": null})
    );
    assert_eq!(action["statusDetails"], json!({"a": [1, 2]}));
    let lines = ["if x<y: fail & stop", "a < b && c > d", "after the end"];
    assert_eq!(server.lines(&job.id).await, lines);
}

#[tokio::test]
async fn a_v1_report_sent_again_is_answered_the_same_and_lands_once() {
    let server = Server::start().await;
    let job = server.job().await;
    let body = r#"{"status":"RUNNING","logs":["once"],"progress":{"percent":12.5,"message":"half of a quarter"},"heartbeat":30,"reporter":"r-1","seq":1}"#;
    let first = server.v1(&job, body).await;
    first.expect(200);
    server.clock.advance(Duration::from_millis(5));
    let again = server.v1(&job, body).await;
    assert_eq!(first.text(), again.text());
    assert_eq!(server.lines(&job.id).await, ["once"]);
    let action = server
        .get(&format!("/api/v1/actions/{}", job.id))
        .await
        .expect(200);
    let progress = json!({"progress": 12.5, "message": "half of a quarter"});
    assert_eq!(action["statusDetails"], progress);
}

#[tokio::test]
async fn a_late_report_appends_its_lines_and_changes_nothing_else() {
    let server = Server::start().await;
    let job = server.job().await;
    server
        .v1(
            &job,
            r#"{"statusDetails":2,"logs":["second"],"reporter":"r","seq":2}"#,
        )
        .await
        .expect(200);
    server
        .v1(
            &job,
            r#"{"statusDetails":1,"logs":["first"],"reporter":"r","seq":1}"#,
        )
        .await
        .expect(200);
    assert_eq!(server.lines(&job.id).await, ["second", "first"]);
    let action = server
        .get(&format!("/api/v1/actions/{}", job.id))
        .await
        .expect(200);
    assert_eq!(action["statusDetails"], 2);
}

#[tokio::test]
async fn programs_of_both_profiles_share_an_attempt() {
    let server = Server::start().await;
    let job = server.job().await;
    server
        .webda(&job, r#"{"logs":["webda"]}"#)
        .await
        .expect(200);
    server.v1(&job, r#"{"logs":["v1"]}"#).await.expect(200);
    // Beside a signature the original's hash is as good.
    let body = r#"{"logs":["both"]}"#;
    let mut both = job.v1(NOW, "POST", "/status", body);
    both.hash = job.webda(NOW).hash;
    server
        .request("POST", "/async/status", &both.headers(), body)
        .await
        .expect(200);
    assert_eq!(server.lines(&job.id).await, ["webda", "v1", "both"]);
}

#[tokio::test]
async fn the_hook_itself_takes_reports_and_the_query_is_signed() {
    let server = Server::start().await;
    let job = server.job().await;
    for target in ["", "?a=%2f&b", "/status", "/status?x=ü"] {
        let body = format!(r#"{{"logs":["{target}"]}}"#);
        let signed = job.v1(NOW, "POST", target, &body);
        let path = format!("/async{target}");
        server
            .request("POST", &path, &signed.headers(), &body)
            .await
            .expect(200);
    }
    assert_eq!(server.lines(&job.id).await.len(), 4);
}

#[tokio::test]
async fn the_hook_is_served_where_it_is_configured() {
    let server = Server::with(Setup {
        hook: "/jobs/v-1".parse().unwrap(),
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    assert!(job.hand.start.environment.hook.ends_with("/jobs/v-1"));
    let signed = job.v1(NOW, "POST", "/status", "{}");
    server
        .request("POST", "/jobs/v-1/status", &signed.headers(), "{}")
        .await
        .expect(200);
    let elsewhere = server
        .request("POST", "/async/status", &signed.headers(), "{}")
        .await;
    elsewhere.refusal(404, "not_found");
}

#[tokio::test]
async fn a_heartbeat_needs_no_body_and_white_space_is_none() {
    let server = Server::start().await;
    let job = server.job().await;
    for body in ["", "  \r\n", "{ }"] {
        let answer = server.v1(&job, body).await.expect(200);
        assert_eq!(answer["_lastJobUpdate"], NOW);
    }
    assert_eq!(server.lines(&job.id).await.len(), 0);
}

#[tokio::test]
async fn any_content_type_or_none_will_do() {
    let server = Server::start().await;
    let job = server.job().await;
    for kind in [
        "application/json",
        "text/plain; charset=UTF-8",
        "x-what/ever; charset=\"utf-8\"",
        "nonsense",
        "",
    ] {
        let signed = job.webda(NOW);
        let mut headers = signed.headers();
        headers.push(("Content-Type", kind));
        server
            .request("POST", "/async/status", &headers, "{}")
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_taken() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.v1(NOW, "POST", "/status", r#"{"logs":["in parts"]}"#);
    let mut headers = signed.headers();
    headers.push(("Transfer-Encoding", "chunked"));
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &headers, b""))
        .await;
    wire.send("9\r\n{\"logs\":[\r\n").await;
    wire.send("c\r\n\"in parts\"]}\r\n0\r\n\r\n").await;
    wire.answer().await.expect(200);
    assert_eq!(server.lines(&job.id).await, ["in parts"]);
}

#[tokio::test]
async fn once_cancellation_is_wanted_every_answer_says_stop() {
    let server = Server::start().await;
    let job = server.job().await;
    assert_eq!(server.v1(&job, "").await.expect(200).get("action"), None);
    server
        .post(&format!("/api/v1/actions/{}/cancel", job.id), "")
        .await
        .expect(200);
    for body in [
        "",
        r#"{"status":"RUNNING","logs":["cleaning up"]}"#,
        r#"{"status":"ERROR"}"#,
    ] {
        assert_eq!(server.v1(&job, body).await.expect(200)["action"], "STOP");
    }
    let last = server.webda(&job, "").await.expect(200);
    assert_eq!(last["status"], "CANCELLED");
}

#[tokio::test]
async fn a_connection_carries_many_reports() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut wire = server.connect().await;
    for n in 1..=3 {
        let body = format!(r#"{{"logs":["{n}"]}}"#);
        let signed = job.v1(NOW, "POST", "/status", &body);
        wire.send(server.bytes("POST", "/async/status", &signed.headers(), body.as_bytes()))
            .await;
        wire.answer().await.expect(200);
    }
    let signed = job.webda(NOW);
    let mut headers = signed.headers();
    headers.push(("Connection", "close"));
    wire.send(server.bytes("POST", "/async/status", &headers, b""))
        .await;
    let last = wire.answer().await;
    last.expect(200);
    assert_eq!(last.header("connection"), Some("close"));
    assert!(wire.is_closed().await);
    assert_eq!(server.lines(&job.id).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn two_reports_sent_at_once_on_one_connection_are_both_answered() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let one = server.bytes(
        "POST",
        "/async/status",
        &signed.headers(),
        br#"{"logs":["x"]}"#,
    );
    let mut wire = server.connect().await;
    wire.send([one.as_slice(), &one].concat()).await;
    wire.answer().await.expect(200);
    wire.answer().await.expect(200);
    assert_eq!(server.lines(&job.id).await, ["x", "x"]);
}

#[tokio::test]
async fn who_hangs_up_after_sending_is_still_answered() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let mut wire = server.connect().await;
    wire.send(server.bytes(
        "POST",
        "/async/status",
        &signed.headers(),
        br#"{"logs":["x"]}"#,
    ))
    .await;
    wire.hang_up().await;
    wire.answer().await.expect(200);
}

#[tokio::test]
async fn http_1_0_and_http_2_are_spoken_too() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let mut wire = server.connect().await;
    let request = server.bytes("POST", "/async/status", &signed.headers(), b"{}");
    let request = String::from_utf8(request)
        .unwrap()
        .replace("HTTP/1.1", "HTTP/1.0");
    wire.send(request).await;
    wire.answer().await.expect(200);

    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap();
    let address = format!("http://{}/async/status", server.address);
    let body = r#"{"logs":["h2"]}"#;
    let signed = job.v1(NOW, "POST", "/status", body);
    let mut request = client.post(&address).body(body);
    for (name, value) in signed.headers() {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.status(), 200);
    // A refusal does not wait for the body there either.
    let refused = client
        .post(&address)
        .body(vec![b' '; 1 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(server.lines(&job.id).await, ["h2"]);
}

#[tokio::test]
async fn other_methods_and_addresses_are_refused_and_allow_says_what_is_possible() {
    let server = Server::start().await;
    for (path, allowed, methods) in [
        ("/async", "GET,HEAD,POST", ["PUT", "DELETE", "PATCH"]),
        ("/async/status", "POST,PUT", ["GET", "DELETE", "PATCH"]),
        ("/async/Report.Generate", "PUT", ["GET", "POST", "DELETE"]),
        ("/async/upload/a/b/c", "PUT", ["GET", "POST", "DELETE"]),
        ("/async/upload/data", "PUT", ["GET", "POST", "DELETE"]),
        (
            "/async/download/a/b/c/0",
            "GET,HEAD",
            ["PUT", "POST", "DELETE"],
        ),
        (
            "/async/download/data",
            "GET,HEAD",
            ["PUT", "POST", "DELETE"],
        ),
    ] {
        for method in methods {
            let refused = server.request(method, path, &[], "").await;
            refused.refusal(405, "method_not_allowed");
            assert_eq!(refused.header("allow"), Some(allowed));
        }
        let options = server
            .request("OPTIONS", path, &[("Origin", "http://example.org")], "")
            .await;
        assert_eq!(
            (options.status, options.header("allow")),
            (200, Some(allowed))
        );
        assert_eq!(options.header("access-control-allow-origin"), None);
    }
    for path in [
        "/async/",
        "/async/status/",
        "/Async/status",
        "/async//status",
        "/async/upload/a/b",
        "/async/upload/a/b/c/d",
        "/async/download/a/b/c",
        "/",
        "/api",
        "//",
    ] {
        let refused = server.request("POST", path, &[], "{}").await;
        refused.refusal(404, "not_found");
    }
    let mut wire = server.connect().await;
    wire.send(server.bytes("HEAD", "/async/status", &[], b""))
        .await;
    assert_eq!(wire.head().await.status, 405);
}

#[tokio::test]
async fn a_zombie_of_attempt_1_changes_nothing_once_attempt_2_has_begun() {
    let server = Server::start().await;
    let zombie = server.job_of(2).await;
    server
        .v1(&zombie, r#"{"status":"ERROR","errorMessage":"once"}"#)
        .await
        .expect(200);
    zombie.exits(1).await;
    let job = server.next_job().await;
    assert_eq!(job.id, zombie.id);
    for body in [r#"{"status":"SUCCESS","logs":["a lie"]}"#, "", "not JSON"] {
        for refused in [
            server.v1(&zombie, body).await,
            server.webda(&zombie, body).await,
        ] {
            let detail = refused.refusal(403, "attempt_superseded");
            assert!(detail.contains("attempt 2"), "{detail}");
            assert_eq!(refused.json()["action"], "STOP");
        }
    }
    let answer = server
        .v1(&job, r#"{"status":"SUCCESS","results":2}"#)
        .await
        .expect(200);
    assert_eq!(
        (&answer["attempt"], &answer["results"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(server.lines(&job.id).await.len(), 0);
}

#[tokio::test]
async fn the_job_of_a_closed_attempt_is_told_to_end() {
    let server = Server::start().await;
    let job = server.job().await;
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    job.exits(0).await;
    server.until_closed(&job.id).await;
    let refused = server.v1(&job, r#"{"logs":["too late"]}"#).await;
    refused.refusal(403, "attempt_closed");
    assert_eq!(refused.json()["action"], "STOP");
    assert_eq!(server.lines(&job.id).await.len(), 0);
}

#[tokio::test]
async fn a_refused_body_that_nobody_read_leaves_the_connection_in_order() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut wrong = job.webda(NOW);
    wrong.hash = "0".repeat(64);
    let big = vec![b' '; 3 << 20];
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &wrong.headers(), &big))
        .await;
    wire.answer().await.refusal(403, "bad_signature");
    for (method, path) in [("POST", "/nowhere"), ("PUT", "/async")] {
        wire.send(server.bytes(method, path, &[], &big)).await;
        assert!(matches!(wire.answer().await.status, 404 | 405));
    }
    let right = job.webda(NOW);
    wire.send(server.bytes("POST", "/async/status", &right.headers(), b"{}"))
        .await;
    wire.answer().await.expect(200);
}

#[tokio::test]
async fn a_body_that_waits_to_be_asked_for_is_asked_for_only_if_it_is_wanted() {
    let server = Server::start().await;
    let job = server.job().await;
    let asking = |signed: crate::server::Signed| {
        let mut headers = signed.headers();
        headers.extend([("Expect", "100-continue"), ("Content-Length", "2")]);
        server.bytes("POST", "/async/status", &headers, b"")
    };
    let mut wrong = job.webda(NOW);
    wrong.hash = "0".repeat(64);
    let mut wire = server.connect().await;
    wire.send(asking(wrong)).await;
    wire.answer().await.refusal(403, "bad_signature");

    let mut wire = server.connect().await;
    wire.send(asking(job.webda(NOW))).await;
    assert_eq!(wire.head().await.status, 100);
    wire.send("{}").await;
    wire.answer().await.expect(200);
}

#[tokio::test]
async fn what_a_job_clears_is_gone_and_numbers_keep_their_text() {
    let server = Server::start().await;
    let job = server.job().await;
    let first = server
        .v1(
            &job,
            r#"{"results":[1.50,1e400,9007199254740993],"statusDetails":{"a":1}}"#,
        )
        .await;
    assert!(
        first
            .text()
            .contains(r#""results":[1.50,1e400,9007199254740993]"#),
        "{}",
        first.text()
    );
    let second = server
        .v1(&job, r#"{"results":null,"statusDetails":null}"#)
        .await
        .expect(200);
    assert_eq!(second.get("results"), None);
    let action = server
        .get(&format!("/api/v1/actions/{}", job.id))
        .await
        .expect(200);
    assert_eq!(action.get("statusDetails"), None);
}
