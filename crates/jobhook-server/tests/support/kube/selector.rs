//! Which objects a list or a watch is about.

use serde_json::Value;

use super::query::Query;
use super::resource::Resource;
use super::status::Status;

/// What an object has to be like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, String, bool)>,
}

#[derive(Clone, Debug)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    pub(crate) fn of(query: &Query, resource: &Resource) -> Result<Selector, Status> {
        let mut selector = Selector::default();
        for part in parts(query.get("labelSelector").unwrap_or_default()) {
            selector.labels.push(requirement(&part)?);
        }
        for part in parts(query.get("fieldSelector").unwrap_or_default()) {
            let (name, value, equal) = match part.split_once("!=") {
                Some((name, value)) => (name, value, false),
                None => match part.split_once("==").or_else(|| part.split_once('=')) {
                    Some((name, value)) => (name, value, true),
                    None => {
                        return Err(Status::bad_request(format!(
                            "invalid selector: '{part}'; can't understand '{part}'"
                        )));
                    }
                },
            };
            if !selectable(resource).contains(&name) {
                return Err(Status::bad_request(format!(
                    "field label not supported: {name}"
                )));
            }
            selector
                .fields
                .push((name.to_owned(), value.to_owned(), equal));
        }
        Ok(selector)
    }

    pub(crate) fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let has = |name: &str| labels[name].as_str();
        self.labels.iter().all(|requirement| match requirement {
            Requirement::In(name, values) => {
                has(name).is_some_and(|value| values.iter().any(|known| known == value))
            }
            Requirement::NotIn(name, values) => {
                has(name).is_none_or(|value| values.iter().all(|known| known != value))
            }
            Requirement::Exists(name) => has(name).is_some(),
            Requirement::Absent(name) => has(name).is_none(),
        }) && self.fields.iter().all(|(path, wanted, equal)| {
            let found = path.split('.').fold(object, |value, part| &value[part]);
            (found.as_str().unwrap_or_default() == wanted) == *equal
        })
    }
}

/// The fields that may be asked for.
fn selectable(resource: &Resource) -> &'static [&'static str] {
    match resource.plural {
        "pods" => &[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "status.phase",
            "spec.restartPolicy",
            "spec.serviceAccountName",
        ],
        "events" => &[
            "metadata.name",
            "metadata.namespace",
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "reason",
            "type",
        ],
        "secrets" => &["metadata.name", "metadata.namespace", "type"],
        "jobs" => &["metadata.name", "metadata.namespace"],
        _ => &["metadata.name", "metadata.namespace"],
    }
}

/// What stands between commas outside of parentheses.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    parts.push(part);
    let trimmed = parts.iter().map(|part| part.trim().to_owned());
    trimmed.filter(|part| !part.is_empty()).collect()
}

fn requirement(text: &str) -> Result<Requirement, Status> {
    let owned = |text: &str| text.trim().to_owned();
    let set = |name: &str, values: &str| {
        let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some((owned(name), values.split(',').map(owned).collect()))
    };
    let found = if let Some((name, values)) = text.split_once(" notin ") {
        set(name, values).map(|(name, values)| Requirement::NotIn(name, values))
    } else if let Some((name, values)) = text.split_once(" in ") {
        set(name, values).map(|(name, values)| Requirement::In(name, values))
    } else if let Some((name, value)) = text.split_once("!=") {
        Some(Requirement::NotIn(owned(name), vec![owned(value)]))
    } else if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        Some(Requirement::In(owned(name), vec![owned(value)]))
    } else if let Some(name) = text.strip_prefix('!') {
        Some(Requirement::Absent(owned(name)))
    } else if text.contains([' ', '(', ')']) {
        None
    } else {
        Some(Requirement::Exists(owned(text)))
    };
    found.ok_or_else(|| Status::bad_request(format!("unable to parse requirement: found '{text}'")))
}
