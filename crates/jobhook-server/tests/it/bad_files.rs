//! What must not happen with files: each refusal says what is wrong, and leaves nothing.

use std::sync::Arc;
use std::time::Duration;

use jobhook_engine::blob::BlobStore;
use jobhook_engine::files::FileSettings;
use jobhook_engine::memory_blobs::MemoryBlobs;
use jobhook_server::http::HttpLimits;
use serde_json::{Value, json};

use crate::files::{Known, known, outputs};
use crate::server::{Job, Server, Setup};

const BYTES: &[u8] = b"the bytes of a file";

/// A server, a job, and where its bytes are kept.
async fn stage() -> (Server, Job, Arc<MemoryBlobs>) {
    let blobs = Arc::new(MemoryBlobs::default());
    let setup = Setup {
        files: FileSettings {
            blobs: blobs.clone(),
            ..FileSettings::default()
        },
        ..Setup::default()
    };
    let server = Server::with(setup).await;
    let job = server.job().await;
    (server, job, blobs)
}

/// How many blobs there are.
async fn count(blobs: &MemoryBlobs) -> usize {
    blobs.list(None, 100).await.unwrap().len()
}

impl Server {
    pub(crate) async fn nothing_is_left(&self, job: &Job, blobs: &MemoryBlobs) {
        assert_eq!(self.left(job).await, 0);
        assert_eq!(self.stored_bytes().await, 0);
        assert_eq!(count(blobs).await, 0, "bytes without an owner");
    }

    async fn put(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> crate::wire::Answer {
        let mut wire = self.connect().await;
        wire.send(self.bytes("PUT", path, headers, body)).await;
        wire.answer().await
    }
}

#[tokio::test]
async fn a_known_hash_with_another_challenge_gets_an_address_and_never_the_content() {
    let (server, job, _) = stage().await;
    let other = server.job().await;
    server.leave(&other, BYTES).await;
    let Known { hash, .. } = known(BYTES);
    let body = json!({"hash": hash, "challenge": known(b"x").challenge}).to_string();
    let known_hash = server
        .ask_webda(&job, "PUT", &outputs(&job), &body)
        .await
        .expect(200);
    let body = json!({"hash": known(b"y").hash, "challenge": known(b"x").challenge}).to_string();
    let unknown = server
        .ask_webda(&job, "PUT", &outputs(&job), &body)
        .await
        .expect(200);
    let shape = |answer: &Value| {
        answer
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(shape(&known_hash), shape(&unknown), "both look alike");
    assert_eq!(server.left(&job).await, 0);

    let wrong = server.send(&known_hash, BYTES).await;
    let detail = wrong.refusal(400, "content_mismatch");
    assert!(!detail.contains(&known(BYTES).challenge), "{detail}");
    assert_eq!(server.left(&job).await, 0);
}

#[tokio::test]
async fn bytes_that_are_not_what_was_announced_leave_no_trace() {
    let (server, job, blobs) = stage().await;
    let opened = server.open(&job, BYTES).await;
    for wrong in [
        &b"the bytes of a fill"[..],
        b"the bytes",
        b"",
        b"the bytes of a file!",
    ] {
        server
            .send(&opened, wrong)
            .await
            .refusal(400, "content_mismatch");
        server.nothing_is_left(&job, &blobs).await;
    }
    let Known {
        hash, challenge, ..
    } = known(BYTES);
    for size in [0, 18, 20] {
        let body = json!({"hash": hash, "challenge": challenge, "size": size}).to_string();
        let opened = server
            .ask_webda(&job, "PUT", &outputs(&job), &body)
            .await
            .expect(200);
        server
            .send(&opened, BYTES)
            .await
            .refusal(400, "content_mismatch");
        server.nothing_is_left(&job, &blobs).await;
    }
    server.send(&opened, BYTES).await.expect(204);
    assert_eq!(server.left(&job).await, 1, "the address is still good");
}

#[tokio::test]
async fn a_transfer_that_is_cut_leaves_no_trace() {
    let (server, job, blobs) = stage().await;
    let bytes = vec![5; 3 << 20];
    let opened = server.open(&job, &bytes).await;
    let path = server.path_of(opened["url"].as_str().unwrap());
    let mut wire = server.connect().await;
    let whole = server.bytes("PUT", &path, &[], &bytes);
    wire.send(&whole[..whole.len() - 1]).await;
    wire.hang_up().await;
    assert!(wire.is_closed().await || wire.answer().await.status == 400);
    server.nothing_is_left(&job, &blobs).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let setup = Setup {
        limits: HttpLimits {
            stall: Duration::from_millis(50),
            ..HttpLimits::default()
        },
        ..Setup::default()
    };
    let server = Server::with(setup).await;
    let job = server.job().await;
    let opened = server.open(&job, BYTES).await;
    let path = server.path_of(opened["url"].as_str().unwrap());
    let mut wire = server.connect().await;
    let whole = server.bytes("PUT", &path, &[], BYTES);
    wire.send(&whole[..whole.len() - 2]).await;
    wire.answer().await.refusal(408, "too_slow");
    assert!(wire.is_closed().await);
    assert_eq!(server.left(&job).await, 0);
}

#[tokio::test]
async fn what_is_asked_must_make_sense() {
    let (server, job, blobs) = stage().await;
    let Known {
        hash,
        challenge,
        sha256,
    } = known(BYTES);
    let right = json!({"hash": hash, "challenge": challenge});
    let with = |name: &str, value: Value| {
        let mut body = right.clone();
        body[name] = value;
        body
    };
    let receipt = json!({"receipt": "x", "size": 1, "sha256": sha256});
    let mut cases = vec![
        (json!({"challenge": challenge}), "hash"),
        (json!({"hash": hash}), "challenge"),
        (json!({}), "hash"),
        (with("hash", json!(hash.to_uppercase())), "hash"),
        (with("hash", json!("../../escape")), "hash"),
        (with("hash", json!("a".repeat(4096))), "hash"),
        (with("hash", json!(1)), "hash"),
        (with("challenge", json!(&challenge[1..])), "challenge"),
        (
            with("challenge", json!(format!("{challenge}00"))),
            "challenge",
        ),
        (with("size", json!(-1)), "size"),
        (with("size", json!(1.5)), "size"),
        (with("size", json!("19")), "size"),
        (with("metadata", json!({"a": "b".repeat(4096)})), "metadata"),
        (with("metadata", json!([1])), "metadata"),
        (with("mimetype", json!("text html")), "mimetype"),
        (
            with("mimetype", json!("text/html\r\nSet-Cookie: a=b")),
            "mimetype",
        ),
        (
            json!({"receipt": 1, "size": 1, "sha256": sha256}),
            "receipt",
        ),
        (json!({"receipt": "x", "sha256": sha256}), "size"),
        (json!({"receipt": "x", "size": 1}), "sha256"),
    ];
    for name in ["", ".", "..", "a/b", "a\\b", "a\nb", &"n".repeat(256)] {
        cases.push((with("name", json!(name)), "name"));
    }
    for (body, field) in cases {
        let answer = server
            .ask_v1(&job, "PUT", &outputs(&job), &body.to_string())
            .await;
        let detail = answer.refusal(400, "invalid_field");
        assert!(detail.contains(field), "{body}: {detail}");
    }
    for body in ["", "[]", "null", "{", "\"x\""] {
        let answer = server.ask_v1(&job, "PUT", &outputs(&job), body).await;
        answer.refusal(400, "malformed_body");
    }
    let forged = server
        .ask_v1(&job, "PUT", &outputs(&job), &receipt.to_string())
        .await;
    forged.refusal(403, "invalid_token");
    server.nothing_is_left(&job, &blobs).await;
}

#[tokio::test]
async fn what_is_not_the_jobs_own_is_not_there() {
    let (server, job, blobs) = stage().await;
    let other = server.job().await;
    server.leave(&other, BYTES).await;
    let Known {
        hash, challenge, ..
    } = known(BYTES);
    let body = json!({"hash": hash, "challenge": challenge}).to_string();
    let (own, foreign) = (&job.id, &other.id);
    for place in [
        format!("actions/{foreign}/outputs"),
        format!("actions/{own}/inputs"),
        format!("actions/{own}/logs"),
        format!("actions/{own}/constructor"),
        format!("images/{own}/files"),
        format!("actions/{own}%2F/outputs"),
        format!("actions/{own}%00/outputs"),
        format!("actions/..%2f{own}/outputs"),
        format!("actions/{}/outputs", own.to_uppercase()),
        format!("actions/{}/outputs", "a".repeat(4096)),
        "actions/%2e%2e/outputs".into(),
        "%2e%2e/%2e%2e/%2e%2e".into(),
        "actions/%ff%fe/outputs".into(),
        "__proto__/x/y".into(),
    ] {
        let target = format!("/upload/{place}");
        server
            .ask_webda(&job, "PUT", &target, &body)
            .await
            .refusal(404, "file_not_found");
    }
    for place in [
        format!("actions/{foreign}/outputs/0"),
        format!("actions/{own}/outputs/0"),
        format!("actions/{own}/inputs/0"),
        format!("actions/{own}/outputs/-1"),
        format!("actions/{own}/outputs/1000000000"),
        format!("actions/{own}/outputs/1e9"),
        format!("actions/{own}/outputs/abc"),
        format!("actions/{own}/outputs/99999999999999999999"),
        format!("actions/{own}/outputs/%30%00"),
    ] {
        let target = format!("/download/{place}");
        server
            .ask_webda(&job, "GET", &target, "")
            .await
            .refusal(404, "file_not_found");
    }
    assert_eq!(server.left(&job).await, 0);
    assert_eq!(count(&blobs).await, 1, "that of the other");
}

#[tokio::test]
async fn nobody_uses_files_without_the_key() {
    let (server, job, _) = stage().await;
    let target = format!("/async{}", outputs(&job));
    server
        .put(&target, &[], b"{}")
        .await
        .refusal(401, "missing_header");
    let stranger = job.webda(server.now() - 400_000);
    let late = server.put(&target, &stranger.headers(), b"{}").await;
    late.refusal(401, "clock_skew");
    let onepass = r#"{"onePass":true}"#;
    let unsigned = server.ask_webda(&job, "PUT", &outputs(&job), onepass).await;
    unsigned.refusal(403, "signature_required");
}

#[tokio::test]
async fn a_token_is_good_for_one_use_and_not_for_long() {
    let (server, job, blobs) = stage().await;
    let opened = server.open(&job, BYTES).await;
    let put = server.path_of(opened["url"].as_str().unwrap());
    let token = put.split_once("token=").unwrap().1;
    let path = "/async/upload/data";
    let touched = format!("{path}?token=A{}", &token[1..]);
    let twice = format!("{put}&token={token}");
    for wrong in [
        path,
        "/async/upload/data?token=",
        "/async/upload/data?token=x.y",
        &touched,
        &twice,
    ] {
        server
            .put(wrong, &[], BYTES)
            .await
            .refusal(403, "invalid_token");
    }
    // An upload's token fetches nothing, and a download's leaves nothing.
    let fetched = server
        .get(&format!("/async/download/data?token={token}"))
        .await;
    fetched.refusal(403, "invalid_token");
    server.nothing_is_left(&job, &blobs).await;
    server.leave(&job, BYTES).await;
    let located = server.locate(&job, "outputs", "0").await.expect(200);
    let get = server.path_of(located["Location"].as_str().unwrap());
    let left = server
        .put(&get.replace("download", "upload"), &[], b"other")
        .await;
    left.refusal(403, "invalid_token");

    server.clock.advance(Duration::from_millis(60_000));
    assert_eq!(server.get(&get).await.status, 200, "to the last moment");
    server.clock.advance(Duration::from_millis(1));
    server.get(&get).await.refusal(403, "token_expired");
    server
        .put(&put, &[], BYTES)
        .await
        .refusal(403, "token_expired");
}

#[tokio::test]
async fn a_token_dies_with_its_attempt() {
    let server = Server::start().await;
    let job = server.job_of(2).await;
    let opened = server.open(&job, BYTES).await;
    server.leave(&job, b"other").await;
    let located = server.locate(&job, "outputs", "0").await.expect(200);
    let get = server.path_of(located["Location"].as_str().unwrap());
    job.exits(1).await;
    let second = server.next_job().await;
    server
        .send(&opened, BYTES)
        .await
        .refusal(403, "attempt_superseded");
    server.get(&get).await.refusal(403, "attempt_superseded");
    let closed = server.open(&second, BYTES).await;
    second.exits(1).await;
    server.until_closed(&job.id).await;
    server
        .send(&closed, BYTES)
        .await
        .refusal(403, "attempt_closed");
    assert_eq!(
        server.left(&job).await,
        1,
        "what the first attempt left stays"
    );
}

#[tokio::test]
async fn nothing_is_left_after_the_last_word() {
    let server = Server::start().await;
    let job = server.job().await;
    let opened = server.open(&job, BYTES).await;
    server
        .webda(&job, r#"{"status":"SUCCESS"}"#)
        .await
        .expect(200);
    server
        .send(&opened, BYTES)
        .await
        .refusal(409, "already_final");
    let Known {
        hash, challenge, ..
    } = known(BYTES);
    let body = json!({"hash": hash, "challenge": challenge}).to_string();
    let late = server.ask_webda(&job, "PUT", &outputs(&job), &body).await;
    late.refusal(409, "already_final");
    assert_eq!(server.left(&job).await, 0);
}

#[tokio::test]
async fn a_close_that_names_other_bytes_forgets_what_came() {
    let (server, job, blobs) = stage().await;
    let other = server.job().await;
    let target = outputs(&job);
    for (size, sha256) in [(18, known(BYTES).sha256), (19, known(b"x").sha256)] {
        let opened = server
            .ask_v1(&job, "PUT", &target, r#"{"onePass":true}"#)
            .await;
        let sent = server.send(&opened.expect(200), BYTES).await.expect(200);
        let close = json!({"receipt": sent["receipt"], "size": size, "sha256": sha256}).to_string();
        let foreign = server.ask_v1(&other, "PUT", &outputs(&other), &close).await;
        foreign.refusal(403, "invalid_token");
        server
            .ask_v1(&job, "PUT", &target, &close)
            .await
            .refusal(400, "content_mismatch");
        server
            .ask_v1(&job, "PUT", &target, &close)
            .await
            .refusal(410, "upload_gone");
        server.nothing_is_left(&job, &blobs).await;
    }
}

#[tokio::test]
async fn the_address_of_a_transfer_is_the_servers_own_whatever_a_client_calls_it() {
    let server = Server::start().await;
    let job = server.job().await;
    server.leave(&job, b"x").await;
    let ask = async |method: &str, target: &str, body: &str| {
        let signed = job.webda(server.now());
        let mut text = format!("{method} /async{target} HTTP/1.1\r\nHost: elsewhere.example\r\n");
        let named = [
            ("X-Forwarded-Host", "elsewhere.example"),
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "host=elsewhere.example;proto=https"),
        ];
        for (name, value) in signed.headers().into_iter().chain(named) {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut wire = server.connect().await;
        wire.send(text).await;
        wire.answer().await.expect(200)
    };
    let Known {
        hash, challenge, ..
    } = known(BYTES);
    let body = json!({"hash": hash, "challenge": challenge}).to_string();
    let opened = ask("PUT", &outputs(&job), &body).await;
    server.path_of(opened["url"].as_str().unwrap());
    let target = format!("/download/actions/{}/outputs/0", job.id);
    let located = ask("GET", &target, "").await;
    server.path_of(located["Location"].as_str().unwrap());
}
