//! The garbage collector: what has owners goes with the last of them.

use serde_json::Value;

use super::delete::{DeleteOptions, delete, release};
use super::objects::{Change, Key, Kind, Objects};
use super::resource::of_kind;

/// Looks at what follows from a change.
pub(crate) fn see(objects: &mut Objects, change: &Change) {
    if change.kind == Kind::Deleted {
        for dependent in dependents(objects, uid(&change.object)) {
            collect(objects, &dependent);
        }
        // An owner may wait for this one in the foreground.
        for owner in owners(&change.key, &change.object) {
            let held = objects.get(&owner.0).cloned();
            if let Some(object) = held {
                finish(objects, &owner.0, &object);
            }
        }
        return;
    }
    if let Some(object) = objects.get(&change.key).cloned() {
        finish(objects, &change.key, &object);
        collect(objects, &change.key);
    }
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Where the owners of an object are, and their uids.
fn owners(key: &Key, object: &Value) -> Vec<(Key, String)> {
    let references = object["metadata"]["ownerReferences"].as_array();
    let owner = |reference: &Value| {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let resource = of_kind(text("apiVersion"), text("kind"))?;
        let namespace = if resource.namespaced {
            key.namespace.as_str()
        } else {
            ""
        };
        let owner = Key::new(resource, namespace, text("name"));
        Some((owner, text("uid").to_owned()))
    };
    references.into_iter().flatten().filter_map(owner).collect()
}

fn dependents(objects: &Objects, owner: &str) -> Vec<Key> {
    let owned = |object: &Value| {
        object["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|references| references.iter().any(|known| known["uid"] == owner))
    };
    objects
        .everything()
        .filter(|(_, object)| owned(object))
        .map(|(key, _)| key.clone())
        .collect()
}

/// Deletes an object whose owners are all gone; one that never were counts as gone.
fn collect(objects: &mut Objects, key: &Key) {
    let Some(object) = objects.get(key) else {
        return;
    };
    if object["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let owners = owners(key, object);
    let there = |(owner, wanted): &(Key, String)| {
        objects
            .get(owner)
            .is_some_and(|object| uid(object) == wanted)
    };
    if !owners.is_empty() && !owners.iter().any(there) {
        let _ = delete(objects, key, &DeleteOptions::background());
    }
}

/// Goes on with a deletion that waits for what the object owns.
fn finish(objects: &mut Objects, key: &Key, object: &Value) {
    if !object["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let holds = |finalizer: &str| {
        object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|held| held.iter().any(|held| held == finalizer))
    };
    if holds("orphan") {
        for dependent in dependents(objects, uid(object)) {
            objects.change(&dependent, |dependent| {
                let references = dependent["metadata"]["ownerReferences"].as_array_mut();
                if let Some(references) = references {
                    references.retain(|reference| reference["uid"] != uid(object));
                }
            });
        }
        release(objects, key, "orphan");
    }
    if holds("foregroundDeletion") {
        let left = dependents(objects, uid(object));
        for dependent in &left {
            let going = objects
                .get(dependent)
                .is_some_and(|object| object["metadata"]["deletionTimestamp"].is_string());
            if !going {
                let _ = delete(objects, dependent, &DeleteOptions::background());
            }
        }
        if dependents(objects, uid(object)).is_empty() {
            release(objects, key, "foregroundDeletion");
        }
    }
}
