//! Files from outside: what a launch takes along and allows, and objects of other stores.

use std::sync::Arc;
use std::time::Duration;

use jobhook_engine::blob::BlobStore;
use jobhook_engine::files::{DeclaredStore, FileSettings, SMALL, Stores};
use jobhook_engine::memory_blobs::MemoryBlobs;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::files::known;
use crate::server::{Server, Setup};

const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

fn with_images(create: bool) -> Setup {
    let images = DeclaredStore {
        name: "Images".into(),
        properties: vec!["files".into()],
        create,
    };
    Setup {
        files: FileSettings {
            stores: Stores::new(vec![images]).unwrap(),
            ..FileSettings::default()
        },
        ..Setup::default()
    }
}

impl Server {
    /// Uploads bytes that nothing has yet.
    async fn staged(&self, bytes: &str) -> Value {
        let staged = self
            .request("POST", "/api/v1/files", &[OCTETS], bytes)
            .await;
        staged.expect(201)
    }

    /// Sweeps, when so much time has passed.
    async fn sweep_after(&self, time: Duration) -> (usize, usize) {
        self.clock.advance(time);
        let never = CancellationToken::new();
        let swept = self.engine.files().sweep(&never).await.unwrap();
        (swept.unused, swept.orphans)
    }
}

#[tokio::test]
async fn a_launch_takes_files_along() {
    let server = Server::start().await;
    let staged = server.staged("some words").await;
    assert_eq!(staged["size"], 10);
    assert_eq!(staged["sha256"], known(b"some words").sha256);
    let launch = json!({"type": "Any", "files": [
        {"receipt": staged["receipt"], "name": "words.txt", "mimetype": "text/plain", "metadata": {"a": 1}},
    ]});
    let launched = server
        .post("/api/v1/actions", &launch.to_string())
        .await
        .expect(201);
    let job = server.next_job().await;
    assert_eq!(server.fetch(&job, "inputs", 0).await, b"some words");
    let located = server.locate(&job, "inputs", "0").await.expect(200);
    assert_eq!(located["Map"]["name"], "words.txt");

    // Once used, it is nobody's any more.
    let again = server.post("/api/v1/actions", &launch.to_string()).await;
    again.refusal(410, "upload_gone");
    let list = server.get("/api/v1/actions").await.expect(200);
    assert_eq!(list["actions"].as_array().unwrap().len(), 1);

    // Running it again is running it with the same files.
    job.exits(0).await;
    server.until_closed(&job.id).await;
    let path = format!(
        "/api/v1/actions/{}/retry",
        launched["uuid"].as_str().unwrap()
    );
    server.post(&path, "").await.expect(201);
    let second = server.next_job().await;
    assert_eq!(server.fetch(&second, "inputs", 0).await, b"some words");
    assert_eq!(server.stored_bytes().await, 10);
}

#[tokio::test]
async fn what_a_launch_brings_that_is_there_already_is_forgotten_with_it() {
    for small in [0, SMALL] {
        let blobs = Arc::new(MemoryBlobs::default());
        let server = Server::with(Setup {
            files: FileSettings {
                blobs: blobs.clone(),
                small,
                ..FileSettings::default()
            },
            ..Setup::default()
        })
        .await;
        let launch = async || {
            let staged = server.staged("some words").await;
            let files = json!([{"receipt": staged["receipt"]}]);
            let launch = json!({"type": "Any", "files": files}).to_string();
            server.post("/api/v1/actions", &launch).await.expect(201);
            launch
        };
        launch().await;
        let second = launch().await;
        assert_eq!(server.stored_bytes().await, 10, "small: {small}");
        let kept = blobs.list(None, 9).await.unwrap().len();
        assert_eq!(kept, usize::from(small == 0));
        let again = server.post("/api/v1/actions", &second).await;
        again.refusal(410, "upload_gone");
        for _ in 0..2 {
            let job = server.next_job().await;
            assert_eq!(server.fetch(&job, "inputs", 0).await, b"some words");
        }
    }
}

#[tokio::test]
async fn a_launch_whose_files_make_no_sense_is_refused() {
    let server = Server::start().await;
    let staged = server.staged("x").await;
    let receipt = &staged["receipt"];
    for (files, said) in [
        (json!({}), "array"),
        (json!([1]), "of file 1"),
        (json!([{}]), "receipt"),
        (json!([{"receipt": "x"}]), "receipt"),
        (json!([{"receipt": receipt, "name": "a/b"}]), "name"),
        (json!([{"receipt": receipt, "mimetype": "x"}]), "mimetype"),
        (json!([{"receipt": receipt, "metadata": 1}]), "metadata"),
        (
            json!([{"receipt": receipt, "nam": "x"}]),
            "did you mean `name`",
        ),
    ] {
        let launch = json!({"type": "Any", "files": files}).to_string();
        let answer = server.post("/api/v1/actions", &launch).await;
        assert_eq!(answer.status, 400, "{files}");
        assert!(answer.text().contains(said), "{files}: {}", answer.text());
    }
    for headers in [
        &[][..],
        &[("Content-Type", "text/plain")],
        &[OCTETS, OCTETS],
    ] {
        let page = server.request("POST", "/api/v1/files", headers, "x").await;
        page.refusal(415, "unsupported_media_type");
    }
    let list = server.get("/api/v1/actions").await.expect(200);
    assert_eq!(list["actions"], json!([]));
}

#[tokio::test]
async fn a_job_uses_what_its_launch_granted() {
    let server = Server::with(with_images(true)).await;
    let launch = json!({"type": "Any", "grants": [
        {"store": "images", "uuid": "cat-1", "property": "files", "access": "write"},
    ]});
    server
        .post("/api/v1/actions", &launch.to_string())
        .await
        .expect(201);
    let job = server.next_job().await;
    let crate::files::Known {
        hash, challenge, ..
    } = known(b"meow");
    let body = json!({"hash": hash, "challenge": challenge}).to_string();
    let opened = server
        .ask_webda(&job, "PUT", "/upload/IMAGES/cat-1/files", &body)
        .await;
    server.send(&opened.expect(200), b"meow").await.expect(204);
    let located = server
        .ask_webda(&job, "GET", "/download/Images/cat-1/files/0", "")
        .await;
    assert_eq!(located.expect(200)["Map"]["size"], 4);
    let other = server
        .ask_webda(&job, "PUT", "/upload/images/cat-2/files", &body)
        .await;
    other.refusal(404, "file_not_found");

    let seen = server.get("/api/v1/stores/images/cat-1/files/0").await;
    assert_eq!(seen.body, b"meow");
    let objects = server.get("/api/v1/stores/images").await.expect(200);
    assert_eq!(
        objects["objects"],
        json!([{"uuid": "cat-1", "files": 1, "bytes": 4, "createdAt": "2025-11-24T16:00:00.000Z"}])
    );
}

#[tokio::test]
async fn a_grant_names_what_there_is() {
    let server = Server::with(with_images(true)).await;
    for (grant, said) in [
        (
            json!({"store": "imagse", "uuid": "*", "property": "*", "access": "read"}),
            "store",
        ),
        (
            json!({"store": "images", "uuid": "*", "property": "pics", "access": "read"}),
            "property",
        ),
        (
            json!({"store": "images", "uuid": "../x", "property": "*", "access": "read"}),
            "uuid",
        ),
        (
            json!({"store": "images", "uuid": "*", "property": "*", "access": "all"}),
            "access",
        ),
        (
            json!({"store": "images", "uuid": "*", "property": "*"}),
            "access",
        ),
        (
            json!({"store": "actions", "uuid": "x", "property": "outputs", "access": "write"}),
            "`read` only",
        ),
    ] {
        let launch = json!({"type": "Any", "grants": [grant]}).to_string();
        let detail = server
            .post("/api/v1/actions", &launch)
            .await
            .refusal(400, "invalid_field");
        assert!(detail.contains(said), "{grant}: {detail}");
    }
}

#[tokio::test]
async fn a_job_reads_what_an_action_before_it_left() {
    let server = Server::start().await;
    let first = server.job().await;
    server.leave(&first, b"made before").await;
    let launch = json!({"type": "Any", "grants": [
        {"store": "actions", "uuid": first.id, "property": "outputs", "access": "read"},
    ]});
    server
        .post("/api/v1/actions", &launch.to_string())
        .await
        .expect(201);
    let second = server.next_job().await;
    let target = format!("/download/actions/{}/outputs/0", first.id);
    let located = server.ask_webda(&second, "GET", &target, "").await;
    assert_eq!(located.expect(200)["Map"]["size"], 11);
}

#[tokio::test]
async fn an_object_that_must_exist_is_made_first() {
    let server = Server::with(with_images(false)).await;
    let staged = server.staged("meow").await;
    let attach = json!({"receipt": staged["receipt"], "name": "cat.txt"}).to_string();
    let path = "/api/v1/stores/images/cat/files";
    server
        .post(path, &attach)
        .await
        .refusal(404, "file_not_found");
    let json_type = [("Content-Type", "application/json")];
    let made = server
        .request("PUT", "/api/v1/stores/images/cat", &json_type, "{}")
        .await;
    assert_eq!(made.expect(200)["files"], 0);
    let file = server.post(path, &attach).await.expect(201);
    assert_eq!(
        (&file["index"], &file["name"]),
        (&json!(0), &json!("cat.txt"))
    );
    for none in [
        "/api/v1/stores/images/dog",
        "/api/v1/stores/actions/x",
        "/api/v1/stores/other",
    ] {
        server.get(none).await.refusal(404, "file_not_found");
    }
}

#[tokio::test]
async fn what_an_object_had_is_deleted_once_nobody_needs_it() {
    let server = Server::with(with_images(true)).await;
    for id in ["a", "b"] {
        let staged = server.staged("shared").await;
        let attach = json!({"receipt": staged["receipt"]}).to_string();
        let path = format!("/api/v1/stores/images/{id}/files");
        server.post(&path, &attach).await.expect(201);
    }
    let delete = async |id: &str| {
        let path = format!("/api/v1/stores/images/{id}");
        server.request("DELETE", &path, &[], "").await
    };
    delete("a").await.expect(204);
    delete("a").await.refusal(404, "file_not_found");
    assert_eq!(server.sweep_after(Duration::from_secs(7200)).await, (0, 0));
    assert_eq!(
        server.get("/api/v1/stores/images/b/files/0").await.body,
        b"shared"
    );
    delete("b").await.expect(204);
    assert_eq!(
        server.sweep_after(Duration::from_secs(3599)).await,
        (0, 0),
        "not yet"
    );
    assert_eq!(server.sweep_after(Duration::from_secs(1)).await, (1, 0));
    assert_eq!(server.stored_bytes().await, 0);
}

#[tokio::test]
async fn an_upload_that_is_never_used_is_deleted() {
    let server = Server::start().await;
    let staged = server.staged("x").await;
    assert_eq!(server.sweep_after(Duration::from_secs(3601)).await, (1, 0));
    assert_eq!(server.stored_bytes().await, 0);
    let launch = json!({"type": "Any", "files": [{"receipt": staged["receipt"]}]});
    let late = server.post("/api/v1/actions", &launch.to_string()).await;
    late.refusal(410, "upload_gone");
}

#[tokio::test]
async fn files_are_listed_page_by_page() {
    let server = Server::start().await;
    let job = server.job().await;
    for text in ["a", "b", "c"] {
        server.leave(&job, text.as_bytes()).await;
    }
    let path = format!("/api/v1/actions/{}/files?limit=2", job.id);
    let first = server.get(&path).await.expect(200);
    assert_eq!(first["next"], "outputs/1");
    let rest = server
        .get(&format!("{path}&cursor=outputs/1"))
        .await
        .expect(200);
    assert_eq!(rest["files"][0]["index"], 2);
    assert_eq!(rest["next"], Value::Null);
    for cursor in ["x", "outputs/", "outputs/-1", "/"] {
        let answer = server.get(&format!("{path}&cursor={cursor}")).await;
        answer.refusal(400, "invalid_parameter");
    }
}
