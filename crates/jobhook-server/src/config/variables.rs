//! Environment variables over the file: `JOBHOOK__SECTION__KEY` sets `[section] key`.
//!
//! Two underscores stand for the dot. Names are lower-cased, because keys are, with two
//! exceptions: runners and stores are found by their names in any case, and below a runner's `env` the
//! case is kept, because there it matters.

use super::read::Fault;
use super::tree::{Entry, Node, Origin, Value};

const PREFIX: &str = "JOBHOOK__";

/// Puts the variables with our prefix into the tree.
pub(super) fn overlay<'a>(
    root: &mut Node,
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Fault> {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let leaf = Node::from_variable(name, text);
        let origin = Origin::Variable {
            name: name.to_owned(),
            text: None,
        };
        let path = split(path);
        if path.iter().any(|part| part.is_empty()) {
            return Err(Fault::new(
                "a variable is named JOBHOOK__SECTION__KEY, with two underscores between the parts",
            )
            .at(&origin));
        }
        set(root, &path, &mut Vec::new(), leaf, &origin)?;
    }
    Ok(())
}

/// A variable below a runner's `env` may have two underscores in its own name.
fn split(path: &str) -> Vec<&str> {
    let parts: Vec<&str> = path.split("__").collect();
    match parts[..] {
        [section, _, env, _, _, ..]
            if section.eq_ignore_ascii_case("runners") && env.eq_ignore_ascii_case("env") =>
        {
            path.splitn(4, "__").collect()
        }
        _ => parts,
    }
}

fn set(
    node: &mut Node,
    path: &[&str],
    above: &mut Vec<String>,
    leaf: Node,
    origin: &Origin,
) -> Result<(), Fault> {
    let Some((part, rest)) = path.split_first() else {
        *node = leaf;
        return Ok(());
    };
    let Value::Table(entries) = &mut node.value else {
        let above = above.join(".");
        return Err(Fault::new(format_args!("`{above}` is a value, not a section")).at(origin));
    };
    let key = key_for(part, above, entries);
    let index = match entries.iter().position(|entry| entry.key == key) {
        Some(index) => index,
        None => {
            entries.push(Entry {
                key: key.clone(),
                origin: origin.clone(),
                node: Node::empty(origin.clone()),
            });
            entries.len() - 1
        }
    };
    above.push(key);
    set(&mut entries[index].node, rest, above, leaf, origin)
}

fn key_for(part: &str, above: &[String], entries: &[Entry]) -> String {
    let above: Vec<&str> = above.iter().map(String::as_str).collect();
    match above[..] {
        ["runners" | "stores"] => entries
            .iter()
            .find(|entry| entry.key.eq_ignore_ascii_case(part))
            .map_or_else(|| part.to_ascii_lowercase(), |entry| entry.key.clone()),
        ["runners", _, "env"] => part.to_owned(),
        _ => part.to_ascii_lowercase(),
    }
}
