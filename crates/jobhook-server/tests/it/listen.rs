//! Connections: slow ones, idle ones, and the end of the server.

use std::time::Duration;

use jobhook_server::http::HttpLimits;

use crate::server::{NOW, Server, Setup};
use crate::wire::PATIENCE;

fn impatient() -> Setup {
    Setup {
        limits: HttpLimits {
            head: Duration::from_millis(300),
            stall: Duration::from_millis(50),
            ..HttpLimits::default()
        },
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = Server::with(impatient()).await;
    for begin in [
        "",
        "P",
        "PRI * HT",
        "POST /async/status HTTP/1.1\r\nX-Job-Id: ",
    ] {
        let mut wire = server.connect().await;
        wire.send(begin).await;
        assert!(wire.is_closed().await, "{begin}");
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent_after_a_request_is_closed() {
    let server = Server::with(impatient()).await;
    let mut wire = server.connect().await;
    wire.send(server.bytes("GET", "/healthz", &[], b"")).await;
    wire.answer().await.expect(200);
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_body_that_stalls_is_refused() {
    let server = Server::with(impatient()).await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let mut headers = signed.headers();
    headers.push(("Content-Length", "100"));
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &headers, b""))
        .await;
    wire.send(r#"{"logs":"#).await;
    let answer = wire.answer().await;
    let detail = answer.refusal(400, "malformed_body");
    assert!(detail.contains("0.05 s"), "{detail}");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_body_that_is_cut_off_changes_nothing() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let body = br#"{"logs":["x"]}"#;
    let whole = server.bytes("POST", "/async/status", &signed.headers(), body);
    let mut wire = server.connect().await;
    wire.send(&whole[..whole.len() - 1]).await;
    wire.hang_up().await;
    wire.answer().await.refusal(400, "malformed_body");
    assert_eq!(server.lines(&job.id).await.len(), 0);
}

#[tokio::test]
async fn bytes_that_are_not_http_harm_nobody_else() {
    let server = Server::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01"[..],
        b"\r\n\r\n\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut wire = server.connect().await;
        wire.send(bytes).await;
        wire.hang_up().await;
        while !wire.is_closed().await {}
    }
    server.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn on_shutdown_streams_end_and_connections_close() {
    let server = Server::start().await;
    let job = server.job().await;
    let mut events = server.follow(&job.id, &[]).await;
    events.next_named("status").await;
    let mut idle = server.connect().await;
    idle.send(server.bytes("GET", "/healthz", &[], b"")).await;
    idle.answer().await.expect(200);
    server.closing.cancel();
    assert_eq!(events.next().await, None);
    assert!(idle.is_closed().await);
    tokio::time::timeout(PATIENCE, server.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(
        tokio::net::TcpStream::connect(server.address)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_ends() {
    let server = Server::start().await;
    let job = server.job().await;
    let signed = job.webda(NOW);
    let mut headers = signed.headers();
    headers.extend([("Expect", "100-continue"), ("Content-Length", "14")]);
    let mut wire = server.connect().await;
    wire.send(server.bytes("POST", "/async/status", &headers, b""))
        .await;
    // The server is at it.
    assert_eq!(wire.head().await.status, 100);
    server.closing.cancel();
    wire.send(r#"{"logs":["x"]}"#).await;
    wire.answer().await.expect(200);
    assert_eq!(server.lines(&job.id).await, ["x"]);
    tokio::time::timeout(PATIENCE, server.serving)
        .await
        .unwrap()
        .unwrap();
}
