//! One server's connection, from the supervisor's side: bytes to lines and back.
//!
//! Knows nothing of jobs. A peer that breaks the rules, or does not read, is dropped; it can come
//! back and ask for everything again.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use serde::Serialize;

use super::build::Build;
use super::message::{Call, Greeting, MAX_LINE_BYTES, PROTOCOL};
use super::poller::{Poller, Source};

/// How much may wait to be read by the peer.
const MAX_UNREAD_BYTES: usize = 64 * 1024 * 1024;
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    serial: u64,
    stream: UnixStream,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    greeting: Option<Greeting>,
    is_waiting_to_write: bool,
    is_over: bool,
}

/// What a peer said.
#[derive(Debug)]
pub(crate) enum Heard {
    Greeting(Greeting),
    Call(Call),
}

impl Connection {
    pub(crate) fn new(
        stream: UnixStream,
        serial: u64,
        poller: &Poller,
    ) -> std::io::Result<Connection> {
        stream.set_nonblocking(true)?;
        poller.watch_reading(&stream, Source::Connection(serial))?;
        Ok(Connection {
            serial,
            stream,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            greeting: None,
            is_waiting_to_write: false,
            is_over: false,
        })
    }

    /// Whether the peer is gone, or was dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Everything the peer has said up to now.
    pub(crate) fn hear(&mut self) -> Vec<Heard> {
        let mut buffer = [0; READ_BYTES];
        while !self.is_over {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_over = true,
                Ok(length) => {
                    self.incoming.extend_from_slice(&buffer[..length]);
                    self.is_over |= self.incoming.len() > 4 * MAX_LINE_BYTES;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_over = true,
            }
        }
        let Some(end) = self.incoming.iter().rposition(|byte| *byte == b'\n') else {
            self.is_over |= self.incoming.len() > MAX_LINE_BYTES;
            return Vec::new();
        };
        let rest = self.incoming.split_off(end + 1);
        let lines = std::mem::replace(&mut self.incoming, rest);
        let mut heard = Vec::new();
        for line in lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match self.understand(line) {
                Some(message) => heard.push(message),
                None => {
                    self.is_over = true;
                    break;
                }
            }
        }
        heard
    }

    fn understand(&mut self, line: &[u8]) -> Option<Heard> {
        if self.greeting.is_some() {
            return serde_json::from_slice(line).ok().map(Heard::Call);
        }
        let greeting: Greeting = serde_json::from_slice(line).ok()?;
        if greeting.protocol != PROTOCOL {
            return None;
        }
        self.greeting = Some(greeting.clone());
        Some(Heard::Greeting(greeting))
    }

    /// Whether the supervisor of `build` stays as long as this peer does.
    pub(crate) fn keeps(&self, build: &Build) -> bool {
        self.greeting
            .as_ref()
            .is_none_or(|greeting| greeting.build == *build)
    }

    /// Adds a message; [`Connection::flush`] sends it.
    pub(crate) fn say(&mut self, message: &impl Serialize) {
        match serde_json::to_vec(message) {
            Ok(line) => {
                self.outgoing.extend_from_slice(&line);
                self.outgoing.push(b'\n');
            }
            Err(_) => self.is_over = true,
        }
    }

    /// Whether the peer wants notices.
    pub(crate) fn is_watching(&self) -> bool {
        self.greeting
            .as_ref()
            .is_some_and(|greeting| greeting.watch)
    }

    /// Sends what the peer has room for.
    pub(crate) fn flush(&mut self, poller: &Poller) {
        let mut sent = 0;
        while sent < self.outgoing.len() && !self.is_over {
            match self.stream.write(&self.outgoing[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_over = true,
            }
        }
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() {
            self.outgoing.shrink_to(READ_BYTES);
        }
        self.is_over |= self.outgoing.len() > MAX_UNREAD_BYTES;
        let wants_room = !self.outgoing.is_empty();
        if wants_room != self.is_waiting_to_write && !self.is_over {
            let source = Source::Connection(self.serial);
            self.is_over |= poller
                .set_writing(&self.stream, source, wants_room)
                .is_err();
            self.is_waiting_to_write = wants_room;
        }
    }
}
