//! What happens to files in a script: a few contents, a few names, a few objects.

#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    reason = "test code: a failure is to stop the test"
)]

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use jobhook_protocol::{Access, GrantBody, Md5Sum, Sha256Sum};
use proptest::prelude::*;

use super::{attempts, id, ids};
use crate::action::{ActionId, NewAction};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{
    Attach, Content, File, FileFields, INPUTS, InputFile, OUTPUTS, Object, ObjectLimits, ObjectRef,
    Origin, PropertyRef, Staged, Volume,
};
use crate::retention::{Keep, Retention};
use crate::store::Store;
use crate::testing::factory;
use crate::write::{Stage, Write};

const CONTENTS: u8 = 5;
/// How many blobs of each content may come.
const BLOBS: u8 = 3;
const IMAGES: [&str; 2] = ["1", "2"];

/// What takes something away, between two batches.
#[derive(Clone, Debug)]
pub enum Sweep {
    /// An object and its files.
    Object(ObjectRef),
    /// What is idle, and what is staged.
    Unused {
        /// Since when.
        idle_before: Timestamp,
        /// Since when.
        staged_before: Timestamp,
        /// How many at most.
        limit: usize,
    },
    /// Finished actions, but for the newest of each status.
    Actions {
        /// How many of them stay.
        kept: u64,
    },
}

/// What a sweep answered.
#[derive(Debug, PartialEq)]
pub(super) struct Swept {
    count: usize,
    blobs: Vec<BlobName>,
}

impl Sweep {
    pub(super) async fn run(&self, store: &dyn Store, now: Timestamp) -> Swept {
        let (count, blobs) = match self {
            Sweep::Object(at) => {
                let gone = store.drop_object(at, now).await.unwrap();
                (gone.into(), Vec::new())
            }
            Sweep::Unused {
                idle_before,
                staged_before,
                limit,
            } => {
                let blobs = store.forget_unused(*idle_before, *staged_before, *limit);
                (0, blobs.await.unwrap())
            }
            Sweep::Actions { kept } => {
                let rules = Retention::all(Keep {
                    age: None,
                    count: Some(*kept),
                });
                let gone = store.prune(&rules, now, usize::MAX).await.unwrap();
                (gone, Vec::new())
            }
        };
        Swept { count, blobs }
    }
}

pub(super) fn sweeps() -> impl Strategy<Value = Sweep> {
    let moment = || (-5i64..200).prop_map(factory::after);
    prop_oneof![
        2 => objects().prop_map(Sweep::Object),
        2 => (moment(), moment(), 0usize..6).prop_map(|(idle_before, staged_before, limit)| {
            Sweep::Unused { idle_before, staged_before, limit }
        }),
        1 => (0u64..2).prop_map(|kept| Sweep::Actions { kept }),
    ]
}

pub(super) fn writes() -> impl Strategy<Value = Write> {
    let at = (-5i64..100).prop_map(factory::after);
    prop_oneof![
        4 => (contents(), at).prop_map(|(content, at)| {
            Write::Stage(Box::new(Stage { arrived: factory::arrival(content), at }))
        }),
        1 => contents().prop_map(|content| Write::Unstage { blob: content.blob }),
        8 => attaches().prop_map(|attach| Write::Attach(Box::new(attach))),
        1 => objects().prop_map(Write::PutObject),
        2 => launches(),
    ]
}

/// Two contents at a time have the same MD5 and the same challenge. No two have the same blob, and
/// every other blob is small.
fn content(n: u8, blob: u8) -> Content {
    Content {
        md5: Md5Sum([n / 2; 16]),
        challenge: Md5Sum([!(n / 2); 16]),
        ..factory::content(
            n,
            &if blob.is_multiple_of(2) {
                format!("small/{n}-{blob}")
            } else {
                format!("{n}-{blob}")
            },
        )
    }
}

fn contents() -> impl Strategy<Value = Content> {
    (0..CONTENTS, 0..BLOBS).prop_map(|(n, blob)| content(n, blob))
}

fn objects() -> impl Strategy<Value = ObjectRef> {
    prop_oneof![
        2 => prop::sample::select(&IMAGES[..]).prop_map(factory::image),
        1 => ids().prop_map(ObjectRef::of_action),
    ]
}

fn attaches() -> impl Strategy<Value = Attach> {
    let property = prop::sample::select(vec![INPUTS, OUTPUTS, "o"]);
    let origin = (contents(), 0..3).prop_map(|(content, kind)| match kind {
        0 => Origin::Stored(content.sha256),
        1 => Origin::Arrived(factory::arrival(content)),
        _ => Origin::Staged(content.blob),
    });
    let by = prop::option::weighted(0.3, attempts());
    (
        (objects(), property),
        origin,
        fields(),
        by,
        limits(),
        any::<bool>(),
    )
        .prop_map(
            |((object, property), origin, fields, by, most, create)| Attach {
                to: object.property(property),
                origin,
                fields,
                by,
                most,
                create,
            },
        )
}

fn fields() -> impl Strategy<Value = FileFields> {
    (prop::option::of("[xy]"), any::<bool>()).prop_map(|(name, described)| FileFields {
        name,
        mimetype: "text/plain".into(),
        metadata: described.then(|| factory::json("{\"a\": 1.0}")),
    })
}

fn limits() -> impl Strategy<Value = ObjectLimits> {
    prop_oneof![
        2 => Just(ObjectLimits::NONE),
        1 => (0u64..6, 0u64..12).prop_map(|(files, bytes)| ObjectLimits { files, bytes }),
    ]
}

fn launches() -> impl Strategy<Value = Write> {
    let ids = (0..super::ACTIONS + 2).prop_map(id);
    let file = (contents(), fields()).prop_map(|(content, fields)| InputFile {
        staged: content.blob,
        fields,
    });
    let files = prop::collection::vec(file, 0..3);
    let inputs_of = prop::option::weighted(0.4, self::ids());
    let grants = prop::collection::vec(any::<bool>(), 0..3);
    (ids, files, limits(), inputs_of, grants).prop_map(|(id, files, most, inputs_of, grants)| {
        Write::Insert(Box::new(NewAction {
            id,
            files,
            most,
            inputs_of,
            grants: grants.into_iter().map(grant).collect(),
            ..factory::of_type("A")
        }))
    })
}

fn grant(may_write: bool) -> GrantBody {
    GrantBody {
        store: "images".into(),
        uuid: "*".into(),
        property: "*".into(),
        access: if may_write {
            Access::Write
        } else {
            Access::Read
        },
    }
}

/// Everything that can be read of a store about files.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldFiles {
    objects: Vec<Object>,
    files: Vec<File>,
    contents: Vec<Content>,
    pairs: Vec<Vec<Content>>,
    staged: Vec<Staged>,
    stored: Volume,
    wanted: Vec<BlobName>,
    small: Vec<(BlobName, Bytes)>,
}

/// - `actions`: those that are stored.
pub(super) async fn read(store: &dyn Store, actions: &[ActionId]) -> HeldFiles {
    let mut objects = store.objects("images", None, usize::MAX).await.unwrap();
    let own = actions.iter().map(|id| ObjectRef::of_action(*id));
    let (mut files, mut unmade) = (Vec::new(), Vec::new());
    for at in own {
        match store.object(&at).await.unwrap() {
            Some(object) => objects.push(object),
            None => unmade.push(at),
        }
    }
    for at in objects.iter().map(|object| &object.at).chain(&unmade) {
        files.extend(store.files(at, None, usize::MAX).await.unwrap());
    }
    let (mut contents, mut pairs, mut staged) = (Vec::new(), Vec::new(), Vec::new());
    let numbers = (0..CONTENTS).flat_map(|n| (0..BLOBS).map(move |blob| (n, blob)));
    let blobs: Vec<BlobName> = numbers.map(|(n, blob)| content(n, blob).blob).collect();
    let mut small = Vec::new();
    for blob in &blobs {
        staged.extend(store.staged(blob).await.unwrap());
        let bytes = store.small(blob).await.unwrap();
        small.extend(bytes.map(|bytes| (blob.clone(), bytes)));
    }
    for n in 0..CONTENTS {
        contents.extend(store.content(Sha256Sum([n; 32])).await.unwrap());
        let Content { md5, challenge, .. } = content(n, 0);
        pairs.push(store.contents(md5, challenge).await.unwrap());
    }
    HeldFiles {
        objects,
        files,
        contents,
        pairs,
        staged,
        stored: store.stored().await.unwrap(),
        wanted: store.wanted_blobs(&blobs).await.unwrap(),
        small,
    }
}

/// What holds at any time.
pub(super) fn check(held: &HeldFiles) {
    let staged = held.staged.iter().map(|staged| &staged.content);
    let named: HashMap<&BlobName, Bytes> = held
        .contents
        .iter()
        .chain(staged)
        .filter(|content| content.blob.is_small())
        .map(|content| (&content.blob, factory::bytes_of(content)))
        .collect();
    let small = held.small.iter().map(|(blob, bytes)| (blob, bytes.clone()));
    assert_eq!(small.collect::<HashMap<_, _>>(), named, "small blobs");
    for file in &held.files {
        assert!(held.contents.contains(&file.content), "no bytes: {file:?}");
        assert!(held.wanted.contains(&file.content.blob), "{file:?}");
        let object = held
            .objects
            .iter()
            .find(|object| object.at == file.at.object);
        assert!(object.is_some(), "counted nowhere: {file:?}");
    }
    for object in &held.objects {
        let own = held.files.iter().filter(|file| file.at.object == object.at);
        let bytes: u64 = own.clone().map(|file| file.content.size).sum();
        assert_eq!(bytes, object.bytes, "{object:?}");
        let properties: HashSet<&PropertyRef> = own.clone().map(|file| &file.at).collect();
        assert_eq!(properties.len(), object.files.len(), "{object:?}");
        for at in properties {
            let of_property = own.clone().filter(|file| file.at == *at);
            let indexes: Vec<u64> = of_property.clone().map(|file| file.index).collect();
            let expected: Vec<u64> = (0..object.count(&at.property)).collect();
            assert_eq!(indexes, expected, "numbered without gaps: {at}");
            let mut seen = HashSet::new();
            for file in of_property {
                let is_new = seen.insert((file.content.sha256, file.fields.name.as_ref()));
                assert!(is_new, "attached twice: {file:?}");
            }
        }
    }
    let staged = held.staged.iter().map(|staged| &staged.content);
    let all = held.contents.iter().chain(staged);
    assert_eq!(held.stored.count, all.clone().count() as u64);
    assert_eq!(
        held.stored.bytes,
        all.map(|content| content.size).sum::<u64>()
    );
}
