//! Which stores there are, and what their objects have (clause `FILE-1`).

use std::collections::BTreeMap;

use crate::file::{ACTIONS, INPUTS, OUTPUTS};

/// Another name of [`ACTIONS`], that of the original.
const ALIAS: &str = "AsyncActions";

/// A store beside that of the actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredStore {
    /// Its name.
    pub name: String,
    /// What its objects have.
    pub properties: Vec<String>,
    /// Whether an object is made when the first file is attached to it.
    pub create: bool,
}

/// The stores beside that of the actions, found by name without regard to case.
#[derive(Clone, Debug, Default)]
pub struct Stores(BTreeMap<String, DeclaredStore>);

/// Why stores cannot be what they are called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStores {
    /// The name is that of the actions' store.
    #[error("`{0}` is the store of the actions, and cannot be another")]
    Taken(String),
    /// Two names that differ in case only.
    #[error("`{0}` and `{1}` are one name: case does not matter")]
    Twice(String, String),
}

/// A store that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// That of the actions.
    Actions,
    /// Another.
    Declared(&'a DeclaredStore),
}

impl Known<'_> {
    /// Its name, spelt as it is stored.
    pub fn name(&self) -> &str {
        match self {
            Known::Actions => ACTIONS,
            Known::Declared(store) => &store.name,
        }
    }

    /// What its objects have.
    pub fn properties(&self) -> Vec<&str> {
        match self {
            Known::Actions => vec![INPUTS, OUTPUTS],
            Known::Declared(store) => store.properties.iter().map(String::as_str).collect(),
        }
    }

    /// Whether an object that is not there is made by its first file.
    pub fn creates(&self) -> bool {
        matches!(self, Known::Declared(store) if store.create)
    }
}

impl Stores {
    /// Takes what is declared.
    ///
    /// # Errors
    ///
    /// [`BadStores`].
    pub fn new(declared: Vec<DeclaredStore>) -> Result<Stores, BadStores> {
        let mut stores = BTreeMap::new();
        for store in declared {
            let name = store.name.clone();
            if is_actions(&name) {
                return Err(BadStores::Taken(name));
            }
            if let Some(other) = stores.insert(name.to_ascii_lowercase(), store) {
                return Err(BadStores::Twice(other.name, name));
            }
        }
        Ok(Stores(stores))
    }

    /// The store of a name.
    pub fn find(&self, name: &str) -> Option<Known<'_>> {
        if is_actions(name) {
            return Some(Known::Actions);
        }
        let declared = self.0.get(&name.to_ascii_lowercase())?;
        Some(Known::Declared(declared))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &DeclaredStore> {
        self.0.values()
    }
}

fn is_actions(name: &str) -> bool {
    [ACTIONS, ALIAS]
        .iter()
        .any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> DeclaredStore {
        DeclaredStore {
            name: "Images".into(),
            properties: vec!["files".into()],
            create: true,
        }
    }

    #[test]
    fn a_store_is_found_in_any_case_and_under_the_name_of_the_original() {
        let stores = Stores::new(vec![images()]).unwrap();
        for actions in ["actions", "ACTIONS", "AsyncActions", "asyncactions"] {
            assert_eq!(stores.find(actions), Some(Known::Actions));
        }
        assert_eq!(stores.find("iMAGES"), Some(Known::Declared(&images())));
        for other in ["", "image", "images ", "ímages", "constructor", "../images"] {
            assert_eq!(stores.find(other), None, "{other}");
        }
    }

    #[test]
    fn one_name_is_one_store() {
        let named = |name: &str| DeclaredStore {
            name: name.into(),
            ..images()
        };
        let taken = Stores::new(vec![named("asyncActions")]);
        assert_eq!(taken.unwrap_err(), BadStores::Taken("asyncActions".into()));
        let twice = Stores::new(vec![named("Images"), named("images")]);
        let expected = BadStores::Twice("Images".into(), "images".into());
        assert_eq!(twice.unwrap_err(), expected);
    }
}
