//! Files are attached, numbered and listed.

use jobhook_protocol::{Sha256Sum, Status};

use crate::attempt::AttemptRef;
use crate::blob::BlobName;
use crate::file::{Attach, File, FileFields, ObjectLimits, ObjectRef, Origin, PropertyRef};
use crate::testing::Clerk;
use crate::testing::clerk::attached_of;
use crate::testing::factory::*;
use crate::write::{Refusal, Write};

fn places(files: &[File]) -> Vec<(&str, u64)> {
    let properties = files.iter().map(|file| file.at.property.as_str());
    properties
        .zip(files.iter().map(|file| file.index))
        .collect()
}

pub async fn a_file_reads_back_whole(clerk: Clerk) {
    let by = clerk.running(tried(2)).await;
    clerk.end(by, exited(1)).await;
    let by = clerk.take().await;
    let attach = Attach {
        fields: FileFields {
            name: Some("it's “50%” \u{1f4c4}.csv".into()),
            mimetype: "text/csv; charset=utf-8".into(),
            metadata: Some(json(r#"{"b":1, "a":[1.0,1e2,"é"]}"#)),
        },
        by: Some(by),
        ..attach(outputs(by.action), arrived(7, "blob"), "")
    };
    let attached = clerk.at(after(3)).attach(attach.clone()).await.unwrap();
    let file = File {
        at: attach.to.clone(),
        index: 0,
        content: content(7, "blob"),
        fields: attach.fields,
        attempt: Some(2),
        attached_at: after(3),
    };
    assert_eq!((&attached.file, attached.surplus), (&file, None));
    let read = clerk.store().file(&attach.to, 0).await.unwrap();
    assert_eq!(read.as_ref(), Some(&file));
    assert_eq!(clerk.files(&attach.to.object).await, [file]);
    let stored = clerk.store().content(Sha256Sum([7; 32])).await.unwrap();
    assert_eq!(stored, Some(content(7, "blob")));
}

pub async fn a_file_that_is_not_there_is_not_found(clerk: Clerk) {
    let to = image("1").property("files");
    clerk
        .attach(attach(to.clone(), arrived(1, "a"), "a"))
        .await
        .unwrap();
    let store = clerk.store();
    for index in [1, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(store.file(&to, index).await.unwrap(), None);
    }
    for other in [
        image("1").property("Files"),
        image("2").property("files"),
        ObjectRef::of_action(echo().id).property("files"),
    ] {
        assert_eq!(store.file(&other, 0).await.unwrap(), None);
    }
    assert_eq!(store.object(&image("2")).await.unwrap(), None);
    assert_eq!(clerk.files(&image("2")).await, []);
}

pub async fn files_are_numbered_in_each_property_as_they_come(clerk: Clerk) {
    let (a, b) = (image("1").property("a"), image("1").property("b"));
    let mut indexes = Vec::new();
    for (to, n) in [(&a, 1), (&b, 2), (&a, 3), (&a, 2)] {
        let attach = attach(to.clone(), arrived(n, &format!("blob-{n}")), "x");
        indexes.push(clerk.attach(attach).await.unwrap().file.index);
    }
    assert_eq!(indexes, [0, 0, 1, 2]);
}

pub async fn the_same_content_under_the_same_name_is_attached_once(clerk: Clerk) {
    let to = image("1").property("files");
    let first = clerk.attach(attach(to.clone(), arrived(1, "a"), "x")).await;
    let first = first.unwrap().file;
    clerk.stage(content(1, "c")).await;
    for (origin, surplus) in [
        (stored(1), None),
        (arrived(1, "b"), Some(BlobName("b".into()))),
        (staged_as("c"), Some(BlobName("c".into()))),
    ] {
        let mut again = attach(to.clone(), origin, "x");
        again.fields.mimetype = "text/plain".into();
        let attached = clerk.at(after(9)).attach(again).await.unwrap();
        assert_eq!((&attached.file, attached.surplus), (&first, surplus));
    }
    let gone = clerk.attach(attach(to.clone(), staged_as("c"), "x")).await;
    assert_eq!(gone, Err(Refusal::NoContent));
    assert_eq!(clerk.files(&to.object).await, [first]);

    for name in ["y", "X"] {
        clerk
            .attach(attach(to.clone(), stored(1), name))
            .await
            .unwrap();
    }
    let elsewhere = to.object.clone().property("others");
    clerk
        .attach(attach(elsewhere, stored(1), "x"))
        .await
        .unwrap();
    let files = clerk.files(&to.object).await;
    let expected = [("files", 0), ("files", 1), ("files", 2), ("others", 0)];
    assert_eq!(places(&files), expected);
    let object = clerk.store().object(&to.object).await.unwrap().unwrap();
    assert_eq!((object.count("files"), object.bytes), (3, 4));
}

pub async fn a_content_without_a_name_is_attached_once_too(clerk: Clerk) {
    let to = image("1").property("files");
    let mut nameless = attach(to.clone(), arrived(1, "a"), "");
    clerk.attach(nameless.clone()).await.unwrap();
    nameless.fields.name = None;
    let new = clerk.attach(nameless.clone()).await.unwrap();
    let same = clerk.attach(nameless).await.unwrap();
    assert_eq!((new.file.index, same.file.index), (1, 1));
}

pub async fn a_content_that_is_stored_already_leaves_the_blob_that_came_over(clerk: Clerk) {
    let (one, other) = (image("1").property("files"), image("2").property("files"));
    clerk
        .attach(attach(one, arrived(1, "a"), "x"))
        .await
        .unwrap();
    let attached = clerk
        .attach(attach(other.clone(), arrived(1, "b"), "x"))
        .await
        .unwrap();
    assert_eq!(attached.surplus, Some(BlobName("b".into())));
    assert_eq!(attached.file.content, content(1, "a"));
    clerk.stage(content(1, "c")).await;
    let attached = clerk
        .attach(attach(other, staged_as("c"), "y"))
        .await
        .unwrap();
    assert_eq!(attached.surplus, Some(BlobName("c".into())));
    assert_eq!(attached.file.content, content(1, "a"));
}

pub async fn an_attach_that_comes_twice_leaves_no_blob_over(clerk: Clerk) {
    let attach = attach(image("1").property("files"), arrived(1, "a"), "x");
    let first = clerk.attach(attach.clone()).await.unwrap();
    let second = clerk.attach(attach).await.unwrap();
    assert_eq!((&second, &second.surplus), (&first, &None));
}

pub async fn what_is_attached_is_staged_no_more(clerk: Clerk) {
    let to = image("1").property("files");
    clerk.stage(content(1, "a")).await;
    let attached = clerk
        .attach(attach(to.clone(), staged_as("a"), "x"))
        .await
        .unwrap();
    assert_eq!(attached.file.content, content(1, "a"));
    assert_eq!(attached.surplus, None);
    let staged = clerk.store().staged(&BlobName("a".into())).await.unwrap();
    assert_eq!(staged, None);
    let again = clerk.attach(attach(to, staged_as("a"), "y")).await;
    assert_eq!(again, Err(Refusal::NoContent));
}

pub async fn a_content_that_is_not_there_is_refused(clerk: Clerk) {
    let to = image("1").property("files");
    for origin in [stored(1), staged_as("a")] {
        let refused = clerk.attach(attach(to.clone(), origin, "x")).await;
        assert_eq!(refused, Err(Refusal::NoContent));
    }
    assert_eq!(clerk.store().object(&to.object).await.unwrap(), None);
}

pub async fn a_job_attaches_as_long_as_its_attempt_is_open(clerk: Clerk) {
    let first = clerk.running(tried(2)).await;
    let write = async |by: AttemptRef, to: PropertyRef| {
        let attach = Attach {
            by: Some(by),
            ..attach(to, arrived(1, "a"), "x")
        };
        clerk
            .attach(attach)
            .await
            .map(|attached| attached.file.attempt)
    };
    let to = outputs(first.action);
    clerk.end(first, exited(1)).await;
    assert_eq!(
        write(first, to.clone()).await,
        Err(Refusal::Superseded { current: 2 })
    );
    let second = clerk.take().await;
    assert_eq!(
        write(first, to.clone()).await,
        Err(Refusal::Superseded { current: 2 })
    );
    let never = AttemptRef {
        number: 3,
        ..second
    };
    assert_eq!(write(never, to.clone()).await, Err(Refusal::NotFound));
    // It is asked before it is looked for what is written to.
    let nowhere = outputs(echo().id);
    assert_eq!(
        write(first, nowhere).await,
        Err(Refusal::Superseded { current: 2 })
    );
    assert_eq!(clerk.files(&to.object).await, []);
    assert_eq!(write(second, to.clone()).await, Ok(Some(2)));

    let elsewhere = image("1").property("files");
    assert_eq!(write(second, elsewhere.clone()).await, Ok(Some(2)));
    clerk.say(second, says(Status::Success)).await;
    let is_final = Err(Refusal::AlreadyFinal(Status::Success));
    assert_eq!(write(second, to.clone()).await, is_final);
    clerk.end(second, exited(0)).await;
    assert_eq!(write(second, to.clone()).await, Err(Refusal::Closed));
    assert_eq!(write(second, elsewhere).await, Err(Refusal::Closed));
    assert_eq!(clerk.files(&to.object).await.len(), 1);
}

pub async fn several_files_are_attached_in_one_batch(clerk: Clerk) {
    let write = |property: &str, origin: Origin, name: &str, files: u64| {
        Write::Attach(Box::new(Attach {
            most: ObjectLimits {
                files,
                ..ObjectLimits::NONE
            },
            ..attach(image("1").property(property), origin, name)
        }))
    };
    let writes = [
        Write::PutObject(image("1")),
        write("a", arrived(1, "one"), "x", 9),
        write("a", arrived(1, "two"), "y", 9),
        write("a", arrived(1, "three"), "x", 9),
        write("b", stored(1), "x", 9),
        write("a", arrived(2, "four"), "x", 9),
        write("a", arrived(3, "five"), "x", 4),
        write("b", stored(3), "x", 9),
        write("b", stored(2), "x", 9),
    ];
    let answers = clerk.batch(&writes).await.into_iter().skip(1);
    let answers: Vec<_> = answers
        .map(|answer| {
            let attached = attached_of(answer)?;
            Ok((attached.file.index, attached.surplus.map(|blob| blob.0)))
        })
        .collect();
    let expected = [
        Ok((0, None)),
        Ok((1, Some("two".into()))),
        Ok((0, Some("three".into()))),
        Ok((0, None)),
        Ok((2, None)),
        Err(Refusal::TooManyFiles { limit: 4 }),
        Err(Refusal::NoContent),
        Ok((1, None)),
    ];
    assert_eq!(answers, expected);
    let files = clerk.files(&image("1")).await;
    let expected = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)];
    assert_eq!(places(&files), expected);
    let object = clerk.store().object(&image("1")).await.unwrap().unwrap();
    assert_eq!(
        (object.count("a"), object.count("b"), object.bytes),
        (3, 2, 7)
    );
}

pub async fn files_are_listed_by_property_then_index(clerk: Clerk) {
    for (property, n) in [("b", 1), ("a", 2), ("b", 3), ("ab", 4), ("a", 5)] {
        let to = image("1").property(property);
        clerk
            .attach(attach(to, arrived(n, &format!("{n}")), "x"))
            .await
            .unwrap();
    }
    let to = image("2").property("a");
    clerk.attach(attach(to, stored(1), "x")).await.unwrap();
    let whole = [("a", 0), ("a", 1), ("ab", 0), ("b", 0), ("b", 1)];
    for size in [1, 2, 5, 9] {
        let mut seen: Vec<File> = Vec::new();
        loop {
            let last = seen
                .last()
                .map(|file| (file.at.property.as_str(), file.index));
            let page = clerk.store().files(&image("1"), last, size).await.unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(places(&seen), whole);
    }
    for file in clerk.files(&image("1")).await {
        let read = clerk.store().file(&file.at, file.index).await.unwrap();
        assert_eq!(read, Some(file));
    }
}
