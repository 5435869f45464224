//! Keys of attempts (clauses `KEY-*`): derived, never stored, never shown.
//!
//! A key is text whose characters are bytes (latin-1), because the original's Python client
//! encodes it so. Nothing here knows where master keys are kept.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) type HmacSha256 = Hmac<Sha256>;

/// The secret of one attempt, as bytes. Never printed: its `Debug` shows `(..)`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(Vec<u8>);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// HMAC would accept it, and so would anybody.
    #[error("the key is empty")]
    Empty,
    /// A character above U+00FF has no latin-1 byte.
    #[error("the key has a character outside latin-1 (above U+00FF)")]
    NotLatin1,
    /// Attempts are numbered from 1.
    #[error("an attempt's number is 1 or more")]
    NoAttempt,
    /// Without a nonce two attempts could share a key.
    #[error("an attempt's nonce is not empty")]
    NoNonce,
}

impl SecretKey {
    /// Reads a key from its text, as it stands in `JOB_SECRET_KEY`.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the text itself is in no error.
    pub fn from_text(text: &str) -> Result<SecretKey, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| KeyError::NotLatin1))
            .collect::<Result<Vec<u8>, KeyError>>()
            .map(SecretKey)
    }

    /// The key's text, for the environment of a job and for nothing else.
    pub fn reveal(&self) -> String {
        self.0.iter().copied().map(char::from).collect()
    }

    pub(crate) fn mac(&self) -> HmacSha256 {
        keyed(&self.0)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// HMAC takes a key of any length (RFC 2104), so this cannot fail.
#[allow(
    clippy::expect_used,
    reason = "RFC 2104 defines HMAC for every key length"
)]
pub(crate) fn keyed(bytes: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(bytes).expect("HMAC takes keys of any length")
}

/// Derives the key of one attempt (clause `KEY-1`):
/// lower-case hex of HMAC-SHA256(master, `"jobhook job-key\n{id}\n{attempt}\n{nonce}"`).
///
/// - `attempt`: numbered from 1.
/// - `nonce`: drawn at random when the attempt was claimed; kept with it, not secret.
///
/// A new attempt has a new key, so what an older one signs is told apart by arithmetic.
///
/// # Errors
///
/// [`KeyError::NoAttempt`] and [`KeyError::NoNonce`].
pub fn attempt_key(
    master: &[u8],
    id: &str,
    attempt: u32,
    nonce: &str,
) -> Result<SecretKey, KeyError> {
    if attempt == 0 {
        return Err(KeyError::NoAttempt);
    }
    if nonce.is_empty() {
        return Err(KeyError::NoNonce);
    }
    let mut mac = keyed(master);
    mac.update(format!("jobhook job-key\n{id}\n{attempt}\n{nonce}").as_bytes());
    Ok(SecretKey(hex(&mac.finalize().into_bytes()).into_bytes()))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads exactly `N` bytes of lower-case hexadecimal; anything else is `None`.
pub(crate) fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = SecretKey::from_text("s3cret").unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(..)");
        assert_eq!(key.reveal(), "s3cret");
    }

    #[test]
    fn a_key_is_latin_1_text() {
        assert_eq!(SecretKey::from_text("é").unwrap().0, [0xE9]);
        assert_eq!(SecretKey::from_text("€"), Err(KeyError::NotLatin1));
        assert_eq!(SecretKey::from_text(""), Err(KeyError::Empty));
    }

    #[test]
    fn each_attempt_has_its_own_key() {
        let one = attempt_key(b"master", "a", 1, "n");
        assert_ne!(one, attempt_key(b"master", "a", 2, "n"));
        assert_ne!(one, attempt_key(b"master", "a", 1, "m"));
        assert_eq!(one, attempt_key(b"master", "a", 1, "n"));
        assert_eq!(one.unwrap().reveal().len(), 64);
        assert_eq!(
            attempt_key(b"master", "a", 0, "n"),
            Err(KeyError::NoAttempt)
        );
        assert_eq!(attempt_key(b"master", "a", 1, ""), Err(KeyError::NoNonce));
    }
}
