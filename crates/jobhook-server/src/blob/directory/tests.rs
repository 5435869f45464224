//! What the file system shows of the contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use jobhook_engine::testing::blob_suite::{Shelf, content, sum};

use super::*;

async fn open(directory: &Path) -> DirectoryBlobs {
    DirectoryBlobs::open(&directory.join("files")).unwrap()
}

jobhook_engine::blob_suite!(open, reopens);

/// Every file and directory below, with its mode.
fn below(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push((path, mode));
    }
    found.sort();
    found
}

/// A blob of which something is on its way to the disk.
async fn begun(blobs: &DirectoryBlobs) -> writer::Writer {
    let mut writer = writer::Writer::new(Arc::clone(&blobs.root));
    writer.write(vec![content(1, 3 << 20)]).await.unwrap();
    writer
}

#[tokio::test]
async fn a_finished_blob_lies_under_its_sum_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(Arc::new(open(directory.path()).await));
    let BlobName(name) = shelf.put(b"abc").await;
    let sum = sum(b"abc").to_string();
    assert!(name.starts_with(&format!("{sum}.")), "{name}");
    let files = directory.path().join("files");
    let own = files.join(&sum[..2]);
    let wanted = [
        (files.clone(), 0o700),
        (own.clone(), 0o700),
        (own.join(&name), 0o600),
        (files.join("temp"), 0o700),
    ];
    assert_eq!(below(directory.path()), wanted);
    assert_eq!(fs::read(own.join(&name)).unwrap(), b"abc");
}

#[test]
fn what_is_dropped_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let temp = directory.path().join("files/temp");
    for finish_writing in [false, true] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut writer = begun(&open(directory.path()).await).await;
            if finish_writing {
                let unfinished = writer.take().await.unwrap().unwrap();
                assert_eq!(below(&temp).len(), 1);
                writer.give_back(unfinished);
            }
            drop(writer);
        });
        // It goes once all that was sent aside is done.
        drop(runtime);
        assert_eq!(below(&temp), []);
    }
}

#[tokio::test]
async fn what_a_dead_server_had_begun_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    let temp = directory.path().join("files/temp");
    let mut writer = begun(&open(directory.path()).await).await;
    std::mem::forget(writer.take().await.unwrap().unwrap());
    drop(writer);
    assert_eq!(below(&temp).len(), 1);
    open(directory.path())
        .await
        .clear_unfinished()
        .await
        .unwrap();
    assert_eq!(below(&temp), []);
}

#[tokio::test]
async fn what_was_cleared_away_cannot_be_finished() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let mut writer = begun(&blobs).await;
    let unfinished = writer.take().await.unwrap().unwrap();
    blobs.clear_unfinished().await.unwrap();
    writer.give_back(unfinished);
    let finished = Box::new(writer).finish(&sum(b"")).await;
    assert!(
        matches!(finished, Err(BlobError::Unavailable(_))),
        "{finished:?}"
    );
}

#[tokio::test]
async fn no_name_leads_out_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let outside = directory.path().join("secret");
    fs::write(&outside, "secret").unwrap();
    let before = below(directory.path());
    let absolute = outside.to_str().unwrap();
    let digits = "0".repeat(64);
    for text in [
        "../secret",
        "00/../../secret",
        "temp/../../secret",
        absolute,
        &format!("../{}/secret", "a".repeat(87)),
        &format!("{digits}./../../secret"),
        &format!("{:097}", 0),
        &format!("..{:094}", "/secret"),
        "../secret\0",
        "temp",
        ".",
        "",
    ] {
        let name = BlobName(text.to_owned());
        let read = blobs.read(&name, 0..1).await.map(drop);
        assert!(matches!(read, Err(BlobError::NotFound)), "{text}: {read:?}");
        blobs.delete(&name).await.unwrap();
        assert_eq!(below(directory.path()), before, "{text}");
    }
}

#[tokio::test]
async fn no_link_leads_out_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let name = Shelf::new(Arc::new(blobs.clone())).put(b"abc").await;
    let outside = directory.path().join("secret");
    fs::write(&outside, "secret").unwrap();
    let shelf = directory.path().join("files").join(&name.0[..2]);
    let place = shelf.join(&name.0);
    fs::remove_file(&place).unwrap();
    std::os::unix::fs::symlink(&outside, &place).unwrap();
    let read = blobs.read(&name, 0..1).await.map(drop);
    assert!(matches!(read, Err(BlobError::Unavailable(_))), "{read:?}");
    // In `temp` as well: what a server finds there is removed, and not what it leads to.
    let link = directory.path().join("files/temp/link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    blobs.clear_unfinished().await.unwrap();
    blobs.delete(&name).await.unwrap();
    assert!(fs::symlink_metadata(&place).is_err() && fs::symlink_metadata(&link).is_err());
    assert_eq!(fs::read(&outside).unwrap(), b"secret");
}

#[tokio::test]
async fn what_is_not_a_blob_is_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let name = Shelf::new(Arc::new(blobs.clone())).put(b"abc").await;
    let shelf = directory.path().join("files").join(&name.0[..2]);
    fs::write(shelf.join("lost"), "").unwrap();
    // Whole, but where nobody would look for it.
    let elsewhere = if name.0.starts_with("00") { "01" } else { "00" };
    fs::write(shelf.join(format!("{elsewhere}{}", &name.0[2..])), "").unwrap();
    let listed = blobs.list(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].0, name);
}

#[tokio::test]
async fn a_disk_has_room() {
    let directory = tempfile::tempdir().unwrap();
    let room = open(directory.path()).await.room().await.unwrap();
    assert!(room.is_some_and(|bytes| bytes > 0), "{room:?}");
}

#[tokio::test]
async fn many_readers_read_the_same_and_are_counted_as_long_as_they_read() {
    const READERS: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let whole = content(2, 2 << 20);
    let shelf = Shelf::new(Arc::new(blobs.clone()));
    let name = shelf.put(&whole).await;
    let readers = || blobs.root.readers.load(Ordering::Relaxed);
    let mut reading = Vec::new();
    for _ in 0..READERS {
        reading.push(blobs.read(&name, 0..2 << 20).await.unwrap());
    }
    assert_eq!(readers(), READERS);
    for stream in reading.drain(..) {
        let pieces: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
        assert_eq!(pieces.concat(), whole);
    }
    assert_eq!(readers(), 0);
}

#[tokio::test]
async fn many_writers_together_hold_no_more_than_one_alone_would_not_mind() {
    const WRITERS: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let new = || writer::Writer::new(Arc::clone(&blobs.root));
    let mut writers: Vec<_> = std::iter::repeat_with(new).take(WRITERS).collect();
    let held = || blobs.root.gathered.load(Ordering::Relaxed);
    let (piece, mut most) = (content(1, 16 << 10), 0);
    // Each less than what one alone gathers before it writes.
    for _ in 0..60 {
        for writer in &mut writers {
            writer.write(vec![piece.clone()]).await.unwrap();
            most = most.max(held());
        }
    }
    let (together, least) = (unfinished::TOGETHER, unfinished::LEAST);
    assert!(most >= together, "they came to {most}");
    assert!(most <= together + WRITERS * least, "they held {most}");
    let whole = vec![&piece[..]; 60].concat();
    let last = Box::new(writers.pop().unwrap());
    let name = last.finish(&sum(&whole)).await.unwrap();
    assert_eq!(fs::read(blobs.root.path(&name).unwrap()).unwrap(), whole);
    drop(writers);
    assert_eq!(held(), 0);
}
