//! What was posted to the management API: by whom, and its body (clauses `API-1`, `API-3`).
//!
//! A body must say that it is JSON. What a web page may send without asking first says
//! something else, so that no page can launch commands.

use axum::extract::Request;
use axum::http::request::Parts;
use jobhook_protocol::{Code, JsonError, json};

use super::Surface;
use super::auth::{Grant, require};
use super::inbox::{Inbox, says_json};
use super::refusal::{Answered, Refused};
use crate::tokens::Scope;

/// What a launch takes beside its arguments, in bytes.
const ROOM: usize = 64 << 10;

/// A request that may do something, read to its end.
#[derive(Debug)]
pub(super) struct Posted {
    /// Who it is from.
    pub(super) grant: Grant,
    /// All but its body.
    pub(super) head: Parts,
    /// Its body.
    pub(super) body: Vec<u8>,
}

impl Posted {
    /// Receives a request from somebody who has `scope`.
    pub(super) async fn receive(
        surface: &Surface,
        request: Request,
        scope: Scope,
    ) -> Answered<Posted> {
        let (head, body) = request.into_parts();
        let mut inbox = Inbox::new(&head.headers, body);
        let grant = require(&head, scope)?;
        let said = says_json(&head.headers);
        if said == Some(false) || (said.is_none() && inbox.may_hold_something()) {
            return Err(Refused::new(
                Code::UnsupportedMediaType,
                "the body must be JSON, and Content-Type must say application/json",
            ));
        }
        let limits = &surface.limits;
        // Whatever the arguments may be, there is room for what stands around them.
        let most = limits.api_body.max(limits.arguments.saturating_add(ROOM));
        let body = inbox.read(most, limits.stall).await?;
        Ok(Posted { grant, head, body })
    }

    /// The text of a body that may be left out: then it is an empty object.
    pub(super) fn object(&mut self) -> Result<String, JsonError> {
        let text = json::clean(std::mem::take(&mut self.body))?;
        if text.trim_ascii().is_empty() {
            return Ok("{}".into());
        }
        Ok(text)
    }
}
