//! What names a content (clauses `FILE-6`, `FILE-7`): MD5, challenge and SHA-256 of its bytes.
//!
//! The sums are computed by the digesters of [`crate::digester`].

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

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the bytes of a content come after in its challenge (clause `FILE-7`).
pub const CHALLENGE_PREFIX: &[u8; 5] = b"WEBDA";

impl Md5Sum {
    /// Takes what [`Md5Sum::to_base64`] gives, and nothing else.
    pub fn from_base64(text: &str) -> Option<Md5Sum> {
        let sextets = text.strip_suffix("==")?.bytes().map(|byte| {
            let at = ALPHABET.iter().position(|known| *known == byte)?;
            u8::try_from(at).ok()
        });
        let (mut sum, mut bits, mut held, mut filled) = ([0; 16], 0u32, 0, 0);
        for sextet in sextets {
            (bits, held) = (bits << 6 | u32::from(sextet?), held + 6);
            if held >= 8 {
                held -= 8;
                *sum.get_mut(filled)? = (bits >> held) as u8;
                filled += 1;
            }
        }
        let sum = Md5Sum(sum);
        (sum.to_base64() == text).then_some(sum)
    }

    /// As the answers to an upload have it (clause `UP-3`): RFC 4648 base64, 24 characters.
    pub fn to_base64(self) -> String {
        let mut text = String::with_capacity(24);
        for three in self.0.chunks(3) {
            let bits = three.iter().enumerate().fold(0, |bits, (at, byte)| {
                bits | usize::from(*byte) << (16 - 8 * at)
            });
            for at in 0..4 {
                text.push(if at <= three.len() {
                    char::from(ALPHABET[bits >> (18 - 6 * at) & 63])
                } else {
                    '='
                });
            }
        }
        text
    }
}

/// A text that is no sum of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be {digits} lower-case hexadecimal digits")]
pub struct NotASum {
    digits: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_one_spelling() {
        let text = "5eb63bbbe01eeed093cb22bb8f5acdc3";
        let sum: Md5Sum = text.parse().unwrap();
        assert_eq!(sum.to_string(), text);
        assert_eq!(sum.to_base64(), "XrY7u+Ae7tCTyyK7j1rNww==");
        assert_eq!(Md5Sum::from_base64("XrY7u+Ae7tCTyyK7j1rNww=="), Some(sum));
        for wrong in [
            "",
            "==",
            "XrY7",
            "XrY7u+Ae7tCTyyK7j1rNww",
            "XrY7u+Ae7tCTyyK7j1rNwx==",
            "XrY7u+Ae7tCTyyK7j1rNwwAA==",
        ] {
            assert_eq!(Md5Sum::from_base64(wrong), None, "{wrong}");
        }
        for wrong in ["", "5eb6", &text.to_uppercase(), &text.replace('5', "g")] {
            assert!(wrong.parse::<Md5Sum>().is_err(), "{wrong}");
        }
        assert!(text.parse::<Sha256Sum>().is_err());
    }
}
