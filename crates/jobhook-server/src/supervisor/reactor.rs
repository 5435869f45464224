//! The supervisor's loop: one thread, one epoll, no surprises.
//!
//! Before a new connection is heard, everything older connections have said is acted upon. So
//! once a server has been greeted, no request of its dead predecessor can still take effect: what
//! it is then told about a run stays true until it changes it itself.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::children::Children;
use super::connection::{Connection, Heard};
use super::message::{Answer, Call, Hello, Reply, Request};
use super::output::Stream;
use super::poller::{Poller, Source};

/// How long jobs get when the supervisor itself is told to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// All that the loop serves.
#[derive(Debug)]
pub(crate) struct Reactor {
    pub hello: Hello,
    pub poller: Rc<Poller>,
    pub listener: UnixListener,
    /// SIGCHLD, SIGTERM and SIGINT arrive here.
    pub signals: SignalFd,
    pub children: Children,
    /// How long to stay without jobs and without a server.
    pub idle: Duration,
}

#[derive(Debug, Default)]
struct Peers {
    connections: BTreeMap<u64, Connection>,
    next_serial: u64,
}

impl Reactor {
    /// Serves until there is nothing left to do; returns why it ended.
    pub(crate) fn run(mut self) -> io::Result<&'static str> {
        let mut peers = Peers::default();
        let mut idle_since = Some(Instant::now());
        self.poller
            .watch_reading(&self.listener, Source::Listener)?;
        self.poller.watch_reading(&self.signals, Source::Signals)?;
        loop {
            let idle_until = idle_since.map(|since| since + self.idle);
            let deadline = [idle_until, self.children.next_deadline()]
                .into_iter()
                .flatten()
                .min();
            for source in self.poller.wait(deadline)? {
                match source {
                    Source::Listener => self.welcome(&mut peers)?,
                    Source::Signals => self.on_signals()?,
                    Source::Connection(serial) => self.listen_to(serial, &mut peers),
                    Source::Stdin(serial) => self.children.on_stdin(serial),
                    Source::Stdout(serial) => self.children.on_output(serial, Stream::Stdout),
                    Source::Stderr(serial) => self.children.on_output(serial, Stream::Stderr),
                }
            }
            let is_heard = peers.connections.values().any(Connection::is_watching);
            self.children.turn(is_heard);
            self.speak(&mut peers);

            if self.children.has_ended() {
                return Ok("it was told to end");
            }
            let build = &self.hello.build;
            let is_kept = peers.connections.values().any(|peer| peer.keeps(build));
            if self.children.is_empty() && !is_kept {
                let since = *idle_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.idle {
                    return Ok("it had neither jobs nor a server");
                }
            } else {
                idle_since = None;
            }
        }
    }

    fn welcome(&mut self, peers: &mut Peers) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, or the peer gave up: the next one may fare better.
                Err(_) => return Ok(()),
            };
            // The file mode keeps others out already; this holds wherever that is not honoured.
            let own = nix::unistd::geteuid().as_raw();
            let is_known = getsockopt(&stream, PeerCredentials)
                .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0);
            if !is_known {
                continue;
            }
            let older: Vec<u64> = peers.connections.keys().copied().collect();
            for serial in older {
                self.listen_to(serial, peers);
            }
            let serial = peers.next_serial;
            peers.next_serial += 1;
            if let Ok(mut connection) = Connection::new(stream, serial, &self.poller) {
                connection.say(&self.hello);
                peers.connections.insert(serial, connection);
            }
        }
    }

    fn listen_to(&mut self, serial: u64, peers: &mut Peers) {
        let Some(connection) = peers.connections.get_mut(&serial) else {
            return;
        };
        for heard in connection.hear() {
            match heard {
                Heard::Greeting(greeting) => {
                    if greeting.watch {
                        self.children.forget_who_was_told();
                    }
                }
                Heard::Call(Call { n, request }) => {
                    if let Some(answer) = self.answer(request) {
                        connection.say(&Reply::Answer { n, answer });
                    }
                }
            }
        }
    }

    fn answer(&mut self, request: Request) -> Option<Answer> {
        let key = match &request {
            Request::Start { key, .. }
            | Request::Stop { key, .. }
            | Request::State { key }
            | Request::Forget { key }
            | Request::Read { key, .. } => Some(key),
            Request::List => None,
        };
        if let Some(key) = key.filter(|key| !key.is_valid()) {
            return Some(Answer::Failed(format!(
                "`{key}` cannot be the name of a run"
            )));
        }
        Some(match request {
            Request::Start { key, spec } => self.children.start(key, *spec),
            Request::Stop { key, grace_ms } => {
                self.children.stop(&key, Duration::from_millis(grace_ms))
            }
            Request::State { key } => self.children.state(&key),
            Request::List => self.children.list(),
            Request::Forget { key } => self.children.forget(&key),
            Request::Read { key, position } => {
                self.children.read_up_to(&key, position);
                return None;
            }
        })
    }

    fn speak(&mut self, peers: &mut Peers) {
        // Dropped when nobody listens: all of it can be asked for.
        for notice in self.children.take_notices() {
            let reply = Reply::Notice(notice);
            for connection in peers.connections.values_mut() {
                if connection.is_watching() {
                    connection.say(&reply);
                }
            }
        }
        peers.connections.retain(|_, connection| {
            connection.flush(&self.poller);
            !connection.is_over()
        });
    }

    fn on_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            if signal.ssi_signo == Signal::SIGTERM as u32
                || signal.ssi_signo == Signal::SIGINT as u32
            {
                self.children.end_all(
                    "the supervisor that watched it was told to end",
                    SHUTDOWN_GRACE,
                );
            }
        }
        self.children.on_death();
        Ok(())
    }
}
