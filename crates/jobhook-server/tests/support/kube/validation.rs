//! What the API server refuses to keep, in its words.

use serde_json::Value;

use super::resource::Resource;
use super::status::{Cause, Status};

const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUANTITY_RULE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// What is wrong with one object.
#[derive(Default)]
struct Complaints(Vec<Cause>);

impl Complaints {
    fn invalid(&mut self, field: &str, value: &str, rule: &str) {
        self.0.push(Cause {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value:?}: {rule}"),
        });
    }

    fn required(&mut self, field: String, rule: &str) {
        let message = match rule {
            "" => "Required value".to_owned(),
            rule => format!("Required value: {rule}"),
        };
        self.0.push(Cause {
            reason: "FieldValueRequired",
            field,
            message,
        });
    }

    fn unsupported(&mut self, field: &str, value: &str, supported: &str) {
        self.0.push(Cause {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!("Unsupported value: {value:?}: supported values: {supported}"),
        });
    }
}

/// Checks what is sent before it is a new object.
pub(crate) fn check(resource: &Resource, object: &Value) -> Result<(), Status> {
    let mut complaints = Complaints::default();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    metadata(&object["metadata"], resource, name, &mut complaints);
    match resource.plural {
        "jobs" => job(object, name, &mut complaints)?,
        "pods" => pod_spec(&object["spec"], "spec", resource, &mut complaints)?,
        "secrets" => secret(object)?,
        _ => {}
    }
    if complaints.0.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(resource, name, &complaints.0))
}

fn metadata(metadata: &Value, resource: &Resource, name: &str, complaints: &mut Complaints) {
    let subdomain = |text: &str| text.split('.').all(is_label);
    if name.len() > 253 {
        complaints.invalid("metadata.name", name, "must be no more than 253 bytes");
    } else if resource.plural == "namespaces" {
        if name.len() > 63 || !is_label(name) {
            complaints.invalid("metadata.name", name, LABEL_RULE);
        }
    } else if !subdomain(name) {
        complaints.invalid("metadata.name", name, NAME_RULE);
    }
    labels(&metadata["labels"], "metadata.labels", complaints);
    for (index, owner) in metadata["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or_default().is_empty() {
                let field = format!("metadata.ownerReferences[{index}].{field}");
                complaints.required(field, "must not be empty");
            }
        }
    }
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
}

fn labels(labels: &Value, field: &str, complaints: &mut Complaints) {
    for (name, value) in labels.as_object().into_iter().flatten() {
        let short = name.rsplit('/').next().unwrap_or_default();
        if short.is_empty() || short.len() > 63 || !is_label_value(short) {
            complaints.invalid(field, name, "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')");
        }
        let value = value.as_str().unwrap_or_default();
        if value.len() > 63 {
            complaints.invalid(field, value, "must be no more than 63 bytes");
        } else if !is_label_value(value) {
            complaints.invalid(field, value, LABEL_VALUE_RULE);
        }
    }
}

fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn job(object: &Value, name: &str, complaints: &mut Complaints) -> Result<(), Status> {
    let resource = &super::resource::JOBS;
    let template = &object["spec"]["template"];
    if template.is_null() {
        complaints.required("spec.template.spec.containers".into(), "");
        return Ok(());
    }
    if !template.is_object() {
        return Err(unreadable(
            resource,
            "json: cannot unmarshal string into Go struct field JobSpec.spec.template of type v1.PodTemplateSpec",
        ));
    }
    for field in [
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        let value = &object["spec"][field];
        if value.is_null() {
            continue;
        }
        let Some(number) = value.as_i64() else {
            return Err(unreadable(
                resource,
                &format!(
                    "json: cannot unmarshal {} into Go struct field JobSpec.spec.{field} of type int64",
                    json_type(value)
                ),
            ));
        };
        if number < 0 {
            let field = format!("spec.{field}");
            complaints.invalid(
                &field,
                &number.to_string(),
                "must be greater than or equal to 0",
            );
        }
    }
    // The Job's name is the value of two labels of its pods.
    if name.len() > 63 {
        let rule = "must be no more than 63 bytes";
        complaints.invalid("spec.template.labels", name, rule);
        complaints.invalid("spec.template.labels", name, rule);
    }
    let field = "spec.template.labels";
    labels(&template["metadata"]["labels"], field, complaints);
    let policy = template["spec"]["restartPolicy"]
        .as_str()
        .unwrap_or("Always");
    if !matches!(policy, "OnFailure" | "Never") {
        let field = "spec.template.spec.restartPolicy";
        complaints.unsupported(field, policy, "\"OnFailure\", \"Never\"");
    }
    pod_spec(
        &template["spec"],
        "spec.template.spec",
        resource,
        complaints,
    )
}

fn pod_spec(
    spec: &Value,
    at: &str,
    resource: &Resource,
    complaints: &mut Complaints,
) -> Result<(), Status> {
    let containers = &spec["containers"];
    if containers.as_array().is_none_or(Vec::is_empty) {
        if !containers.is_null() && !containers.is_array() {
            return Err(unreadable(
                resource,
                &format!(
                    "json: cannot unmarshal {} into Go struct field PodSpec.{at}.containers of type []v1.Container",
                    json_type(containers)
                ),
            ));
        }
        complaints.required(format!("{at}.containers"), "");
    }
    let mut names = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let at = format!("{at}.{list}[{index}]");
            let name = container["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                complaints.required(format!("{at}.name"), "");
            } else if name.len() > 63 || !is_label(name) {
                complaints.invalid(&format!("{at}.name"), name, LABEL_RULE);
            } else if names.contains(&name) {
                complaints.0.push(Cause {
                    reason: "FieldValueDuplicate",
                    field: format!("{at}.name"),
                    message: format!("Duplicate value: {name:?}"),
                });
            }
            names.push(name);
            if container["image"].as_str().unwrap_or_default().is_empty() {
                complaints.required(format!("{at}.image"), "");
            }
            self::container(container, &at, resource, complaints)?;
        }
    }
    Ok(())
}

fn container(
    container: &Value,
    at: &str,
    resource: &Resource,
    complaints: &mut Complaints,
) -> Result<(), Status> {
    let texts = |list: &str| container[list].as_array().into_iter().flatten();
    for list in ["command", "args"] {
        if let Some(other) = texts(list).find(|text| !text.is_string()) {
            return Err(not_text(
                resource,
                &format!("Container.{}.{list}", field(at)),
                other,
            ));
        }
    }
    for (index, variable) in texts("env").enumerate() {
        let name = variable["name"].as_str().unwrap_or_default();
        let field_name = format!("{at}.env[{index}].name");
        if name.is_empty() {
            complaints.required(field_name, "");
        } else if name
            .bytes()
            .any(|byte| byte == b'=' || !(32..127).contains(&byte))
        {
            complaints.invalid(
                &field_name,
                name,
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            );
        }
        if !variable["value"].is_null() && !variable["value"].is_string() {
            return Err(not_text(
                resource,
                &format!("EnvVar.{}.env.value", field(at)),
                &variable["value"],
            ));
        }
        if variable["value"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
            && variable["valueFrom"].is_object()
        {
            complaints.invalid(
                &format!("{at}.env[{index}].valueFrom"),
                "",
                "may not be specified when `value` is not empty",
            );
        }
    }
    let resources = &container["resources"];
    for (name, requested) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        if limit.is_null() {
            continue;
        }
        let (Some(more), Some(less)) = (quantity(requested), quantity(limit)) else {
            continue;
        };
        if more > less {
            complaints.invalid(
                &format!("{at}.resources.requests"),
                requested.as_str().unwrap_or_default(),
                &format!(
                    "must be less than or equal to {name} limit of {}",
                    limit.as_str().unwrap_or_default()
                ),
            );
        }
    }
    let amounts = ["requests", "limits"]
        .into_iter()
        .filter_map(|list| resources[list].as_object())
        .flat_map(|list| list.values());
    match amounts
        .into_iter()
        .find(|amount| quantity(amount).is_none())
    {
        Some(_) => Err(unreadable(resource, QUANTITY_RULE)),
        None => Ok(()),
    }
}

/// The amount that a quantity means: `500m`, `64Mi`, `2`.
pub(crate) fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text
        .find(|letter: char| !matches!(letter, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

fn secret(object: &Value) -> Result<(), Status> {
    use base64::Engine;
    for value in object["data"]
        .as_object()
        .into_iter()
        .flat_map(|data| data.values())
    {
        let text = value.as_str().unwrap_or_default();
        if base64::engine::general_purpose::STANDARD
            .decode(text)
            .is_err()
        {
            return Err(unreadable(
                &super::resource::SECRETS,
                "illegal base64 data at input byte 0",
            ));
        }
    }
    Ok(())
}

/// A path without indexes, as the decoder names fields.
fn field(at: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for letter in at.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    text
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn not_text(resource: &Resource, field: &str, value: &Value) -> Status {
    let what = json_type(value);
    unreadable(
        resource,
        &format!("json: cannot unmarshal {what} into Go struct field {field} of type string"),
    )
}

fn unreadable(resource: &Resource, why: &str) -> Status {
    Status::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {why}",
        resource.kind, resource.version, resource.kind
    ))
}
