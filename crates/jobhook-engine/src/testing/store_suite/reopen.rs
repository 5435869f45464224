//! What a store that is opened again still holds.

use jobhook_protocol::{Report, Status};

use super::Place;
use crate::action::NewAction;
use crate::file::ObjectRef;
use crate::testing::factory::*;
use crate::write::{Refusal, Write};

pub async fn everything_answered_survives_reopening(place: Place) {
    let clerk = place.open().await;
    let arguments = Some(json("{\"n\": [1, 2]}"));
    let at = clerk
        .running(NewAction {
            arguments,
            ..tried(2)
        })
        .await;
    clerk
        .say(
            at,
            Report {
                results: Some(json("1")),
                ..line("one")
            },
        )
        .await;
    clerk.output(at, output(0, 8, &["two"])).await.unwrap();
    let (action, attempt) = (clerk.action(at.action).await, clerk.attempt(at).await);
    drop(clerk);

    let clerk = place.open().await;
    assert_eq!(
        clerk.store().open_attempts().await.unwrap(),
        [(action, attempt)]
    );
    assert_eq!(clerk.log(at.action).await, ["one", "two"]);
    clerk.say(at, line("three")).await;
    assert_eq!(clerk.end(at, exited(1)).await.0.status, Status::Scheduled);
    drop(clerk);

    let clerk = place.open().await;
    assert_eq!(clerk.take().await.number, 2);
    assert_eq!(clerk.log(at.action).await, ["one", "two", "three"]);
}

pub async fn reports_are_still_applied_once_after_reopening(place: Place) {
    let clerk = place.open().await;
    let at = clerk.running(echo()).await;
    clerk.say(at, sent("r", 1, line("1"))).await;
    clerk.say(at, sent("r", 3, line("3"))).await;
    drop(clerk);

    let clerk = place.open().await;
    for seq in [1, 2, 3, 2] {
        clerk.say(at, sent("r", seq, line(&seq.to_string()))).await;
    }
    assert_eq!(clerk.log(at.action).await, ["1", "3", "2"]);
}

pub async fn an_installation_keeps_its_id(place: Place) {
    let id = place.open().await.store().installation().to_owned();
    assert!(!id.is_empty());
    assert_eq!(place.open().await.store().installation(), id);
}

pub async fn an_id_stays_taken_after_reopening(place: Place) {
    let new = echo();
    let first = place.open().await.launch(new.clone()).await;
    let clerk = place.open().await;
    let other = clerk.launch(echo()).await.id;
    let writes = [
        Write::Cancel {
            action: other,
            by: "ann".into(),
            reason: None,
        },
        Write::Insert(Box::new(new)),
    ];
    let answers = clerk.batch(&writes).await;
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(Refusal::Exists));
    assert_eq!(clerk.action(first.id).await, first);
    assert_eq!(clerk.action(other).await.status, Status::Cancelled);
}

pub async fn files_survive_reopening(place: Place) {
    let clerk = place.open().await;
    clerk.stage(content(1, "a")).await;
    clerk.stage(content(2, "b")).await;
    let new = NewAction {
        files: vec![input("a", "x")],
        ..echo()
    };
    let action = ObjectRef::of_action(clerk.launch(new).await.id);
    let to = image("1").property("files");
    let attach = attach(to, arrived(3, "c"), "y");
    clerk.stage(content(4, "small/d")).await;
    clerk.attach(attach).await.unwrap();
    assert!(clerk.store().drop_object(&image("1"), NOW).await.unwrap());
    let (inputs, object) = (
        clerk.files(&action).await,
        clerk.store().object(&action).await.unwrap(),
    );
    drop(clerk);

    let clerk = place.open().await;
    let store = clerk.store();
    assert_eq!((inputs.len(), object.is_some()), (1, true));
    assert_eq!(clerk.files(&action).await, inputs);
    assert_eq!(store.object(&action).await.unwrap(), object);
    assert_eq!(store.stored().await.unwrap().bytes, 10);
    let blobs = ["a", "b", "c", "small/d"].map(|blob| content(0, blob).blob);
    let small = store.small(&blobs[3]).await.unwrap();
    assert_eq!(small.as_deref(), Some(&[4; 4][..]));
    assert_eq!(store.wanted_blobs(&blobs).await.unwrap(), blobs);
    assert_eq!(
        clerk.forget_unused(NOW).await,
        [blobs[2].clone(), blobs[1].clone(), blobs[3].clone()]
    );
    drop(clerk);

    let clerk = place.open().await;
    assert_eq!(clerk.store().stored().await.unwrap().bytes, 1);
}
