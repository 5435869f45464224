//! JSON objects whose every field is known (clause `API-5`): a misspelt field is told, not
//! ignored.

use std::borrow::Cow;
use std::fmt;

use jobhook_protocol::{Code, JsonError};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::refusal::{Answered, Refused};

/// How many characters of what a caller sent are told again.
const SHOWN: usize = 64;

/// How many characters a remark has at most (clause `LIM-9`).
const LONGEST_REMARK: usize = 1024;

/// An object, with its fields as they were sent.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: Vec<(String, &'a RawValue)>,
    /// Which object it is, where there are several; begins with a space.
    place: String,
}

impl<'a> Fields<'a> {
    /// Reads an object that may have the fields `known`, each once, and no others.
    ///
    /// - `place`: which object it is, where there are several; begins with a space.
    pub(super) fn read(text: &'a str, known: &[&str], place: String) -> Answered<Fields<'a>> {
        let Pairs(fields) = serde_json::from_str(text)
            .map_err(|error| JsonError::Malformed(format!("{error}{place}")))?;
        for (at, (name, _)) in fields.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let hint = nearest(name, known);
                let name = shortened(name);
                let detail = format!("there is no field `{name}`{place}{hint}");
                return Err(Refused::new(Code::UnknownField, detail));
            }
            if fields[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(name, &place, "it was given twice"));
            }
        }
        Ok(Fields { fields, place })
    }

    /// The value of a field; `null` is as good as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    /// The value of a field, read as `T`.
    pub(super) fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
    ) -> Answered<Option<T>> {
        self.get(name)
            .map(|raw| serde_json::from_str(raw.get()).map_err(|_| self.invalid(name, expected)))
            .transpose()
    }

    /// A text in which somebody says why, to be shown to others (clause `LIM-9`).
    pub(super) fn remark(&self, name: &str) -> Answered<Option<String>> {
        let remark: Option<String> = self.parsed(name, "it must be a text")?;
        let length = remark.as_ref().map_or(0, |remark| remark.chars().count());
        if length > LONGEST_REMARK {
            let expected = format!("it has {length} characters; at most 1,024 are taken");
            return Err(self.invalid(name, &expected));
        }
        Ok(remark)
    }

    /// A field that cannot be as it is.
    pub(super) fn invalid(&self, name: &str, expected: &str) -> Refused {
        invalid(name, &self.place, expected)
    }
}

fn invalid(name: &str, place: &str, expected: &str) -> Refused {
    let detail = format!("the field `{name}`{place} is invalid: {expected}");
    Refused::new(Code::InvalidField, detail)
}

/// The beginning of a text that a caller sent, to be told again.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The known name that is meant by `name`, as the end of a sentence; empty if none is near.
pub(super) fn nearest(name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min();
    match near {
        Some((_, known)) => format!("; did you mean `{known}`?"),
        None => format!("; known are `{}`", known.join("`, `")),
    }
}

struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Reading).map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_near() {
        let known = ["type", "arguments", "attempts", "timeout"];
        assert_eq!(nearest("argument", &known), "; did you mean `arguments`?");
        assert_eq!(nearest("tyep", &known), "; did you mean `type`?");
        assert_eq!(nearest("timeouts", &known), "; did you mean `timeout`?");
        assert!(nearest("colour", &known).starts_with("; known are `type`, "));
    }
}
