//! Follows an action's log to its end (clauses `API-14` to `API-16`).
//!
//! ```text
//! look ─▶ gap? ─▶ lines ─▶ status? ─▶ end?        each from the store, a page at a time
//!   ▲                                  │
//!   └────────── hint, or time ─────────┘
//! ```
//!
//! The stream holds one page at most and reads the next only when the last was taken, so a
//! slow reader costs nothing but time. Hints say when to look; what is sent is always what the
//! store holds after the last number sent, so a reader that resumes misses nothing and sees
//! nothing twice.
//!
//! A reader whose token is revoked reads on for as long as a stream may be silent, at most.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use jobhook_engine::action::{Action, ActionId, LogMeter};
use jobhook_engine::clock::Timestamp;
use jobhook_engine::log::LogLine;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Surface;
use super::actions::shown;
use super::auth::Pass;
use super::body;
use super::sse::Events;

/// About how many bytes of text a page has.
const PAGE_BYTES: usize = 256 << 10;

/// The most lines of a page.
const PAGE_LINES: usize = 1000;

/// How long changes of an action are gathered, unless its status changes.
const GATHER: Duration = Duration::from_millis(100);

/// One reader's place in an action's log.
#[derive(Debug)]
pub(super) struct Tail {
    surface: Arc<Surface>,
    id: ActionId,
    hints: watch::Receiver<()>,
    /// The number of the last line sent.
    after: u64,
    /// How many lines to read at once, by how long the last ones were.
    page: usize,
    /// The action as it was last sent, and when.
    sent: Option<(Action, Instant)>,
    pass: Pass,
    /// When to look whether the reader may still read.
    asks_at: Instant,
    ended: bool,
}

/// What there is to do after a look at the store.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// There is more already.
    Look,
    /// There will be something to send at this time, if nothing happens before.
    Wait(Option<Instant>),
    /// Everything was sent.
    End,
}

/// Lines that are gone.
#[derive(Serialize)]
struct Gap {
    dropped: u64,
}

/// Why a stream breaks off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] jobhook_engine::store::StoreError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Tail {
    /// A reader that has seen the line `after`.
    pub(super) fn new(surface: Arc<Surface>, id: ActionId, after: u64, pass: Pass) -> Tail {
        Tail {
            pass,
            asks_at: Instant::now() + surface.limits.comment,
            hints: surface.engine.changes().follow(id),
            surface,
            id,
            after,
            page: 100,
            sent: None,
            ended: false,
        }
    }

    /// The stream's bytes. It ends with the action, or with the server.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut tail| async move {
            let events = tail.next().await?;
            Some((Ok(events.into_bytes()), tail))
        })
    }

    async fn next(&mut self) -> Option<Events> {
        if self.ended {
            return None;
        }
        let silent_until = Instant::now() + self.surface.limits.comment;
        loop {
            if !self.may_go_on().await {
                self.ended = true;
                return None;
            }
            // Taken before the look, so that what comes during it is another hint.
            self.hints.borrow_and_update();
            let mut events = Events::default();
            let next = match self.look(&mut events).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(action.id = %self.id, %error, "A stream of log lines broke off");
                    self.ended = true;
                    return None;
                }
            };
            self.ended = next == Next::End;
            if !events.is_empty() {
                return Some(events);
            }
            let wake = match next {
                Next::Look => continue,
                Next::End => return None,
                Next::Wait(None) => silent_until,
                Next::Wait(Some(at)) => at.min(silent_until),
            };
            let wake = wake.min(self.asks_at);
            if Instant::now() >= silent_until {
                events.comment();
                return Some(events);
            }
            tokio::select! {
                () = self.surface.closing.cancelled() => return None,
                // The sender stays as long as there is a receiver.
                Ok(()) = self.hints.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Whether the reader may still read: asked now and then, however much there is to send.
    async fn may_go_on(&mut self) -> bool {
        let now = Instant::now();
        if now < self.asks_at {
            return true;
        }
        self.asks_at = now + self.surface.limits.comment;
        let time = self.surface.engine.clock().now();
        match self.surface.access.still_admits(self.pass, time).await {
            Ok(admits) => admits,
            // It may come again, and will be asked then.
            Err(error) => {
                tracing::error!(%error, "Tokens could not be read, so a stream ends");
                false
            }
        }
    }

    /// Reads what is new into `events`.
    async fn look(&mut self, events: &mut Events) -> Result<Next, Broken> {
        let store = Arc::clone(self.surface.engine.store());
        // The action first: if it is closed by now, no line comes after those read next.
        let Some(action) = store.action(self.id).await? else {
            return Ok(Next::End);
        };
        let lines = store.lines(self.id, self.after, self.page).await?;
        let full = lines.len() == self.page;
        self.add_lines(events, lines, action.log.dropped)?;
        let closed = action.status.is_final() && !action.open;
        let now = Instant::now();
        let gathered = self
            .add_status(events, &action, closed && !full, now)
            .await?;
        if full {
            return Ok(Next::Look);
        }
        if closed {
            events.add("end", None, &shown(&self.surface, action).await?)?;
            return Ok(Next::End);
        }
        Ok(Next::Wait(gathered))
    }

    fn add_lines(
        &mut self,
        events: &mut Events,
        lines: Vec<LogLine>,
        dropped: u64,
    ) -> Result<(), Broken> {
        let gone_up_to = lines.first().map_or(dropped, |first| first.number - 1);
        if gone_up_to > self.after {
            let dropped = gone_up_to - self.after;
            events.add("gap", Some(gone_up_to), &Gap { dropped })?;
            self.after = gone_up_to;
        }
        let (count, mut bytes) = (lines.len(), 0);
        for line in lines {
            bytes += line.text.len();
            self.after = line.number;
            events.add("log", Some(line.number), &body::line(line))?;
        }
        if count > 0 {
            self.page = (PAGE_BYTES * count / bytes.max(1)).clamp(1, PAGE_LINES);
        }
        Ok(())
    }

    /// Sends the action if something of it has changed that shows; returns when a change that
    /// is held back is to be sent.
    async fn add_status(
        &mut self,
        events: &mut Events,
        action: &Action,
        last: bool,
        now: Instant,
    ) -> Result<Option<Instant>, Broken> {
        let visible = what_shows(action);
        if let Some((sent, at)) = &self.sent {
            if *sent == visible {
                return Ok(None);
            }
            let due = *at + GATHER;
            if sent.status == visible.status && !last && now < due {
                return Ok(Some(due));
            }
        }
        events.add("status", None, &shown(&self.surface, action.clone()).await?)?;
        self.sent = Some((visible, now));
        Ok(None)
    }
}

/// An action without what changes with every line, and without what never changes.
fn what_shows(action: &Action) -> Action {
    Action {
        log: LogMeter::default(),
        updated_at: Timestamp::default(),
        arguments: None,
        ..action.clone()
    }
}
