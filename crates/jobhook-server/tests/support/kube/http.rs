//! HTTP: requests in, answers out, and the connections that a test has break.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::api;
use super::discovery;
use super::faults::Fault;
use super::form::Form;
use super::logs::LogRequest;
use super::query::Query;
use super::state::Shared;
use super::status::Status;
use super::target::Target;
use super::watch::Watch;

/// What ends a connection where an answer was to come.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
pub(crate) struct Cut;

/// The API server takes bodies up to this.
const LIMIT: usize = 3 * 1024 * 1024;

/// Serves until the cluster ends.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) -> Infallible {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let server = auto::Builder::new(TokioExecutor::new());
            // One that ends early was cut, or its client has gone.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if matches!(path.as_str(), "/healthz" | "/livez" | "/readyz") {
        return Ok(Response::new(Body::from("ok")));
    }
    let authorization = head.headers.get(AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let query_text = head.uri.query().unwrap_or_default().to_owned();
    let query = Query::of(&query_text);
    let Some(target) = Target::of(&head.method, &path, query.flag("watch")) else {
        if let Err(status) = shared.with(|state| state.access.authenticate(authorization)) {
            return Ok(refusal(&status));
        }
        return Ok(match discovery::document(&path) {
            Some(document) => json(200, &document),
            None => refusal(&Status::no_such_path()),
        });
    };
    let Ok(body) = axum::body::to_bytes(Body::new(body), LIMIT).await else {
        return Ok(refusal(&Status::new(
            413,
            "RequestEntityTooLarge",
            "Request entity too large: limit is 3145728",
        )));
    };
    let (place, fault) = shared.with(|state| {
        let place = state.requests.note(&target, &query_text, &body);
        (place, state.faults.take(&target))
    });
    let content_type = head.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let accept = head.headers.get(hyper::header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    let form = Form::of(accept.unwrap_or_default());
    let open = Open {
        shared: Arc::clone(&shared),
        place,
    };
    match &fault {
        Some(Fault::Refuse(status)) => {
            shared.with(|state| state.requests.answered(place, status.code));
            return Ok(refusal(status));
        }
        // What is tested is a server that takes so long; nobody waits here for anything else.
        Some(Fault::Slow(delay)) => tokio::time::sleep(*delay).await,
        Some(Fault::CutBefore) => return Err(Cut),
        _ => {}
    }
    let admitted = shared.with(|state| {
        state.access.authenticate(authorization)?;
        state.access.authorize(&target)
    });
    let answered = match admitted {
        Ok(()) => respond(&shared, &target, &query, (form, content_type), &body, open),
        Err(status) => refusal(&status),
    };
    let code = answered.status().as_u16();
    shared.with(|state| state.requests.answered(place, code));
    match fault {
        Some(Fault::CutAfter) => Err(Cut),
        Some(Fault::CutBody(length)) => Ok(ended_after(answered, length, cut)),
        Some(Fault::Silence(length)) => Ok(ended_after(answered, length, std::future::pending)),
        _ => Ok(answered),
    }
}

/// Notes the end of an answer when it is dropped.
struct Open {
    shared: Arc<Shared>,
    place: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.with(|state| state.requests.ended(self.place));
    }
}

fn respond(
    shared: &Arc<Shared>,
    target: &Target,
    query: &Query,
    (form, content_type): (Form, &str),
    body: &[u8],
    open: Open,
) -> Response<Body> {
    if target.verb == "watch" {
        return match shared.with(|state| Watch::of(state, target, query, form)) {
            Err(status) => refusal(&status),
            Ok(watch) => {
                let (sender, receiver) = mpsc::channel(16);
                tokio::spawn(watch.run(Arc::clone(shared), sender));
                let mut response = Response::new(streamed(receiver, open));
                let json = hyper::header::HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
        };
    }
    if target.resource.plural == "pods" && target.subresource.as_deref() == Some("log") {
        return match shared.with(|state| LogRequest::of(state, target, query)) {
            Err(status) => refusal(&status),
            // Of a pod that is nowhere yet there is nothing to be said.
            Ok(None) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = hyper::StatusCode::NO_CONTENT;
                response
            }
            Ok(Some(request)) => {
                let (sender, receiver) = mpsc::channel(16);
                tokio::spawn(request.run(Arc::clone(shared), sender));
                let mut response = Response::new(streamed(receiver, open));
                let text = hyper::header::HeaderValue::from_static("text/plain");
                response.headers_mut().insert(CONTENT_TYPE, text);
                response
            }
        };
    }
    match shared.with(|state| api::answer(state, target, query, content_type, body)) {
        Ok((code, object)) => json(code, &form.show(&object)),
        Err(status) => refusal(&status),
    }
}

fn streamed(receiver: mpsc::Receiver<Result<Bytes, Cut>>, open: Open) -> Body {
    Body::from_stream(stream::unfold(
        (receiver, open),
        |(mut receiver, open)| async {
            let piece = receiver.recv().await?;
            Some((piece, (receiver, open)))
        },
    ))
}

/// The end of an answer that is cut off.
async fn cut() -> axum::Error {
    // What came before has gone out by then.
    tokio::task::yield_now().await;
    axum::Error::new(Cut)
}

/// Has an answer end after `length` bytes in its own way.
fn ended_after<E: Future<Output = axum::Error> + Send + 'static>(
    response: Response<Body>,
    length: usize,
    end: fn() -> E,
) -> Response<Body> {
    let (head, body) = response.into_parts();
    let pieces = stream::unfold(
        (body.into_data_stream(), length, false),
        move |(mut pieces, left, over)| async move {
            use futures_util::StreamExt;
            if over {
                return None;
            }
            match pieces.next().await.filter(|_| left > 0) {
                Some(Ok(mut piece)) => {
                    piece.truncate(left);
                    let left = left - piece.len();
                    Some((Ok(piece), (pieces, left, false)))
                }
                _ => Some((Err(end().await), (pieces, 0, true))),
            }
        },
    );
    let mut response = Response::from_parts(head, Body::from_stream(pieces));
    // What says how long it is would be a lie that the client sees first.
    response.headers_mut().remove(hyper::header::CONTENT_LENGTH);
    response
}

fn json(code: u16, object: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(object.to_string()));
    let code = hyper::StatusCode::from_u16(code).unwrap();
    *response.status_mut() = code;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn refusal(status: &Status) -> Response<Body> {
    let mut response = json(status.code, &status.body());
    if let Some(seconds) = status.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}
