//! What to launch.

use std::time::Duration;

use jobhook_protocol::Json;
use serde::Serialize;
use serde_json::Number;

use crate::Error;
use crate::strict_json::json_of;

/// What to launch.
#[derive(Clone, Debug, Serialize)]
#[must_use = "nothing is launched before it is given to a `Launcher`"]
pub struct Launch {
    #[serde(rename = "type")]
    action_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Number>,
}

impl Launch {
    /// An action of this type, with one try and no arguments.
    pub fn new(action_type: impl Into<String>) -> Launch {
        Launch {
            action_type: action_type.into(),
            arguments: None,
            attempts: None,
            timeout: None,
        }
    }

    /// Sets the arguments.
    ///
    /// # Errors
    ///
    /// `not_json` names the place of what JSON does not have, such as NaN.
    pub fn arguments<T: Serialize + ?Sized>(mut self, arguments: &T) -> Result<Launch, Error> {
        self.arguments = Some(json_of("arguments", arguments)?);
        Ok(self)
    }

    /// Sets the arguments as the text of a JSON value, which is kept as it is.
    pub fn arguments_json(mut self, arguments: Json) -> Launch {
        self.arguments = Some(arguments);
        self
    }

    /// Sets how many tries it has, from 1.
    pub fn attempts(mut self, attempts: u32) -> Launch {
        self.attempts = Some(attempts);
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
}
