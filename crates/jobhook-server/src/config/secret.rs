//! What must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::section::Judged;

/// A text that shows nowhere, whoever prints the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Secret, D::Error> {
        source.deserialize_str(Judged {
            expected: "a text",
            judge: |text| match text {
                "" => Err("it is empty".to_owned()),
                text => Ok(Secret(text.to_owned())),
            },
        })
    }
}
