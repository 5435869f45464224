//! The action as its server shows it to its job.

use std::collections::HashMap;

use jobhook_protocol::action::STOP;
use jobhook_protocol::{Json, Status};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The action as the server's last answer showed it. Servers of the original leave fields out.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Standing {
    /// The action's type.
    pub action_type: Option<String>,
    /// The operation that it was launched as.
    pub operation_id: Option<String>,
    /// What the action was launched with.
    pub arguments: Option<Json>,
    /// Where it stands.
    pub status: Option<Status>,
    /// The attempt that is under way, from 1.
    pub attempt: Option<u32>,
    /// How many tries it has.
    pub attempts: Option<u32>,
    action: Option<String>,
    original: Option<Box<Original>>,
}

/// How the original tells what to run, where it does not have `arguments` for it.
#[derive(Clone, Debug)]
struct Original {
    service_name: Option<String>,
    method: Option<String>,
    /// The input of an operation.
    context_input: Option<Json>,
}

impl Standing {
    /// What a program that runs the action itself knows of it; see
    /// [`in_process`](crate::in_process). The fields can be set.
    #[cfg(feature = "in-process")]
    pub fn new(action_type: impl Into<String>) -> Standing {
        Standing {
            action_type: Some(action_type.into()),
            ..Standing::default()
        }
    }

    /// Reads an answer, field by field: one that is not as expected, such as a status that only
    /// the application behind a server of the original knows, does not hide the others. `None` if
    /// it is no JSON object, so that no server of jobs answered.
    pub(crate) fn read(text: &str) -> Option<Standing> {
        let fields: HashMap<String, Json> = serde_json::from_str(text).ok()?;
        Some(Standing {
            action_type: field(&fields, "type"),
            operation_id: field(&fields, "operationId"),
            arguments: field(&fields, "arguments"),
            status: field(&fields, "status"),
            attempt: field(&fields, "attempt"),
            attempts: field(&fields, "attempts"),
            action: field(&fields, "action"),
            original: Original::read(&fields).map(Box::new),
        })
    }

    /// Whether the job should end itself.
    pub fn wants_stop(&self) -> bool {
        self.action.as_deref() == Some(STOP)
    }

    /// The operation to run, and its input: by `operationId`; as the original's call of a
    /// service's method, `Service.method`; else by the action's type.
    pub fn operation(&self) -> (Option<String>, Option<Json>) {
        let original = self.original.as_deref();
        if let Some(id) = &self.operation_id {
            let input = original.and_then(|original| original.context_input.as_ref());
            return (Some(id.clone()), self.arguments.as_ref().or(input).cloned());
        }
        if let Some(Original {
            service_name: Some(service),
            method: Some(method),
            ..
        }) = original
        {
            let id = format!("{service}.{method}");
            return (Some(id), self.arguments.as_ref().and_then(only_argument));
        }
        (self.action_type.clone(), self.arguments.clone())
    }
}

impl Original {
    fn read(fields: &HashMap<String, Json>) -> Option<Original> {
        let context: HashMap<String, Json> = field(fields, "context").unwrap_or_default();
        let original = Original {
            service_name: field(fields, "serviceName"),
            method: field(fields, "method"),
            context_input: context.get("input").and_then(input_of_context),
        };
        let is_there = original.context_input.is_some() || original.method.is_some();
        is_there.then_some(original)
    }
}

/// The original keeps an operation's input as the bytes of its JSON: as Node writes a `Buffer`,
/// or as a text. What is neither is the input itself; `null` and nothing at all are none.
fn input_of_context(input: &Json) -> Option<Json> {
    #[derive(Deserialize)]
    struct Buffer {
        #[serde(rename = "type")]
        kind: String,
        data: Vec<u8>,
    }
    let text = match serde_json::from_str(input.as_str()) {
        Ok(Buffer { kind, data }) if kind == "Buffer" => String::from_utf8(data).ok(),
        _ => serde_json::from_str(input.as_str()).ok(),
    };
    let Some(text) = text else {
        return (!input.is_null()).then(|| input.clone());
    };
    if text.trim().is_empty() {
        return None;
    }
    // A text that is no JSON is one.
    Some(Json::from_text(text).unwrap_or_else(|_| input.clone()))
}

/// A method is called with an array of arguments, and an operation with one input: several are
/// one array.
fn only_argument(arguments: &Json) -> Option<Json> {
    match serde_json::from_str::<Vec<Json>>(arguments.as_str()) {
        Ok(mut list) if list.len() < 2 => list.pop(),
        _ => Some(arguments.clone()),
    }
}

fn field<T: DeserializeOwned>(fields: &HashMap<String, Json>, name: &str) -> Option<T> {
    serde_json::from_str(fields.get(name)?.as_str()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, id: &str, input: Option<&str>) {
        let (found, found_input) = Standing::read(answer).unwrap().operation();
        assert_eq!(found.as_deref(), Some(id), "{answer}");
        let found_input = found_input.as_ref().map(Json::as_str);
        assert_eq!(found_input, input, "{answer}");
    }

    #[test]
    fn an_operation_has_its_arguments_as_input() {
        check(
            r#"{"type":"A.b","operationId":"A.b","arguments":{"n": 1.50}}"#,
            "A.b",
            Some(r#"{"n": 1.50}"#),
        );
        check(r#"{"type":"A.b","operationId":"A.b"}"#, "A.b", None);
    }

    #[test]
    fn the_original_keeps_an_operations_input_in_its_context() {
        for (input, read) in [
            (
                r#"{"type":"Buffer","data":[123,34,110,34,58,49,125]}"#,
                Some(r#"{"n":1}"#),
            ),
            (r#""{\"n\":1}""#, Some(r#"{"n":1}"#)),
            (r#"{"n":1}"#, Some(r#"{"n":1}"#)),
            (r#"[1,2]"#, Some("[1,2]")),
            (r#""no JSON""#, Some(r#""no JSON""#)),
            (r#"{"type":"Buffer","data":[]}"#, None),
            ("null", None),
        ] {
            let action = r#""type":"AsyncOperationAction","operationId":"A.b""#;
            let answer = format!(r#"{{{action},"context":{{"session":{{}},"input":{input}}}}}"#);
            check(&answer, "A.b", read);
        }
    }

    #[test]
    fn the_original_calls_methods_of_services() {
        let call = r#"{"type":"AsyncWebdaAction","serviceName":"Reports","method":"generate""#;
        for (arguments, input) in [
            ("", None),
            (r#","arguments":[]"#, None),
            (r#","arguments":[{"n":1}]"#, Some(r#"{"n":1}"#)),
            (r#","arguments":["a",2]"#, Some(r#"["a",2]"#)),
        ] {
            check(&format!("{call}{arguments}}}"), "Reports.generate", input);
        }
    }

    #[test]
    fn an_action_that_names_no_operation_is_known_by_its_type() {
        check(r#"{"type":"A.b","arguments":[1]}"#, "A.b", Some("[1]"));
    }
}
