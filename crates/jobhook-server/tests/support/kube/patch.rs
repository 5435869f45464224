//! What a patch makes of an object: merge (RFC 7386), and the strategic one.

use serde_json::{Map, Value};

use super::status::Status;

/// How the patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Merge,
    Strategic,
    /// Server-side apply, with one manager who owns all.
    Apply,
}

impl Style {
    pub(crate) fn of(content_type: &str) -> Result<Style, Status> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Ok(Style::Merge),
            "application/strategic-merge-patch+json" => Ok(Style::Strategic),
            "application/apply-patch+yaml" => Ok(Style::Apply),
            other => Err(Status::new(
                415,
                "UnsupportedMediaType",
                format!(
                    "the body of the request was in an unknown format ({other}) - accepted media types include: application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
                ),
            )),
        }
    }
}

/// Applies `patch` to `object`.
pub(crate) fn apply(object: &mut Value, patch: &Value, style: Style) {
    match (object.as_object_mut(), patch) {
        (Some(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.remove(name);
                } else if style != Style::Merge && change.is_array() {
                    let known = fields
                        .entry(name)
                        .or_insert_with(|| Value::Array(Vec::new()));
                    apply_list(name, known, change, style);
                } else {
                    apply(fields.entry(name).or_insert(Value::Null), change, style);
                }
            }
        }
        (None, Value::Object(_)) => {
            *object = Value::Object(Map::new());
            apply(object, patch, style);
        }
        (_, patch) => *object = patch.clone(),
    }
}

/// The field by which the strategic patch tells the entries of a list apart.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "ownerReferences" => Some("uid"),
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        "conditions" => Some("type"),
        _ => None,
    }
}

fn apply_list(name: &str, known: &mut Value, change: &Value, style: Style) {
    let (Some(entries), Some(changes)) = (known.as_array_mut(), change.as_array()) else {
        *known = change.clone();
        return;
    };
    if name == "finalizers" {
        for entry in changes {
            if !entries.contains(entry) {
                entries.push(entry.clone());
            }
        }
        return;
    }
    let Some(key) = merge_key(name) else {
        *known = change.clone();
        return;
    };
    for change in changes {
        let place = entries.iter().position(|entry| entry[key] == change[key]);
        match place {
            Some(place) if change["$patch"] == "delete" => {
                entries.remove(place);
            }
            Some(place) => apply(&mut entries[place], change, style),
            None => entries.push(change.clone()),
        }
    }
}
