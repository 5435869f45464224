//! The bytes of small blobs lie in the store, and come and go with the row that names them.

use crate::blob::BlobName;
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::Write;

const SMALL: &str = "small/a";
const OTHER: &str = "small/b";

fn name(blob: &str) -> BlobName {
    BlobName(blob.into())
}

/// The bytes of a small blob, if they are there.
async fn bytes(clerk: &Clerk, blob: &str) -> Option<Vec<u8>> {
    let bytes = clerk.store().small(&name(blob)).await.unwrap();
    bytes.map(|bytes| bytes.to_vec())
}

async fn attach_to(clerk: &Clerk, id: &str, origin: crate::file::Origin) {
    let to = image(id).property("files");
    clerk.attach(attach(to, origin, "x")).await.unwrap();
}

async fn drop_image(clerk: &Clerk, id: &str) {
    assert!(clerk.store().drop_object(&image(id), NOW).await.unwrap());
}

pub async fn the_bytes_of_a_small_blob_come_with_its_content(clerk: Clerk) {
    assert_eq!(bytes(&clerk, SMALL).await, None);
    attach_to(&clerk, "1", arrived(3, SMALL)).await;
    attach_to(&clerk, "2", arrived(0, OTHER)).await;
    attach_to(&clerk, "3", arrived(4, "large")).await;
    assert_eq!(bytes(&clerk, SMALL).await, Some(vec![3; 3]));
    assert_eq!(bytes(&clerk, OTHER).await, Some(Vec::new()));
    assert_eq!(bytes(&clerk, "large").await, None);
}

pub async fn small_bytes_that_are_staged_stay_when_they_are_attached(clerk: Clerk) {
    clerk.stage(content(3, SMALL)).await;
    assert_eq!(bytes(&clerk, SMALL).await, Some(vec![3; 3]));
    attach_to(&clerk, "1", staged_as(SMALL)).await;
    assert_eq!(bytes(&clerk, SMALL).await, Some(vec![3; 3]));

    clerk.stage(content(4, OTHER)).await;
    let new = crate::action::NewAction {
        files: vec![input(OTHER, "x")],
        ..echo()
    };
    clerk.launch(new).await;
    assert_eq!(bytes(&clerk, OTHER).await, Some(vec![4; 4]));
}

pub async fn small_bytes_that_are_over_are_not_kept(clerk: Clerk) {
    attach_to(&clerk, "1", arrived(3, SMALL)).await;
    attach_to(&clerk, "2", arrived(3, OTHER)).await;
    assert_eq!(bytes(&clerk, OTHER).await, None);
    clerk.stage(content(3, OTHER)).await;
    attach_to(&clerk, "3", staged_as(OTHER)).await;
    assert_eq!(bytes(&clerk, OTHER).await, None);
    assert_eq!(bytes(&clerk, SMALL).await, Some(vec![3; 3]));
}

pub async fn small_bytes_of_what_is_refused_are_not_kept(clerk: Clerk) {
    let to = image("1").property("files");
    let mut refused = attach(to, arrived(3, SMALL), "x");
    refused.create = false;
    clerk.attach(refused).await.unwrap_err();
    assert_eq!(bytes(&clerk, SMALL).await, None);
}

pub async fn small_bytes_go_with_what_is_unstaged(clerk: Clerk) {
    clerk.stage(content(3, SMALL)).await;
    let blob = name(SMALL);
    clerk.write(Write::Unstage { blob }).await.unwrap();
    assert_eq!(bytes(&clerk, SMALL).await, None);

    let stage = Write::Stage(Box::new(crate::write::Stage {
        arrived: arrival(content(3, OTHER)),
        at: NOW,
    }));
    let unstage = Write::Unstage { blob: name(OTHER) };
    let answers = clerk.store().apply(&[stage, unstage], NOW).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(bytes(&clerk, OTHER).await, None, "in one batch");
}

pub async fn small_bytes_go_with_what_is_forgotten(clerk: Clerk) {
    attach_to(&clerk, "1", arrived(3, SMALL)).await;
    clerk.stage(content(4, OTHER)).await;
    drop_image(&clerk, "1").await;
    assert_eq!(bytes(&clerk, SMALL).await, Some(vec![3; 3]), "idle");
    assert_eq!(
        clerk.forget_unused(NOW).await,
        [name(SMALL), name(OTHER)],
        "they count as what was forgotten"
    );
    assert_eq!(bytes(&clerk, SMALL).await, None);
    assert_eq!(bytes(&clerk, OTHER).await, None);
}

pub async fn small_bytes_that_come_again_are_there_again(clerk: Clerk) {
    attach_to(&clerk, "1", arrived(3, SMALL)).await;
    drop_image(&clerk, "1").await;
    attach_to(&clerk, "2", stored(3)).await;
    assert_eq!(clerk.forget_unused(NOW).await, []);
    assert_eq!(bytes(&clerk, SMALL).await, Some(vec![3; 3]), "used again");
    drop_image(&clerk, "2").await;
    clerk.forget_unused(NOW).await;
    attach_to(&clerk, "3", arrived(3, OTHER)).await;
    assert_eq!(bytes(&clerk, SMALL).await, None);
    assert_eq!(bytes(&clerk, OTHER).await, Some(vec![3; 3]));
}
