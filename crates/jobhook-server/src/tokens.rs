//! Tokens of the management API: who may do what.
//!
//! A token is shown once, when it is made. What is kept is its SHA-256: 256 random bits need
//! no slow hash and no salt, and a stolen database lets nobody in. A token that is revoked
//! is gone at once: every request that carries one asks the store.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::store::StoreError;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a holder may do (clause `API-2`); each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See actions and their logs.
    Read,
    /// Launch actions.
    Launch,
    /// Cancel and retry them.
    Operate,
    /// Everything, also tokens.
    Admin,
}

/// A word that is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; known are read, launch, operate, admin")]
pub struct UnknownScope(pub String);

/// What is known of a token. Not the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name, unique.
    pub name: String,
    /// What its holder may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the minute; a use may be missing after a crash.
    pub last_used_at: Option<Timestamp>,
}

/// A token as its holder has it. Never printed: its `Debug` shows `(..)`.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainToken(String);

/// What is kept of a token: its SHA-256. Compared in constant time.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

/// A text that is no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hexadecimal digits")]
pub struct NotAHash;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Another has this name.
    #[error("there is a token called `{0}`")]
    NameTaken(String),
    /// Not a name.
    #[error(
        "a token's name has 1 to 64 characters, none of them a control character, and is not `local`"
    )]
    InvalidName,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps tokens.
#[async_trait]
pub trait Tokens: fmt::Debug + Send + Sync + 'static {
    /// Makes a token. This is the only time it is seen.
    async fn create(
        &self,
        name: &str,
        scope: Scope,
        now: Timestamp,
    ) -> Result<PlainToken, TokenError>;

    /// Reads what is known of all tokens, by name.
    async fn list(&self) -> Result<Vec<Token>, StoreError>;

    /// Removes a token; once this returns, nobody gets in with it. `false` if there is none.
    async fn revoke(&self, name: &str) -> Result<bool, StoreError>;

    /// Finds the token that a request carries, and notes that it was used at `now`.
    async fn find(&self, hash: TokenHash, now: Timestamp) -> Result<Option<Token>, StoreError>;

    /// Whether there are tokens at all: without any, the server listens on loopback only. The first
    /// one that another process makes may be overlooked for a millisecond.
    async fn any(&self) -> Result<bool, StoreError>;
}

impl Scope {
    /// Every scope, the least first.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Launch, Scope::Operate, Scope::Admin];

    /// The word on the command line and in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Launch => "launch",
            Scope::Operate => "operate",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Scope, UnknownScope> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| UnknownScope(word.chars().take(64).collect()))
    }
}

impl PlainToken {
    /// Draws a token: `jh_` and 256 random bits in 43 characters of base64url.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the system has no random bytes.
    pub fn draw() -> Result<PlainToken, StoreError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| StoreError::Unavailable(error.to_string().into()))?;
        Ok(PlainToken(format!("jh_{}", base64url(&bytes))))
    }

    /// The token, to be shown to its holder once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(..)")
    }
}

impl TokenHash {
    /// Hashes a token as a request carries it, whatever it looks like.
    pub fn of(token: &[u8]) -> TokenHash {
        TokenHash(Sha256::digest(token).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for TokenHash {
    type Err = NotAHash;

    fn from_str(hex: &str) -> Result<TokenHash, NotAHash> {
        if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NotAHash);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(|_| NotAHash)?;
        }
        Ok(TokenHash(bytes))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &TokenHash) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// Whether a token may have this name. `local` is who acts where there are no tokens.
pub fn is_token_name(name: &str) -> bool {
    (1..=64).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && name != "local"
}

/// RFC 4648 §5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = |chunk: &[u8]| {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        let digit = move |n: usize| DIGITS[(bits >> (18 - 6 * n)) as usize & 63];
        (0..=chunk.len()).map(move |n| char::from(digit(n)))
    };
    bytes.chunks(3).flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff, 0xfe]), "-__-");
    }

    #[test]
    fn a_token_is_long_and_never_shows_in_debug_output() {
        let token = PlainToken::draw().unwrap();
        assert_eq!(token.reveal().len(), 46);
        assert!(token.reveal().starts_with("jh_"));
        assert_ne!(token, PlainToken::draw().unwrap());
        assert_eq!(format!("{token:?}"), "PlainToken(..)");
        assert_eq!(format!("{:?}", TokenHash::of(b"x")), "TokenHash(..)");
    }

    #[test]
    fn a_hash_is_read_from_64_hexadecimal_digits() {
        let hash = TokenHash::of(b"jh_x");
        let hex = jobhook_protocol::key::hex(hash.as_bytes());
        assert_eq!(hex.parse(), Ok(hash));
        assert_eq!(hex.to_uppercase().parse(), Ok(hash));
        for text in ["", "00", &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(text.parse::<TokenHash>(), Err(NotAHash));
        }
    }

    #[test]
    fn each_scope_includes_those_before_it() {
        assert!(Scope::ALL.is_sorted());
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("root".parse::<Scope>().is_err());
    }

    #[test]
    fn a_name_is_short_and_printable() {
        assert!(is_token_name("ci of Zoë"));
        for name in ["", "local", "a\nb", &"x".repeat(65)] {
            assert!(!is_token_name(name), "{name:?}");
        }
    }
}
