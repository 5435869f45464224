//! What names a content (clauses `FILE-6`, `FILE-7`): MD5, challenge and SHA-256 of its bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::hex;

macro_rules! sums {
    ($($(#[$doc:meta])* $name:ident = $len:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = NotASum;

            /// Takes lower-case hexadecimal only: one sum has one spelling.
            fn from_str(text: &str) -> Result<$name, NotASum> {
                crate::key::unhex(text.as_bytes())
                    .map($name)
                    .ok_or(NotASum { digits: $len * 2 })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

sums! {
    /// An MD5 (RFC 1321), of a content or of `WEBDA` and a content.
    Md5Sum = 16;
    /// A SHA-256 (FIPS 180-4).
    Sha256Sum = 32;
}

/// A text that is no sum of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be {digits} lower-case hexadecimal digits")]
pub struct NotASum {
    digits: usize,
}
