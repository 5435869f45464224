//! Reports that cannot be: each is refused by name, and changes nothing.

use jobhook_server::http::HttpLimits;

use crate::server::{Job, NOW, Server, Setup};

/// A report that would be seen if it landed.
const BODY: &str = r#"{"logs":["landed"]}"#;

/// Checks that nothing landed.
async fn untouched(server: &Server, job: &Job) {
    assert_eq!(server.lines(&job.id).await.len(), 0);
}

async fn body_refused(body: impl AsRef<[u8]>, status: u16, code: &str) -> String {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &signed.headers(), body.as_ref()))
        .await;
    let detail = wire.answer().await.refusal(status, code);
    untouched(&server, &job).await;
    detail
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    for body in [
        "not json",
        "{",
        r#"{"logs":["x"]"#,
        r#"{"logs":["x"]} trailing"#,
        "{'logs':['x']}",
        "\u{feff}{}",
    ] {
        body_refused(body, 400, "malformed_body").await;
    }
}

#[tokio::test]
async fn a_body_of_null_is_malformed() {
    let detail = body_refused("null", 400, "malformed_body").await;
    assert!(detail.contains("object"), "{detail}");
}

#[tokio::test]
async fn a_body_that_is_an_array_a_text_or_a_number_is_malformed() {
    for body in [r#"[{"logs":["x"]}]"#, r#""RUNNING""#, "42", "true"] {
        body_refused(body, 400, "malformed_body").await;
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_malformed() {
    let detail = body_refused(b"{\"logs\":[\"\xff\xfe\"]}", 400, "malformed_body").await;
    assert!(detail.contains("UTF-8"), "{detail}");
}

#[tokio::test]
async fn a_body_ten_thousand_deep_is_malformed() {
    let deep = format!(
        r#"{{"results":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let detail = body_refused(&deep, 400, "malformed_body").await;
    assert!(detail.contains("128"), "{detail}");
}

#[tokio::test]
async fn a_body_128_deep_is_taken_and_answered() {
    let server = Server::start().await;
    let job = server.job().await;
    let deep = format!(r#"{{"results":{}{}}}"#, "[".repeat(127), "]".repeat(127));
    let answer = server.v1(&job, &deep).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(&"[".repeat(127)));
}

#[tokio::test]
async fn a_body_of_12_mb_is_refused_and_the_connection_goes_on() {
    let server = Server::start().await;
    let job = server.job().await;
    let big = format!(r#"{{"logs":["{}"]}}"#, "x".repeat(12_000_000));
    let signed = job.webda(NOW);
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &signed.headers(), big.as_bytes()))
        .await;
    let detail = wire.answer().await.refusal(413, "body_too_large");
    assert!(detail.contains("10485760"), "{detail}");
    wire.send(server.bytes("POST", "/async/status", &signed.headers(), b"{}"))
        .await;
    wire.answer().await.expect(200);
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_while_it_comes_in_chunks() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let mut headers = signed.headers();
    headers.push(("Transfer-Encoding", "chunked"));
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &headers, b""))
        .await;
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    for _ in 0..11 {
        wire.send(&chunk).await;
    }
    // The body has no end yet, the answer has.
    wire.answer().await.refusal(413, "body_too_large");
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let server = Server::with(Setup {
        limits: HttpLimits {
            hook_body: 1000,
            ..Default::default()
        },
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    let fits = format!("{{{}}}", " ".repeat(998));
    server.v1(&job, &fits).await.expect(200);
    let over = format!("{{{}}}", " ".repeat(999));
    server.v1(&job, &over).await.refusal(413, "body_too_large");
}

#[tokio::test]
async fn another_charset_is_refused_by_name() {
    let server = Server::start().await;
    let job = server.job().await;
    for charset in ["latin1", "utf-16", "\"us-ascii\""] {
        let signed = job.v1(NOW, "POST", "/status", BODY);
        let kind = format!("application/json; charset={charset}");
        let mut headers = signed.headers();
        headers.push(("Content-Type", &kind));
        let refused = server
            .request("POST", "/async/status", &headers, BODY)
            .await;
        let detail = refused.refusal(415, "unsupported_charset");
        assert!(detail.contains(charset.trim_matches('"')), "{detail}");
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn nul_and_lone_surrogates_become_the_replacement_character() {
    let server = Server::start().await;
    let job = server.job().await;
    let body = r#"{"logs":["a\u0000b","\ud800","\udfff\ud83d\ude00"],"errorMessage":"\u0000","results":"\ud83d"}"#;
    let answer = server.webda(&job, body).await.expect(200);
    assert_eq!(answer["errorMessage"], "\u{fffd}");
    assert_eq!(answer["results"], "\u{fffd}");
    let lines = ["a\u{fffd}b", "\u{fffd}", "\u{fffd}\u{1f600}"];
    assert_eq!(server.lines(&job.id).await, lines);
}

#[tokio::test]
async fn an_unknown_status_is_refused_by_name() {
    for status in [r#""BANANA""#, r#""running""#, r#"{"x":1}"#, "7", r#""""#] {
        let body = format!(r#"{{"status":{status},"logs":["x"]}}"#);
        body_refused(&body, 400, "unknown_status").await;
    }
}

#[tokio::test]
async fn a_status_that_only_the_server_sets_is_not_allowed() {
    for status in ["SCHEDULED", "QUEUED", "STARTING", "TIMEOUT", "CANCELLED"] {
        let body = format!(r#"{{"status":"{status}","logs":["x"]}}"#);
        let detail = body_refused(&body, 400, "status_not_allowed").await;
        assert!(detail.contains(status), "{detail}");
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_is_named() {
    for (field, body) in [
        ("logs", r#"{"logs":"x"}"#),
        ("progress", r#"{"progress":{"percent":101},"logs":["x"]}"#),
        ("heartbeat", r#"{"heartbeat":0,"logs":["x"]}"#),
        ("reporter", r#"{"reporter":"a b","seq":1,"logs":["x"]}"#),
        ("reporter", r#"{"seq":1,"logs":["x"]}"#),
        ("seq", r#"{"reporter":"a","logs":["x"]}"#),
    ] {
        let detail = body_refused(body, 400, "invalid_field").await;
        assert!(detail.contains(&format!("`{field}`")), "{detail}");
    }
}

#[tokio::test]
async fn seq_zero_is_no_seq() {
    for seq in ["0", "-1", "1.5", "9007199254740992", r#""1""#] {
        let body = format!(r#"{{"reporter":"a","seq":{seq},"logs":["x"]}}"#);
        let detail = body_refused(&body, 400, "invalid_field").await;
        assert!(detail.contains("`seq`"), "{detail}");
    }
}

#[tokio::test]
async fn a_seq_may_be_repeated_and_skipped_but_not_beyond_the_window() {
    let server = Server::start().await;
    let job = server.job().await;
    let report = |seq: u64| format!(r#"{{"reporter":"a","seq":{seq},"logs":["{seq}"]}}"#);
    for seq in [1, 1, 5, 5, 3, 4101] {
        server.v1(&job, &report(seq)).await.expect(200);
    }
    for seq in [4, 5, 8198, 9_007_199_254_740_991] {
        let refused = server.v1(&job, &report(seq)).await;
        let detail = refused.refusal(409, "seq_out_of_window");
        assert!(detail.contains("4101"), "{detail}");
    }
    server.v1(&job, &report(8197)).await.expect(200);
    assert_eq!(server.lines(&job.id).await, ["1", "5", "3", "4101", "8197"]);
}

#[tokio::test]
async fn a_final_status_is_not_taken_back() {
    let server = Server::start().await;
    let job = server.job().await;
    server.v1(&job, r#"{"status":"SUCCESS"}"#).await.expect(200);
    for status in ["RUNNING", "ERROR"] {
        let body = format!(r#"{{"status":"{status}","logs":["x"]}}"#);
        let refused = server.v1(&job, &body).await;
        let detail = refused.refusal(409, "illegal_transition");
        assert!(detail.contains("SUCCESS"), "{detail}");
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_word_that_ends_the_attempt_stands_though_the_action_goes_on() {
    let server = Server::start().await;
    let job = server.job_of(2).await;
    let answer = server.v1(&job, r#"{"status":"ERROR"}"#).await.expect(200);
    assert_eq!(answer["status"], "RUNNING");
    server
        .v1(&job, r#"{"status":"SUCCESS"}"#)
        .await
        .refusal(409, "illegal_transition");
}
