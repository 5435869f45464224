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

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_takes_nothing_of_a_download_is_cut() {
    let server = Server::with(Setup {
        limits: HttpLimits {
            unread: Duration::from_millis(200),
            ..HttpLimits::default()
        },
        ..Setup::default()
    })
    .await;
    let job = server.job().await;
    // More than lies between two ends of a connection.
    server.leave(&job, &vec![7; 64 << 20]).await;
    let target = format!("/download/actions/{}/outputs/0", job.id);
    let found = server.ask_webda(&job, "GET", &target, "").await.expect(200);
    let path = server.path_of(found["Location"].as_str().unwrap());
    let mut stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let request = server.bytes("GET", &path, &[], b"");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &request)
        .await
        .unwrap();
    // The system drops its end without a word, so nobody here is told.
    let ends = (server.address.port(), stream.local_addr().unwrap().port());
    let cut = async {
        while is_open(ends) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.unwrap();
    let mut taken = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut taken).await;
    assert!(read.is_err() && taken.len() < 64 << 20, "{read:?}");

    // Who takes it, if slowly, gets all of it.
    let mut wire = server.connect().await;
    wire.send(&request).await;
    assert_eq!(wire.answer().await.body.len(), 64 << 20);
}

/// Whether the near end of a connection of this machine is open, by the ports of both.
#[cfg(target_os = "linux")]
fn is_open((near, far): (u16, u16)) -> bool {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is = |field: usize, port: u16| fields[field].ends_with(&format!(":{port:04X}"));
        // 01 is ESTABLISHED.
        is(1, near) && is(2, far) && fields[3] == "01"
    })
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
