//! The signals that others send to this process, and the news that a child has died.

use std::io;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What asks a program to end: a terminal, a container's engine, an init.
const ASK_TO_END: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];
/// What may mean anything to the program, and nothing to us.
const PASSED_ON: [Signal; 4] = [
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
];

/// Everything that was heard and not taken yet, in order.
#[derive(Debug)]
pub(super) struct Signals {
    heard: mpsc::UnboundedReceiver<Signal>,
}

/// Whether whoever sends it wants the program to end.
pub(super) fn asks_to_end(signal: Signal) -> bool {
    ASK_TO_END.contains(&signal)
}

impl Signals {
    /// Listens from now on. What does not come here keeps its usual effect.
    pub(super) fn listen() -> io::Result<Signals> {
        let (sender, heard) = mpsc::unbounded_channel();
        for kind in ASK_TO_END
            .into_iter()
            .chain(PASSED_ON)
            .chain([Signal::SIGCHLD])
        {
            let mut stream = signal(SignalKind::from_raw(kind as i32))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && sender.send(kind).is_ok() {}
            });
        }
        Ok(Signals { heard })
    }

    /// The next one, whichever it is.
    pub(super) async fn next(&mut self) -> Signal {
        match self.heard.recv().await {
            Some(signal) => signal,
            // Those who send live as long as the runtime.
            None => std::future::pending().await,
        }
    }

    /// The next one that asks to end; others are dropped.
    pub(super) async fn asked_to_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if asks_to_end(signal) {
                return signal;
            }
        }
    }

    /// Waits for the signal of a person at a terminal; others are dropped.
    pub(super) async fn interrupted(&mut self) {
        while self.next().await != Signal::SIGINT {}
    }
}
