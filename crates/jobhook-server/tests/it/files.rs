//! Files through the hook: up and down, in both profiles, as clients really do it.

use jobhook_engine::files::FileSettings;
use jobhook_protocol::Digester;
use serde_json::{Value, json};

use crate::server::{Job, NOW, Server, Setup};
use crate::wire::Answer;

/// What a client knows of its bytes.
pub(crate) struct Known {
    pub(crate) hash: String,
    pub(crate) challenge: String,
    pub(crate) sha256: String,
}

pub(crate) fn known(bytes: &[u8]) -> Known {
    let digests = Digester::of(bytes);
    Known {
        hash: digests.md5.to_string(),
        challenge: digests.challenge.to_string(),
        sha256: digests.sha256.to_string(),
    }
}

/// Where a job leaves files.
pub(crate) fn outputs(job: &Job) -> String {
    format!("/upload/actions/{}/outputs", job.id)
}

impl Server {
    /// Opens an upload as the original client does.
    pub(crate) async fn open(&self, job: &Job, bytes: &[u8]) -> Value {
        let Known {
            hash, challenge, ..
        } = known(bytes);
        let body = json!({"hash": hash, "challenge": challenge, "metadata": {}});
        self.ask_webda(job, "PUT", &outputs(job), &body.to_string())
            .await
            .expect(200)
    }

    /// Sends bytes to an address that an answer had.
    pub(crate) async fn send(&self, opened: &Value, bytes: &[u8]) -> Answer {
        let path = self.path_of(opened["url"].as_str().unwrap());
        let mut wire = self.connect().await;
        wire.send(self.bytes("PUT", &path, &[], bytes)).await;
        wire.answer().await
    }

    /// The path of an address of this server.
    pub(crate) fn path_of(&self, url: &str) -> String {
        let own = format!("http://{}", self.address);
        url.strip_prefix(&own)
            .expect("an address of the server")
            .to_owned()
    }

    /// Uploads as the original client does.
    pub(crate) async fn leave(&self, job: &Job, bytes: &[u8]) {
        let opened = self.open(job, bytes).await;
        self.send(&opened, bytes).await.expect(204);
    }

    /// Asks where a file of the job's own is.
    pub(crate) async fn locate(&self, job: &Job, property: &str, index: &str) -> Answer {
        let target = format!("/download/actions/{}/{property}/{index}", job.id);
        self.ask_webda(job, "GET", &target, "").await
    }

    /// The bytes of a file of the job's own.
    pub(crate) async fn fetch(&self, job: &Job, property: &str, index: usize) -> Vec<u8> {
        let located = self.locate(job, property, &index.to_string()).await;
        let located = located.expect(200);
        let path = self.path_of(located["Location"].as_str().unwrap());
        let answer = self.get(&path).await;
        assert_eq!(answer.status, 200);
        answer.body
    }

    /// How many files a job has left.
    pub(crate) async fn left(&self, job: &Job) -> usize {
        let path = format!("/api/v1/actions/{}/files", job.id);
        let listed = self.get(&path).await.expect(200);
        listed["files"].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn the_calls_of_the_original_client_upload_and_download() {
    let server = Server::start().await;
    let job = server.job().await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
    let Known { hash, sha256, .. } = known(&bytes);

    let opened = server.open(&job, &bytes).await;
    assert_eq!(opened["done"], false);
    assert_eq!(opened["method"], "PUT");
    assert_eq!(opened["expires"], NOW + 60_000);
    assert_eq!(
        server.left(&job).await,
        0,
        "nothing is there before its bytes"
    );
    server.send(&opened, &bytes).await.expect(204);

    let again = server.open(&job, &bytes).await;
    assert_eq!(again, json!({"done": true, "md5": opened["md5"]}));
    assert_eq!(server.left(&job).await, 1, "once is enough");

    let located = server.locate(&job, "outputs", "0").await.expect(200);
    assert_eq!(
        located["Map"],
        json!({"hash": hash, "mimetype": "application/octet-stream", "metadata": {}, "size": 300_000, "sha256": sha256})
    );
    assert!(!located.to_string().contains("challenge"));
    assert_eq!(server.fetch(&job, "outputs", 0).await, bytes);
}

#[tokio::test]
async fn an_empty_file_and_one_of_a_single_byte_go_through() {
    let server = Server::start().await;
    let job = server.job().await;
    for (index, bytes) in [&b""[..], &b"x"[..]].into_iter().enumerate() {
        server.leave(&job, bytes).await;
        assert_eq!(server.fetch(&job, "outputs", index).await, bytes);
    }
}

#[tokio::test]
async fn what_is_said_of_a_file_is_shown_again() {
    let server = Server::start().await;
    let job = server.job().await;
    let Known {
        hash,
        challenge,
        sha256,
    } = known(b"a,b\n");
    let body = json!({
        "hash": hash, "challenge": challenge, "name": "Zahlen für Uwe.csv", "mimetype": "text/csv",
        "size": 4, "metadata": {"rows": "N"},
    });
    let body = body.to_string().replace("\"N\"", "1.50");
    let opened = server.ask_v1(&job, "PUT", &outputs(&job), &body).await;
    server.send(&opened.expect(200), b"a,b\n").await.expect(204);

    let listed = server
        .get(&format!("/api/v1/actions/{}/files", job.id))
        .await;
    assert!(
        listed.text().contains(r#""rows":1.50"#),
        "numbers keep their text"
    );
    let file = &listed.expect(200)["files"][0];
    assert_eq!(
        *file,
        json!({
            "property": "outputs", "index": 0, "name": "Zahlen für Uwe.csv", "mimetype": "text/csv", "size": 4,
            "md5": hash, "sha256": sha256, "metadata": {"rows": 1.5}, "attempt": 1,
            "createdAt": "2025-11-24T16:00:00.000Z",
        })
    );
    let content = server
        .get(&format!("/api/v1/actions/{}/files/outputs/0", job.id))
        .await;
    assert_eq!(content.body, b"a,b\n");
    for (name, value) in [
        ("content-type", "text/csv"),
        ("content-length", "4"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        (
            "content-disposition",
            "attachment; filename=\"Zahlen f_r Uwe.csv\"; filename*=UTF-8''Zahlen%20f%C3%BCr%20Uwe.csv",
        ),
        ("etag", &format!("\"{sha256}\"")),
    ] {
        assert_eq!(content.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_file_goes_up_in_one_pass() {
    let server = Server::start().await;
    let job = server.job().await;
    let bytes = vec![7; 3 << 20];
    let Known { sha256, .. } = known(&bytes);
    let target = outputs(&job);
    let ask = r#"{"onePass":true,"name":"sevens"}"#;
    let opened = server.ask_v1(&job, "PUT", &target, ask).await.expect(200);
    assert_eq!(opened["md5"], Value::Null);
    let sent = server.send(&opened, &bytes).await.expect(200);
    assert_eq!(sent["size"], 3 << 20);
    assert_eq!(server.left(&job).await, 0, "it is not closed yet");

    let close =
        json!({"receipt": sent["receipt"], "size": 3 << 20, "sha256": sha256, "name": "sevens"});
    let first = server
        .ask_v1(&job, "PUT", &target, &close.to_string())
        .await;
    assert_eq!(first.expect(200)["done"], true);
    let again = server
        .ask_v1(&job, "PUT", &target, &close.to_string())
        .await;
    assert_eq!(
        again.expect(200),
        first.expect(200),
        "the answer may have been lost"
    );
    assert_eq!(server.left(&job).await, 1);
    assert_eq!(server.fetch(&job, "outputs", 0).await, bytes);

    // The two ways meet: what came in one pass is known by its hashes.
    assert_eq!(server.open(&job, &bytes).await["done"], true);
}

#[tokio::test]
async fn a_part_of_a_file_can_be_had() {
    parts_can_be_had(Server::start().await).await;
}

#[tokio::test]
async fn a_part_of_a_file_that_the_database_does_not_have_can_be_had() {
    let setup = Setup {
        files: FileSettings::default(),
        ..Setup::default()
    };
    assert_eq!(setup.files.small, 0);
    parts_can_be_had(Server::with(setup).await).await;
}

async fn parts_can_be_had(server: Server) {
    let job = server.job().await;
    server.leave(&job, b"0123456789").await;
    let path = format!("/api/v1/actions/{}/files/outputs/0", job.id);
    let tag = format!("\"{}\"", known(b"0123456789").sha256);
    let asked = async |headers: &[(&str, &str)]| server.request("GET", &path, headers, "").await;

    let part = asked(&[("Range", "bytes=2-4"), ("If-Range", &tag)]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let beyond = asked(&[("Range", "bytes=10-")]).await;
    beyond.refusal(416, "unsatisfiable_range");
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    let unchanged = asked(&[("If-None-Match", &tag)]).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let other = asked(&[("Range", "bytes=2-4"), ("If-Range", "\"other\"")]).await;
    assert_eq!((other.status, other.body.len()), (200, 10));

    let mut wire = server.connect().await;
    wire.send(server.bytes("HEAD", &path, &[], b"")).await;
    let head = wire.head().await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
}

#[tokio::test]
async fn the_same_file_from_two_jobs_at_once_is_stored_once_and_is_both_s() {
    let server = Server::start().await;
    let (one, other) = (server.job().await, server.job().await);
    let bytes = vec![1; 2 << 20];
    let (first, second) = (
        server.open(&one, &bytes).await,
        server.open(&other, &bytes).await,
    );
    let (a, b) = tokio::join!(server.send(&first, &bytes), server.send(&second, &bytes));
    a.expect(204);
    b.expect(204);
    assert_eq!(server.fetch(&one, "outputs", 0).await, bytes);
    assert_eq!(server.fetch(&other, "outputs", 0).await, bytes);
    assert_eq!(server.stored_bytes().await, 2 << 20);
}
