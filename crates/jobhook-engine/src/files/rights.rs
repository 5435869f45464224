//! What a job may do with which files (clauses `FILE-1` to `FILE-4`).
//!
//! Every no looks the same, so that nobody learns what is there.

use jobhook_protocol::{Access, GrantBody};

use super::error::FilesError;
use super::stores::{Known, Stores};
use crate::action::ActionId;
use crate::file::{INPUTS, OUTPUTS, ObjectRef, PropertyRef};

/// A property as a request names it; nothing about it is known to be true.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The store.
    pub store: &'a str,
    /// The object's id.
    pub object: &'a str,
    /// The property.
    pub property: &'a str,
}

/// A property that a job may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) property: PropertyRef,
    /// Whether its object is made where it is not there.
    pub(super) create: bool,
}

/// Any object, or any property, in a grant.
pub const ANY: &str = "*";

impl Target<'_> {
    /// The property, if the job of `own` may do this with it.
    ///
    /// - `grants`: what its launch allowed.
    pub(super) fn allowed(
        self,
        stores: &Stores,
        own: ActionId,
        grants: &[GrantBody],
        wanted: Access,
    ) -> Result<Allowed, FilesError> {
        let known = stores.find(self.store).ok_or(FilesError::NotFound)?;
        let known_property = known.properties().contains(&self.property);
        if !known_property || !is_object_id(self.object) {
            return Err(FilesError::NotFound);
        }
        let object = ObjectRef {
            store: known.name().to_owned(),
            id: self.object.to_owned(),
        };
        let is_own = object == ObjectRef::of_action(own)
            && match wanted {
                Access::Read => [INPUTS, OUTPUTS].contains(&self.property),
                Access::Write => self.property == OUTPUTS,
            };
        // What an action was launched with, and what its own job left, is nobody else's to change.
        let grantable = wanted == Access::Read || known != Known::Actions;
        let granted = grantable && grants.iter().any(|grant| self.fits(grant, &known, wanted));
        if !is_own && !granted {
            return Err(FilesError::NotFound);
        }
        Ok(Allowed {
            property: object.property(self.property),
            create: known.creates(),
        })
    }

    fn fits(self, grant: &GrantBody, known: &Known<'_>, wanted: Access) -> bool {
        grant.store == known.name()
            && (grant.uuid == ANY || grant.uuid == self.object)
            && (grant.property == ANY || grant.property == self.property)
            && grant.access >= wanted
    }
}

/// Whether a text can be the id of an object (clause `FILE-2`).
pub fn is_object_id(text: &str) -> bool {
    !matches!(text, "." | "..")
        && (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::stores::DeclaredStore;
    use super::*;

    const OWN: ActionId = ActionId(Uuid::from_u128(7));
    const OTHER: ActionId = ActionId(Uuid::from_u128(8));

    fn may(path: &str, wanted: Access, grants: &[GrantBody]) -> bool {
        let declared = DeclaredStore {
            name: "images".into(),
            properties: vec!["files".into(), "thumbs".into()],
            create: true,
        };
        let stores = Stores::new(vec![declared]).unwrap();
        let path = path
            .replace("OWN", &OWN.to_string())
            .replace("OTHER", &OTHER.to_string());
        let parts: Vec<&str> = path.split('/').collect();
        let target = Target {
            store: parts[0],
            object: parts[1],
            property: parts[2],
        };
        target.allowed(&stores, OWN, grants, wanted).is_ok()
    }

    fn grant(store: &str, uuid: &str, property: &str, access: Access) -> GrantBody {
        GrantBody {
            store: store.into(),
            uuid: uuid.replace("OTHER", &OTHER.to_string()),
            property: property.into(),
            access,
        }
    }

    #[test]
    fn a_job_reads_its_inputs_and_outputs_and_writes_its_outputs() {
        use Access::{Read, Write};
        for store in ["actions", "AsyncActions", "ACTIONS"] {
            assert!(may(&format!("{store}/OWN/inputs"), Read, &[]));
            assert!(may(&format!("{store}/OWN/outputs"), Read, &[]));
            assert!(may(&format!("{store}/OWN/outputs"), Write, &[]));
            assert!(!may(&format!("{store}/OWN/inputs"), Write, &[]));
            assert!(!may(&format!("{store}/OTHER/outputs"), Read, &[]));
        }
        for none in [
            "actions/OWN/logs",
            "actions/OWN/",
            "actions//outputs",
            "x/OWN/outputs",
        ] {
            assert!(!may(none, Read, &[]), "{none}");
        }
    }

    #[test]
    fn a_grant_opens_what_it_names_and_nothing_else() {
        use Access::{Read, Write};
        let one = [grant("images", "a", "files", Read)];
        assert!(may("Images/a/files", Read, &one));
        for no in [
            "images/b/files",
            "images/a/thumbs",
            "images/A/files",
            "actions/a/outputs",
        ] {
            assert!(!may(no, Read, &one), "{no}");
        }
        assert!(!may("images/a/files", Write, &one));
        let any = [grant("images", "*", "*", Write)];
        assert!(may("images/anything/thumbs", Write, &any));
        assert!(may("images/anything/thumbs", Read, &any));
        for no in [
            "images/a/colours",
            "images/*/files",
            "images/../files",
            "images/a%2fb/files",
        ] {
            assert!(!may(no, Write, &any), "{no}");
        }
    }

    #[test]
    fn another_actions_files_may_be_granted_to_read_and_never_to_write() {
        use Access::{Read, Write};
        let all = [grant("actions", "OTHER", "outputs", Write)];
        assert!(may("actions/OTHER/outputs", Read, &all));
        assert!(!may("actions/OTHER/outputs", Write, &all));
        assert!(!may("actions/OTHER/inputs", Read, &all));
    }
}
