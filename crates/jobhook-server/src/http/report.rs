//! The hook: `POST {hook}/status` and `POST {hook}` (clauses `HOOK-*`).
//!
//! The order of the checks is the order of the lines in [`judge`]: headers, hash, time and
//! signature's presence before the body is read; then the body, its signature, its charset,
//! its JSON, its fields; last the action's state, inside the transaction that stores it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use jobhook_engine::write::Reported;
use jobhook_protocol::{Code, Report, SignedHeaders};

use super::Surface;
use super::body;
use super::inbox::{Inbox, foreign_charset};
use super::refusal::{Answered, Refused};

/// Takes a job's report, and answers with its action.
pub(super) async fn take(State(surface): State<Arc<Surface>>, request: Request) -> Response {
    match judge(&surface, request).await {
        Ok(reported) => body::json(&body::answer(reported)),
        Err(refused) => refused.into_response(),
    }
}

async fn judge(surface: &Surface, request: Request) -> Answered<Reported> {
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
    let target = surface.hook.target(&head.uri);
    let proven = caller.prove(head.method.as_str(), target, &body)?;
    if let Some(charset) = foreign_charset(&head.headers) {
        let detail = format!("the charset `{charset}` is not taken; a report is JSON in UTF-8");
        return Err(Refused::new(Code::UnsupportedCharset, detail));
    }
    let report = Report::read(body)?;
    let reported = surface.engine.report(proven, report).await;
    reported.map_err(Refused::of_report)
}
