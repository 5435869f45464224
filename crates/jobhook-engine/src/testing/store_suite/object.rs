//! What has files: actions, and what other stores have. It is counted what they have.

use jobhook_protocol::Sha256Sum;

use crate::file::{Attach, INPUTS, ObjectLimits, ObjectRef, PropertyRef};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{Refusal, Write, Written};

fn put(at: ObjectRef) -> Write {
    Write::PutObject(at)
}

pub async fn an_action_is_an_object_as_long_as_it_is_there(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.end(at, exited(0)).await;
    let to = ObjectRef::of_action(at.action).property(INPUTS);
    assert_eq!(clerk.store().object(&to.object).await.unwrap(), None);
    let attach_to = async |to: PropertyRef| {
        let attach = attach(to, arrived(1, "a"), "x");
        clerk.at(after(8)).attach(attach).await.map(drop)
    };
    assert_eq!(attach_to(to.clone()).await, Ok(()));
    let object = clerk.store().object(&to.object).await.unwrap().unwrap();
    assert_eq!((object.created_at, object.count(INPUTS)), (NOW, 1));
    assert_eq!(attach_to(outputs(echo().id)).await, Err(Refusal::NoObject));
    for id in ["", "constructor", &at.action.to_string().to_uppercase()] {
        let mut none = to.clone();
        none.object.id = id.into();
        assert_eq!(attach_to(none).await, Err(Refusal::NoObject), "{id}");
    }
}

pub async fn an_object_is_made_where_that_is_asked_for(clerk: Clerk) {
    let to = image("1").property("files");
    let required = Attach {
        create: false,
        ..attach(to.clone(), arrived(1, "a"), "x")
    };
    let refused = clerk.attach(required.clone()).await;
    assert_eq!(refused, Err(Refusal::NoObject));
    assert_eq!(clerk.store().object(&to.object).await.unwrap(), None);
    assert_eq!(
        clerk.store().content(Sha256Sum([1; 32])).await.unwrap(),
        None
    );
    let made = Attach {
        create: true,
        ..required.clone()
    };
    clerk.at(after(4)).attach(made).await.unwrap();
    let object = clerk.store().object(&to.object).await.unwrap().unwrap();
    assert_eq!((object.created_at, object.bytes), (after(4), 1));
    clerk.attach(required).await.unwrap();
}

pub async fn an_object_is_put_once(clerk: Clerk) {
    let put_at = async |clerk: &Clerk, at: ObjectRef| match clerk.write(put(at)).await {
        Ok(Written::Object(object)) => Ok(*object),
        Ok(other) => panic!("answered with {other:?}"),
        Err(refusal) => Err(refusal),
    };
    let put = put_at(&clerk, image("1")).await.unwrap();
    assert_eq!((&put.at, put.created_at, put.bytes), (&image("1"), NOW, 0));
    let read = clerk.store().object(&image("1")).await.unwrap();
    assert_eq!(read, Some(put.clone()));
    assert_eq!(put_at(&clerk.at(after(1)), image("1")).await, Ok(put));

    let action = ObjectRef::of_action(clerk.launch(echo()).await.id);
    let put = put_at(&clerk.at(after(1)), action.clone()).await.unwrap();
    assert_eq!((put.created_at, put.bytes), (NOW, 0));
    let none = ObjectRef::of_action(echo().id);
    assert_eq!(put_at(&clerk, none).await, Err(Refusal::NoObject));
}

pub async fn an_object_has_no_more_than_it_may(clerk: Clerk) {
    let put = |n: u8, property: &str, most: ObjectLimits| Attach {
        most,
        ..attach(
            image("1").property(property),
            arrived(n, &format!("{n}")),
            "x",
        )
    };
    let files = |files| ObjectLimits {
        files,
        ..ObjectLimits::NONE
    };
    let bytes = |bytes| ObjectLimits {
        bytes,
        ..ObjectLimits::NONE
    };
    clerk.attach(put(10, "a", files(1))).await.unwrap();
    clerk.attach(put(20, "b", bytes(30))).await.unwrap();
    let too_many = Err(Refusal::TooManyFiles { limit: 2 });
    assert_eq!(clerk.attach(put(1, "a", files(2))).await, too_many);
    let too_many = Err(Refusal::TooManyBytes { limit: 30 });
    assert_eq!(clerk.attach(put(1, "b", bytes(30))).await, too_many);
    // What is there already is not counted again.
    clerk.attach(put(20, "b", bytes(30))).await.unwrap();
    clerk.attach(put(20, "b", files(0))).await.unwrap();
    clerk.attach(put(0, "a", bytes(30))).await.unwrap();
    let object = clerk.store().object(&image("1")).await.unwrap().unwrap();
    let counts: Vec<_> = object
        .files
        .iter()
        .map(|(name, n)| (name.as_str(), *n))
        .collect();
    assert_eq!(
        (counts.as_slice(), object.bytes),
        ([("a", 2), ("b", 1)].as_slice(), 30)
    );
}

pub async fn what_is_refused_for_a_limit_leaves_nothing(clerk: Clerk) {
    clerk.stage(content(5, "staged")).await;
    let to = image("1").property("files");
    for origin in [staged_as("staged"), arrived(6, "arrived")] {
        let attach = Attach {
            most: ObjectLimits { files: 9, bytes: 4 },
            ..attach(to.clone(), origin, "x")
        };
        let refused = clerk.attach(attach).await;
        assert_eq!(refused, Err(Refusal::TooManyBytes { limit: 4 }));
    }
    let store = clerk.store();
    assert_eq!(store.object(&to.object).await.unwrap(), None);
    for n in [5, 6] {
        assert_eq!(store.content(Sha256Sum([n; 32])).await.unwrap(), None);
    }
    assert_eq!(store.stored().await.unwrap().bytes, 5);
    clerk
        .attach(attach(to, staged_as("staged"), "x"))
        .await
        .unwrap();
}

pub async fn objects_are_listed_by_id(clerk: Clerk) {
    for id in ["b", "a", "c", "ab"] {
        clerk.write(put(image(id))).await.unwrap();
    }
    let of_others = ObjectRef {
        store: "documents".into(),
        id: "d".into(),
    };
    clerk.write(put(of_others)).await.unwrap();
    let list = async |after: Option<&str>, limit: usize| -> Vec<String> {
        let listed = clerk.store().objects("images", after, limit).await.unwrap();
        listed.into_iter().map(|object| object.at.id).collect()
    };
    assert_eq!(list(None, 9).await, ["a", "ab", "b", "c"]);
    assert_eq!(list(None, 2).await, ["a", "ab"]);
    assert_eq!(list(Some("ab"), 9).await, ["b", "c"]);
    assert_eq!(list(Some("c"), 9).await, [""; 0]);
}

pub async fn an_object_is_taken_away_with_its_files(clerk: Clerk) {
    let to = image("1").property("files");
    clerk
        .attach(attach(to.clone(), arrived(1, "a"), "x"))
        .await
        .unwrap();
    clerk
        .attach(attach(image("2").property("files"), stored(1), "x"))
        .await
        .unwrap();
    let store = clerk.store();
    assert!(store.drop_object(&image("1"), NOW).await.unwrap());
    assert!(!store.drop_object(&image("1"), NOW).await.unwrap());
    assert_eq!(store.object(&image("1")).await.unwrap(), None);
    assert_eq!(clerk.files(&image("1")).await, []);
    assert_eq!(clerk.files(&image("2")).await.len(), 1);
    // It may come again, and begins anew.
    let again = clerk.attach(attach(to, stored(1), "y")).await.unwrap();
    assert_eq!(again.file.index, 0);
}

pub async fn an_action_is_not_taken_away_as_an_object(clerk: Clerk) {
    let action = clerk.launch(echo()).await.id;
    let to = outputs(action);
    clerk
        .attach(attach(to.clone(), arrived(1, "a"), "x"))
        .await
        .unwrap();
    let dropped = clerk.store().drop_object(&to.object, NOW).await.unwrap();
    assert!(!dropped);
    assert_eq!(clerk.files(&to.object).await.len(), 1);
}
