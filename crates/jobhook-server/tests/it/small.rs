//! Files that are so small that the database keeps them.

use std::path::Path;
use std::sync::Arc;

use jobhook_engine::blob::BlobStore;
use jobhook_engine::files::{FileSettings, SMALL};
use jobhook_engine::log::LogLimits;
use jobhook_server::blob::directory::DirectoryBlobs;
use jobhook_server::store::sqlite::SqliteStore;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::files::{Known, known, outputs};
use crate::server::{Server, Setup};

async fn open(directory: &Path, small: u64) -> (Server, Arc<SqliteStore>, Arc<DirectoryBlobs>) {
    let blobs = Arc::new(DirectoryBlobs::open(&directory.join("files")).unwrap());
    let database = directory.join("jobhook.db");
    let store = SqliteStore::open(&database, LogLimits::default()).await;
    let store = Arc::new(store.unwrap());
    let setup = Setup {
        store: Some(store.clone()),
        files: FileSettings {
            blobs: blobs.clone(),
            small,
            ..FileSettings::default()
        },
        ..Setup::default()
    };
    (Server::with(setup).await, store, blobs)
}

/// How many blobs there are in the directory.
async fn large(blobs: &DirectoryBlobs) -> usize {
    blobs.list(None, 100).await.unwrap().len()
}

/// Bytes that are not all the same.
fn bytes(count: u64) -> Vec<u8> {
    (0..count).map(|n| (n ^ (n >> 8)) as u8).collect()
}

#[tokio::test]
async fn a_file_up_to_the_limit_is_in_the_database_and_one_above_it_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _, blobs) = open(directory.path(), SMALL).await;
    let job = server.job().await;
    for (index, (size, expected)) in [(0, 0), (SMALL, 0), (SMALL + 1, 1)].into_iter().enumerate() {
        server.leave(&job, &bytes(size)).await;
        assert_eq!(large(&blobs).await, expected, "{size} bytes");
        assert_eq!(server.fetch(&job, "outputs", index).await, bytes(size));
    }
    let stored = server.store.stored().await.unwrap();
    assert_eq!((stored.bytes, stored.small), (2 * SMALL + 1, SMALL));
}

#[tokio::test]
async fn where_nothing_is_small_an_empty_file_is_not_either() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _, blobs) = open(directory.path(), 0).await;
    let job = server.job().await;
    server.leave(&job, b"").await;
    assert_eq!(large(&blobs).await, 1);
    assert_eq!(server.fetch(&job, "outputs", 0).await, b"");
}

#[tokio::test]
async fn what_comes_above_all_that_the_database_keeps_lies_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Arc::new(DirectoryBlobs::open(&directory.path().join("files")).unwrap());
    let server = Server::with(Setup {
        files: FileSettings {
            blobs: blobs.clone(),
            small: SMALL,
            small_total: 250,
            ..FileSettings::default()
        },
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    for (index, (size, expected)) in [(100, 0), (150, 0), (1, 1), (0, 1)].into_iter().enumerate() {
        server.leave(&job, &bytes(size)).await;
        assert_eq!(large(&blobs).await, expected, "{size} bytes");
        assert_eq!(server.fetch(&job, "outputs", index).await, bytes(size));
    }
}

#[tokio::test]
async fn small_bytes_that_are_not_what_was_announced_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _, blobs) = open(directory.path(), SMALL).await;
    let job = server.job().await;
    let opened = server.open(&job, b"what was said").await;
    let sent = server.send(&opened, b"what was sent").await;
    sent.refusal(400, "content_mismatch");
    assert_eq!((server.left(&job).await, large(&blobs).await), (0, 0));
    assert_eq!(server.stored_bytes().await, 0);
}

#[tokio::test]
async fn a_small_file_in_one_pass_waits_in_the_database_and_is_known_by_its_hashes_then() {
    let directory = tempfile::tempdir().unwrap();
    let (server, store, blobs) = open(directory.path(), SMALL).await;
    let job = server.job().await;
    let (bytes, target) = (bytes(9_000), outputs(&job));
    let Known { sha256, .. } = known(&bytes);
    let opened = server.ask_v1(&job, "PUT", &target, r#"{"onePass":true}"#);
    let sent = server.send(&opened.await.expect(200), &bytes).await;
    let receipt = sent.expect(200)["receipt"].clone();

    // The server dies before the close.
    drop(server);
    store.close().await;
    let (server, _, _) = open(directory.path(), SMALL).await;
    let close = json!({"receipt": receipt, "size": 9_000, "sha256": sha256}).to_string();
    for _ in 0..2 {
        let closed = server.ask_v1(&job, "PUT", &target, &close).await;
        assert_eq!(closed.expect(200)["done"], true, "the answer may be lost");
    }
    assert_eq!(server.open(&job, &bytes).await["done"], true);
    assert_eq!(server.fetch(&job, "outputs", 0).await, bytes);
    assert_eq!((server.left(&job).await, large(&blobs).await), (1, 0));
}

#[tokio::test]
async fn what_was_small_once_is_read_where_nothing_is_small_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let (server, store, _) = open(directory.path(), SMALL).await;
    let job = server.job().await;
    server.leave(&job, &bytes(100)).await;
    drop(server);
    store.close().await;

    let (server, _, blobs) = open(directory.path(), 0).await;
    assert_eq!(server.open(&job, &bytes(100)).await["done"], true);
    server.leave(&job, &bytes(101)).await;
    assert_eq!(large(&blobs).await, 1);
    assert_eq!(server.fetch(&job, "outputs", 0).await, bytes(100));
    assert_eq!(server.fetch(&job, "outputs", 1).await, bytes(101));
    let never = CancellationToken::new();
    let swept = server.engine.files().sweep(&never).await.unwrap();
    assert_eq!((swept.unused, swept.orphans), (0, 0));
    assert_eq!(server.fetch(&job, "outputs", 0).await, bytes(100));
}
