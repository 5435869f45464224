//! JSON in whose objects no name comes twice.
//!
//! JSON lets a name come twice, and readers differ in which they take. Here that is an error: what
//! is judged would not be what somebody else takes.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest name that a complaint has, in characters.
const LONGEST: usize = 100;

/// An object.
pub(super) struct Once<T>(pub(super) BTreeMap<String, T>);

/// Any value; in it, every object.
pub(super) struct OnceValue(pub(super) Value);

impl<T> Default for Once<T> {
    fn default() -> Once<T> {
        Once(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Once<T>, D::Error> {
        struct Reading<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reading<T> {
            type Value = BTreeMap<String, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                members(map)
            }
        }

        deserializer.deserialize_map(Reading(PhantomData)).map(Once)
    }
}

fn members<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    mut map: A,
) -> Result<BTreeMap<String, T>, A::Error> {
    let mut members = BTreeMap::new();
    while let Some((name, value)) = map.next_entry::<String, T>()? {
        if members.contains_key(&name) {
            let name: String = name.chars().take(LONGEST).collect();
            return Err(A::Error::custom(format_args!("`{name}` is there twice")));
        }
        members.insert(name, value);
    }
    Ok(members)
}

impl<'de> Deserialize<'de> for OnceValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OnceValue, D::Error> {
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
                while let Some(OnceValue(item)) = items.next_element()? {
                    array.push(item);
                }
                Ok(Value::Array(array))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                let members = members::<OnceValue, A>(map)?.into_iter();
                let members = members.map(|(name, OnceValue(value))| (name, value));
                Ok(Value::Object(members.collect()))
            }
        }

        deserializer.deserialize_any(Reading).map(OnceValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let read: Result<OnceValue, _> = serde_json::from_str(text);
        read.map(|OnceValue(value)| value)
            .map_err(|error| error.to_string())
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
