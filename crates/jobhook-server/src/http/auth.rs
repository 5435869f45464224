//! Who may use the management API (clauses `API-1` to `API-3`).
//!
//! Where there are tokens, every request carries one, and its scope decides. Where there are
//! none, only this machine is served, and only to programs on it: see `loopback`. The hook is
//! not behind this door; jobs sign what they send.
//!
//! A handler that shows something takes a [`Reader`]; one that does something names the scope
//! to get at the body (see `posted`). How tokens are kept is not known here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jobhook_engine::clock::Timestamp;
use jobhook_engine::store::StoreError;
use jobhook_protocol::Code;
use serde_json::{Map, Value};

use super::Surface;
use super::inbox::Inbox;
use super::loopback;
use super::refusal::{Answered, Refused};
use crate::operations::Claims;
use crate::tokens::{Scope, Token, TokenHash, Tokens};

/// The name of those who come without a token, where there are none.
const LOCAL: &str = "local";

/// Who a token belongs to, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The token's name; cancellations are signed with it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// What permissions of operations are about: its name, its scope, and what else is known.
    pub claims: Claims,
}

impl Grant {
    /// What the token of this name allows.
    ///
    /// - `claims`: what else is known of its holder.
    pub fn new(name: impl Into<String>, scope: Scope, claims: &Map<String, Value>) -> Grant {
        let name = name.into();
        let claims = Claims::new(&name, scope.as_str(), claims);
        Grant {
            name,
            scope,
            claims,
        }
    }
}

/// By what a request was let in: the hash of its token, if there were tokens then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass(Option<TokenHash>);

/// A token that is fixed in the configuration, which holds its hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticToken {
    /// Its hash.
    pub hash: TokenHash,
    /// Whose it is, and what it allows.
    pub grant: Grant,
}

/// The tokens of a server.
#[derive(Clone, Debug, Default)]
pub struct Access {
    configured: Vec<StaticToken>,
    kept: Option<Arc<dyn Tokens>>,
    /// Whether there ever were tokens since the server started: revoking the last one, because
    /// it leaked maybe, must not let everybody in.
    seen: Arc<AtomicBool>,
}

impl Access {
    /// Tokens from the configuration, and those that are kept.
    pub fn new(configured: Vec<StaticToken>, kept: Option<Arc<dyn Tokens>>) -> Access {
        Access {
            configured,
            kept,
            seen: Arc::default(),
        }
    }

    /// Whether there are tokens, or were since the server started; if not, only this machine
    /// may be served.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kept ones could not be read.
    pub async fn has_tokens(&self) -> Result<bool, StoreError> {
        if !self.configured.is_empty() {
            return Ok(true);
        }
        if self.seen.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let any = match &self.kept {
            Some(kept) => kept.any().await?,
            None => false,
        };
        if any {
            self.seen.store(true, Ordering::Relaxed);
        }
        Ok(any)
    }

    /// Whether what was let in by `pass` would be let in now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the kept tokens could not be read.
    pub(super) async fn still_admits(
        &self,
        pass: Pass,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        match pass.0 {
            Some(hash) => Ok(self.grant_of(hash, now).await?.is_some()),
            None => Ok(!self.has_tokens().await?),
        }
    }

    async fn judge(&self, head: &Parts, now: Timestamp) -> Answered<(Grant, Pass)> {
        if self.has_tokens().await? {
            return self.judge_token(&head.headers, now).await;
        }
        let peer = head.extensions.get::<ConnectInfo<SocketAddr>>();
        loopback::judge(head, peer.map(|peer| peer.0.ip()))?;
        let grant = Grant::new(LOCAL, Scope::Admin, &Map::new());
        Ok((grant, Pass(None)))
    }

    async fn judge_token(&self, headers: &HeaderMap, now: Timestamp) -> Answered<(Grant, Pass)> {
        let unauthenticated = |detail: &str| Refused::new(Code::Unauthenticated, detail);
        let token = bearer(headers).ok_or_else(|| {
            unauthenticated("send the header Authorization: Bearer with a token of this server")
        })?;
        let hash = TokenHash::of(token);
        match self.grant_of(hash, now).await? {
            Some(grant) => Ok((grant, Pass(Some(hash)))),
            None => Err(unauthenticated(
                "the token is not known here; it may be revoked",
            )),
        }
    }

    /// What the token with this hash allows; `None` if there is none.
    async fn grant_of(&self, hash: TokenHash, now: Timestamp) -> Result<Option<Grant>, StoreError> {
        // All are compared, so the time taken does not tell which was near.
        let mut found = None;
        for token in &self.configured {
            if token.hash == hash {
                found = Some(&token.grant);
            }
        }
        if let Some(grant) = found {
            return Ok(Some(grant.clone()));
        }
        let kept = match &self.kept {
            Some(kept) => kept.find(hash, now).await?,
            None => None,
        };
        Ok(kept.map(|Token { name, scope, .. }| Grant::new(name, scope, &Map::new())))
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
    match surface
        .access
        .judge(&head, surface.engine.clock().now())
        .await
    {
        Ok((grant, pass)) => {
            head.extensions.insert(grant);
            head.extensions.insert(pass);
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
pub(super) struct Reader(pub(super) Grant);

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Refused;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Answered<Reader> {
        require(head, Scope::Read).map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
