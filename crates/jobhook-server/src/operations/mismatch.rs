//! What does not fit a schema, and where.

use std::fmt;

use jobhook_protocol::Json;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

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
    Once::deserialize(&mut source)
        .map(|Once(value)| value)
        .map_err(|error| unreadable(error.to_string()))
}

/// A value in whose objects no name comes twice: readers differ in which they take, so a job might
/// take one that was not judged.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once, D::Error> {
        deserializer.deserialize_any(Reading).map(Once)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, Once(value))) = members.next_entry::<String, Once>()? {
            if object.contains_key(&name) {
                let twice = format_args!("`{}` is there twice", cut(&name));
                return Err(A::Error::custom(twice));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let json = Json::from_text(text.to_owned()).unwrap();
        value_of(Some(&json)).map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn a_value_is_read_as_every_reader_would() {
        for text in [
            "null",
            "[true,-1,18446744073709551615,1.5,\"x\"]",
            r#"{"a":{"b":[{}]},"b":{"a":null}}"#,
        ] {
            assert_eq!(
                read(text).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
    }

    #[test]
    fn a_name_that_comes_twice_is_refused_wherever_it_is() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"\u0061":2}}]"#] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains("`a` is there twice"), "{refused}");
        }
    }
}
