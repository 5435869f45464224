//! JSON Schemas, compiled once (clauses `OP-5`, `OP-6`).
//!
//! A schema that says no `$schema` is one of 2020-12. It may refer to parts of itself only: what
//! lies elsewhere is never fetched, and the schema is refused.

mod room;

use std::sync::{Mutex, PoisonError};

use jobhook_protocol::Json;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use self::room::{Extent, with_room};
use super::mismatch::{Fault, Mismatch, NAMED, value_of};

/// How deep a schema may nest.
const MAX_DEPTH: usize = 128;

/// How many parts of the schema of schemas look at one place of a schema, at most.
const META: usize = 16;

/// How deep a value may nest for its faults to be told, where parts of the schema refer to parts.
const TOLD: usize = 8;

/// How many steps a pattern may go back over one text.
const MAX_STEPS: usize = 100_000;

/// The faults of so many bytes of JSON text are no heap worth waiting for.
const SMALL: usize = 4 << 10;

/// A schema that can judge.
#[derive(Debug)]
pub struct Schema {
    source: Value,
    extent: Extent,
    /// Whether parts refer to parts.
    refers: bool,
    /// Always there, until it is let go of.
    validator: Option<Validator>,
}

/// Why a value is no schema that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {}: {what}", if place.is_empty() { "its top" } else { place })]
pub struct SchemaError {
    /// The JSON pointer to what is wrong; empty for the whole.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// [`SchemaError`]: it is invalid, nests too deep, or refers to something outside of itself.
    pub fn compile(source: &Value) -> Result<Schema, SchemaError> {
        if depth(source) > MAX_DEPTH {
            return Err(SchemaError {
                place: String::new(),
                what: format!("it nests deeper than {MAX_DEPTH} levels"),
            });
        }
        let extent = Extent::of(source);
        let compiled = with_room(extent.parts + META * depth(source), || {
            jsonschema::options()
                .with_retriever(Outside)
                .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(MAX_STEPS))
                .build(source)
                .map_err(|error| SchemaError::of(source, &error))
        });
        let too_large = || SchemaError {
            place: String::new(),
            what: format!("its {} parts are too many", extent.parts),
        };
        Ok(Schema {
            source: source.clone(),
            extent,
            refers: room::refers(source),
            validator: Some(compiled.ok_or_else(too_large)??),
        })
    }

    /// The schema as it was given.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Judges a value; one that is absent is judged as `null`.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] names what is wrong with it.
    pub fn check(&self, value: Option<&Json>) -> Result<(), Mismatch> {
        let is_absent = value.is_none();
        let length = value.map_or(0, |value| value.as_str().len());
        let value = value_of(value)?;
        let levels = depth(&value).saturating_add(1);
        let judged = with_room(levels.saturating_mul(self.extent.chain), || {
            self.judge(&value, length)
        });
        let too_deep = || Mismatch::of("", "it nests too deep for its schema");
        let judged = judged.ok_or_else(too_deep)?;
        if judged.is_err() && is_absent {
            return Err(Mismatch::of("", "it is missing"));
        }
        judged
    }

    fn judge(&self, value: &Value, length: usize) -> Result<(), Mismatch> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        if validator.is_valid(value) {
            return Ok(());
        }
        // To say where, each branch of each reference is followed anew: that doubles with every
        // level, while to say whether takes each only once.
        if self.refers && depth(value) > TOLD {
            return Err(Mismatch::of(
                "",
                "it does not fit, and nests too deep to say where",
            ));
        }
        // A megabyte of wrong values has half a million faults, and they are all gathered before
        // the first is known. One such heap at a time is enough; a small one waits for nobody.
        static GATHERING: Mutex<()> = Mutex::new(());
        let large = length > SMALL;
        let _gathering = large.then(|| GATHERING.lock().unwrap_or_else(PoisonError::into_inner));
        let mut errors = validator.iter_errors(value);
        let named = errors.by_ref().take(NAMED).map(|error| {
            let path = error.instance_path().as_str();
            Fault::new(path, &error.masked_with("this").to_string())
        });
        Err(Mismatch {
            faults: named.collect(),
            more: errors.count(),
        })
    }
}

impl Drop for Schema {
    /// Its parts let go of each other one inside the other, too.
    fn drop(&mut self) {
        let validator = self.validator.take();
        with_room(self.extent.parts, || drop(validator));
    }
}

impl SchemaError {
    fn of(source: &Value, error: &ValidationError<'_>) -> SchemaError {
        let message = error.to_string();
        let (place, what) = match error.kind() {
            ValidationErrorKind::Referencing(cause) => {
                let what = match cause {
                    jsonschema::ReferencingError::Unretrievable { uri, .. } => format!(
                        "`{uri}` is not a part of this schema, and nothing is ever fetched; put it into $defs"
                    ),
                    cause => cause.to_string(),
                };
                (reference(source, &message).unwrap_or_default(), what)
            }
            _ => (error.instance_path().as_str().to_owned(), message),
        };
        let what = Fault::new("", &what).message;
        SchemaError { place, what }
    }
}

/// Fetches nothing.
struct Outside;

impl Retrieve for Outside {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("nothing is ever fetched".into())
    }
}

/// The place of the first reference that `message` complains of.
fn reference(schema: &Value, message: &str) -> Option<String> {
    let mut waiting = vec![(String::new(), schema)];
    while let Some((place, value)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter().rev() {
                    let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                    let refers = ["$ref", "$dynamicRef", "$recursiveRef", "$schema"];
                    let target = member.as_str().filter(|_| refers.contains(&name.as_str()));
                    let target = target.map(|target| target.split('#').collect::<Vec<_>>());
                    let named = |part: &&str| !part.is_empty() && message.contains(*part);
                    if target.is_some_and(|parts| parts.iter().any(named)) {
                        return Some(place);
                    }
                    waiting.push((place, member));
                }
            }
            Value::Array(items) => {
                let items = items.iter().enumerate().rev();
                waiting.extend(items.map(|(at, item)| (format!("{place}/{at}"), item)));
            }
            _ => {}
        }
    }
    None
}

/// How deep a value nests, found out without nesting as deep.
fn depth(value: &Value) -> usize {
    let (mut deepest, mut waiting) = (0, vec![(value, 0)]);
    while let Some((value, depth)) = waiting.pop() {
        match value {
            Value::Object(members) => {
                waiting.extend(members.values().map(|value| (value, depth + 1)));
                deepest = deepest.max(depth + 1);
            }
            Value::Array(items) => {
                waiting.extend(items.iter().map(|value| (value, depth + 1)));
                deepest = deepest.max(depth + 1);
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(schema: &Value, value: &str) -> Vec<(String, String)> {
        let schema = Schema::compile(schema).unwrap();
        let value = Json::from_text(value.to_owned()).unwrap();
        match schema.check(Some(&value)) {
            Ok(()) => Vec::new(),
            Err(mismatch) => mismatch
                .faults
                .into_iter()
                .map(|fault| (fault.path, fault.message))
                .collect(),
        }
    }

    #[track_caller]
    fn refused(schema: &Value, place: &str, says: &str) {
        let error = Schema::compile(schema).unwrap_err();
        assert!(error.what.contains(says), "{error}");
        assert_eq!(error.place, place, "{error}");
    }

    #[test]
    fn every_fault_is_named_with_its_pointer_and_without_its_value() {
        let schema = json!({
            "type": "object",
            "properties": {"id": {"type": "string", "maxLength": 3}, "tags": {"items": {"type": "integer"}}},
            "required": ["id", "when"],
            "additionalProperties": false,
        });
        assert_eq!(faults(&schema, r#"{"id":"a","when":1}"#).len(), 1);
        let found = faults(&schema, r#"{"id":"secret","tags":[1,"a/b",2.5],"x":0}"#);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        for path in ["/id", "/tags/1", "/tags/2", ""] {
            assert!(paths.contains(&path), "{found:?}");
        }
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }

    #[test]
    fn only_so_many_faults_are_named_and_the_others_counted() {
        let schema = Schema::compile(&json!({"items": {"type": "string"}})).unwrap();
        let value = Json::from_text(format!("[{}0]", "0,".repeat(99))).unwrap();
        let mismatch = schema.check(Some(&value)).unwrap_err();
        assert_eq!((mismatch.faults.len(), mismatch.more), (20, 80));
        assert!(mismatch.to_string().ends_with("; and 80 more"));
    }

    #[test]
    fn what_is_absent_is_null_and_called_missing() {
        let missing = |schema| Schema::compile(&schema).unwrap().check(None);
        assert_eq!(missing(json!({"type": "null"})), Ok(()));
        assert_eq!(missing(json!(true)), Ok(()));
        let refused = missing(json!({"type": "object"})).unwrap_err();
        assert_eq!(refused.to_string(), "it is missing");
    }

    #[test]
    fn a_number_that_no_program_can_read_is_refused() {
        let found = faults(&json!(true), "[1e999]");
        assert!(found[0].1.contains("number out of range"), "{found:?}");
    }

    #[test]
    fn an_invalid_schema_is_refused_with_its_place() {
        refused(&json!({"type": "strnig"}), "/type", "strnig");
        refused(
            &json!({"properties": {"a": {"minimum": "3"}}}),
            "/properties/a/minimum",
            "",
        );
        refused(&json!({"pattern": "("}), "/pattern", "");
        refused(&json!(3), "", "");
        refused(&json!({"$ref": "#/$defs/none"}), "/$ref", "none");
    }

    #[test]
    fn nothing_outside_of_a_schema_is_referred_to() {
        for target in [
            "other.json",
            "file:///etc/passwd",
            "http://127.0.0.1:1/x",
            "https://example.org/x#/a",
            "urn:example:x",
            "../x",
        ] {
            let schema = json!({"properties": {"a": {"$ref": target}}});
            refused(&schema, "/properties/a/$ref", "nothing is ever fetched");
        }
        refused(
            &json!({"$schema": "https://example.org/mine"}),
            "/$schema",
            "",
        );
        let inside = json!({
            "$id": "https://example.org/a", "$ref": "b#/$defs/c",
            "$defs": {"b": {"$id": "b", "$defs": {"c": {"type": "integer"}}}},
        });
        assert_eq!(faults(&inside, "1"), []);
        assert_eq!(faults(&inside, "true").len(), 1);
        let webda = json!({
            "$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/A",
            "definitions": {"A": {"type": "object"}},
        });
        assert_eq!(faults(&webda, "{}"), []);
    }

    #[test]
    fn references_in_a_circle_end() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]}),
            json!({"not": {"$ref": "#"}}),
            json!({"if": {"$ref": "#"}, "then": {"$ref": "#"}, "else": {"$ref": "#"}}),
            json!({"oneOf": [{"$dynamicRef": "#x"}], "$dynamicAnchor": "x"}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"$ref": "#/$defs/a", "unevaluatedProperties": false, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
        ] {
            if let Ok(compiled) = Schema::compile(&schema) {
                for value in ["1", "{}", "[[]]", r#"{"a":{"a":1}}"#] {
                    let value = Json::from_text(value.to_owned()).unwrap();
                    let _ = compiled.check(Some(&value));
                }
            }
        }
    }

    #[test]
    fn what_is_deep_or_huge_harms_nobody() {
        let mut deep = json!(true);
        for _ in 0..127 {
            deep = json!({"not": deep});
        }
        let nested = format!("{}{}", "[".repeat(127), "]".repeat(127));
        faults(&deep, &nested);
        refused(
            &json!({"not": deep, "allOf": [{"not": {"not": deep}}]}),
            "",
            "deeper than 128",
        );
        let tree =
            json!({"anyOf": [{"type": "string"}, {"items": {"$ref": "#"}, "type": "array"}]});
        assert_eq!(faults(&tree, &nested), []);
        let wrong = nested.replace("[]", "[7]");
        assert_eq!(faults(&tree, &wrong).len(), 1);
        let wide: serde_json::Map<_, _> = (0..20_000)
            .map(|n| (format!("p{n}"), json!({"type": "string"})))
            .collect();
        assert_eq!(
            faults(&json!({"properties": wide}), r#"{"p19999":1}"#).len(),
            1
        );
        let ten_thousand = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(faults(&json!(true), &ten_thousand)[0].1.contains("128"));
    }

    #[test]
    fn schemas_and_values_that_are_both_deep_harm_nobody() {
        let value = format!("{}7{}", "[".repeat(127), "]".repeat(127));
        let wraps: [fn(Value) -> Value; 4] = [
            |schema| json!({"allOf": [schema, {"type": ["array", "string"]}]}),
            |schema| json!({"anyOf": [{"type": "string"}, schema]}),
            |schema| json!({"not": {"not": schema}}),
            |schema| json!({"if": true, "then": schema, "unevaluatedItems": false}),
        ];
        for wrap in wraps {
            let mut schema = json!({"type": "array", "items": {"$ref": "#"}});
            for _ in 0..60 {
                schema = wrap(schema);
            }
            assert!(!faults(&schema, &value).is_empty());
        }
    }

    #[test]
    fn a_long_way_from_reference_to_reference_harms_nobody() {
        let links: [fn(String) -> Value; 3] = [
            |next| json!({"$ref": next}),
            |next| json!({"allOf": [{"$ref": next}]}),
            |next| json!({"properties": {"next": {"$ref": next}}, "type": "string"}),
        ];
        for link in links {
            let mut parts: serde_json::Map<_, _> = (0..4_000)
                .map(|n| (format!("d{n}"), link(format!("#/$defs/d{}", n + 1))))
                .collect();
            parts.insert("d4000".to_owned(), json!({"type": "string"}));
            let schema = json!({"$ref": "#/$defs/d0", "$defs": parts});
            assert_eq!(faults(&schema, "1").len(), 1);
        }
    }

    #[test]
    fn branches_that_all_go_on_do_not_multiply() {
        let value = format!("{}7{}", "[".repeat(127), "]".repeat(127));
        for word in ["anyOf", "oneOf", "allOf"] {
            let branch = json!({"type": "array", "items": {"$ref": "#"}});
            let found = faults(&json!({word: [branch, branch]}), &value);
            assert!(found[0].1.contains("too deep to say where"), "{found:?}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_for_ever_gives_up() {
        let schema = json!({"pattern": "^(?=a)(a|aa)+$"});
        let value = format!("\"{}b\"", "a".repeat(60));
        assert!(!faults(&schema, &value).is_empty());
    }
}
