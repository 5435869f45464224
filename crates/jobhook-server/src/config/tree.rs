//! The configuration as a tree of values, each of which knows where it was written: at a
//! place in the file, or in an environment variable.
//!
//! Tables keep the order of the file, because the order of the runners decides which of
//! them takes an action. Nothing here knows which keys exist.

use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, de::DeArray};

/// Where something was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// Bytes of the file.
    File(Range<usize>),
    /// An environment variable, by name.
    Variable {
        name: String,
        /// Its text, where the value is all of it: a text is wanted as it stands, even if it
        /// would also do as a number.
        text: Option<String>,
    },
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    /// A date or time; no key takes one, but an error must be able to show it.
    Time(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One key of a table, with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

/// Why a text is no TOML.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    pub(super) what: String,
    pub(super) at: Range<usize>,
}

impl Node {
    /// An empty table.
    pub(super) fn empty(origin: Origin) -> Node {
        Node {
            origin,
            value: Value::Table(Vec::new()),
        }
    }

    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<Node, SyntaxFault> {
        let table = DeTable::parse(text).map_err(|error| SyntaxFault {
            what: error.message().to_owned(),
            at: error.span().unwrap_or(0..0),
        })?;
        let at = |span: Range<usize>| Origin::File(span);
        Ok(from_table(table.get_ref(), at(table.span()), &at))
    }

    /// Reads the text of a variable: a TOML value, or else just a text.
    pub(super) fn from_variable(name: &str, text: &str) -> Node {
        let inner = |_| Origin::Variable {
            name: name.to_owned(),
            text: None,
        };
        let value = match DeValue::parse(text) {
            Ok(value) => from_value(&value, &inner).value,
            Err(_) => Value::Text(text.to_owned()),
        };
        Node {
            origin: Origin::Variable {
                name: name.to_owned(),
                text: Some(text.to_owned()),
            },
            value,
        }
    }

    /// The entries of a table; none if it is something else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The same table without some of its keys.
    pub(super) fn without(&self, keys: &[&str]) -> Node {
        let mut node = self.clone();
        if let Value::Table(entries) = &mut node.value {
            entries.retain(|entry| !keys.contains(&entry.key.as_str()));
        }
        node
    }

    /// The value of a key, if this is a table that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        Some(&entry.node)
    }
}

fn from_value(value: &Spanned<DeValue<'_>>, at: &impl Fn(Range<usize>) -> Origin) -> Node {
    let origin = at(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                // Beyond 64 bits: no key takes such a number, and a float says so soon enough.
                Err(_) => Value::Float(f64::INFINITY),
            }
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => Value::List(from_list(items, at)),
        DeValue::Table(table) => return from_table(table, origin, at),
    };
    Node { origin, value }
}

fn from_list(items: &DeArray<'_>, at: &impl Fn(Range<usize>) -> Origin) -> Vec<Node> {
    items.iter().map(|item| from_value(item, at)).collect()
}

fn from_table(table: &DeTable<'_>, origin: Origin, at: &impl Fn(Range<usize>) -> Origin) -> Node {
    let mut entries: Vec<(Range<usize>, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                key: key.get_ref().to_string(),
                origin: at(key.span()),
                node: from_value(value, at),
            };
            (key.span(), entry)
        })
        .collect();
    // The parser sorts by name; the spans bring the order of the file back.
    entries.sort_by_key(|(span, _)| span.start);
    Node {
        origin,
        value: Value::Table(entries.into_iter().map(|(_, entry)| entry).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(node: &Node) -> Vec<&str> {
        node.entries()
            .iter()
            .map(|entry| entry.key.as_str())
            .collect()
    }

    #[test]
    fn tables_keep_the_order_of_their_own_headers() {
        let node = Node::parse("[r.zebra]\n[r.apple.limits]\n[r.mango]\n[r.apple]\n").unwrap();
        assert_eq!(keys(node.get("r").unwrap()), ["zebra", "mango", "apple"]);
    }

    #[test]
    fn a_variable_is_a_toml_value_or_else_a_text() {
        let value = |text| Node::from_variable("X", text).value;
        assert_eq!(value("12"), Value::Integer(12));
        assert_eq!(value("true"), Value::Flag(true));
        assert_eq!(value("\"a\""), Value::Text("a".into()));
        assert_eq!(value("127.0.0.1:1"), Value::Text("127.0.0.1:1".into()));
        assert_eq!(value("30s"), Value::Text("30s".into()));
        assert_eq!(value(""), Value::Text(String::new()));
        assert!(matches!(value("[\"a\", \"b\"]"), Value::List(items) if items.len() == 2));
    }
}
