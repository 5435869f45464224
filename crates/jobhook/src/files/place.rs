//! Where files are: a property of an object of a store, and the address of that at the hook.

use std::fmt::Write;

use crate::{Error, Job};

/// The store whose objects are actions; and what the original calls it.
const ACTIONS: &str = "actions";
const ORIGINAL_ACTIONS: &str = "AsyncActions";

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) uuid: String,
    pub(crate) property: String,
}

impl Job {
    /// The store that has the action of this job, and its `inputs` and `outputs`.
    pub fn action_store(&self) -> &'static str {
        match self.attempt() {
            Some(_) => ACTIONS,
            None => ORIGINAL_ACTIONS,
        }
    }
}

impl Place {
    pub(crate) fn new(store: &str, uuid: &str, property: &str) -> Place {
        Place {
            store: store.to_owned(),
            uuid: uuid.to_owned(),
            property: property.to_owned(),
        }
    }

    /// A property of the job's own action.
    pub(crate) fn own(job: &Job, property: &str) -> Place {
        Place::new(job.action_store(), job.id(), property)
    }

    /// What follows the hook's address to upload there.
    pub(crate) fn upload_target(&self) -> Result<String, Error> {
        self.target("/upload")
    }

    /// What follows the hook's address to download one of its files.
    pub(crate) fn download_target(&self, index: u64) -> Result<String, Error> {
        let target = self.target("/download")?;
        Ok(format!("{target}/{index}"))
    }

    fn target(&self, verb: &str) -> Result<String, Error> {
        let mut target = verb.to_owned();
        for (name, part) in [
            ("the store", &self.store),
            ("the object's id", &self.uuid),
            ("the property", &self.property),
        ] {
            // Dots would lead to another address, escaped or not.
            if matches!(part.as_str(), "" | "." | "..") {
                let reason = format!("`{part}` is no part of an address");
                return Err(Error::Setting { name, reason });
            }
            target.push('/');
            escape(part, &mut target);
        }
        Ok(target)
    }
}

/// Writes `part` so that it is one part of a path (RFC 3986, 2.3).
fn escape(part: &str, to: &mut String) {
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_address_stays_one() {
        let place = Place {
            store: "images".to_owned(),
            uuid: "a/../b?c#d".to_owned(),
            property: "é %".to_owned(),
        };
        let target = place.download_target(3).unwrap();
        assert_eq!(target, "/download/images/a%2F..%2Fb%3Fc%23d/%C3%A9%20%25/3");
        let url = reqwest::Url::parse(&format!("http://h/async{target}")).unwrap();
        assert_eq!(url.path(), format!("/async{target}"));
    }

    #[test]
    fn the_files_of_an_action_are_where_its_server_has_them() {
        let hook = crate::testing::FakeHook::start().unwrap();
        for (attempt, store) in [(Some(1), "actions"), (None, "AsyncActions")] {
            let environment = jobhook_protocol::JobEnvironment {
                attempt,
                ..hook.environment()
            };
            hook.set_environment(environment);
            let job = hook.job().build().unwrap();
            assert_eq!(Place::own(&job, "outputs").store, store);
            // Here they are the same.
            job.upload_bytes(store).send().unwrap();
        }
        assert_eq!(hook.files("outputs").len(), 2);
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for part in ["", ".", ".."] {
            let place = Place::new("actions", part, "outputs");
            assert_eq!(place.upload_target().unwrap_err().code(), "invalid_setting");
            let place = Place::new("actions", "a", part);
            assert!(place.download_target(0).is_err());
        }
    }
}
