//! Where files are, as people type it: `STORE/ID/PROPERTY`.

use std::str::FromStr;

/// A property of an object of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) id: String,
    pub(crate) property: String,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Place, &'static str> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [store, id, property] if parts.iter().all(|part| !part.is_empty()) => Ok(Place {
                store: (*store).to_owned(),
                id: (*id).to_owned(),
                property: (*property).to_owned(),
            }),
            _ => Err("it must be STORE/ID/PROPERTY, such as images/cat-1/files"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_three_parts() {
        let place: Place = "images/cat-1/files".parse().unwrap();
        let parts = (
            place.store.as_str(),
            place.id.as_str(),
            place.property.as_str(),
        );
        assert_eq!(parts, ("images", "cat-1", "files"));
        for none in [
            "",
            "images",
            "images/cat",
            "images//files",
            "a/b/c/d",
            "/a/b",
        ] {
            assert!(none.parse::<Place>().is_err(), "{none}");
        }
    }
}
