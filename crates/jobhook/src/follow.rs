//! Following an action until it is over, through restarts of the server.
//!
//! ```text
//! Connect ─▶ Stream ─ends, breaks off─▶ Connect …     resumes after the last line seen
//!    └─────▶ Poll                                     where nothing streams
//! ```
//!
//! Lines are numbered without a gap, so the last number seen is all that has to be known to
//! neither lose nor double one: what is not above it was seen, and what is further above it
//! than one comes after lines that were dropped.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::Stream as FutureStream;
use futures_util::stream::try_unfold;
use jobhook_protocol::{ActionBody, LogLineBody};
use reqwest::Response;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::Error;
use crate::answer::Answer;
use crate::backoff::Backoff;
use crate::launcher::{Launcher, checked};
use crate::sse::{Event, Parser};

/// How many lines to ask for at once.
const PAGE: u32 = 1_000;
/// A stream has a comment every 15 s; one that is silent for three of them is stuck.
const STALLED: Duration = Duration::from_secs(45);
/// How many streams in a row may end without a single event before polling.
const FRUITLESS: u32 = 3;
/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Seen {
    /// The next line.
    Line(Answer<LogLineBody>),
    /// So many lines were dropped before the next one.
    Gap(u64),
    /// The action, changed or not.
    Action(Box<Answer<ActionBody>>),
    /// The server is away; why. It is tried again.
    Lost(Error),
    /// The server is back.
    Back,
    /// The action is final, its attempt closed, its output stored, and all of it seen.
    End(Box<Answer<ActionBody>>),
}

/// Follows one action; made by [`Launcher::follow`].
#[derive(Debug)]
pub struct Follower {
    launcher: Launcher,
    id: String,
    /// Whether lines are wanted, and not only the end.
    lines: bool,
    /// The number of the last line seen.
    last: u64,
    mode: Mode,
    queue: VecDeque<Seen>,
    /// How long to wait before the next step.
    pause: Option<Duration>,
    /// Since when the server is away.
    lost: Option<Instant>,
    backoff: Backoff,
    fruitless: u32,
    /// Whether a closed action was once asked for lines that it should still have.
    asked_again: bool,
    over: bool,
}

#[derive(Debug)]
enum Mode {
    Connect,
    Stream(Box<Stream>),
    Poll { interval: Duration },
}

#[derive(Debug)]
struct Stream {
    response: Response,
    parser: Parser,
    /// Whether it gave an event.
    fruitful: bool,
}

const POLL: Mode = Mode::Poll {
    interval: Duration::from_millis(200),
};

impl Follower {
    pub(crate) fn after(launcher: Launcher, id: &str, after: u64) -> Result<Follower, Error> {
        Ok(Follower {
            id: checked(id)?.to_owned(),
            launcher,
            lines: true,
            last: after,
            mode: Mode::Connect,
            queue: VecDeque::new(),
            pause: None,
            lost: None,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            fruitless: 0,
            asked_again: false,
            over: false,
        })
    }

    /// Waits for the end alone, without the lines.
    pub(crate) fn of_the_end(launcher: Launcher, id: &str) -> Result<Follower, Error> {
        Ok(Follower {
            lines: false,
            mode: Mode::Poll {
                interval: Duration::from_millis(50),
            },
            ..Follower::after(launcher, id, 0)?
        })
    }

    /// Waits for the next thing to be seen. [`Seen::End`] is the last; after it comes `None`.
    ///
    /// # Errors
    ///
    /// What waiting does not mend; `server_unreachable` once the server was away for ten
    /// minutes; `no_answer` if it never answered the launcher or a clone of it.
    pub async fn next(&mut self) -> Result<Option<Seen>, Error> {
        loop {
            if let Some(seen) = self.queue.pop_front() {
                self.over |= matches!(seen, Seen::End(_));
                return Ok(Some(seen));
            }
            if self.over {
                return Ok(None);
            }
            if let Some(pause) = self.pause.take() {
                sleep(pause).await;
            }
            let step = match self.mode {
                Mode::Connect => self.connect().await,
                Mode::Stream(_) => self.read().await,
                Mode::Poll { .. } => self.poll().await,
            };
            match step {
                Ok(()) => {}
                Err(error) if error.is_temporary() => self.lose(error)?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the end, and gives the action as it is then.
    ///
    /// # Errors
    ///
    /// As [`Follower::next`].
    pub async fn end(mut self) -> Result<Answer<ActionBody>, Error> {
        while let Some(seen) = self.next().await? {
            if let Seen::End(action) = seen {
                return Ok(*action);
            }
        }
        self.launcher.show(&self.id).await
    }

    /// Everything that is seen, as a stream; it ends after [`Seen::End`] or an error.
    pub fn into_stream(self) -> impl FutureStream<Item = Result<Seen, Error>> + Send {
        try_unfold(self, async |mut follower: Follower| {
            let seen = follower.next().await?;
            Ok(seen.map(|seen| (seen, follower)))
        })
    }

    /// Whether the next thing is not there yet, so that what was seen should be shown now.
    pub fn must_wait(&self) -> bool {
        self.queue.is_empty()
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let response = self.launcher.events(&self.id, self.last).await?;
        self.found();
        self.mode = match response {
            Some(response) => Mode::Stream(Box::new(Stream {
                response,
                parser: Parser::default(),
                fruitful: false,
            })),
            None => POLL,
        };
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Error> {
        let Mode::Stream(stream) = &mut self.mode else {
            return Ok(());
        };
        if let Ok(Ok(Some(bytes))) = timeout(STALLED, stream.response.chunk()).await {
            let events = stream.parser.take(&bytes);
            let events = events.ok_or_else(|| {
                self.launcher
                    .foreign("an event longer than anything it has")
            })?;
            stream.fruitful |= !events.is_empty();
            for event in events {
                self.take(event)?;
            }
            return Ok(());
        }
        // Ended, broken off or stuck: all the same, a new stream goes on where it was.
        self.fruitless = if stream.fruitful {
            0
        } else {
            self.fruitless + 1
        };
        self.mode = if self.fruitless >= FRUITLESS {
            POLL
        } else {
            self.pause = Some(self.backoff.next());
            Mode::Connect
        };
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Gap {
            dropped: u64,
        }
        match event.name.as_str() {
            "log" => {
                let line = self.launcher.answer(event.data)?;
                self.see(line);
            }
            "gap" => {
                let Gap { dropped } = self.launcher.read(&event.data)?;
                self.last = self.last.saturating_add(dropped);
                self.queue.push_back(Seen::Gap(dropped));
            }
            "status" => {
                let action = self.launcher.answer(event.data)?;
                self.queue.push_back(Seen::Action(Box::new(action)));
            }
            "end" => {
                let action = self.launcher.answer(event.data)?;
                self.queue.push_back(Seen::End(Box::new(action)));
            }
            // A later server may have more to say.
            _ => {}
        }
        self.backoff.reset();
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), Error> {
        if self.lines {
            let page = self.launcher.lines(&self.id, self.last, PAGE).await?;
            self.found();
            if !page.lines.is_empty() {
                let before = self.last;
                page.lines.into_iter().for_each(|line| self.see(line));
                if self.last == before {
                    // Asked again it would say the same.
                    return Err(self.launcher.foreign("lines that were not asked for"));
                }
                return Ok(());
            }
        }
        let action = self.launcher.show(&self.id).await?;
        self.found();
        if !(action.status.is_final() && action.closed) {
            self.queue.push_back(Seen::Action(Box::new(action)));
            self.pause = Some(self.interval());
        } else if self.lines && action.lines > self.last && !self.asked_again {
            // Lines that came between the two questions.
            self.asked_again = true;
        } else {
            self.queue.push_back(Seen::End(Box::new(action)));
        }
        Ok(())
    }

    /// A short while at first, because many jobs are short; up to a second.
    fn interval(&mut self) -> Duration {
        let Mode::Poll { interval } = &mut self.mode else {
            return Duration::ZERO;
        };
        let now = *interval;
        *interval = (now * 3 / 2).min(Duration::from_secs(1));
        now
    }

    fn see(&mut self, line: Answer<LogLineBody>) {
        if line.number <= self.last {
            return;
        }
        let dropped = line.number - self.last - 1;
        if dropped > 0 {
            self.queue.push_back(Seen::Gap(dropped));
        }
        self.last = line.number;
        self.queue.push_back(Seen::Line(line));
    }

    fn lose(&mut self, error: Error) -> Result<(), Error> {
        if !self.launcher.has_met() {
            return Err(error);
        }
        let since = match self.lost {
            Some(lost) => lost,
            None => {
                self.queue.push_back(Seen::Lost(error.clone()));
                *self.lost.insert(Instant::now())
            }
        };
        if since.elapsed() > PATIENCE {
            return Err(Error::Unreachable {
                server: self.launcher.server(),
                away: since.elapsed(),
                cause: match error {
                    Error::NoAnswer { cause, .. } => cause,
                    error => error.to_string(),
                },
            });
        }
        if !matches!(self.mode, Mode::Poll { .. }) {
            self.mode = Mode::Connect;
        }
        self.pause = Some(self.backoff.next());
        Ok(())
    }

    fn found(&mut self) {
        if self.lost.take().is_some() {
            self.backoff.reset();
            self.queue.push_back(Seen::Back);
        }
    }
}
