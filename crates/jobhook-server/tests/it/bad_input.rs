//! Bad input at the hook: each kind is refused by name, and changes nothing.

use std::time::Duration;

use jobhook_protocol::SecretKey;

use crate::server::{Job, NOW, Server, Setup, Signed};
use crate::wire::Answer;

/// A report that would be seen if it landed.
const BODY: &str = r#"{"logs":["landed"]}"#;

async fn send(server: &Server, signed: &Signed, body: &str) -> Answer {
    server
        .request("POST", "/async/status", &signed.headers(), body)
        .await
}

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
async fn a_missing_or_empty_header_is_named() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    for name in ["X-Job-Id", "X-Job-Time", "X-Job-Hash"] {
        let mut headers = signed.headers();
        headers.retain(|(own, _)| *own != name);
        let missing = server
            .request("POST", "/async/status", &headers, BODY)
            .await;
        let detail = missing.refusal(401, "missing_header");
        assert!(detail.contains(name), "{detail}");
        assert_eq!(missing.header("www-authenticate"), Some("Jobhook"));
        headers.push((name, ""));
        let empty = server
            .request("POST", "/async/status", &headers, BODY)
            .await;
        empty.refusal(401, "missing_header");
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_doubled_header_is_refused_even_if_the_values_agree() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.v1(NOW, "/status", BODY);
    for (name, value) in signed.headers() {
        let mut headers = signed.headers();
        headers.push((name, value));
        let doubled = server
            .request("POST", "/async/status", &headers, BODY)
            .await;
        let detail = doubled.refusal(401, "repeated_header");
        assert!(detail.contains(name), "{detail}");
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_malformed_header_is_named_with_what_it_must_be() {
    let server = Server::start().await;
    let job = server.job().await;
    let long = "a".repeat(65);
    let cases: [(&str, &[&str]); 3] = [
        (
            "X-Job-Id",
            &["a b", "../x", "a/b", &long, "id, id", "\u{e9}"],
        ),
        (
            "X-Job-Time",
            &[
                "yesterday",
                "-1",
                "1.5",
                "12 34",
                "1764000000000000",
                "1764000000000, 1764000000000",
                "+1",
            ],
        ),
        ("X-Job-Signature", &["v1=", "v2=00", "00", "v1=zz"]),
    ];
    for (name, values) in cases {
        for value in values {
            let signed = job.v1(NOW, "/status", BODY);
            let mut headers = signed.headers();
            headers.retain(|(own, _)| *own != name);
            headers.push((name, value));
            let refused = server
                .request("POST", "/async/status", &headers, BODY)
                .await;
            let detail = refused.refusal(401, "malformed_header");
            assert!(detail.contains(name), "{detail}");
        }
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_wrong_hash_of_any_kind_is_a_bad_signature() {
    let server = Server::start().await;
    let job = server.job().await;
    let stranger = Job {
        key: SecretKey::from_text("another key").unwrap(),
        ..server.job().await
    };
    let right = job.webda(NOW);
    let wrong = [
        "0".repeat(64),
        right.hash[..63].to_owned(),
        right.hash.to_uppercase(),
        stranger.webda(NOW).hash,
        job.webda(NOW + 1).hash,
        format!("{0}, {0}", right.hash),
        "x".into(),
    ];
    for hash in wrong {
        let signed = Signed {
            hash,
            ..right.clone()
        };
        send(&server, &signed, BODY)
            .await
            .refusal(403, "bad_signature");
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn an_unknown_id_is_answered_exactly_as_a_wrong_hash() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut wrong = job.webda(NOW);
    wrong.hash = "0".repeat(64);
    let wrong = send(&server, &wrong, BODY).await;
    let other = "019ab697-e800-7a3e-8b21-4d6f0e9c1a57";
    for id in [
        other,
        "constructor",
        "__proto__",
        "toString",
        "..",
        "a",
        &job.id.to_uppercase(),
    ] {
        let mut unknown = job.webda(NOW);
        unknown.id = id.to_owned();
        let unknown = send(&server, &unknown, BODY).await;
        unknown.refusal(403, "bad_signature");
        assert_eq!(unknown.text(), wrong.text());
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn the_window_ends_one_step_outside_it_on_both_sides() {
    let server = Server::start().await;
    let job = server.job().await;
    for skew in [-300_000, 300_000] {
        send(&server, &job.webda(NOW + skew), "").await.expect(200);
        let outside = NOW + skew + skew.signum() * 1000;
        for signed in [job.webda(outside), job.v1(outside, "/status", BODY)] {
            let refused = send(&server, &signed, BODY).await;
            let detail = refused.refusal(401, "clock_skew");
            assert!(detail.contains("301000 ms"), "{detail}");
            assert_eq!(refused.json()["serverTime"], NOW);
            assert_eq!(refused.header("www-authenticate"), Some("Jobhook"));
        }
        send(&server, &job.webda(NOW + skew + skew.signum()), "")
            .await
            .refusal(401, "clock_skew");
    }
    untouched(&server, &job).await;
}

#[tokio::test]
async fn the_servers_time_is_not_told_to_a_stranger() {
    let server = Server::start().await;
    let job = server.job().await;
    for time in [NOW - 301_000, NOW + 301_000, 0] {
        let mut signed = job.webda(time);
        signed.hash = "0".repeat(64);
        let refused = send(&server, &signed, BODY).await;
        refused.refusal(403, "bad_signature");
        assert_eq!(refused.json().get("serverTime"), None);
    }
}

#[tokio::test]
async fn a_captured_request_ages_with_the_servers_clock() {
    let server = Server::start().await;
    let job = server.job().await;
    let captured = job.webda(NOW);
    server.clock.advance(Duration::from_secs(300));
    send(&server, &captured, "").await.expect(200);
    server.clock.advance(Duration::from_millis(1));
    send(&server, &captured, BODY)
        .await
        .refusal(401, "clock_skew");
}

#[tokio::test]
async fn without_a_window_only_v1_is_held_to_one() {
    let server = Server::with(Setup {
        max_clock_skew: None,
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    let years_off = 1_000_000_000_000;
    send(&server, &job.webda(years_off), "").await.expect(200);
    send(&server, &job.v1(years_off, "/status", ""), "")
        .await
        .refusal(401, "clock_skew");
}

#[tokio::test]
async fn a_v1_request_cannot_be_changed_in_body_path_or_method() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.v1(NOW, "/status", BODY);
    let other_body = r#"{"logs":["forged"]}"#;
    send(&server, &signed, other_body)
        .await
        .refusal(403, "bad_signature");
    for path in ["/async", "/async/status?", "/async/status?x=1"] {
        let moved = server.request("POST", path, &signed.headers(), BODY).await;
        moved.refusal(403, "bad_signature");
    }
    // Signed for another method than it is sent with.
    let (hash, signature) = jobhook_protocol::sign_v1(
        &job.key,
        &job.id,
        &signed.time,
        "PUT",
        "/status",
        BODY.as_bytes(),
    );
    let put = Signed {
        hash,
        signature: Some(signature),
        ..signed.clone()
    };
    send(&server, &put, BODY)
        .await
        .refusal(403, "bad_signature");
    let restamped = Signed {
        time: job.v1(NOW + 1, "/status", BODY).time,
        hash: job.v1(NOW + 1, "/status", BODY).hash,
        ..signed.clone()
    };
    send(&server, &restamped, BODY)
        .await
        .refusal(403, "bad_signature");
    untouched(&server, &job).await;
    send(&server, &signed, BODY).await.expect(200);
}

#[tokio::test]
async fn a_v1_request_robbed_of_its_signature_is_worthless() {
    let server = Server::start().await;
    let job = server.job().await;
    let robbed = Signed {
        signature: None,
        ..job.v1(NOW, "/status", BODY)
    };
    send(&server, &robbed, BODY)
        .await
        .refusal(403, "signature_required");
    untouched(&server, &job).await;
}

#[tokio::test]
async fn a_runner_may_insist_on_signatures() {
    let server = Server::with(Setup {
        strict: true,
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    server
        .webda(&job, BODY)
        .await
        .refusal(403, "signature_required");
    untouched(&server, &job).await;
    server.v1(&job, BODY).await.expect(200);
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
        limits: jobhook_server::http::HttpLimits {
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
        let signed = job.v1(NOW, "/status", BODY);
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

#[tokio::test]
async fn the_first_failure_of_the_order_is_the_one_that_is_answered() {
    let server = Server::start().await;
    let job = server.job().await;
    let latin = [("Content-Type", "a/b; charset=latin1")];
    let far = NOW + 400_000;
    let bad_body = "not json";
    let post = async |signed: &Signed, more: &[(&str, &str)]| {
        let headers = [signed.headers(), more.to_vec()].concat();
        server
            .request("POST", "/async/status", &headers, bad_body)
            .await
    };
    let mut signed = job.v1(far, "/status", "");
    signed.hash = "0".repeat(64);
    signed.time += "x";
    post(&signed, &latin).await.refusal(401, "malformed_header");
    signed.time.pop();
    post(&signed, &latin).await.refusal(403, "bad_signature");
    let signed = job.v1(far, "/status", "");
    post(&signed, &latin).await.refusal(401, "clock_skew");
    let robbed = Signed {
        signature: None,
        ..job.v1(NOW, "/status", bad_body)
    };
    post(&robbed, &latin)
        .await
        .refusal(403, "signature_required");
    let tampered = job.v1(NOW, "/status", "");
    post(&tampered, &latin).await.refusal(403, "bad_signature");
    let signed = job.v1(NOW, "/status", bad_body);
    post(&signed, &latin)
        .await
        .refusal(415, "unsupported_charset");
    post(&signed, &[]).await.refusal(400, "malformed_body");
}
