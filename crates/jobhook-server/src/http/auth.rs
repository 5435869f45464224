//! Who may use the management API (clauses `API-1` to `API-3`).
//!
//! Where there are tokens, every request carries one, and its scope decides. Where there are
//! none, only this machine is served, and only to programs on it: see `loopback`. The hook is
//! not behind this door; jobs sign what they send.
//!
//! A handler that shows something takes a [`Reader`]; one that does something names the scope
//! to get at the body (see `posted`). How tokens are kept is not known here.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jobhook_engine::store::StoreError;
use jobhook_protocol::Code;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Surface;
use super::inbox::Inbox;
use super::loopback;
use super::refusal::{Answered, Refused};

/// The name of those who come without a token, where there are none.
const LOCAL: &str = "local";

/// What a token allows. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Look at actions and their logs.
    Read,
    /// Launch actions.
    Launch,
    /// Cancel and retry them.
    Operate,
    /// Everything.
    Admin,
}

impl Scope {
    /// The word in configuration and texts.
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
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Scope, TokenError> {
        [Scope::Read, Scope::Launch, Scope::Operate, Scope::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| TokenError::Scope(text.to_owned()))
    }
}

/// Who a token belongs to, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's name; cancellations are signed with it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
}

/// Tokens that are kept somewhere.
#[async_trait]
pub trait TokenLookup: fmt::Debug + Send + Sync + 'static {
    /// The grant of the token with this SHA-256, if there is one.
    async fn find(&self, sha256: &[u8; 32]) -> Result<Option<Grant>, StoreError>;

    /// Whether there are tokens at all.
    async fn any(&self) -> Result<bool, StoreError>;
}

/// A token from the configuration, which holds its SHA-256 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticToken {
    sha256: [u8; 32],
    grant: Grant,
}

/// Why a configured token is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not 64 hexadecimal digits.
    #[error("the sha256 of the token `{0}` must be 64 hexadecimal digits")]
    Sha256(String),
    /// No such scope.
    #[error("there is no scope `{0}`; the scopes are read, launch, operate, admin")]
    Scope(String),
}

impl StaticToken {
    /// A token called `name` whose text has the SHA-256 `sha256`, in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`TokenError::Sha256`].
    pub fn new(name: &str, sha256: &str, scope: Scope) -> Result<StaticToken, TokenError> {
        let bad = || TokenError::Sha256(name.to_owned());
        if sha256.len() != 64 || !sha256.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &sha256[2 * at..2 * at + 2];
            // `from_str_radix` takes a sign as well.
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        let name = name.to_owned();
        Ok(StaticToken {
            sha256: bytes,
            grant: Grant { name, scope },
        })
    }
}

/// The tokens of a server.
#[derive(Clone, Debug, Default)]
pub struct Access {
    configured: Vec<StaticToken>,
    kept: Option<Arc<dyn TokenLookup>>,
}

impl Access {
    /// Tokens from the configuration, and those that are kept.
    pub fn new(configured: Vec<StaticToken>, kept: Option<Arc<dyn TokenLookup>>) -> Access {
        Access { configured, kept }
    }

    /// Whether there are tokens; if not, only this machine may be served.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kept ones could not be read.
    pub async fn has_tokens(&self) -> Result<bool, StoreError> {
        if !self.configured.is_empty() {
            return Ok(true);
        }
        match &self.kept {
            Some(kept) => kept.any().await,
            None => Ok(false),
        }
    }

    async fn judge(&self, head: &Parts) -> Answered<Grant> {
        if self.has_tokens().await? {
            return self.judge_token(&head.headers).await;
        }
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        loopback::judge(head, peer.map(|peer| peer.0.ip()))?;
        Ok(Grant {
            name: LOCAL.to_owned(),
            scope: Scope::Admin,
        })
    }

    async fn judge_token(&self, headers: &HeaderMap) -> Answered<Grant> {
        let unauthenticated = |detail: &str| Refused::new(Code::Unauthenticated, detail);
        let token = bearer(headers).ok_or_else(|| {
            unauthenticated("send the header Authorization: Bearer with a token of this server")
        })?;
        let sha256: [u8; 32] = Sha256::digest(token).into();
        // All are compared, so the time taken does not tell which was near.
        let mut found = None;
        for token in &self.configured {
            if bool::from(token.sha256.ct_eq(&sha256)) {
                found = Some(&token.grant);
            }
        }
        if let Some(grant) = found {
            return Ok(grant.clone());
        }
        let kept = match &self.kept {
            Some(kept) => kept.find(&sha256).await?,
            None => None,
        };
        kept.ok_or_else(|| unauthenticated("the token is not known here; it may be revoked"))
    }
}

/// The one token that a request carries.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// Lets a request in, and notes who it is from.
pub(super) async fn admit(
    State(surface): State<Arc<Surface>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    match surface.access.judge(&head).await {
        Ok(grant) => {
            head.extensions.insert(grant);
            next.run(Request::from_parts(head, body)).await
        }
        Err(refused) => turn_away(&head.headers, body, refused),
    }
}

fn turn_away(headers: &HeaderMap, body: Body, refused: Refused) -> Response {
    drop(Inbox::new(headers, body));
    refused.into_response()
}

/// Who a request is from, if they have `scope`.
pub(super) fn require(head: &Parts, scope: Scope) -> Answered<Grant> {
    // Without the note the door was left out: a fault of ours.
    let grant = head
        .extensions
        .get::<Grant>()
        .ok_or_else(Refused::internal)?;
    if grant.scope >= scope {
        return Ok(grant.clone());
    }
    let detail = format!(
        "this needs the scope `{scope}`; the token `{}` has `{}`",
        grant.name, grant.scope
    );
    Err(Refused::new(Code::ScopeRequired, detail))
}

/// Somebody who may look.
#[derive(Debug)]
pub(super) struct Reader;

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Refused;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Answered<Reader> {
        require(head, Scope::Read).map(|_| Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_includes_those_before_it() {
        assert!(Scope::Read < Scope::Launch);
        assert!(Scope::Launch < Scope::Operate);
        assert!(Scope::Operate < Scope::Admin);
        assert_eq!("operate".parse(), Ok(Scope::Operate));
        assert_eq!(
            "root".parse::<Scope>(),
            Err(TokenError::Scope("root".into()))
        );
    }

    #[test]
    fn a_configured_token_has_a_whole_hash() {
        assert!(StaticToken::new("ci", &"0aF9".repeat(16), Scope::Read).is_ok());
        for sha256 in ["", "00", &"+1".repeat(32), &"é".repeat(32)] {
            let bad = Err(TokenError::Sha256("ci".into()));
            assert_eq!(StaticToken::new("ci", sha256, Scope::Read), bad);
        }
    }

    #[test]
    fn a_token_is_sent_once_and_as_a_bearer() {
        let sent = |values: &[&'static str]| {
            let pairs = values
                .iter()
                .map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
            let headers = HeaderMap::from_iter(pairs);
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(sent(&["bearer  jh_x"]), Some(b"jh_x".to_vec()));
        for values in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Basic jh_x"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(sent(values), None, "{values:?}");
        }
    }
}
