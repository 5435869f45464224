//! A content is stored once, found by its sums, and forgotten when nobody has it any more.

use jobhook_protocol::{Md5Sum, Sha256Sum};

use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Content, Origin, Volume};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{Refusal, Stage, Write};

fn names(blobs: &[&str]) -> Vec<BlobName> {
    blobs.iter().map(|blob| BlobName((*blob).into())).collect()
}

fn unstage(blob: &str) -> Write {
    Write::Unstage {
        blob: BlobName(blob.into()),
    }
}

/// Stores a content, as the file of an object of its own.
async fn store(clerk: &Clerk, id: &str, content: Content) {
    let to = image(id).property("files");
    let attached = clerk
        .attach(attach(to, Origin::Arrived(arrival(content)), "x"))
        .await;
    attached.unwrap();
}

/// Takes an object away.
async fn drop_image(clerk: &Clerk, id: &str, now: Timestamp) {
    assert!(clerk.store().drop_object(&image(id), now).await.unwrap());
}

async fn stored_in(clerk: &Clerk) -> Volume {
    clerk.store().stored().await.unwrap()
}

fn volume(count: u64, bytes: u64) -> Volume {
    Volume {
        count,
        bytes,
        small: 0,
    }
}

pub async fn what_is_staged_reads_back(clerk: Clerk) {
    clerk.at(after(2)).stage(content(1, "a")).await;
    let mut expected = staged(content(1, "a"));
    expected.at = after(2);
    let read = clerk.store().staged(&BlobName("a".into())).await.unwrap();
    assert_eq!(read, Some(expected));
    let other = clerk.store().staged(&BlobName("b".into())).await.unwrap();
    assert_eq!(other, None);
    let content = clerk.store().content(Sha256Sum([1; 32])).await.unwrap();
    assert_eq!(content, None, "what is staged is no content yet");
}

pub async fn what_is_staged_twice_stays_as_it_was(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    clerk.at(after(2)).stage(content(2, "a")).await;
    let read = clerk.store().staged(&BlobName("a".into())).await.unwrap();
    assert_eq!(read, Some(staged(content(1, "a"))));
    assert_eq!(stored_in(&clerk).await.bytes, 1);
}

pub async fn what_is_unstaged_is_gone(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    clerk.stage(content(2, "b")).await;
    clerk.write(unstage("a")).await.unwrap();
    assert_eq!(clerk.write(unstage("a")).await, Err(Refusal::NoContent));
    let read = clerk.store().staged(&BlobName("a".into())).await.unwrap();
    assert_eq!(read, None);
    assert_eq!(stored_in(&clerk).await.bytes, 2);
    store(&clerk, "1", content(3, "c")).await;
    assert_eq!(clerk.write(unstage("c")).await, Err(Refusal::NoContent));
}

pub async fn a_batch_sees_what_it_staged(clerk: Clerk) {
    let stage = |n| {
        Write::Stage(Box::new(Stage {
            arrived: content(n, "a").into(),
            at: NOW,
        }))
    };
    let attach = |name| {
        let to = image("1").property("files");
        Write::Attach(Box::new(attach(to, staged_as("a"), name)))
    };
    let writes = [
        unstage("a"),
        stage(1),
        unstage("a"),
        attach("x"),
        stage(2),
        stage(3),
        attach("x"),
        attach("y"),
        unstage("a"),
    ];
    let answers = clerk.batch(&writes).await;
    let refused: Vec<bool> = answers.iter().map(Result::is_err).collect();
    let expected = [true, false, false, true, false, false, false, true, true];
    assert_eq!(refused, expected);
    let files = clerk.files(&image("1")).await;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].content, content(2, "a"));
    assert_eq!(stored_in(&clerk).await.bytes, 2);

    clerk.batch(&[stage(4)]).await;
    clerk.batch(&[unstage("a"), stage(5)]).await;
    let read = clerk.store().staged(&BlobName("a".into())).await.unwrap();
    assert_eq!(read, Some(staged(content(5, "a"))));
    assert_eq!(stored_in(&clerk).await.bytes, 7);
}

pub async fn a_content_is_found_by_its_md5_with_its_challenge(clerk: Clerk) {
    let twin = |n: u8| Content {
        sha256: Sha256Sum([n; 32]),
        ..content(1, &n.to_string())
    };
    let pair = async |md5: u8, challenge: u8| {
        let store = clerk.store();
        let found = store.contents(Md5Sum([md5; 16]), Md5Sum([challenge; 16]));
        found.await.unwrap()
    };
    clerk.stage(content(1, "staged")).await;
    assert_eq!(pair(1, !1).await, []);
    store(&clerk, "1", twin(1)).await;
    store(&clerk, "2", content(2, "2")).await;
    assert_eq!(pair(1, !1).await, [twin(1)]);
    assert_eq!(pair(1, 1).await, []);
    assert_eq!(pair(1, !2).await, []);
    store(&clerk, "3", twin(3)).await;
    store(&clerk, "4", twin(4)).await;
    assert_eq!(pair(1, !1).await.len(), 2, "more do not say more");
    assert_eq!(pair(2, !2).await, [content(2, "2")]);
}

pub async fn what_is_stored_is_counted_once_each_with_what_is_staged(clerk: Clerk) {
    assert_eq!(stored_in(&clerk).await, volume(0, 0));
    clerk.stage(content(1, "a")).await;
    store(&clerk, "1", content(2, "b")).await;
    assert_eq!(stored_in(&clerk).await, volume(2, 3));
    let to = image("2").property("files");
    clerk
        .attach(attach(to.clone(), staged_as("a"), "x"))
        .await
        .unwrap();
    assert_eq!(stored_in(&clerk).await, volume(2, 3));
    store(&clerk, "3", content(2, "c")).await;
    assert_eq!(
        stored_in(&clerk).await,
        volume(2, 3),
        "a content counts once"
    );
    clerk.stage(content(1, "a")).await;
    assert_eq!(stored_in(&clerk).await, volume(3, 4));
    clerk.attach(attach(to, staged_as("a"), "x")).await.unwrap();
    assert_eq!(stored_in(&clerk).await, volume(2, 3));
    drop_image(&clerk, "2", NOW).await;
    assert_eq!(
        stored_in(&clerk).await,
        volume(2, 3),
        "what is idle is there"
    );
    assert_eq!(clerk.forget_unused(NOW).await, names(&["a"]));
    assert_eq!(stored_in(&clerk).await, volume(1, 2));
}

pub async fn a_content_is_idle_when_its_last_file_goes(clerk: Clerk) {
    for id in ["1", "2"] {
        store(&clerk, id, content(1, "a")).await;
    }
    let other = attach(image("2").property("others"), arrived(1, "b"), "y");
    clerk.attach(other).await.unwrap();
    drop_image(&clerk, "1", after(1)).await;
    assert_eq!(clerk.forget_unused(after(99)).await, []);
    drop_image(&clerk, "2", after(5)).await;
    assert_eq!(clerk.forget_unused(after(4)).await, []);
    let kept = clerk.store().content(Sha256Sum([1; 32])).await.unwrap();
    assert_eq!(kept, Some(content(1, "a")));
    assert_eq!(clerk.forget_unused(after(5)).await, names(&["a"]));
    let kept = clerk.store().content(Sha256Sum([1; 32])).await.unwrap();
    assert_eq!(kept, None);
    assert_eq!(clerk.forget_unused(after(5)).await, []);
}

pub async fn an_idle_content_that_is_attached_again_is_not_forgotten(clerk: Clerk) {
    for origin in [stored(1), arrived(1, "b")] {
        store(&clerk, "1", content(1, "a")).await;
        drop_image(&clerk, "1", NOW).await;
        let attach = attach(image("2").property("files"), origin, "x");
        let attached = clerk.attach(attach).await.unwrap();
        assert_eq!(attached.file.content, content(1, "a"));
        assert_eq!(clerk.forget_unused(after(9)).await, []);
        drop_image(&clerk, "2", after(3)).await;
        assert_eq!(clerk.forget_unused(after(2)).await, []);
    }
}

pub async fn a_content_that_was_forgotten_comes_anew_as_another_blob(clerk: Clerk) {
    store(&clerk, "1", content(1, "a")).await;
    drop_image(&clerk, "1", NOW).await;
    assert_eq!(clerk.forget_unused(NOW).await, names(&["a"]));
    let to = image("1").property("files");
    let by_name = attach(to.clone(), stored(1), "x");
    assert_eq!(clerk.attach(by_name).await, Err(Refusal::NoContent));
    let attach = attach(to, arrived(1, "b"), "x");
    let attached = clerk.attach(attach).await.unwrap();
    assert_eq!(attached.file.content, content(1, "b"));
    assert_eq!(attached.surplus, None);
}

/// An upload asks for a content by its sums, and attaches it a moment later; the sweep may have
/// come in between. Whoever is first, no file is left without its bytes.
pub async fn an_attach_and_a_sweep_at_once_agree(clerk: Clerk) {
    for n in 1..40 {
        let blob = n.to_string();
        store(&clerk, "old", content(n, &blob)).await;
        drop_image(&clerk, "old", NOW).await;
        let attach = attach(image(&blob).property("files"), stored(n), "x");
        let (sweeper, attacher) = (clerk.clone(), clerk.clone());
        let sweep = tokio::spawn(async move { sweeper.forget_unused(NOW).await });
        let attached = tokio::spawn(async move { attacher.attach(attach).await });
        let (forgotten, attached) = (sweep.await.unwrap(), attached.await.unwrap());
        let kept = clerk.store().content(Sha256Sum([n; 32])).await.unwrap();
        match attached {
            Ok(_) => assert_eq!((forgotten, kept), (vec![], Some(content(n, &blob)))),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::NoContent);
                assert_eq!((forgotten, kept), (names(&[&blob]), None));
            }
        }
    }
}

pub async fn what_is_staged_too_long_is_forgotten(clerk: Clerk) {
    clerk.stage(content(1, "a")).await;
    clerk.at(after(5)).stage(content(2, "b")).await;
    let forget = async |idle, staged| {
        let store = clerk.store();
        store.forget_unused(idle, staged, 9).await.unwrap()
    };
    assert_eq!(forget(after(99), after(-1)).await, []);
    assert_eq!(forget(after(-99), after(4)).await, names(&["a"]));
    assert_eq!(forget(after(-99), after(5)).await, names(&["b"]));
    assert_eq!(stored_in(&clerk).await.bytes, 0);
}

pub async fn what_is_unused_longest_is_forgotten_first_and_contents_before_the_staged(
    clerk: Clerk,
) {
    for (n, blob) in [(1, "a"), (2, "b"), (3, "c")] {
        store(&clerk, blob, content(n, blob)).await;
    }
    for (id, ms) in [("b", 1), ("c", 2), ("a", 3)] {
        drop_image(&clerk, id, after(ms)).await;
    }
    clerk.at(after(2)).stage(content(4, "d")).await;
    clerk.at(after(1)).stage(content(5, "e")).await;
    let forget = async |limit| {
        let store = clerk.store();
        store
            .forget_unused(after(9), after(9), limit)
            .await
            .unwrap()
    };
    assert_eq!(forget(0).await, []);
    assert_eq!(forget(2).await, names(&["b", "c"]));
    assert_eq!(forget(2).await, names(&["a", "e"]));
    assert_eq!(forget(2).await, names(&["d"]));
}

pub async fn a_blob_is_wanted_as_long_as_it_is_a_contents_or_staged(clerk: Clerk) {
    store(&clerk, "1", content(1, "a")).await;
    store(&clerk, "2", content(1, "over")).await;
    clerk.stage(content(2, "b")).await;
    let wanted = async |blobs: &[&str]| {
        let store = clerk.store();
        store.wanted_blobs(&names(blobs)).await.unwrap()
    };
    let all = ["over", "b", "it's \"quoted\"", "a", ""];
    assert_eq!(wanted(&all).await, names(&["b", "a"]));
    assert_eq!(wanted(&[]).await, []);
    drop_image(&clerk, "1", NOW).await;
    drop_image(&clerk, "2", NOW).await;
    assert_eq!(
        wanted(&all).await,
        names(&["b", "a"]),
        "what is idle is wanted"
    );
    clerk.forget_unused(NOW).await;
    assert_eq!(wanted(&all).await, []);
}
