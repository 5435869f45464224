//! The master keys that attempts' keys are derived from (clauses `KEY-*`).
//!
//! The first is current; older ones stay as long as attempts made under them may speak.
//! Where the bytes are kept is not known here.

use std::fmt;

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
