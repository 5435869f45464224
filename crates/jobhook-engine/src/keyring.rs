//! The master keys that attempts' keys are derived from (clauses `KEY-*`).
//!
//! The first is current; older ones stay as long as attempts made under them may speak.
//! Where the bytes are kept is not known here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jobhook_protocol::{KeyError, SecretKey, attempt_key, key::hex};
use sha2::{Digest, Sha256};

use crate::attempt::Attempt;

/// One master key. Never printed.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    bytes: Vec<u8>,
}

impl MasterKey {
    /// How many bytes a master key has at least.
    pub const MIN_LEN: usize = 32;

    /// Takes the bytes of a master key.
    ///
    /// # Errors
    ///
    /// [`WeakKey`] for fewer than [`MasterKey::MIN_LEN`] bytes.
    pub fn new(bytes: Vec<u8>) -> Result<MasterKey, WeakKey> {
        if bytes.len() < MasterKey::MIN_LEN {
            return Err(WeakKey { len: bytes.len() });
        }
        // A name that does not give the key away.
        let digest = Sha256::new()
            .chain_update(b"jobhook key-id\n")
            .chain_update(&bytes)
            .finalize();
        Ok(MasterKey {
            id: hex(&digest[..8]),
            bytes,
        })
    }

    /// Its name, derived from its bytes.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ..)", self.id)
    }
}

/// A master key that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a master key has at least {} bytes, this one {len}",
    MasterKey::MIN_LEN
)]
pub struct WeakKey {
    /// How many bytes it has.
    pub len: usize,
}

/// The master keys of a server.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: MasterKey,
    older: Vec<MasterKey>,
}

impl Keyring {
    /// A ring that makes new keys from `current`, and still knows `older` ones.
    pub fn new(current: MasterKey, older: Vec<MasterKey>) -> Keyring {
        Keyring { current, older }
    }

    /// The name of the current master key.
    pub fn current_id(&self) -> &str {
        self.current.id()
    }

    /// The key of an attempt.
    ///
    /// # Errors
    ///
    /// [`KeyringError`].
    pub fn key_of(&self, attempt: &Attempt) -> Result<SecretKey, KeyringError> {
        let master = std::iter::once(&self.current)
            .chain(&self.older)
            .find(|master| master.id == attempt.key_id)
            .ok_or_else(|| KeyringError::Unknown(attempt.key_id.clone()))?;
        Ok(attempt_key(
            &master.bytes,
            &attempt.at.action.to_string(),
            attempt.at.number,
            &attempt.nonce,
        )?)
    }
}

impl Keyring {
    /// A text that holds `payload`, and shows that it was made here: it can be read by anybody,
    /// and made by nobody else.
    ///
    /// - `label`: what it is for; under another label it is no seal.
    pub(crate) fn seal(&self, label: &str, payload: &[u8]) -> String {
        let seal = self.current.mac(label, payload).finalize().into_bytes();
        let (payload, seal) = (
            URL_SAFE_NO_PAD.encode(payload),
            URL_SAFE_NO_PAD.encode(seal),
        );
        format!("{payload}.{seal}")
    }

    /// What was sealed under `label` with one of the master keys.
    pub(crate) fn unseal(&self, label: &str, sealed: &str) -> Option<Vec<u8>> {
        let (payload, seal) = sealed.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        std::iter::once(&self.current)
            .chain(&self.older)
            .any(|master| master.mac(label, &payload).verify_slice(&seal).is_ok())
            .then_some(payload)
    }
}

impl MasterKey {
    #[allow(
        clippy::expect_used,
        reason = "RFC 2104 defines HMAC for every key length"
    )]
    fn mac(&self, label: &str, payload: &[u8]) -> Hmac<Sha256> {
        let keyed = |key: &[u8]| {
            Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
        };
        // A key of its own for each label, so that no text for one use is one for another.
        let own = keyed(&self.bytes).chain_update(label).finalize();
        keyed(&own.into_bytes()).chain_update(payload)
    }
}

/// Why an attempt has no key here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The master key it was made under is not in the ring any more.
    #[error("the master key {0} is not configured any more; put it back among the older keys")]
    Unknown(String),
    /// What is stored of the attempt gives no key.
    #[error(transparent)]
    Underivable(#[from] KeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::new(vec![byte; 32]).unwrap()
    }

    #[test]
    fn a_seal_holds_for_its_label_and_its_payload_under_any_master_of_the_ring() {
        let ring = Keyring::new(master(1), Vec::new());
        let sealed = ring.seal("a", b"payload");
        assert_eq!(ring.unseal("a", &sealed), Some(b"payload".to_vec()));
        assert_eq!(ring.unseal("b", &sealed), None);
        let later = Keyring::new(master(2), vec![master(1)]);
        assert_eq!(later.unseal("a", &sealed), Some(b"payload".to_vec()));
        assert_eq!(
            Keyring::new(master(2), Vec::new()).unseal("a", &sealed),
            None
        );
    }

    #[test]
    fn a_seal_that_was_touched_is_none() {
        let ring = Keyring::new(master(1), Vec::new());
        let sealed = ring.seal("a", b"payload");
        let (payload, seal) = sealed.split_once('.').unwrap();
        let other = ring.seal("a", b"payloae");
        let (other, _) = other.split_once('.').unwrap();
        let upper = payload.to_uppercase();
        for touched in [
            format!("{other}.{seal}"),
            format!("{upper}.{seal}"),
            format!("{payload}.{}", &seal[1..]),
            format!("{payload}."),
            format!(".{seal}"),
            format!("{payload}{seal}"),
            format!("{sealed}.{seal}"),
            format!(" {sealed}"),
            String::new(),
        ] {
            assert_eq!(ring.unseal("a", &touched), None, "{touched}");
        }
    }
}
