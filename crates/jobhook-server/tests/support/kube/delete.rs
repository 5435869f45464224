//! How objects go: at once, with grace, or once nobody holds them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::moment;
use super::objects::{Key, Objects};
use super::query::Query;
use super::resource::{Resource, named};
use super::status::Status;

/// What becomes of the objects that one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// What a request to delete says.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    /// Seconds.
    pub(crate) grace: Option<u64>,
    pub(crate) propagation: Option<Propagation>,
    uid: Option<String>,
    revision: Option<String>,
}

/// What has come of it.
pub(crate) enum Deletion {
    Gone(Arc<Value>),
    UnderWay(Arc<Value>),
}

impl DeleteOptions {
    pub(crate) fn of(body: &Value, query: &Query) -> Result<DeleteOptions, Status> {
        let name = body["propagationPolicy"]
            .as_str()
            .or_else(|| query.get("propagationPolicy"));
        let propagation = match name {
            None => None,
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                return Err(Status::new(
                    422,
                    "Invalid",
                    format!(
                        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"{other}\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                    ),
                ));
            }
        };
        let precondition = |field: &str| body["preconditions"][field].as_str().map(str::to_owned);
        Ok(DeleteOptions {
            grace: match body["gracePeriodSeconds"].as_u64() {
                Some(grace) => Some(grace),
                None => query.number("gracePeriodSeconds")?,
            },
            propagation,
            uid: precondition("uid"),
            revision: precondition("resourceVersion"),
        })
    }

    /// As the garbage collector says it.
    pub(crate) fn background() -> DeleteOptions {
        DeleteOptions {
            propagation: Some(Propagation::Background),
            ..DeleteOptions::default()
        }
    }
}

/// Deletes what is at `key`.
pub(crate) fn delete(
    objects: &mut Objects,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deletion, Status> {
    let resource = named(key.plural);
    let Some(object) = objects.get(key).cloned() else {
        return Err(Status::not_found(resource, &key.name));
    };
    check_preconditions(resource, key, &object, options)?;
    let grace = grace(resource, &object, options);
    if let Some(finalizer) = finalizer(resource, &object, options) {
        objects.change(key, |object| hold(object, finalizer));
    }
    let held = |field: &str, object: &Value| {
        object[field]["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty())
    };
    let object = objects.get(key).cloned().unwrap_or(object);
    if grace == 0 && !held("metadata", &object) && !held("spec", &object) {
        let gone = objects.remove(key).unwrap_or(object);
        return Ok(Deletion::Gone(gone));
    }
    // Asked again with more time than it has, nothing changes.
    let standing = object["metadata"]["deletionGracePeriodSeconds"].as_u64();
    if standing.is_some_and(|standing| standing <= grace) {
        return Ok(Deletion::UnderWay(object));
    }
    let changed = objects.change(key, |object| {
        object["metadata"]["deletionTimestamp"] = moment::in_seconds(grace).into();
        object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if resource.plural == "namespaces" {
            object["status"]["phase"] = "Terminating".into();
        }
    });
    Ok(Deletion::UnderWay(changed.unwrap_or(object)))
}

fn check_preconditions(
    resource: &Resource,
    key: &Key,
    object: &Value,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    if let Some(wanted) = &options.uid
        && wanted != uid
    {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(resource, &key.name, &why));
    }
    let revision = object["metadata"]["resourceVersion"].as_str();
    if let Some(wanted) = &options.revision
        && Some(wanted.as_str()) != revision
    {
        let why = "the ResourceVersion in the precondition does not match the ResourceVersion in record. The object might have been modified";
        return Err(Status::conflict(resource, &key.name, why));
    }
    Ok(())
}

/// Only pods take their time, and only those that somebody has to stop.
fn grace(resource: &Resource, object: &Value, options: &DeleteOptions) -> u64 {
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    if resource.plural != "pods"
        || object["spec"]["nodeName"].is_null()
        || matches!(phase, "Succeeded" | "Failed")
    {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_u64();
    options.grace.or(own).unwrap_or(30)
}

/// What holds the object until the garbage collector is done with what it owns. Jobs of
/// `batch/v1` leave their pods alone unless they are told otherwise.
fn finalizer(resource: &Resource, object: &Value, options: &DeleteOptions) -> Option<&'static str> {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return None;
    }
    let own = match resource.plural {
        "jobs" => Propagation::Orphan,
        _ => Propagation::Background,
    };
    match options.propagation.unwrap_or(own) {
        Propagation::Background => None,
        Propagation::Foreground => Some("foregroundDeletion"),
        Propagation::Orphan => Some("orphan"),
    }
}

fn hold(object: &mut Value, finalizer: &str) {
    let held = &mut object["metadata"]["finalizers"];
    match held.as_array_mut() {
        Some(held) => held.push(finalizer.into()),
        None => *held = json!([finalizer]),
    }
}

/// Takes `finalizer` from an object.
pub(crate) fn release(objects: &mut Objects, key: &Key, finalizer: &str) {
    objects.change(key, |object| {
        let metadata = object["metadata"].as_object_mut().unwrap();
        if let Some(held) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
            held.retain(|held| held != finalizer);
            if held.is_empty() {
                metadata.remove("finalizers");
            }
        }
    });
}
