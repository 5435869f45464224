//! JSON values kept as the text they were sent in, and what is done to a body before it is
//! read (clauses `HOOK-*`, `LIM-*`).
//!
//! [`clean`] runs once over the bytes of a body: it checks UTF-8 and depth, and turns escapes
//! that are no storable text (`\u0000`, lone surrogates) into U+FFFD, so that nothing
//! behind it has to think of them again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// How deep arrays and objects may nest in a body (clause `LIM-2`).
pub const MAX_DEPTH: usize = 128;

/// A JSON value as text. Cloning is cheap.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

/// Why bytes are no acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 §8.1).
    #[error("the body is not UTF-8: the byte at offset {0} is invalid")]
    NotUtf8(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the body nests arrays and objects deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Not JSON, or not of the expected shape.
    #[error("the body is not the expected JSON: {0}")]
    Malformed(String),
}

impl Json {
    /// Takes `text` if it is one JSON value.
    ///
    /// # Errors
    ///
    /// [`JsonError::Malformed`] says where it is not.
    pub fn from_text(text: String) -> Result<Json, JsonError> {
        RawValue::from_string(text)
            .map(|raw| Json(raw.into()))
            .map_err(|error| JsonError::Malformed(error.to_string()))
    }

    /// Writes `value` as JSON.
    pub fn of(value: &serde_json::Value) -> Json {
        value.into()
    }

    /// The text, as it was sent.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The value read into memory.
    pub fn value(&self) -> serde_json::Value {
        // What a `RawValue` holds was checked when it was made; only its depth can refuse.
        serde_json::from_str(self.0.get()).unwrap_or(serde_json::Value::Null)
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.0.get() == "null"
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Json {
        Json(raw.to_owned().into())
    }
}

impl From<&serde_json::Value> for Json {
    #[allow(clippy::expect_used, reason = "a Value always has a JSON text")]
    fn from(value: &serde_json::Value) -> Json {
        Json(
            serde_json::value::to_raw_value(value)
                .expect("a Value is JSON")
                .into(),
        )
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Json(raw.into()))
    }
}

/// Makes a body readable: UTF-8, not too deep, and without text that cannot be stored.
///
/// `\u0000` and lone surrogates become `\ufffd`, in place: the length does not change.
/// What is not JSON otherwise is left for the parser to refuse.
///
/// # Errors
///
/// [`JsonError::NotUtf8`] and [`JsonError::TooDeep`].
pub fn clean(body: Vec<u8>) -> Result<String, JsonError> {
    let mut text = String::from_utf8(body)
        .map_err(|error| JsonError::NotUtf8(error.utf8_error().valid_up_to()))?
        .into_bytes();
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while at < text.len() {
        match (in_string, text[at]) {
            (true, b'\\') if text.get(at + 1) == Some(&b'u') => {
                at += replace_unstorable(&mut text, at);
                continue;
            }
            (true, b'\\') => at += 1,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(JsonError::TooDeep);
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    // Only ASCII was written over ASCII.
    String::from_utf8(text).map_err(|error| JsonError::NotUtf8(error.utf8_error().valid_up_to()))
}

/// Looks at the escape at `at`, `\u` with four digits, and returns how many bytes to pass over.
fn replace_unstorable(text: &mut [u8], at: usize) -> usize {
    match (unit(text, at), unit(text, at + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
        (Some(0 | 0xD800..=0xDFFF), _) => {
            text[at + 2..at + 6].copy_from_slice(b"fffd");
            6
        }
        (Some(_), _) => 6,
        (None, _) => 2,
    }
}

/// The UTF-16 unit of the escape at `at`, if one stands there whole.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let digits = escape
        .strip_prefix(b"\\u")
        .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn cleaned(body: &str, to: &str) {
        assert_eq!(clean(body.into()).as_deref(), Ok(to));
    }

    #[test]
    fn text_that_cannot_be_stored_becomes_the_replacement_character() {
        cleaned(r#""a\u0000b""#, r#""a\ufffdb""#);
        cleaned(r#""\ud800""#, r#""\ufffd""#);
        cleaned(r#""\udc00\ud800x""#, r#""\ufffd\ufffdx""#);
        cleaned(r#""\ud83d\ude00""#, r#""\ud83d\ude00""#);
        cleaned(r#""\\ud800""#, r#""\\ud800""#);
        cleaned(r#""\uZZZZ""#, r#""\uZZZZ""#);
        cleaned(r#"{"é<&":"\"[[["}"#, r#"{"é<&":"\"[[["}"#);
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(clean(nested(MAX_DEPTH)).is_ok());
        assert_eq!(clean(nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
        assert_eq!(clean(nested(10_000)), Err(JsonError::TooDeep));
        assert!(clean(format!("\"{}\"", "[".repeat(10_000)).into_bytes()).is_ok());
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_with_their_place() {
        assert_eq!(clean(b"\"ab\xff\"".to_vec()), Err(JsonError::NotUtf8(3)));
    }
}
