//! Requests at the hook that are not signed as they must be: each is refused by name, and
//! changes nothing.

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
    let signed = job.v1(NOW, "POST", "/status", BODY);
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
            let signed = job.v1(NOW, "POST", "/status", BODY);
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
        for signed in [job.webda(outside), job.v1(outside, "POST", "/status", BODY)] {
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
    send(&server, &job.v1(years_off, "POST", "/status", ""), "")
        .await
        .refusal(401, "clock_skew");
}

#[tokio::test]
async fn a_v1_request_cannot_be_changed_in_body_path_or_method() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.v1(NOW, "POST", "/status", BODY);
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
        time: job.v1(NOW + 1, "POST", "/status", BODY).time,
        hash: job.v1(NOW + 1, "POST", "/status", BODY).hash,
        ..signed.clone()
    };
    send(&server, &restamped, BODY)
        .await
        .refusal(403, "bad_signature");
    untouched(&server, &job).await;
    send(&server, &signed, BODY).await.expect(200);
}

/// Long bodies are worked through aside.
#[tokio::test]
async fn a_long_report_is_judged_as_a_short_one_is() {
    let server = Server::start().await;
    let job = server.job().await;
    let body = |line: &str| {
        format!(
            r#"{{"logs":["{line}"],"statusDetails":{{"pad":"{}"}}}}"#,
            "x".repeat(1 << 20)
        )
    };
    let signed = job.v1(NOW, "POST", "/status", &body("landed"));
    send(&server, &signed, &body("forged"))
        .await
        .refusal(403, "bad_signature");
    let cut = &body("cut")[..1 << 20];
    server.v1(&job, cut).await.refusal(400, "malformed_body");
    untouched(&server, &job).await;
    send(&server, &signed, &body("landed")).await.expect(200);
    assert_eq!(server.lines(&job.id).await, ["landed"]);
}

#[tokio::test]
async fn a_v1_request_robbed_of_its_signature_is_worthless() {
    let server = Server::start().await;
    let job = server.job().await;
    let robbed = Signed {
        signature: None,
        ..job.v1(NOW, "POST", "/status", BODY)
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
    let mut signed = job.v1(far, "POST", "/status", "");
    signed.hash = "0".repeat(64);
    signed.time += "x";
    post(&signed, &latin).await.refusal(401, "malformed_header");
    signed.time.pop();
    post(&signed, &latin).await.refusal(403, "bad_signature");
    let signed = job.v1(far, "POST", "/status", "");
    post(&signed, &latin).await.refusal(401, "clock_skew");
    let robbed = Signed {
        signature: None,
        ..job.v1(NOW, "POST", "/status", bad_body)
    };
    post(&robbed, &latin)
        .await
        .refusal(403, "signature_required");
    let tampered = job.v1(NOW, "POST", "/status", "");
    post(&tampered, &latin).await.refusal(403, "bad_signature");
    let signed = job.v1(NOW, "POST", "/status", bad_body);
    post(&signed, &latin)
        .await
        .refusal(415, "unsupported_charset");
    post(&signed, &[]).await.refusal(400, "malformed_body");
}
