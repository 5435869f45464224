//! What a container finds in its environment, and what its command makes of it.

use base64::Engine;
use serde_json::Value;

use super::objects::{Key, Objects};
use super::resource::{Resource, SECRETS, named};

/// Variables, in order; or why the container cannot be made yet.
pub(crate) fn resolve(
    objects: &Objects,
    pod: &Value,
    container: &Value,
) -> Result<Vec<(String, String)>, String> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut variables: Vec<(String, String)> = Vec::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        for (resource, reference) in [
            (&SECRETS, &source["secretRef"]),
            (named("configmaps"), &source["configMapRef"]),
        ] {
            if reference.is_null() {
                continue;
            }
            let name = reference["name"].as_str().unwrap_or_default();
            let held = held(objects, resource, namespace, name)?;
            for (name, value) in held["data"].as_object().into_iter().flatten() {
                variables.push((name.clone(), decoded(resource, value)));
            }
        }
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        let from = &variable["valueFrom"];
        let value = if from.is_null() {
            let text = variable["value"].as_str().unwrap_or_default();
            Some(expand(text, &variables))
        } else if from["secretKeyRef"].is_object() {
            keyed(objects, &SECRETS, namespace, &from["secretKeyRef"])?
        } else if from["configMapKeyRef"].is_object() {
            keyed(
                objects,
                named("configmaps"),
                namespace,
                &from["configMapKeyRef"],
            )?
        } else {
            let path = from["fieldRef"]["fieldPath"].as_str().unwrap_or_default();
            let found = path.split('.').fold(pod, |value, part| &value[part]);
            Some(found.as_str().unwrap_or_default().to_owned())
        };
        if let Some(value) = value {
            variables.push((name, value));
        }
    }
    Ok(variables)
}

fn held<'o>(
    objects: &'o Objects,
    resource: &Resource,
    namespace: &str,
    name: &str,
) -> Result<&'o Value, String> {
    let found = objects.get(&Key::new(resource, namespace, name));
    let kind = resource.kind.to_lowercase();
    found
        .map(AsRef::as_ref)
        .ok_or_else(|| format!("{kind} \"{name}\" not found"))
}

fn keyed(
    objects: &Objects,
    resource: &Resource,
    namespace: &str,
    reference: &Value,
) -> Result<Option<String>, String> {
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    let optional = reference["optional"] == true;
    let held = match held(objects, resource, namespace, text("name")) {
        Err(_) if optional => return Ok(None),
        held => held?,
    };
    let value = &held["data"][text("key")];
    if value.is_string() {
        return Ok(Some(decoded(resource, value)));
    }
    if optional {
        return Ok(None);
    }
    Err(format!(
        "couldn't find key {} in {} {namespace}/{}",
        text("key"),
        resource.kind,
        text("name")
    ))
}

fn decoded(resource: &Resource, value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    if resource != &SECRETS {
        return text.to_owned();
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Puts variables in the place of `$(NAME)`; `$$` is a dollar, and what is not known stays.
pub(crate) fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
            continue;
        }
        let name = rest
            .strip_prefix("$(")
            .and_then(|inner| inner.split_once(')'));
        let found = name.and_then(|(name, after)| {
            let found = variables.iter().rfind(|(known, _)| known == name)?;
            Some((found.1.as_str(), after))
        });
        match found {
            Some((value, after)) => {
                expanded.push_str(value);
                rest = after;
            }
            None => {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
    }
    expanded + rest
}
