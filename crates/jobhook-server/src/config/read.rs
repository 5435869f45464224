//! From the tree to typed sections: a serde deserializer whose errors know the key and the
//! place, and suggest the key that was probably meant.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};
use std::cell::Cell;
use std::fmt;

use super::suggest::did_you_mean;
use super::tree::{Entry, Node, Origin, Value};

/// Why a value was not taken. The file's name and the line are added by [`super`].
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) what: What,
    /// The keys that lead to it, innermost first.
    path: Vec<String>,
    pub(super) origin: Option<Origin>,
}

#[derive(Debug)]
pub(super) enum What {
    UnknownKey { key: String, hint: String },
    Wrong(String),
}

impl Fault {
    pub(super) fn new(what: impl fmt::Display) -> Fault {
        Fault {
            what: What::Wrong(what.to_string()),
            path: Vec::new(),
            origin: None,
        }
    }

    pub(super) fn unknown_key(key: &str, known: &[&str]) -> Fault {
        Fault {
            what: What::UnknownKey {
                key: key.to_owned(),
                hint: did_you_mean(key, known),
            },
            path: Vec::new(),
            origin: None,
        }
    }

    /// Says where it happened, unless something further inside knew better.
    pub(super) fn at(mut self, origin: &Origin) -> Fault {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// Says under which key it happened.
    pub(super) fn under(mut self, key: &str) -> Fault {
        self.path.push(key.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        let path = path.join(".");
        match &self.what {
            What::UnknownKey { key, hint } if path.is_empty() => {
                write!(f, "unknown key `{key}`{hint}")
            }
            What::UnknownKey { key, hint } => write!(f, "unknown key `{key}` in [{path}]{hint}"),
            What::Wrong(what) if path.is_empty() => f.write_str(what),
            What::Wrong(what) => write!(f, "{path}: {what}"),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Fault {
        Fault::new(what)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Fault {
        Fault::new(format_args!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Fault {
        Fault::new(format_args!("expected {expected}, found {found}"))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Fault {
        let hint = did_you_mean(word, known);
        let known = known.join("`, `");
        Fault::new(format_args!("`{word}` is none of `{known}`{hint}"))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Fault {
        Fault::unknown_key(key, known)
    }

    fn missing_field(key: &'static str) -> Fault {
        Fault::new(format_args!("the key `{key}` is missing"))
    }

    fn duplicate_field(key: &'static str) -> Fault {
        Fault::new(format_args!("`{key}` is given twice, under two names"))
    }
}

/// Reads a value as a `T`.
pub(super) fn read<'a, T: de::Deserialize<'a>>(node: &'a Node) -> Result<T, Fault> {
    T::deserialize(node)
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read = match &self.value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::Time(time) => Err(de::Error::invalid_type(
                Unexpected::Other(&format!("the time {time}")),
                &visitor,
            )),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Table(entries) => {
                let pending = Cell::new(None);
                let read = visitor.visit_map(Fields {
                    entries: entries.iter(),
                    pending: &pending,
                });
                // A key that was read but whose value was not asked for is to blame.
                match pending.get() {
                    Some(entry) => read.map_err(|fault| fault.at(&entry.origin)),
                    None => read,
                }
            }
        };
        read.map_err(|fault| fault.at(&self.origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match (&self.value, &self.origin) {
            // A variable has no quotes to say that its digits are meant as a text.
            (
                Value::Integer(_) | Value::Float(_) | Value::Flag(_) | Value::Time(_),
                Origin::Variable {
                    text: Some(text), ..
                },
            ) => visitor
                .visit_borrowed_str(text)
                .map_err(|fault: Fault| fault.at(&self.origin)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let read = match &self.value {
            Value::Text(word) => {
                let word: StrDeserializer<'_, Fault> = word.as_str().into_deserializer();
                visitor.visit_enum(word)
            }
            _ => return self.deserialize_any(visitor),
        };
        read.map_err(|fault| fault.at(&self.origin))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }
}

struct Fields<'de, 'a> {
    entries: std::slice::Iter<'de, Entry>,
    /// The entry whose key was read and whose value was not yet.
    pending: &'a Cell<Option<&'de Entry>>,
}

impl<'de> de::MapAccess<'de> for Fields<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        self.pending.set(Some(entry));
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let entry = self
            .pending
            .take()
            .ok_or_else(|| Fault::new("a value was asked for before its key"))?;
        seed.deserialize(&entry.node)
            .map_err(|fault| fault.at(&entry.origin).under(&entry.key))
    }
}
