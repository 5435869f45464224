//! HTTP to a server, with nothing added that is not written here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use crate::processes::PATIENCE;
use crate::server::Server;

/// One event of a log's stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// How an action ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) action: Value,
    /// The lines of its log, without those of the server.
    pub(crate) lines: Vec<String>,
}

impl Server {
    /// Launches what `launch` asks for, and returns its id.
    pub(crate) fn launch(&self, launch: &Value) -> String {
        let (status, action) = self.post("/api/v1/actions", &[], launch);
        assert_eq!(status, 201, "{action}");
        action["uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn cancel(&self, id: &str) -> (u16, Value) {
        let nothing = Value::Object(serde_json::Map::new());
        self.post(&format!("/api/v1/actions/{id}/cancel"), &[], &nothing)
    }

    /// The action as it stands, with its history.
    pub(crate) fn action(&self, id: &str) -> Value {
        let (status, action) = self.get(&format!("/api/v1/actions/{id}"));
        assert_eq!(status, 200, "{action}");
        action
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = request(&format!("GET {path}"), headers, b"");
        Connection::open(self.address()).ask(&request)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        Connection::open(self.address()).ask(&post(path, headers, body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        Connection::open(self.address()).ask(&with_json(&format!("PUT {path}"), &[], body))
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        Connection::open(self.address()).ask(&request(&format!("DELETE {path}"), &[], b""))
    }

    /// What happens to an action from now on, after line `after`.
    pub(crate) fn events(&self, id: &str, after: u64) -> impl Iterator<Item = Event> + use<> {
        let head = format!(
            "GET /api/v1/actions/{id}/logs?after={after} HTTP/1.0\r\nHost: localhost\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        let mut connection = Connection::open(self.address());
        connection.send(head.as_bytes());
        let deadline = Instant::now() + PATIENCE;
        let mut lines = connection.0.lines();
        let mut name = String::new();
        std::iter::from_fn(move || {
            loop {
                assert!(Instant::now() < deadline, "the stream goes on and on");
                let line = lines.next()?.expect("the stream says something in time");
                if let Some(text) = line.strip_prefix("event: ") {
                    text.clone_into(&mut name);
                } else if let Some(text) = line.strip_prefix("data: ") {
                    return Some(Event {
                        name: std::mem::take(&mut name),
                        data: serde_json::from_str(text).unwrap(),
                    });
                }
            }
        })
    }

    /// Waits until the action is final and closed.
    #[track_caller]
    pub(crate) fn end_of(&self, id: &str) -> End {
        let mut lines = Vec::new();
        for event in self.events(id, 0) {
            match event.name.as_str() {
                "log" if event.data["source"] != "server" => {
                    lines.push(event.data["text"].as_str().unwrap().to_owned());
                }
                "end" => {
                    let action = self.action(id);
                    assert_eq!(action["closed"], true, "{action}");
                    return End { action, lines };
                }
                _ => {}
            }
        }
        panic!("the stream of {id} broke off");
    }

    /// Waits until a line of the action begins with `prefix`; returns what follows it.
    #[track_caller]
    pub(crate) fn line(&self, id: &str, prefix: &str) -> String {
        for event in self.events(id, 0) {
            assert_ne!(event.name, "end", "no line `{prefix}`: {}", event.data);
            let text = event.data["text"].as_str().unwrap_or_default();
            if let Some(rest) = text.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
        panic!("the stream of {id} broke off");
    }
}

/// A connection that is kept open.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    /// Takes over a connection on which a request was sent.
    pub(crate) fn of(stream: TcpStream) -> Connection {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    /// Waits until there is an answer, or will be none: the sending side ends here.
    pub(crate) fn wait(mut self) -> Option<(u16, Value)> {
        let _ = self.0.get_ref().shutdown(std::net::Shutdown::Write);
        self.answer()
    }

    /// The bytes at a path.
    pub(crate) fn bytes(&mut self, path: &str) -> Vec<u8> {
        self.send(&request(&format!("GET {path}"), &[], b""));
        let (status, bytes) = self.raw().expect("an answer");
        assert_eq!(status, 200);
        bytes
    }

    /// Takes the bytes at a path, piece by piece.
    pub(crate) fn pieces(&mut self, path: &str, mut take: impl FnMut(&[u8])) {
        self.send(&request(&format!("GET {path}"), &[], b""));
        let (status, mut left) = self.head().expect("an answer");
        assert_eq!(status, 200);
        while left > 0 {
            let piece = self.0.fill_buf().unwrap();
            assert!(!piece.is_empty(), "it ends before its end");
            let length = piece.len().min(left);
            take(&piece[..length]);
            self.0.consume(length);
            left -= length;
        }
    }

    /// Sends a request; a server that is gone will be missed when its answer is read.
    pub(crate) fn send(&mut self, request: &[u8]) {
        let _ = self.0.get_mut().write_all(request);
    }

    /// Sends a request, and reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> (u16, Value) {
        self.send(request);
        self.answer().expect("an answer")
    }

    /// Status and body of the next answer; `None` if the connection ends before.
    pub(crate) fn answer(&mut self) -> Option<(u16, Value)> {
        let (status, body) = self.raw()?;
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn raw(&mut self) -> Option<(u16, Vec<u8>)> {
        let (status, length) = self.head()?;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((status, body))
    }

    /// Status of the next answer, and length of its body.
    fn head(&mut self) -> Option<(u16, usize)> {
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = lower.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next()?.parse().ok()?;
            } else if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            } else if lower.is_empty() {
                return Some((status, length));
            }
        }
    }
}

/// A `POST` with a JSON body, as bytes.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    with_json(&format!("POST {path}"), headers, body)
}

fn with_json(line: &str, headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    let json = [("Content-Type", "application/json")];
    let headers = [&json, headers].concat();
    request(line, &headers, body.to_string().as_bytes())
}

fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    let mut request = request.into_bytes();
    request.extend(body);
    request
}
