//! Listens, and ends in good order.
//!
//! HTTP/1.1 and HTTP/2 without TLS share one port. A connection has a bounded time for the
//! head of a request, and one that takes nothing of what is sent for long is cut. When the server
//! shuts down each finishes what it is at, streams end, and whoever takes longer than the grace is
//! cut.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::HttpLimits;

/// How long to wait before the next connection is taken where the machine has no room for one.
const NO_ROOM: Duration = Duration::from_secs(1);

/// Serves `router` until `closing` is cancelled; then returns once every connection is done,
/// or `grace` is over.
///
/// `closing` should be that of the [`Surface`](super::Surface), or its streams keep their
/// connections until the end of the grace.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpLimits,
    closing: CancellationToken,
    grace: Duration,
) {
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let builder = Arc::new(builder(limits.head));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closing.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "No connection could be taken");
                sleep(NO_ROOM).await;
                continue;
            }
        };
        cut_unread(&stream, limits.unread);
        let connection = Connection {
            router: router.clone(),
            builder: Arc::clone(&builder),
            peer,
            head: limits.head,
            closing: closing.clone(),
        };
        let cut = cut.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection.serve(stream) => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "Connections are cut that did not end in time"
        );
        cut.cancel();
        connections.wait().await;
    }
}

/// Has the system end the connection once nothing that is sent is taken for so long: a download that
/// was stopped keeps its file open no longer. (Over HTTP/2 a client can take a connection's frames
/// and none of a stream.)
#[cfg(target_os = "linux")]
fn cut_unread(stream: &TcpStream, limit: Duration) {
    use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};
    let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = setsockopt(stream, TcpUserTimeout, &milliseconds) {
        tracing::debug!(%error, "A connection has no limit for what is not taken");
    }
}

#[cfg(not(target_os = "linux"))]
fn cut_unread(_: &TcpStream, _: Duration) {}

fn builder(head: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        // Who has sent a report and hangs up has still sent it.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(head);
    builder
}

struct Connection {
    router: Router,
    builder: Arc<Builder<TokioExecutor>>,
    peer: SocketAddr,
    head: Duration,
    closing: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small and whole; none is worth waiting for another.
        let _ = stream.set_nodelay(true);
        let spoken = AtomicBool::new(false);
        let service = service_fn(|mut request: Request<Incoming>| {
            spoken.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(self.peer));
            let answer: <Router as Service<Request<Incoming>>>::Future =
                self.router.clone().call(request);
            async move {
                let answered: Result<Response, Infallible> = answer.await;
                answered
            }
        });
        let serving = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut serving = pin!(serving);
        let mut first = pin!(sleep(self.head));
        let (mut waiting, mut closing) = (true, false);
        loop {
            tokio::select! {
                ended = serving.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %self.peer, error, "A connection ended badly");
                    }
                    return;
                }
                // Which HTTP it speaks is known with the first request only, and the timers of
                // neither run before that.
                () = first.as_mut(), if waiting => {
                    waiting = false;
                    if !spoken.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = self.closing.cancelled(), if !closing => {
                    closing = true;
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Whether only the connection that was about to be taken has failed.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
