//! Room for a schema: how much stack it takes to compile it and to judge with it.
//!
//! Both follow the schema by recursion, and a stack that overflows ends the process. So what they
//! may take is estimated from above, and what could be too much for the thread that is there gets
//! one of its own. Memory of a stack is only taken when it is used.
//!
//! Compiling enters each part of a schema once, one inside the other at worst. Judging enters, for
//! each level of a value, at most the longest chain of parts that look at one and the same place
//! (`allOf`, `$ref` and the like, not `properties`).

use std::collections::HashMap;
use std::io;

use serde_json::Value;

/// More than one part takes, in bytes; measured without optimisation, and doubled.
const STEP: usize = 16 << 10;

/// What is free on any thread, in bytes.
const FREE: usize = 512 << 10;

/// The most that is set aside, in bytes.
const MOST: usize = 2 << 30;

/// How many parts of the schema of schemas look at one place of a schema, at most.
pub(super) const META: usize = 16;

/// Keywords whose schemas look at a part of the value.
const INWARD: [&str; 9] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords that hold no schemas, or such that count only where they are referred to.
const ASIDE: [&str; 6] = [
    "$defs",
    "definitions",
    "const",
    "enum",
    "default",
    "examples",
];

/// How many parts a schema has, and the longest chain of those that look at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) parts: usize,
    pub(super) chain: usize,
}

impl Extent {
    pub(super) fn of(schema: &Value) -> Extent {
        let parts = parts(schema);
        // What is referred to by an address may be the schema of schemas.
        let foreign = |part: &&Value| {
            let target = part.get("$ref").and_then(Value::as_str);
            target.is_some_and(|target| !target.starts_with('#'))
        };
        let known = if parts.iter().any(foreign) { META } else { 0 };
        let chain = longest(schema, &parts).unwrap_or(parts.len() + known);
        Extent {
            parts: parts.len(),
            chain,
        }
    }
}

/// Whether parts of a schema refer to parts of it.
pub(super) fn refers(schema: &Value) -> bool {
    let names = ["$ref", "$dynamicRef", "$recursiveRef"];
    let refers = |part: &Value| names.iter().any(|name| part.get(name).is_some());
    parts(schema).into_iter().any(refers)
}

/// Does something that follows up to `parts` parts; `None` if there is no room for that.
pub(super) fn with_room<T: Send>(parts: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    let bytes = parts.saturating_mul(STEP);
    if bytes <= FREE {
        return Some(work());
    }
    if bytes > MOST {
        return None;
    }
    let done: io::Result<_> = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(FREE + bytes);
        Ok(thread.spawn_scoped(scope, work)?.join())
    });
    match done {
        Ok(Ok(value)) => Some(value),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            tracing::error!(%error, bytes, "The system gives no room to judge with a schema");
            None
        }
    }
}

/// Every object and array, the outer before the inner.
fn parts(schema: &Value) -> Vec<&Value> {
    let mut parts = vec![schema];
    let mut at = 0;
    while let Some(part) = parts.get(at).copied() {
        at += 1;
        match part {
            Value::Object(members) => {
                parts.extend(members.values().filter(|value| is_part(value)));
            }
            Value::Array(items) => parts.extend(items.iter().filter(|value| is_part(value))),
            _ => {}
        }
    }
    parts
}

fn is_part(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// The longest chain of parts that look at one place; `None` if there is a circle, or a reference
/// whose target only shows in use.
fn longest(schema: &Value, parts: &[&Value]) -> Option<usize> {
    let index: HashMap<*const Value, usize> = parts
        .iter()
        .enumerate()
        .map(|(at, part)| (std::ptr::from_ref::<Value>(part), at))
        .collect();
    let mut next: Vec<Vec<usize>> = Vec::with_capacity(parts.len());
    let mut before = vec![0_usize; parts.len()];
    for part in parts {
        let targets = onward(schema, part)?;
        let targets: Vec<usize> = targets
            .into_iter()
            .filter_map(|target| index.get(&std::ptr::from_ref(target)).copied())
            .collect();
        for target in &targets {
            before[*target] += 1;
        }
        next.push(targets);
    }
    let mut ready: Vec<usize> = (0..parts.len()).filter(|at| before[*at] == 0).collect();
    let mut length = vec![1_usize; parts.len()];
    let mut seen = 0;
    while let Some(at) = ready.pop() {
        seen += 1;
        for target in &next[at] {
            length[*target] = length[*target].max(length[at] + 1);
            before[*target] -= 1;
            if before[*target] == 0 {
                ready.push(*target);
            }
        }
    }
    (seen == parts.len()).then(|| length.into_iter().max().unwrap_or(1))
}

/// The parts that look at the same place as this one.
fn onward<'a>(schema: &'a Value, part: &'a Value) -> Option<Vec<&'a Value>> {
    let mut found = Vec::new();
    match part {
        Value::Array(items) => found.extend(items.iter().filter(|value| is_part(value))),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("$dynamicRef" | "$recursiveRef", _) => return None,
                    ("$ref", Value::String(target)) => {
                        // What an `$id` makes of a reference is not followed.
                        let pointer = target.strip_prefix('#').filter(|_| plain(target))?;
                        found.push(schema.pointer(pointer)?);
                    }
                    // Their members are schemas, whatever they are called.
                    ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                        found.extend(schemas.values().filter(|value| is_part(value)));
                    }
                    (name, _) if INWARD.contains(&name) || ASIDE.contains(&name) => {}
                    ("$id" | "id", Value::String(_)) if !std::ptr::eq(schema, part) => return None,
                    (_, value) if is_part(value) => found.push(value),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Some(found)
}

/// Whether a reference is a pointer without anything to be decoded.
fn plain(target: &str) -> bool {
    !target.contains('%') && (target == "#" || target.starts_with("#/"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chain_ends_where_the_value_is_entered() {
        let chain = |schema| Extent::of(&schema).chain;
        assert_eq!(chain(json!(true)), 1);
        let tree = json!({"$ref": "#/$defs/t", "$defs": {"t": {"properties": {"next": {"$ref": "#/$defs/t"}}}}});
        // The table of properties counts as well.
        assert_eq!(chain(tree), 3);
        assert_eq!(chain(json!({"items": {"$ref": "#"}})), 2);
        assert_eq!(chain(json!({"allOf": [{"anyOf": [{}]}]})), 5);
        assert_eq!(
            chain(json!({"dependentSchemas": {"items": {"not": {}}}})),
            3
        );
    }

    #[test]
    fn what_is_not_followed_counts_as_everything() {
        for schema in [
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"allOf": [{"$dynamicRef": "#x"}]}),
            json!({"allOf": [{"$ref": "#anchor"}]}),
        ] {
            let extent = Extent::of(&schema);
            assert_eq!(extent.chain, extent.parts, "{schema}");
        }
        let extent = Extent::of(&json!({"allOf": [{"$ref": "other#/a"}]}));
        assert_eq!(extent.chain, extent.parts + META);
    }

    #[test]
    fn room_is_bounded() {
        assert_eq!(with_room(1, || 7), Some(7));
        assert_eq!(with_room(1_000, || 7), Some(7));
        assert_eq!(with_room(usize::MAX, || 7), None);
    }
}
