//! What does not fit a schema, and where.

use std::fmt;

use jobhook_protocol::Json;
use serde::{Deserialize, Serialize};

use super::once::OnceValue;

/// How many faults are named one by one.
pub(super) const NAMED: usize = 20;

/// The longest path and message, in characters.
const LONGEST: usize = 300;

/// A value that does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// The first of what is wrong.
    pub faults: Vec<Fault>,
    /// How much more is wrong.
    pub more: usize,
}

/// One thing that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The JSON pointer to it; empty for the whole value.
    pub path: String,
    /// What is wrong there. Long values are not in it.
    pub message: String,
}

impl Mismatch {
    /// One thing that is wrong.
    pub(super) fn of(path: &str, message: &str) -> Mismatch {
        Mismatch {
            faults: vec![Fault::new(path, message)],
            more: 0,
        }
    }

    /// The faults as the member `errors` of a refusal.
    pub fn errors(&self) -> serde_json::Value {
        serde_json::to_value(&self.faults).unwrap_or_default()
    }
}

impl Fault {
    pub(super) fn new(path: &str, message: &str) -> Fault {
        Fault {
            path: cut(path),
            message: cut(message),
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            match fault.path.as_str() {
                "" => f.write_str(&fault.message)?,
                path => write!(f, "{path}: {}", fault.message)?,
            }
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// Reads a value that is to be judged; one that is absent is `null`.
pub(super) fn value_of(json: Option<&Json>) -> Result<serde_json::Value, Mismatch> {
    let Some(json) = json else {
        return Ok(serde_json::Value::Null);
    };
    let unreadable = |what: String| Mismatch::of("", &format!("it cannot be read: {what}"));
    // What the code of this process made was not measured before.
    let text = jobhook_protocol::json::clean(json.as_str().as_bytes().to_vec())
        .map_err(|error| unreadable(error.to_string()))?;
    let mut source = serde_json::Deserializer::from_str(&text);
    source.disable_recursion_limit();
    OnceValue::deserialize(&mut source)
        .map(|OnceValue(value)| value)
        .map_err(|error| unreadable(error.to_string()))
}
