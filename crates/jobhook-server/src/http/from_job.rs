//! A request of a job, read to its end and believed (clauses `HOOK-9`, `HOOK-10`).
//!
//! The order of the checks is the order of the lines: headers, hash, time and signature's presence
//! before the body is read; then the body, its signature, its charset.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::request::Parts;
use jobhook_engine::hook::Proven;
use jobhook_protocol::{Code, SignedHeaders};

use super::Surface;
use super::aside;
use super::inbox::{Inbox, foreign_charset};
use super::refusal::{Answered, Refused};

/// A request that a job has signed.
#[derive(Debug)]
pub(super) struct FromJob {
    /// Whose job's.
    pub(super) proven: Proven,
    /// All but its body.
    pub(super) head: Parts,
    /// Its body.
    pub(super) body: Vec<u8>,
}

impl FromJob {
    pub(super) async fn receive(surface: &Arc<Surface>, request: Request) -> Answered<FromJob> {
        let (head, body) = request.into_parts();
        let mut inbox = Inbox::new(&head.headers, body);
        let signed = SignedHeaders::read(|name| {
            let values = head.headers.get_all(name).iter();
            values.map(HeaderValue::as_bytes)
        })?;
        let caller = surface.engine.hook().recognise(signed).await?;
        let body = inbox
            .read(surface.limits.hook_body, surface.limits.stall)
            .await?;
        let shared = Arc::clone(surface);
        let (proven, head, body) = aside::long(body.len(), move || {
            let target = shared.hook.target(&head.uri);
            let proven = caller.prove(head.method.as_str(), target, &body)?;
            Ok((proven, head, body))
        })
        .await?;
        if let Some(charset) = foreign_charset(&head.headers) {
            let detail =
                format!("the charset `{charset}` is not taken; what a job says is JSON in UTF-8");
            return Err(Refused::new(Code::UnsupportedCharset, detail));
        }
        Ok(FromJob { proven, head, body })
    }
}
