//! HTTP as bytes: what the tests send is what stands there, and nothing is added.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) struct Wire(BufReader<TcpStream>);

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// One event of a stream; a comment has no name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Wire {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        Wire(BufReader::new(stream.unwrap().unwrap()))
    }

    /// Sends bytes; a server that has closed already will be seen when its answer is read.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sending = self.0.get_mut().write_all(bytes.as_ref());
        let _ = timeout(PATIENCE, sending)
            .await
            .expect("the server takes the bytes");
    }

    /// Ends the sending side only.
    pub(crate) async fn hang_up(&mut self) {
        self.0.get_mut().shutdown().await.unwrap();
    }

    /// Whether the server has closed the connection; waits for it.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = timeout(PATIENCE, self.0.read(&mut byte)).await;
        matches!(read.expect("the server closes"), Ok(0) | Err(_))
    }

    /// Reads one whole answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        answer.body = timeout(PATIENCE, self.body(&answer))
            .await
            .expect("an answer has an end");
        answer
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Answer {
        let line = self.line().await;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        Answer {
            status: status.unwrap_or_else(|| panic!("`{line}` is no status line")),
            headers,
            body: Vec::new(),
        }
    }

    async fn body(&mut self, head: &Answer) -> Vec<u8> {
        let mut body = Vec::new();
        if head.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else {
            let length = head
                .header("content-length")
                .unwrap_or("0")
                .parse()
                .unwrap();
            body.resize(length, 0);
            self.0.read_exact(&mut body).await.unwrap();
        }
        body
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await, 16).ok()?;
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk).await.unwrap();
        self.line().await;
        (size > 0).then_some(chunk)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await;
        read.expect("the server answers").unwrap();
        line.trim_end().to_owned()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own == name);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} came twice");
        Some(value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() {
            return Value::Null;
        }
        self.json()
    }

    /// The `detail` of a refusal with this code; checks what every refusal has.
    #[track_caller]
    pub(crate) fn refusal(&self, status: u16, code: &str) -> String {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["type"],
            format!("https://jobhook.dev/problems/{code}")
        );
        assert!(
            problem["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// A stream of events, read as it comes.
pub(crate) struct Events {
    wire: Wire,
    buffer: Vec<u8>,
}

impl Events {
    /// Takes over a connection on which a stream was asked for.
    pub(crate) async fn of(mut wire: Wire) -> Events {
        let head = wire.head().await;
        assert_eq!(head.status, 200, "{:?}", head.headers);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let buffer = Vec::new();
        Events { wire, buffer }
    }

    /// The next event, comments among them; `None` at the end of the stream.
    pub(crate) async fn next_or_comment(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(event(std::str::from_utf8(&block).unwrap()));
            }
            let chunk = timeout(PATIENCE, self.wire.chunk()).await;
            self.buffer
                .extend(chunk.expect("the stream goes on or ends")?);
        }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.next_or_comment().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// The next event of this name; passes over others.
    pub(crate) async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self
                .next()
                .await
                .unwrap_or_else(|| panic!("no `{name}` before the end"));
            if event.name == name {
                return event;
            }
        }
    }
}

fn event(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => name.clone_into(&mut event.name),
            Some(("id", id)) => event.id = Some(id.parse().unwrap()),
            Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
            _ => assert!(line.is_empty() || line.starts_with(':'), "{line}"),
        }
    }
    event
}
