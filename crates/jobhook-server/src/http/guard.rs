//! Around every request: a panic is an answer, an unknown address is a problem, and the log
//! has a line.
//!
//! The line names method, path, status and time. Headers, bodies and queries are never
//! logged: they may hold signatures and tokens.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use jobhook_protocol::Code;

use super::inbox::Inbox;
use super::refusal::Refused;

/// What was asked for; a nested router sees its own part of the path only.
#[derive(Clone)]
struct Asked(Uri);

pub(super) async fn guard(mut request: Request, next: Next) -> Response {
    let asked = Asked(request.uri().clone());
    request.extensions_mut().insert(asked);
    let noted = tracing::enabled!(tracing::Level::DEBUG).then(|| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        (method, path, Instant::now())
    });
    let response = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            tracing::error!(panic = what(&*panic), "A request made its handler panic");
            Refused::internal().into_response()
        });
    if let Some((method, path, begun)) = noted {
        let status = response.status().as_u16();
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        tracing::debug!(%method, path, status, ms, "{method} {path} {status}");
    }
    response
}

/// Nothing is here.
pub(super) async fn not_found(request: Request) -> Response {
    let asked = request.extensions().get::<Asked>();
    let path = asked.map_or(request.uri(), |asked| &asked.0).path();
    let detail = format!("there is nothing at {path}");
    drop(Inbox::of(request));
    Refused::new(Code::NotFound, detail).into_response()
}

/// Something is here, but not for this method. What it knows is in `Allow`, which the router adds.
pub(super) async fn method_not_allowed(request: Request) -> Response {
    let method = request.method().clone();
    drop(Inbox::of(request));
    if method == Method::OPTIONS {
        return StatusCode::OK.into_response();
    }
    let detail = format!("{method} is not possible here; the header Allow names what is");
    Refused::new(Code::MethodNotAllowed, detail).into_response()
}

fn what(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower_service::Service;

    use super::*;

    #[tokio::test]
    async fn what_is_not_there_is_named_with_its_whole_path() {
        let api = Router::new().route("/things", get(async || "here"));
        let mut router = Router::new()
            .nest("/api/v1", api.fallback(not_found))
            .layer(axum::middleware::from_fn(guard));
        let request = Request::get("/api/v1/thing?q=1").body(Body::empty());
        let response = router.call(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 404);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("nothing at /api/v1/thing\""), "{body}");
    }

    #[tokio::test]
    async fn a_panic_is_answered_without_its_text() {
        let mut router = Router::new()
            .route("/", get(async || -> StatusCode { panic!("a secret") }))
            .layer(axum::middleware::from_fn(guard));
        let response = router.call(Request::new(Body::empty())).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(r#""code":"internal""#), "{body}");
        assert!(!body.contains("secret"), "{body}");
    }
}
