//! Deleting what nothing needs any more, while the same bytes are uploaded, fetched and removed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobhook_engine::Launch;
use jobhook_engine::blob::BlobStore;
use jobhook_engine::file::{ObjectRef, Volume};
use jobhook_engine::files::{DeclaredStore, FileSettings, SMALL, Stores};
use jobhook_engine::log::LogLimits;
use jobhook_engine::retention::{Keep, Retention};
use jobhook_protocol::{Access, GrantBody};
use jobhook_server::blob::directory::DirectoryBlobs;
use jobhook_server::store::sqlite::SqliteStore;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::files::{Known, known};
use crate::server::{Job, Server, Setup};

/// How many jobs upload at once.
const JOBS: usize = 4;

/// How many files each of them leaves.
const ROUNDS: usize = 40;

/// How many contents there are: few, so that jobs meet.
const CONTENTS: usize = 3;

async fn stage(directory: &Path, small: u64) -> (Arc<Server>, Arc<DirectoryBlobs>) {
    let blobs = Arc::new(DirectoryBlobs::open(&directory.join("files")).unwrap());
    let database = directory.join("jobhook.db");
    let store = SqliteStore::open(&database, LogLimits::default())
        .await
        .unwrap();
    let images = DeclaredStore {
        name: "images".into(),
        properties: vec!["files".into()],
        create: true,
    };
    let server = Server::with(Setup {
        store: Some(Arc::new(store)),
        files: FileSettings {
            blobs: blobs.clone(),
            stores: Stores::new(vec![images]).unwrap(),
            // Nothing is kept for a moment longer than it is needed.
            keep_unused: Duration::ZERO,
            small,
            ..FileSettings::default()
        },
        ..Setup::default()
    })
    .await;
    (Arc::new(server), blobs)
}

/// A job that may use every image.
async fn job(server: &Server) -> Job {
    let launch = Launch {
        action_type: "Any".into(),
        grants: vec![GrantBody {
            store: "images".into(),
            uuid: "*".into(),
            property: "files".into(),
            access: Access::Write,
        }],
        ..Launch::default()
    };
    server.engine.launch(vec![launch]).await.unwrap();
    server.next_job().await
}

/// Leaves a file, fetches it, and takes it away again, as often as `ROUNDS` says: an image, or an
/// output of an action that is pruned.
async fn use_files(server: Arc<Server>, number: usize) {
    let mut own = job(&server).await;
    for round in 0..ROUNDS {
        let bytes = vec![(round % CONTENTS) as u8; 10_000];
        let Known {
            hash, challenge, ..
        } = known(&bytes);
        let is_image = (round + number).is_multiple_of(2);
        let place = match is_image {
            true => format!("images/{number}/files"),
            false => format!("actions/{}/outputs", own.id),
        };
        let body = json!({"hash": hash, "challenge": challenge}).to_string();
        let upload = format!("/upload/{place}");
        let opened = server.ask_webda(&own, "PUT", &upload, &body).await;
        let opened = opened.expect(200);
        if opened["done"] == false {
            server.send(&opened, &bytes).await.expect(204);
        }
        let download = format!("/download/{place}/0");
        let located = server.ask_webda(&own, "GET", &download, "").await;
        let location = located.expect(200)["Location"].clone();
        let fetched = server
            .get(&server.path_of(location.as_str().unwrap()))
            .await;
        assert_eq!(fetched.status, 200, "{}", fetched.text());
        assert_eq!(fetched.body, bytes, "job {number}, round {round}");
        if is_image {
            let image = ObjectRef {
                store: "images".into(),
                id: number.to_string(),
            };
            server.engine.files().remove(&image).await.unwrap();
        } else {
            own.exits(0).await;
            own = job(&server).await;
        }
    }
    own.exits(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pruning_and_sweeping_never_take_what_somebody_uploads_right_now() {
    uploads_meet_sweeps(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pruning_and_sweeping_never_take_what_the_database_keeps_right_now() {
    uploads_meet_sweeps(SMALL).await;
}

/// Whether an upload is attached to a content, brings its own bytes, or finds them forgotten in
/// between: whoever is told that a file is there can fetch it.
///
/// - `small`: how many bytes the database keeps itself.
async fn uploads_meet_sweeps(small: u64) {
    let directory = tempfile::tempdir().unwrap();
    let (server, blobs) = stage(directory.path(), small).await;
    let done = CancellationToken::new();
    let nothing = Retention::all(Keep {
        age: None,
        count: Some(0),
    });
    let prune = {
        let (server, done) = (server.clone(), done.clone());
        async move {
            while !done.is_cancelled() {
                let now = server.engine.clock().now();
                server.store.prune(&nothing, now, 100).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    };
    let sweep = {
        let (server, done) = (server.clone(), done.clone());
        async move {
            let (never, mut swept) = (CancellationToken::new(), 0);
            while !done.is_cancelled() {
                swept += server.engine.files().sweep(&never).await.unwrap().unused;
                tokio::task::yield_now().await;
            }
            swept
        }
    };
    let (pruning, sweeping) = (tokio::spawn(prune), tokio::spawn(sweep));
    let jobs = (0..JOBS).map(|number| tokio::spawn(use_files(server.clone(), number)));
    for job in jobs.collect::<Vec<_>>() {
        job.await.unwrap();
    }
    done.cancel();
    pruning.await.unwrap();
    let swept = sweeping.await.unwrap();
    assert!(swept > JOBS, "they met: {swept}");

    let page = server.get("/api/v1/actions").await.expect(200);
    for action in page["actions"].as_array().unwrap() {
        server.until_closed(action["uuid"].as_str().unwrap()).await;
    }
    let now = server.engine.clock().now();
    server.store.prune(&nothing, now, 100).await.unwrap();
    let never = CancellationToken::new();
    server.engine.files().sweep(&never).await.unwrap();
    assert_eq!(server.store.stored().await.unwrap(), Volume::default());
    assert_eq!(blobs.list(None, 1).await.unwrap(), []);
    let temp = fs::read_dir(directory.path().join("files/temp")).unwrap();
    assert_eq!(temp.count(), 0);
}
