//! The lines of an action's log, by pages or as a stream (clauses `API-13` to `API-16`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::IntoResponse;
use jobhook_engine::write::Refusal;
use jobhook_protocol::LogLineBody;
use serde::Serialize;

use super::Surface;
use super::actions::Named;
use super::auth::{Pass, Reader};
use super::body;
use super::query::{Parameters, impossible};
use super::refusal::Answered;
use super::tail::Tail;

/// Where a reader of a stream left off.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a line's number must be.
const A_NUMBER: &str = "the number of a line, or 0";

/// A page of lines.
#[derive(Serialize)]
struct Page {
    lines: Vec<LogLineBody>,
    /// The number to go on after.
    next: u64,
    /// How many lines between `after` and the first one are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

pub(super) async fn read(
    _: Reader,
    Extension(pass): Extension<Pass>,
    State(surface): State<Arc<Surface>>,
    Named(id): Named,
    uri: Uri,
    headers: HeaderMap,
) -> Answered {
    let parameters = Parameters::read(&uri, &["after", "limit"])?;
    let after: u64 = parameters.one("after", A_NUMBER)?.unwrap_or(0);
    let limit = parameters.limit(1000, 10_000)?;
    let store = surface.engine.store();
    let action = store.action(id).await?.ok_or(Refusal::NotFound)?;
    if wants_stream(&headers) {
        let after = left_off(&headers)?.unwrap_or(after);
        let stream = Tail::new(Arc::clone(&surface), id, after, pass).into_stream();
        let kind = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/event-stream"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        return Ok((kind, Body::from_stream(stream)).into_response());
    }
    let lines = store.lines(id, after, limit).await?;
    let gone_up_to = lines
        .first()
        .map_or(action.log.dropped, |first| first.number - 1);
    Ok(body::json(&Page {
        next: lines
            .last()
            .map_or(after.max(gone_up_to), |last| last.number),
        dropped: Some(gone_up_to.saturating_sub(after)).filter(|dropped| *dropped > 0),
        lines: lines.into_iter().map(body::line).collect(),
    }))
}

/// Whether the request prefers a stream of events.
fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|range| {
            let kind = range.split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        })
}

fn left_off(headers: &HeaderMap) -> Answered<Option<u64>> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let value = String::from_utf8_lossy(value.as_bytes());
        impossible("Last-Event-ID", value, A_NUMBER)
    })
}
