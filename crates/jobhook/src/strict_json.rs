//! JSON that holds exactly what was given.
//!
//! serde_json writes NaN and the infinities as `null`. A result that was NaN must not become
//! one that is missing, so every value is walked once before it is written, and a number that
//! JSON does not have is refused with its place.

use std::fmt;

use jobhook_protocol::{Json, json};
use serde::Serialize;
use serde::ser::{self, Serializer};

use crate::Error;

/// Writes `value` as JSON.
///
/// - `name`: what the value is, for messages, such as `results`.
///
/// # Errors
///
/// [`Error::NotJson`], with the place.
pub(crate) fn json_of<T: Serialize + ?Sized>(name: &'static str, value: &T) -> Result<Json, Error> {
    let refused = |fault: Fault| Error::NotJson {
        name,
        path: fault.path,
        reason: fault.reason,
    };
    let plain = |reason: String| {
        refused(Fault {
            path: String::new(),
            reason,
        })
    };
    value.serialize(Finite).map_err(refused)?;
    let text = serde_json::to_string(value).map_err(|error| plain(error.to_string()))?;
    // In a report it lies one level deeper.
    json::clean(format!("[{text}]").into_bytes()).map_err(|_| {
        plain(format!(
            "it nests arrays and objects deeper than {} levels",
            json::MAX_DEPTH - 1
        ))
    })?;
    Json::from_text(text).map_err(|error| plain(error.to_string()))
}

/// What is wrong, and where.
#[derive(Debug)]
struct Fault {
    path: String,
    reason: String,
}

impl Fault {
    fn inside(mut self, place: impl fmt::Display) -> Fault {
        self.path.insert_str(0, &place.to_string());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(reason: T) -> Fault {
        Fault {
            path: String::new(),
            reason: reason.to_string(),
        }
    }
}

fn finite(number: f64) -> Result<(), Fault> {
    if number.is_finite() {
        return Ok(());
    }
    Err(ser::Error::custom(format_args!(
        "JSON has no {number}; report `null` or a text instead, if that is meant"
    )))
}

/// Writes nothing; only looks.
struct Finite;

/// Looks at what a compound value holds, and knows where it is in it.
struct Inside {
    next: usize,
    key: String,
}

fn inside() -> Result<Inside, Fault> {
    Ok(Inside {
        next: 0,
        key: String::new(),
    })
}

impl Inside {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let index = self.next;
        self.next += 1;
        value
            .serialize(Finite)
            .map_err(|fault| fault.inside(format_args!("[{index}]")))
    }

    fn field<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Fault> {
        value
            .serialize(Finite)
            .map_err(|fault| fault.inside(format_args!(".{key}")))
    }
}

macro_rules! fine {
    ($($method:ident($kind:ty);)+) => {
        $(fn $method(self, _: $kind) -> Result<(), Fault> { Ok(()) })+
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Inside;
    type SerializeTuple = Inside;
    type SerializeTupleStruct = Inside;
    type SerializeTupleVariant = Inside;
    type SerializeMap = Inside;
    type SerializeStruct = Inside;
    type SerializeStructVariant = Inside;

    fn serialize_str(self, text: &str) -> Result<(), Fault> {
        if !text.contains('\0') {
            return Ok(());
        }
        // It would come back as U+FFFD (clause `REP-18`).
        Err(Fault {
            path: String::new(),
            reason: "the text has a NUL character, which servers do not keep".to_owned(),
        })
    }

    fn serialize_char(self, character: char) -> Result<(), Fault> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fine! {
        serialize_bool(bool); serialize_bytes(&[u8]);
        serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64); serialize_i128(i128);
        serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64); serialize_u128(u128);
        serialize_unit_struct(&'static str);
    }

    fn serialize_f32(self, number: f32) -> Result<(), Fault> {
        finite(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Fault> {
        finite(number)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value
            .serialize(self)
            .map_err(|fault| fault.inside(format_args!(".{variant}")))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside, Fault> {
        inside()
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside, Fault> {
        inside()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside, Fault> {
        inside()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Inside, Fault> {
        inside()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside, Fault> {
        inside()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside, Fault> {
        inside()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Inside, Fault> {
        inside()
    }
}

macro_rules! elements {
    ($($kind:ident::$method:ident;)+) => {
        $(impl ser::$kind for Inside {
            type Ok = ();
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                self.element(value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        })+
    };
}

elements! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($kind:ident),+) => {
        $(impl ser::$kind for Inside {
            type Ok = ();
            type Error = Fault;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        })+
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Inside {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        let text = serde_json::to_string(key).unwrap_or_default();
        text.trim_matches('"').clone_into(&mut self.key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.field(&self.key, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Serialize)]
    struct Losses {
        loss: Vec<f64>,
        best: Option<f32>,
    }

    #[test]
    fn nan_is_refused_with_its_place() {
        let losses = Losses {
            loss: vec![0.5, f64::NAN],
            best: None,
        };
        let runs = BTreeMap::from([("first", losses)]);
        let error = json_of("results", &runs).unwrap_err();
        assert_eq!(error.code(), "not_json");
        assert!(
            error
                .to_string()
                .starts_with("results.first.loss[1] cannot be reported: JSON has no NaN"),
            "{error}"
        );
        assert!(json_of("results", &f32::INFINITY).is_err());
    }

    #[test]
    fn a_text_that_no_server_keeps_is_refused() {
        for error in [
            json_of("results", &[("file", "a\0b")]).unwrap_err(),
            json_of("results", &['\0']).unwrap_err(),
        ] {
            assert_eq!(error.code(), "not_json");
            assert!(error.to_string().contains("NUL"), "{error}");
        }
    }

    #[test]
    fn what_json_has_is_written_as_it_is() {
        let losses = Losses {
            loss: vec![0.1, -1e300],
            best: Some(2.0),
        };
        let json = json_of("results", &losses).unwrap();
        // How an exponent is spelt is serde_json's affair (1e300 or 1e+300).
        assert_eq!(json.as_str(), serde_json::to_string(&losses).unwrap());
        let read: serde_json::Value = serde_json::from_str(json.as_str()).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"loss": [0.1, -1e300], "best": 2.0})
        );
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_before_it_is_sent() {
        let nested = (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        let error = json_of("results", &nested).unwrap_err();
        assert!(
            error.to_string().contains("deeper than 127 levels"),
            "{error}"
        );
    }

    #[test]
    fn keys_that_are_no_texts_are_refused() {
        let pairs = BTreeMap::from([(vec![1], 2)]);
        assert_eq!(json_of("results", &pairs).unwrap_err().code(), "not_json");
    }
}
