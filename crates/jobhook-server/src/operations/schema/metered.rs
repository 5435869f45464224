//! JSON that counts who looks at it.
//!
//! To judge a value, a schema has to look at it, however it is written. So the counting is here,
//! and not in the schema: every look is one touch, and a long text, or a comparison that goes
//! deep, is as many as it is long. The only parts that do not look are those that hand the whole
//! value on to others; `watched` makes them.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, SerdeJson, unique};
use serde_json::{Map, Number, Value, json};

use super::meter::touch;

/// So many bytes of a text are read in the time of one look.
const BYTES: usize = 32;

/// What a name is worth, at least: some hundreds of them are between two looks at the clock.
const NAME: usize = 16;

/// Keywords that hand the value on to several parts, or to one in their own way.
const ONWARD: [&str; 10] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "dependentSchemas",
    "dependencies",
    "$dynamicRef",
    "$recursiveRef",
];

/// Keywords whose members are schemas, whatever they are called.
const TABLES: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
];

/// Keywords that hold data.
const DATA: [&str; 5] = ["const", "enum", "default", "examples", "dependentRequired"];

/// `serde_json`'s JSON, counted.
#[derive(Debug)]
pub(super) struct Metered;

/// A value that counts who looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a>(pub(super) &'a Value);

/// The members of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Members<'a>(&'a Map<String, Value>);

/// The items of an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a>(&'a [Value]);

/// The schema in which every part that hands the value on looks at it first.
///
/// The look is a `type` that allows every type: of all keywords it comes first, so it is counted
/// even where the next one fails.
pub(super) fn watched(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(watched).collect(),
        Value::Object(members) => {
            let mut members: Map<_, _> = members
                .iter()
                .map(|(name, value)| (name.clone(), watched_member(name, value)))
                .collect();
            if ONWARD.iter().any(|name| members.contains_key(*name)) {
                let every = || json!(["array", "boolean", "null", "number", "object", "string"]);
                members.entry("type").or_insert_with(every);
            }
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn watched_member(name: &str, value: &Value) -> Value {
    match value {
        _ if DATA.contains(&name) => value.clone(),
        Value::Object(schemas) if TABLES.contains(&name) => schemas
            .iter()
            .map(|(name, schema)| (name.clone(), watched(schema)))
            .collect(),
        _ => watched(value),
    }
}

impl Json for Metered {
    type Node<'a> = Part<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = SerdeJson::KEYS_PER_LOOKUP;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Part<'_>) -> T) -> T {
        touch(1);
        SerdeJson::with_string_node(&mut (), string, |node| f(Part(node)))
    }
}

impl<'a> Node<'a, Metered> for Part<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        touch(1);
        self.0.as_object().map(Members)
    }

    fn as_array(&self) -> Option<Items<'a>> {
        touch(1);
        self.0.as_array().map(|items| Items(items))
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.0.as_str();
        touch(1 + text.map_or(0, str::len) / BYTES);
        text.map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<&'a Number> {
        touch(1);
        self.0.as_number()
    }

    fn as_boolean(&self) -> Option<bool> {
        touch(1);
        self.0.as_bool()
    }

    fn is_null(&self) -> bool {
        touch(1);
        self.0.is_null()
    }

    fn is_number(&self) -> bool {
        touch(1);
        self.0.is_number()
    }

    fn is_string(&self) -> bool {
        touch(1);
        self.0.is_string()
    }

    fn json_type(&self) -> JsonType {
        touch(1);
        Node::<SerdeJson>::json_type(&self.0)
    }

    fn string_length(&self) -> Option<u64> {
        touch(1 + self.0.as_str().map_or(0, str::len) / BYTES);
        Node::<SerdeJson>::string_length(&self.0)
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        touch(1 + self.0.as_str().map_or(0, str::len) / BYTES);
        Node::<SerdeJson>::string_length_within(&self.0, min, max)
    }

    fn equals_value(&self, expected: &Value) -> bool {
        touch(alike(self.0, expected));
        Node::<SerdeJson>::equals_value(&self.0, expected)
    }

    fn to_value(&self) -> Cow<'a, Value> {
        touch(1);
        Cow::Borrowed(self.0)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        touch(1);
        Node::<SerdeJson>::identity(&self.0)
    }

    fn container_identity(&self) -> Option<NodeIdentity> {
        touch(1);
        Node::<SerdeJson>::container_identity(&self.0)
    }
}

impl<'a> Object<'a, Metered> for Members<'a> {
    type Node = Part<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &String) -> Option<Part<'a>> {
        touch(1);
        self.0.get(key).map(Part)
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter(self.0.iter())
    }
}

impl<'a> Array<'a, Metered> for Items<'a> {
    type Node = Part<'a>;
    type ElementsIter = ItemsIter<'a>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> ItemsIter<'a> {
        ItemsIter(self.0.iter())
    }

    fn is_unique(&self) -> bool {
        self.0.iter().for_each(|item| touch(whole(item)));
        unique::is_unique(self.0)
    }
}

/// The members one by one.
#[derive(Clone, Debug)]
pub(super) struct MembersIter<'a>(serde_json::map::Iter<'a>);

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, Part<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        // A pattern may go back over it, and that grows with the square of its length. To ask the
        // clock too often costs less than to read the name.
        touch(NAME + name.len().saturating_pow(2) / BYTES);
        Some((name, Part(value)))
    }
}

/// The items one by one.
#[derive(Clone, Debug)]
pub(super) struct ItemsIter<'a>(std::slice::Iter<'a, Value>);

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        touch(1);
        self.0.next().map(Part)
    }
}

/// The work to go through all of a value.
fn whole(value: &Value) -> usize {
    let (mut work, mut waiting) = (0, vec![value]);
    while let Some(value) = waiting.pop() {
        work += 1;
        match value {
            Value::String(text) => work += text.len() / BYTES,
            Value::Array(items) => waiting.extend(items),
            Value::Object(members) => {
                work += members.len();
                waiting.extend(members.values());
            }
            _ => {}
        }
    }
    work
}

/// The work to compare a value with one of the schema: no more than there is in either.
fn alike(value: &Value, expected: &Value) -> usize {
    match (value, expected) {
        (Value::String(one), Value::String(other)) => 1 + one.len().min(other.len()) / BYTES,
        // What has not as many is not looked into.
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => whole(expected),
        (Value::Object(one), Value::Object(other)) if one.len() == other.len() => whole(expected),
        _ => 1,
    }
}
