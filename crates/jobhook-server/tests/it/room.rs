//! How much there may be: what exceeds it is refused as early as it is known, and leaves nothing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use jobhook_engine::blob::BlobStore;
use jobhook_engine::file::ObjectLimits;
use jobhook_engine::files::{FileSettings, FilesError};
use jobhook_engine::memory_blobs::MemoryBlobs;
use serde_json::{Value, json};

use crate::files::{Known, known, outputs};
use crate::server::{Job, Server, Setup};
use crate::wire::Answer;

fn with(files: FileSettings) -> Setup {
    Setup {
        files,
        ..Setup::default()
    }
}

impl Server {
    /// Sends bytes in chunks, without a word of how many they are.
    async fn send_in_chunks(&self, path: &str, chunks: &[&[u8]]) -> Answer {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            self.address
        );
        let mut request = head.into_bytes();
        for chunk in chunks.iter().chain([&&b""[..]]) {
            request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            request.extend_from_slice(chunk);
            request.extend(b"\r\n");
        }
        let mut wire = self.connect().await;
        wire.send(request).await;
        wire.answer().await
    }
}

#[tokio::test]
async fn quotas_are_told_before_the_bytes_are_sent() {
    let setup = Setup {
        files: FileSettings {
            max_file: 100,
            object: ObjectLimits {
                files: 2,
                bytes: 150,
            },
            total_bytes: Some(220),
            ..FileSettings::default()
        },
        ..Setup::default()
    };
    let server = Server::with(setup).await;
    let job = server.job().await;
    let ask = async |job: &Job, bytes: &[u8]| {
        let Known {
            hash, challenge, ..
        } = known(bytes);
        let body = json!({"hash": hash, "challenge": challenge, "size": bytes.len()});
        server
            .ask_webda(job, "PUT", &outputs(job), &body.to_string())
            .await
    };
    ask(&job, &[0; 101]).await.refusal(413, "file_too_large");
    let opened = server.open(&job, &[0; 101]).await;
    server
        .send(&opened, &[0; 101])
        .await
        .refusal(413, "file_too_large");
    server.leave(&job, &[1; 100]).await;
    ask(&job, &[2; 51]).await.refusal(413, "quota_exceeded");
    let opened = server.open(&job, &[2; 51]).await;
    server
        .send(&opened, &[2; 51])
        .await
        .refusal(413, "quota_exceeded");
    server.leave(&job, &[3; 10]).await;
    ask(&job, b"").await.refusal(413, "quota_exceeded");
    let other = server.job().await;
    server.leave(&other, &[4; 100]).await;
    ask(&other, &[5; 11]).await.refusal(507, "storage_full");
    let opened = server.open(&other, &[5; 11]).await;
    server
        .send(&opened, &[5; 11])
        .await
        .refusal(507, "storage_full");
    assert_eq!(server.stored_bytes().await, 210);
}

#[tokio::test]
async fn a_server_takes_so_many_files_of_all_objects_together() {
    let server = Server::with(with(FileSettings {
        total_files: Some(2),
        ..FileSettings::default()
    }))
    .await;
    let (job, other) = (server.job().await, server.job().await);
    server.leave(&job, b"one").await;
    let opened = server.open(&job, b"two").await;
    let late = server.open(&job, b"three").await;
    server.leave(&other, b"two").await;
    // The same content is there once, however many files have it.
    assert_eq!(server.open(&job, b"two").await["done"], true);
    for (place, bytes) in [(&opened, &b"two"[..]), (&late, b"three")] {
        let sent = server.send(place, bytes).await;
        sent.refusal(507, "storage_full");
    }
    let Known {
        hash, challenge, ..
    } = known(b"three");
    let body = json!({"hash": hash, "challenge": challenge}).to_string();
    server
        .ask_webda(&other, "PUT", &outputs(&other), &body)
        .await
        .refusal(507, "storage_full");
    assert_eq!((server.left(&job).await, server.left(&other).await), (2, 1));
}

/// As with bytes: each looked, and then counted.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_at_once_are_counted_before_they_are_there() {
    let server = Server::with(with(FileSettings {
        total_files: Some(3),
        ..FileSettings::default()
    }))
    .await;
    let files = server.engine.files();
    let mut first = files.stage(None).await.unwrap();
    let second = files.stage(Some(1)).await.unwrap();
    let third = files.stage(None).await.unwrap();
    let full = files.stage(None).await.unwrap_err();
    assert!(matches!(full, FilesError::NoRoom(_)), "{full}");
    drop(third);
    first.push(Bytes::from_static(b"x")).await.unwrap();
    first.finish().await.unwrap();
    drop(second);
    for _ in 0..3 {
        drop(files.stage(None).await.unwrap());
    }
}

#[tokio::test]
async fn a_job_that_is_slow_leaves_transfers_to_others() {
    let server = Server::start().await;
    let (slow, other) = (server.job().await, server.job().await);
    let files = server.engine.files();
    let token = |opened: &Value| {
        let url = opened["url"].as_str().unwrap();
        url.split_once("token=").unwrap().1.to_owned()
    };
    let (one, another) = (
        server.open(&slow, b"slow").await,
        server.open(&other, b"other").await,
    );
    let mut begun = Vec::new();
    for _ in 0..256 {
        begun.push(files.take(&token(&one), None).await.unwrap());
    }
    let refused = server.send(&one, b"slow").await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.refusal(503, "store_unavailable");
    server.send(&another, b"other").await.expect(204);
    begun.pop();
    server.send(&one, b"slow").await.expect(204);

    // All of them together have a limit too.
    for _ in 0..2048 - begun.len() {
        begun.push(files.stage(None).await.unwrap());
    }
    assert!(matches!(files.stage(None).await, Err(FilesError::Busy)));
    begun.clear();
    drop(files.stage(None).await.unwrap());
}

/// Those who knocked counted while they were told, and who was in was thrown out at the end.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_takes_no_place_of_who_is_in() {
    for _ in 0..20 {
        let server = Server::with(with(FileSettings {
            total_files: Some(1),
            total_bytes: Some(100),
            ..FileSettings::default()
        }))
        .await;
        let files = server.engine.files();
        let mut inside = files.stage(None).await.unwrap();
        inside.push(Bytes::from_static(b"x")).await.unwrap();
        let knocks = (0..8).map(|_| {
            let files = files.clone();
            tokio::spawn(async move { files.stage(Some(100)).await.map(drop) })
        });
        let knocks: Vec<_> = knocks.collect();
        inside.finish().await.unwrap();
        for knock in knocks {
            let refused = knock.await.unwrap().unwrap_err();
            assert!(matches!(refused, FilesError::NoRoom(_)), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    let blobs = Arc::new(MemoryBlobs::default().with_capacity(1_000));
    let setup = Setup {
        files: FileSettings {
            blobs: blobs.clone(),
            ..FileSettings::default()
        },
        ..Setup::default()
    };
    let server = Server::with(setup).await;
    let job = server.job().await;
    let opened = server.open(&job, &[1; 1_001]).await;
    server
        .send(&opened, &[1; 1_001])
        .await
        .refusal(507, "storage_full");
    server.nothing_is_left(&job, &blobs).await;
    server.leave(&job, &[1; 1_000]).await;
}

#[tokio::test]
async fn what_was_not_announced_is_counted_as_it_comes() {
    let server = Server::with(with(FileSettings {
        total_bytes: Some(100),
        ..FileSettings::default()
    }))
    .await;
    let job = server.job().await;
    let opened = server.open(&job, &[1; 101]).await;
    let path = server.path_of(opened["url"].as_str().unwrap());
    let sent = server.send_in_chunks(&path, &[&[1; 60], &[1; 41]]).await;
    sent.refusal(507, "storage_full");
    assert_eq!(server.left(&job).await, 0);
    assert_eq!(server.stored_bytes().await, 0);
    let opened = server.open(&job, &[1; 100]).await;
    let path = server.path_of(opened["url"].as_str().unwrap());
    let sent = server.send_in_chunks(&path, &[&[1; 60], &[1; 40]]).await;
    sent.expect(204);
}

/// Each looked whether there was room, found that there was, and then counted: both had it.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_at_once_do_not_take_together_what_none_may_take_alone() {
    let server = Server::with(with(FileSettings {
        total_bytes: Some(100),
        ..FileSettings::default()
    }))
    .await;
    for announced in [Some(60), None] {
        let files = server.engine.files();
        let uploads = (0..16).map(|number| {
            let files = files.clone();
            tokio::spawn(async move {
                let mut intake = files.stage(announced).await?;
                intake.push(Bytes::from(vec![number; 60])).await?;
                intake.finish().await
            })
        });
        let uploads: Vec<_> = uploads.collect();
        for upload in uploads {
            match upload.await.unwrap() {
                Ok(_) | Err(FilesError::NoRoom(_)) => {}
                Err(other) => panic!("{other}"),
            }
            assert!(server.stored_bytes().await <= 100);
        }
    }
    // Whatever became of those, nothing of them is counted any more.
    let server = Server::with(with(FileSettings {
        total_bytes: Some(60),
        ..FileSettings::default()
    }))
    .await;
    let files = server.engine.files();
    for _ in 0..3 {
        let mut intake = files.stage(Some(60)).await.unwrap();
        intake.push(Bytes::from(vec![1; 30])).await.unwrap();
        let full = files.stage(Some(1)).await.unwrap_err();
        assert!(matches!(full, FilesError::NoRoom(_)), "{full}");
    }
    drop(files.stage(Some(60)).await.unwrap());
}

#[tokio::test]
async fn the_room_that_a_disk_must_keep_is_not_promised_twice() {
    let server = Server::with(with(FileSettings {
        blobs: Arc::new(MemoryBlobs::default().with_capacity(3 << 20)),
        min_free: 1 << 20,
        ..FileSettings::default()
    }))
    .await;
    let files = server.engine.files();
    let mut first = files.stage(Some(3 << 19)).await.unwrap();
    drop(files.stage(Some(1 << 19)).await.unwrap());
    let refused = files.stage(Some((1 << 19) + 1)).await.unwrap_err();
    assert!(matches!(refused, FilesError::NoRoom(_)), "{refused}");
    // What has come is on the disk, and not counted beside it.
    first.push(Bytes::from(vec![1; 3 << 19])).await.unwrap();
    first.finish().await.unwrap();
    drop(files.stage(Some(1 << 19)).await.unwrap());
    let refused = files.stage(Some((1 << 19) + 1)).await.unwrap_err();
    assert!(matches!(refused, FilesError::NoRoom(_)), "{refused}");
}

/// Each byte came as a chunk of its own, and each was kept as it came: thirty bytes for one.
#[tokio::test]
async fn how_a_body_is_cut_does_not_cost_memory() {
    let blobs = Arc::new(MemoryBlobs::default());
    let server = Server::with(with(FileSettings {
        blobs: blobs.clone(),
        ..FileSettings::default()
    }))
    .await;
    let mut intake = server.engine.files().stage(None).await.unwrap();
    for _ in 0..200_000 {
        intake.push(Bytes::from_static(b"x")).await.unwrap();
    }
    intake.finish().await.unwrap();
    let (name, _) = blobs.list(None, 1).await.unwrap().remove(0);
    let kept = blobs.read(&name, 0..200_000).await.unwrap();
    let kept: Vec<_> = kept.map(Result::unwrap).collect().await;
    assert!(kept.len() < 2_000, "{} pieces", kept.len());
    assert_eq!(kept.concat(), vec![b'x'; 200_000]);
}
