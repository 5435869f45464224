//! What the API server does with a request that is let in: objects in, objects out.

use std::sync::Arc;

use serde_json::{Value, json};

use super::delete::{DeleteOptions, Deletion, delete};
use super::jobs;
use super::objects::{Key, list};
use super::patch::{self, Style};
use super::query::Query;
use super::resource::{ACCESS_REVIEWS, NAMESPACES, SERVICE_ACCOUNTS};
use super::selector::Selector;
use super::state::State;
use super::status::Status;
use super::target::Target;
use super::validation;

/// What a request gets that gets an object.
pub(crate) type Answer = Result<(u16, Value), Status>;

/// Answers everything but watches and logs.
pub(crate) fn answer(
    state: &mut State,
    target: &Target,
    query: &Query,
    content_type: &str,
    body: &[u8],
) -> Answer {
    match target.verb {
        "get" => Ok((200, Value::clone(found(state, target)?))),
        "list" => Ok((200, page(state, target, query)?)),
        "create" if target.subresource.as_deref() == Some("eviction") => {
            evict(state, target, &read(body)?, query)
        }
        "create" if target.subresource.is_none() => {
            let object = read(body)?;
            if target.resource == &ACCESS_REVIEWS {
                return Ok((201, state.access.review(object, target.resource)));
            }
            let dry = query.get("dryRun") == Some("All");
            Ok((201, create(state, target, object, dry)?))
        }
        "update" => Ok((200, update(state, target, read(body)?)?)),
        "patch" => patched(state, target, content_type, &read(body)?),
        "delete" => deleted(state, target, &read_or_nothing(body)?, query),
        "deletecollection" => {
            let options = DeleteOptions::of(&read_or_nothing(body)?, query)?;
            let selector = Selector::of(query, target.resource)?;
            let selected: Vec<(Key, Value)> = state
                .objects
                .all(target.resource, &target.namespace)
                .filter(|(_, object)| selector.selects(object))
                .map(|(key, object)| (key.clone(), Value::clone(object)))
                .collect();
            for (key, _) in &selected {
                delete(&mut state.objects, key, &options)?;
            }
            let items = selected.into_iter().map(|(_, object)| object).collect();
            Ok((200, list(target.resource, state.objects.revision(), items)))
        }
        _ => Err(Status::no_such_path()),
    }
}

fn read(body: &[u8]) -> Result<Value, Status> {
    let object: Value = serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("couldn't get version/kind: {error}")))?;
    if object.is_object() {
        return Ok(object);
    }
    Err(Status::bad_request(
        "couldn't get version/kind; json parse error: not an object",
    ))
}

fn read_or_nothing(body: &[u8]) -> Result<Value, Status> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    read(body)
}

fn key(target: &Target) -> Key {
    let name = target.name.as_deref().unwrap_or_default();
    Key::new(target.resource, &target.namespace, name)
}

fn found<'s>(state: &'s State, target: &Target) -> Result<&'s Arc<Value>, Status> {
    let key = key(target);
    let found = state.objects.get(&key);
    found.ok_or_else(|| Status::not_found(target.resource, &key.name))
}

/// A list, or the page of it that is asked for.
fn page(state: &State, target: &Target, query: &Query) -> Result<Value, Status> {
    let selector = Selector::of(query, target.resource)?;
    let limit = query.number("limit")?.filter(|limit| *limit > 0);
    let revision = state.objects.revision();
    // As of which revision a list began, and the last key of its pages so far.
    let (as_of, after) = match query.get("continue") {
        None => (revision, None),
        Some(token) => {
            let parts: Vec<&str> = token.split(' ').collect();
            let [as_of, namespace, name] = parts.as_slice() else {
                return Err(Status::bad_request("continue key is not valid"));
            };
            let as_of = as_of.parse().unwrap_or_default();
            if state.objects.since(as_of).is_none() {
                return Err(Status::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
                ));
            }
            let after = Key::new(target.resource, namespace, name);
            (as_of, Some(after))
        }
    };
    let mut left = state
        .objects
        .all(target.resource, &target.namespace)
        .filter(|(key, _)| after.as_ref().is_none_or(|after| *key > after))
        .filter(|(_, object)| selector.selects(object));
    let count = limit.map_or(usize::MAX, |limit| limit as usize);
    let page: Vec<(&Key, &Arc<Value>)> = left.by_ref().take(count).collect();
    let remaining = left.count();
    // Entries of a list do not say what they are; the list does.
    let items = page.iter().map(|(_, object)| {
        let mut object = Value::clone(object);
        if let Some(fields) = object.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        object
    });
    let mut answer = list(target.resource, as_of, items.collect());
    if remaining > 0
        && let Some((last, _)) = page.last()
    {
        answer["metadata"]["continue"] = format!("{as_of} {} {}", last.namespace, last.name).into();
        answer["metadata"]["remainingItemCount"] = remaining.into();
    }
    Ok(answer)
}

/// Takes in a new object; in a dry run, only says what it would be.
pub(crate) fn create(
    state: &mut State,
    target: &Target,
    mut object: Value,
    dry: bool,
) -> Result<Value, Status> {
    let resource = target.resource;
    for (field, wanted) in [
        ("apiVersion", resource.api_version()),
        ("kind", resource.kind.to_owned()),
    ] {
        match object[field].as_str() {
            None => object[field] = wanted.into(),
            Some(said) if said == wanted => {}
            Some(said) => {
                return Err(Status::bad_request(format!(
                    "the {field} in the data ({said}) does not match the expected {field} ({wanted})"
                )));
            }
        }
    }
    if object["metadata"].is_null() {
        object["metadata"] = json!({});
    }
    if resource.namespaced {
        let said = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if !said.is_empty() && said != target.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object["metadata"]["namespace"] = target.namespace.as_str().into();
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let prefix = object["metadata"]["generateName"].as_str();
    if let (true, Some(prefix)) = (name.is_empty(), prefix) {
        object["metadata"]["name"] = generated(prefix, state.objects.revision()).into();
    } else if name.is_empty() {
        return Err(Status::invalid(
            resource,
            "",
            &[super::status::Cause {
                reason: "FieldValueRequired",
                field: "metadata.name".into(),
                message: "Required value: name or generateName is required".into(),
            }],
        ));
    }
    let key = Key::of(resource, &object);
    check_namespace(state, target, &key.name)?;
    validation::check(resource, &object)?;
    if resource.plural == "pods" {
        check_account(state, target, &key.name, &object)?;
    }
    if state.objects.get(&key).is_some() {
        return Err(Status::already_exists(resource, &key.name));
    }
    fill_in(&mut object, target);
    if dry {
        object["metadata"]["uid"] = uuid::Uuid::now_v7().to_string().into();
        return Ok(object);
    }
    let mut created = state.objects.insert(key.clone(), object);
    if resource.plural == "jobs" {
        // Its labels hold the uid that it has only now.
        let uid = created["metadata"]["uid"].as_str().unwrap_or_default();
        let uid = uid.to_owned();
        let changed = state.objects.change(&key, |job| jobs::complete(job, &uid));
        created = changed.unwrap_or(created);
    }
    if resource == &NAMESPACES {
        let account = Key::new(&SERVICE_ACCOUNTS, &key.name, "default");
        let metadata = json!({"name": "default", "namespace": key.name});
        let object = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": metadata});
        state.objects.insert(account, object);
    }
    Ok(Value::clone(&created))
}

/// A name that nobody has: five letters of those that make no words.
fn generated(prefix: &str, revision: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut rest = revision.wrapping_mul(2_654_435_761);
    let base = LETTERS.len() as u64;
    let letters = (0..5).map(|_| {
        let letter = LETTERS[(rest % base) as usize];
        rest /= base;
        char::from(letter)
    });
    // Together at most 63, for it is the value of a label.
    let prefix: String = prefix.chars().take(58).collect();
    prefix + &letters.collect::<String>()
}

fn check_namespace(state: &State, target: &Target, name: &str) -> Result<(), Status> {
    if !target.resource.namespaced {
        return Ok(());
    }
    let key = Key::new(&NAMESPACES, "", &target.namespace);
    let Some(namespace) = state.objects.get(&key) else {
        return Err(Status::not_found(&NAMESPACES, &target.namespace));
    };
    if namespace["metadata"]["deletionTimestamp"].is_string() {
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            target.namespace
        );
        return Err(Status::forbidden(target.resource, name, &why));
    }
    Ok(())
}

fn check_account(state: &State, target: &Target, name: &str, pod: &Value) -> Result<(), Status> {
    let account = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or("default");
    let key = Key::new(&SERVICE_ACCOUNTS, &target.namespace, account);
    if state.objects.get(&key).is_some() {
        return Ok(());
    }
    let why = format!(
        "error looking up service account {}/{account}: serviceaccount \"{account}\" not found",
        target.namespace
    );
    Err(Status::forbidden(target.resource, name, &why))
}

/// What the server gives a new object of some kinds.
fn fill_in(object: &mut Value, target: &Target) {
    match target.resource.plural {
        "secrets" => {
            use base64::Engine;
            let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
            if let Some(plain) = object["stringData"].as_object().cloned() {
                for (name, value) in plain {
                    object["data"][name] = encode(value.as_str().unwrap_or_default()).into();
                }
            }
            if let Some(fields) = object.as_object_mut() {
                fields.remove("stringData");
            }
            if object["type"].is_null() {
                object["type"] = "Opaque".into();
            }
        }
        "namespaces" => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        "jobs" => object["status"] = json!({}),
        "pods" => {
            jobs::pod_defaults(&mut object["spec"]);
            object["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
        }
        _ => {}
    }
}

fn update(state: &mut State, target: &Target, sent: Value) -> Result<Value, Status> {
    let known = Value::clone(found(state, target)?);
    let mut object = match target.subresource.as_deref() {
        None => sent.clone(),
        Some("status") => {
            let mut object = known.clone();
            object["status"] = sent["status"].clone();
            object
        }
        Some(_) => return Err(Status::no_such_path()),
    };
    object["metadata"]["resourceVersion"] = sent["metadata"]["resourceVersion"].clone();
    store(state, target, &known, object)
}

fn patched(state: &mut State, target: &Target, content_type: &str, sent: &Value) -> Answer {
    let style = Style::of(content_type)?;
    if matches!(
        target.subresource.as_deref(),
        Some(other) if other != "status"
    ) {
        return Err(Status::no_such_path());
    }
    let known = match found(state, target) {
        Ok(known) => Value::clone(known),
        Err(_) if style == Style::Apply => {
            let mut object = sent.clone();
            object["metadata"]["name"] = target.name.as_deref().unwrap_or_default().into();
            return Ok((201, create(state, target, object, false)?));
        }
        Err(status) => return Err(status),
    };
    let mut object = known.clone();
    // Of the patch's own only what it says is a condition.
    object["metadata"]["resourceVersion"] = Value::Null;
    patch::apply(&mut object, sent, style);
    Ok((200, store(state, target, &known, object)?))
}

/// Puts `object` in the place of `known`, if it may be.
fn store(
    state: &mut State,
    target: &Target,
    known: &Value,
    mut object: Value,
) -> Result<Value, Status> {
    let key = key(target);
    let resource = target.resource;
    let said = object["metadata"]["resourceVersion"].clone();
    if said.is_string() && said != known["metadata"]["resourceVersion"] {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Status::conflict(resource, &key.name, why));
    }
    if object["metadata"]["uid"] != known["metadata"]["uid"] {
        let why = format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            object["metadata"]["uid"].as_str().unwrap_or_default(),
            known["metadata"]["uid"].as_str().unwrap_or_default()
        );
        return Err(Status::conflict(resource, &key.name, &why));
    }
    if resource.plural == "jobs" && object["spec"]["template"] != known["spec"]["template"] {
        let cause = super::status::Cause {
            reason: "FieldValueInvalid",
            field: "spec.template".into(),
            message: "Invalid value: field is immutable".into(),
        };
        return Err(Status::invalid(resource, &key.name, &[cause]));
    }
    object["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
    validation::check(resource, &object)?;
    let changed = state.objects.change(&key, |known| *known = object);
    let changed = changed.ok_or_else(|| Status::not_found(resource, &key.name))?;
    Ok(Value::clone(&changed))
}

fn deleted(state: &mut State, target: &Target, body: &Value, query: &Query) -> Answer {
    let options = DeleteOptions::of(body, query)?;
    let key = key(target);
    let deletion = delete(&mut state.objects, &key, &options)?;
    Ok(match deletion {
        // Of pods and some others the last state is answered, of most a word.
        Deletion::Gone(gone) if target.resource.plural == "pods" => (200, Value::clone(&gone)),
        Deletion::Gone(gone) => (
            200,
            json!({
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Success",
                "details": {
                    "name": key.name,
                    "group": target.resource.group,
                    "kind": target.resource.plural,
                    "uid": gone["metadata"]["uid"],
                },
            }),
        ),
        Deletion::UnderWay(object) => (200, Value::clone(&object)),
    })
}

/// Evicts a pod, as a drain does.
fn evict(state: &mut State, target: &Target, body: &Value, query: &Query) -> Answer {
    found(state, target)?;
    disrupt(
        state,
        &key(target),
        "EvictionByEvictionAPI",
        "Eviction API: evicting",
    );
    let options = DeleteOptions::of(&body["deleteOptions"], query)?;
    delete(&mut state.objects, &key(target), &options)?;
    Ok((
        201,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
    ))
}

/// Says of a pod that it ends through no fault of its own.
pub(crate) fn disrupt(state: &mut State, pod: &Key, reason: &str, message: &str) {
    state.objects.change(pod, |pod| {
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": super::moment::now(),
        });
        match pod["status"]["conditions"].as_array_mut() {
            Some(conditions) => conditions.push(condition),
            None => pod["status"]["conditions"] = json!([condition]),
        }
    });
}
