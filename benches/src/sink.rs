//! The other end of the Python bench: answers every request with 200 and a small JSON, at
//! once, and looks at nothing. What is measured should be the client.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// As a server answers a report.
const ANSWER: &str = r#"{"type":"Bench","arguments":{},"uuid":"0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234","status":"RUNNING","attempt":1,"attempts":1,"_creationDate":"2026-01-01T00:00:00.000Z","_lastUpdate":"2026-01-01T00:00:00.000Z"}"#;

/// Listens on a free port and prints it.
#[allow(clippy::print_stdout, reason = "the bench reads it")]
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ANSWER}",
        ANSWER.len()
    );
    let answer: &'static [u8] = answer.leak().as_bytes();
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that goes away is no error.
        tokio::spawn(async move { answer_all(stream, answer).await.ok() });
    }
}

/// Answers until the client closes the connection.
async fn answer_all(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::with_capacity(64 * 1024);
    loop {
        if let Some(end) = request_end(&received) {
            received.drain(..end);
            stream.write_all(answer).await?;
        } else if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

/// Where the first request ends, if all of it is there.
fn request_end(received: &[u8]) -> Option<usize> {
    let head_end = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?
        + 4;
    let head = std::str::from_utf8(&received[..head_end]).unwrap_or_default();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head_end + length.unwrap_or(0);
    (received.len() >= end).then_some(end)
}
