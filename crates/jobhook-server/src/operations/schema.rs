//! JSON Schemas, compiled once (clauses `OP-5`, `OP-6`).
//!
//! A schema that says no `$schema` is one of 2020-12. It may refer to parts of itself only, and to
//! the schema that all schemas of its dialect fit: what lies elsewhere is never fetched, and the
//! schema is refused.
//!
//! Schemas are written by operators and values come from callers, and some schemas make little of
//! most values and far too much of a few: patterns that go back, branches that double with every
//! level. So the work of one judgement is bounded: it ends after `LIMIT` of processor time, in
//! the thread where it began, and the value is refused (clause `LIM-10`). A value of 10 MiB takes
//! a small part of that by a schema that does not multiply.

mod meter;
mod metered;
mod pattern;
mod room;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jobhook_protocol::Json;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use self::meter::{Allowance, Spent};
use self::metered::{Metered, Part};
use self::pattern::{MAX_STEPS, Pattern};
use self::room::{Extent, META, with_room};
use super::mismatch::{Fault, Mismatch, NAMED, value_of};
use crate::aside::LIGHT;

/// How deep a schema may nest.
const MAX_DEPTH: usize = 128;

/// How deep a value may nest for its faults to be told, where parts of the schema refer to parts.
const TOLD: usize = 8;

/// How much processor time one judgement may take, with what it tells of faults (clause `LIM-10`).
const LIMIT: Duration = Duration::from_secs(2);

/// How much of it one that others wait for may take.
const LIGHT_LIMIT: Duration = Duration::from_millis(200);

/// The faults of so many bytes of JSON text are no heap worth waiting for.
const SMALL: usize = 4 << 10;

/// A schema that can judge.
#[derive(Debug)]
pub struct Schema {
    source: Value,
    extent: Extent,
    /// Whether parts refer to parts.
    refers: bool,
    /// Whether patterns may go back over names.
    names_back: bool,
    /// Always there, until it is let go of.
    validator: Option<Validator<Metered>>,
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
        let too_large = || SchemaError {
            place: String::new(),
            what: format!("its {} parts are too many", extent.parts),
        };
        let compiled = with_room(extent.parts + META * depth(source), || {
            build(source).map_err(|error| SchemaError::of(source, &error))
        });
        let (validator, names_back) = compiled.ok_or_else(too_large)??;
        Ok(Schema {
            source: source.clone(),
            extent,
            refers: room::refers(source),
            names_back,
            validator: Some(validator),
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
        let length = value.map_or(0, |value| value.as_str().len());
        let limit = if length > LIGHT { LIMIT } else { LIGHT_LIMIT };
        self.check_within(limit, value)
    }

    fn check_within(&self, limit: Duration, value: Option<&Json>) -> Result<(), Mismatch> {
        let is_absent = value.is_none();
        let length = value.map_or(0, |value| value.as_str().len());
        let value = value_of(value)?;
        let levels = depth(&value).saturating_add(1);
        let judged = with_room(levels.saturating_mul(self.extent.chain), || {
            self.judge(&value, length, Allowance::of(limit))
        });
        let too_deep = || Mismatch::of("", "it nests too deep for its schema");
        let judged = judged.ok_or_else(too_deep)?;
        if judged.is_err() && is_absent {
            return Err(Mismatch::of("", "it is missing"));
        }
        judged
    }

    fn judge(
        &self,
        value: &Value,
        length: usize,
        mut allowance: Allowance,
    ) -> Result<(), Mismatch> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        let too_long = || Mismatch::of("", "it takes too long to judge by its schema");
        if self.names_back && longest_name(value) > pattern::LONGEST {
            return Err(too_long());
        }
        match meter::within(&mut allowance, || validator.is_valid(Part(value))) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Spent) => return Err(too_long()),
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
        let faults = meter::within(&mut allowance, || validator.iter_errors(Part(value)));
        let Ok(mut errors) = faults else {
            let what = "it does not fit, and to say where takes too long";
            return Err(Mismatch::of("", what));
        };
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

/// Compiles for values that count who looks at them, and says whether patterns may go back over
/// names; all that can be matched in one pass is.
fn build(source: &Value) -> Result<(Validator<Metered>, bool), ValidationError<'static>> {
    let watched = metered::watched(source);
    let options = || jsonschema::options_for::<Metered>().with_retriever(Outside);
    let forward = || options().with_pattern_options(PatternOptions::regex());
    if let Ok(validator) = forward().build(&watched) {
        return Ok((validator, false));
    }
    let forward = forward().with_keyword("pattern", Pattern::compile);
    if let Ok(validator) = forward.build(&watched) {
        return Ok((validator, false));
    }
    let back = PatternOptions::fancy_regex().backtrack_limit(MAX_STEPS);
    let options = options().with_pattern_options(back);
    let options = options.with_keyword("pattern", Pattern::compile);
    options.build(&watched).map(|validator| (validator, true))
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

/// How many bytes the longest name has.
fn longest_name(value: &Value) -> usize {
    let (mut longest, mut waiting) = (0, vec![value]);
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(members) => {
                longest = members.keys().map(String::len).fold(longest, usize::max);
                waiting.extend(members.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    longest
}

#[cfg(test)]
mod endless;
#[cfg(test)]
mod tests;
