//! `[stores.NAME]`: objects that have files, beside the actions.

use jobhook_engine::files::{Known, Stores};
use serde::Deserialize;

use super::read::{Fault, read};
use super::tree::Node;

/// A store of objects that have files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectStore {
    /// Its name as it is spelt in the configuration; it is compared without case.
    pub name: String,
    /// What its objects have files under.
    pub properties: Vec<String>,
    /// Whether an object is made when it gets its first file.
    pub create: bool,
}

/// The keys of `[stores.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keys {
    /// The properties under which its objects have files. Default: `["files"]`.
    properties: Vec<String>,
    /// Whether an object is made when it gets its first file, and need not be there before.
    /// Default: `true`.
    create: bool,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            properties: vec!["files".to_owned()],
            create: true,
        }
    }
}

impl ObjectStore {
    /// Reads `[stores.{name}]`.
    pub(super) fn read(name: &str, node: &Node) -> Result<ObjectStore, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(Fault::new(format_args!(
                "a store's name is 1 to 64 of A-Z a-z 0-9 . _ - and not `{name}`"
            )));
        }
        if Stores::default().find(name) == Some(Known::Actions) {
            return Err(Fault::new(format_args!(
                "`{name}` is the store of the actions, which is there without being configured"
            )));
        }
        let keys: Keys = read(node)?;
        let at = |what: String| super::runner::fault(node, "properties", &what);
        if keys.properties.is_empty() {
            return Err(at("a store without properties has no files".to_owned()));
        }
        for (index, property) in keys.properties.iter().enumerate() {
            if !is_property(property) {
                return Err(at(format!(
                    "a property is 1 to 64 of A-Z a-z 0-9 _ -, a letter first, and not `{property}`"
                )));
            }
            if keys.properties[..index].contains(property) {
                return Err(at(format!("`{property}` is named twice")));
            }
        }
        Ok(ObjectStore {
            name: name.to_owned(),
            properties: keys.properties,
            create: keys.create,
        })
    }
}

fn is_property(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn a_store_has_properties_and_makes_its_objects_unless_it_says_otherwise() {
        let config = load(
            "[stores.Images]\nproperties = [\"files\", \"raw-1\"]\ncreate = false\n[stores.plain]\n",
            &[("JOBHOOK__STORES__IMAGES__CREATE", "true")],
        );
        let store = |name: &str, properties: &[&str]| ObjectStore {
            name: name.to_owned(),
            properties: properties.iter().map(|&name| name.to_owned()).collect(),
            create: true,
        };
        let wanted = [
            store("Images", &["files", "raw-1"]),
            store("plain", &["files"]),
        ];
        assert_eq!(config.unwrap().stores, wanted);
        let config = load("[stores.a]\ncreate = false\n", &[]).unwrap();
        assert!(!config.stores[0].create);
    }

    #[test]
    fn a_name_is_taken_once_in_whatever_case() {
        for taken in ["actions", "Actions", "asyncactions", "AsyncActions"] {
            refused(
                &format!("[stores.{taken}]\n"),
                &format!(
                    "jobhook.toml:1:9: stores.{taken}: `{taken}` is the store of the actions, which is there without being configured"
                ),
            );
        }
        refused(
            "[stores.images]\n[stores.Images]\n",
            "jobhook.toml:2:9: stores.Images: there is a store `images` already, and names have no case; each needs a name of its own",
        );
        refused(
            "[stores.images]\n[stores.images]\n",
            "jobhook.toml:2:9: two stores are named `images`; each needs a name of its own",
        );
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        refused(
            "[stores.\"a/b\"]\n",
            "jobhook.toml:1:9: stores.a/b: a store's name is 1 to 64 of A-Z a-z 0-9 . _ - and not `a/b`",
        );
        let property = "a property is 1 to 64 of A-Z a-z 0-9 _ -, a letter first, and not";
        for wrong in ["", "1", "a.b", "../a", "é"] {
            refused(
                &format!("[stores.a]\nproperties = [\"{wrong}\"]\n"),
                &format!("jobhook.toml:2:14: stores.a.properties: {property} `{wrong}`"),
            );
        }
        refused(
            "[stores.a]\nproperties = []\n",
            "jobhook.toml:2:14: stores.a.properties: a store without properties has no files",
        );
        refused(
            "[stores.a]\nproperties = [\"b\", \"b\"]\n",
            "jobhook.toml:2:14: stores.a.properties: `b` is named twice",
        );
        refused(
            "[stores.a]\nproperty = [\"b\"]\n",
            "jobhook.toml:2:1: unknown key `property` in [stores.a]; did you mean `properties`?",
        );
        refused(
            "stores = 3\n",
            "jobhook.toml:1:1: stores: stores are sections with names, as in [stores.images]",
        );
    }
}
