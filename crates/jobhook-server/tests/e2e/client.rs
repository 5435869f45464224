//! HTTP to a server: each request on a connection of its own, with nothing added that is not
//! written here.

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
        exchange(
            self.address(),
            &format!("GET {path} HTTP/1.1\r\n"),
            &[],
            b"",
        )
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n");
        exchange(self.address(), &head, headers, body.to_string().as_bytes())
    }

    /// What happens to an action from now on, after line `after`.
    pub(crate) fn events(&self, id: &str, after: u64) -> impl Iterator<Item = Event> {
        let head = format!(
            "GET /api/v1/actions/{id}/logs?after={after} HTTP/1.0\r\nHost: localhost\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        let mut stream = connect(self.address());
        stream.write_all(head.as_bytes()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut lines = BufReader::new(stream).lines();
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

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends one request on a connection of its own.
fn exchange(
    address: SocketAddr,
    head: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Value) {
    let mut request = head.to_owned();
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!(
        "Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}
