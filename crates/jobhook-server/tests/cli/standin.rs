//! A server that answers what a test wants, and remembers what it was asked.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use futures_util::stream::{self, StreamExt};
use tokio::runtime::Runtime;

/// What the server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /api/v1/actions?limit=20`
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// A server on a free port of this machine.
pub(crate) struct StandIn {
    pub(crate) url: String,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    runtime: Option<Runtime>,
}

impl StandIn {
    /// Answers each request by `answer`, which is also told how many came before.
    pub(crate) fn start(
        answer: impl Fn(usize, &Request) -> Response<Body> + Send + Sync + 'static,
    ) -> StandIn {
        StandIn::start_at("127.0.0.1:0".parse().expect("an address"), answer)
    }

    /// The same on a known address, for a server that comes back.
    pub(crate) fn start_at(
        address: SocketAddr,
        answer: impl Fn(usize, &Request) -> Response<Body> + Send + Sync + 'static,
    ) -> StandIn {
        let listener = TcpListener::bind(address).expect("the address is free");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let asked = Arc::clone(&seen);
        let answer = Arc::new(answer);
        let handle =
            move |method: axum::http::Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let request = Request {
                    line: format!("{method} {uri}"),
                    headers,
                    body,
                };
                let before = {
                    let mut asked = asked.lock().expect("not poisoned");
                    asked.push(request.clone());
                    asked.len() - 1
                };
                let answer = answer(before, &request);
                async move { answer }
            };
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, Router::new().fallback(handle)).await
        });
        StandIn {
            url: format!("http://{address}"),
            address,
            seen,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("not poisoned").clone()
    }

    /// Takes it off the net, with all its connections.
    pub(crate) fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn response(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a status"))
        .header("content-type", content_type)
        .body(body.into())
        .expect("a response")
}

/// JSON, as it stands.
pub(crate) fn json(status: u16, body: impl Into<String>) -> Response<Body> {
    response(status, "application/json", body.into())
}

/// A refusal in the words of the protocol.
pub(crate) fn problem(problem: jobhook_protocol::Problem) -> Response<Body> {
    let body = serde_json::to_string(&problem).expect("a problem is JSON");
    response(problem.status, "application/problem+json", body)
}

/// How a stream of events ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Properly.
    Ends,
    /// The connection breaks.
    Breaks,
    /// Not at all.
    Hangs,
}

/// A stream that sends `text` and then ends in some way.
pub(crate) fn events(text: impl Into<String>, then: Then) -> Response<Body> {
    let first = stream::iter([Ok(Bytes::from(text.into()))]);
    let body = match then {
        Then::Ends => Body::from_stream(first),
        Then::Breaks => {
            // What was sent before is let out first.
            let broken = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            Body::from_stream(first.chain(broken))
        }
        Then::Hangs => Body::from_stream(first.chain(stream::pending::<std::io::Result<Bytes>>())),
    };
    response(200, "text/event-stream", body)
}
