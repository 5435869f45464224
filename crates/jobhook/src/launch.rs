//! What to launch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jobhook_protocol::{GrantBody, Json};
use serde::Serialize;
use serde_json::Number;

use crate::Error;
use crate::strict_json::json_of;

/// What to launch.
#[derive(Clone, Debug, Serialize)]
#[must_use = "nothing is launched before it is given to a `Launcher`"]
pub struct Launch {
    #[serde(flatten)]
    what: What,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Number>,
    /// Milliseconds since 1970, or a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled: Option<Json>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<LaunchFile>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grants: Vec<GrantBody>,
}

/// A file that a job finds among its inputs: bytes that were
/// [uploaded](crate::Launcher::upload), and what is said of them.
#[derive(Clone, Debug, Serialize)]
pub struct LaunchFile {
    receipt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mimetype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Json>,
}

impl LaunchFile {
    pub(crate) fn new(receipt: String, name: Option<String>) -> LaunchFile {
        LaunchFile {
            receipt,
            name,
            mimetype: None,
            metadata: None,
        }
    }

    /// Sets its name, if it is not that of the file here.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> LaunchFile {
        self.name = Some(name.into());
        self
    }

    /// Sets its media type; `application/octet-stream` otherwise.
    #[must_use]
    pub fn mimetype(mut self, mimetype: impl Into<String>) -> LaunchFile {
        self.mimetype = Some(mimetype.into());
        self
    }

    /// Sets what else is known of it, a JSON object.
    ///
    /// # Errors
    ///
    /// `not_json` names the place of what JSON does not have, such as NaN.
    pub fn metadata<T: Serialize + ?Sized>(mut self, metadata: &T) -> Result<LaunchFile, Error> {
        self.metadata = Some(json_of("metadata", metadata)?);
        Ok(self)
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum What {
    Type {
        #[serde(rename = "type")]
        action_type: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<Json>,
    },
    Operation {
        #[serde(rename = "operationId")]
        id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Json>,
    },
}

impl Launch {
    /// An action of this type, with one try and no arguments.
    pub fn new(action_type: impl Into<String>) -> Launch {
        Launch::of(What::Type {
            action_type: action_type.into(),
            arguments: None,
        })
    }

    /// An operation with its input, and one try. The server checks the input before it stores
    /// anything.
    ///
    /// # Errors
    ///
    /// `not_json` names the place of what JSON does not have, such as NaN.
    pub fn operation<T: Serialize + ?Sized>(
        id: impl Into<String>,
        input: &T,
    ) -> Result<Launch, Error> {
        let input = json_of("input", input)?;
        Ok(Launch::operation_json(id, Some(input)))
    }

    /// An operation with its input as the text of a JSON value, which is kept as it is; or with
    /// none.
    pub fn operation_json(id: impl Into<String>, input: Option<Json>) -> Launch {
        Launch::of(What::Operation {
            id: id.into(),
            input,
        })
    }

    fn of(what: What) -> Launch {
        Launch {
            what,
            attempts: None,
            timeout: None,
            scheduled: None,
            files: Vec::new(),
            grants: Vec::new(),
        }
    }

    /// Sets the arguments; the input, of an operation.
    ///
    /// # Errors
    ///
    /// `not_json` names the place of what JSON does not have, such as NaN.
    pub fn arguments<T: Serialize + ?Sized>(self, arguments: &T) -> Result<Launch, Error> {
        let arguments = json_of("arguments", arguments)?;
        Ok(self.arguments_json(arguments))
    }

    /// Sets the arguments as the text of a JSON value, which is kept as it is.
    pub fn arguments_json(mut self, arguments: Json) -> Launch {
        let (What::Type { arguments: own, .. } | What::Operation { input: own, .. }) =
            &mut self.what;
        *own = Some(arguments);
        self
    }

    /// Adds a file that its job finds among its inputs.
    pub fn file(mut self, file: LaunchFile) -> Launch {
        self.files.push(file);
        self
    }

    /// Adds something that its job may use beside its own files.
    pub fn grant(mut self, grant: GrantBody) -> Launch {
        self.grants.push(grant);
        self
    }

    /// Sets how many tries it has, from 1.
    pub fn attempts(mut self, attempts: u32) -> Launch {
        self.attempts = Some(attempts);
        self
    }

    /// Sets when it starts, to the millisecond; the server may round it down.
    pub fn scheduled(self, at: SystemTime) -> Launch {
        let ms = match at.duration_since(UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_millis()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_millis()).unwrap_or(i128::MAX),
        };
        self.scheduled_text(&ms.to_string())
    }

    /// Sets when it starts, as a text that the server reads: RFC 3339, or milliseconds since
    /// 1970.
    pub fn scheduled_text(mut self, at: &str) -> Launch {
        self.scheduled = Some(Json::of(&at.into()));
        self
    }

    /// Sets how long one attempt may run.
    pub fn timeout(mut self, timeout: Duration) -> Launch {
        self.timeout = seconds(timeout);
        self
    }
}

/// Whole seconds as a whole number.
fn seconds(span: Duration) -> Option<Number> {
    if span.subsec_nanos() == 0 {
        Some(span.as_secs().into())
    } else {
        Number::from_f64(span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_are_sent_as_whole_numbers() {
        let text = |ms| seconds(Duration::from_millis(ms)).unwrap().to_string();
        assert_eq!(text(90_000), "90");
        assert_eq!(text(1_500), "1.5");
    }

    #[test]
    fn an_operation_is_sent_by_its_id_with_its_input() {
        let text = |launch: &Launch| serde_json::to_string(launch).unwrap();
        let at = UNIX_EPOCH + Duration::from_millis(1_764_000_000_123);
        let launch = Launch::operation("Report.Generate", &[1.5]).unwrap();
        assert_eq!(
            text(&launch.attempts(2).scheduled(at)),
            r#"{"operationId":"Report.Generate","input":[1.5],"attempts":2,"scheduled":"1764000000123"}"#
        );
        assert_eq!(
            text(&Launch::operation_json("Ping", None)),
            r#"{"operationId":"Ping"}"#
        );
        assert_eq!(
            text(&Launch::new("T").arguments(&[1]).unwrap()),
            r#"{"type":"T","arguments":[1]}"#
        );
    }
}
