//! The leanest HTTP/1.1 client that will do: one kept-alive connection, bodies with a
//! length. What a bench measures should be the server.

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    address: String,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to `http://host:port`, path ignored.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
        let address = url.strip_prefix("http://").context("an http address")?;
        let address = address.split('/').next().unwrap_or_default().to_owned();
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        Ok(Client {
            stream,
            address,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a request and returns status and body.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at + 4;
            }
            ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the connection was closed"
            );
        };
        let head = std::str::from_utf8(&self.buffer[..head_end])?;
        let status = head.get(9..12).context("a status line")?.parse()?;
        if status == 204 {
            return Ok((status, String::new()));
        }
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|n| n.trim().to_owned())
            })
            .with_context(|| format!("an answer with a length, not {head}"))?
            .parse()?;
        while self.buffer.len() < head_end + length {
            ensure!(
                self.stream.read_buf(&mut self.buffer).await? > 0,
                "the connection was closed"
            );
        }
        let body = String::from_utf8(self.buffer[head_end..head_end + length].to_vec())?;
        Ok((status, body))
    }

    /// Sends a request to the management API and reads its JSON answer.
    pub(crate) async fn json(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<serde_json::Value> {
        let (status, answer) = self.send(method, path, "", body).await?;
        ensure!(status < 300, "{method} {path}: {status} {answer}");
        Ok(serde_json::from_str(&answer)?)
    }
}
