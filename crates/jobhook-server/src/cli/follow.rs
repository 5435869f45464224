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
//!
//! Nothing here prints; [`Follower::next`] says what was seen.

use std::collections::VecDeque;
use std::time::Duration;

use jobhook_protocol::ActionBody;
use reqwest::Response;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::api::{Answer, Api, ApiError, Line};
use super::backoff::Backoff;
use super::exit::{Exit, Failure};
use super::sse::{Event, Parser};

/// How many lines to ask for at once.
pub(crate) const PAGE: u32 = 1_000;
/// A stream has a comment every 15 s; one that is silent for three of them is stuck.
const STALLED: Duration = Duration::from_secs(45);
/// How many streams in a row may end without a single event before polling.
const FRUITLESS: u32 = 3;
/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(600);

/// What was seen.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The next line.
    Line(Line),
    /// So many lines were dropped before the next one.
    Gap(u64),
    /// The action, changed or not.
    Action(Box<ActionBody>),
    /// The server is away; why. It is tried again.
    Lost(String),
    /// The server is back.
    Back,
    /// The action is final, its attempt closed, its output stored, and all of it seen.
    End(Box<Answer<ActionBody>>),
}

/// Follows one action.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    api: &'a Api,
    id: &'a str,
    /// Whether lines are wanted, and not only the end.
    lines: bool,
    /// The number of the last line seen.
    last: u64,
    mode: Mode,
    queue: VecDeque<Seen>,
    /// How long to wait before the next step.
    pause: Option<Duration>,
    /// Whether the server ever answered; one that never did is not waited for.
    met: bool,
    /// Since when the server is away.
    lost: Option<Instant>,
    backoff: Backoff,
    fruitless: u32,
    /// Whether a closed action was once asked for lines that it should still have.
    asked_again: bool,
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

impl<'a> Follower<'a> {
    /// Follows the lines of action `id` from the first one on.
    pub(crate) fn new(api: &'a Api, id: &'a str) -> Follower<'a> {
        Follower {
            api,
            id,
            lines: true,
            last: 0,
            mode: Mode::Connect,
            queue: VecDeque::new(),
            pause: None,
            met: false,
            lost: None,
            backoff: Backoff::default(),
            fruitless: 0,
            asked_again: false,
        }
    }

    /// Follows an action that the server has just launched.
    pub(crate) fn of_a_launch(api: &'a Api, id: &'a str) -> Follower<'a> {
        Follower {
            met: true,
            ..Follower::new(api, id)
        }
    }

    /// Waits for the end of an action that the server has just launched, without its lines.
    pub(crate) fn of_the_end(api: &'a Api, id: &'a str) -> Follower<'a> {
        Follower {
            lines: false,
            mode: Mode::Poll {
                interval: Duration::from_millis(50),
            },
            ..Follower::of_a_launch(api, id)
        }
    }

    /// Waits for the next thing to be seen. [`Seen::End`] is the last.
    ///
    /// # Errors
    ///
    /// What waiting does not mend; or the server was away for ten minutes.
    pub(crate) async fn next(&mut self) -> Result<Seen, Failure> {
        loop {
            if let Some(seen) = self.queue.pop_front() {
                return Ok(seen);
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
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The action with its history, unless the server does not tell just now.
    pub(crate) async fn action(&self) -> Option<ActionBody> {
        let answer = self.api.action(self.id).await.ok()?;
        Some(answer.body)
    }

    /// Whether the next thing is not there yet, so that what was seen should be shown now.
    pub(crate) fn must_wait(&self) -> bool {
        self.queue.is_empty()
    }

    async fn connect(&mut self) -> Result<(), ApiError> {
        let response = self.api.events(self.id, self.last).await?;
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

    async fn read(&mut self) -> Result<(), ApiError> {
        let Mode::Stream(stream) = &mut self.mode else {
            return Ok(());
        };
        if let Ok(Ok(Some(bytes))) = timeout(STALLED, stream.response.chunk()).await {
            let events = stream.parser.take(&bytes);
            stream.fruitful |= !events.is_empty();
            for event in events {
                self.take(&event)?;
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

    fn take(&mut self, event: &Event) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        struct Gap {
            dropped: u64,
        }
        match event.name.as_str() {
            "log" => {
                let line = self.api.line(&event.data)?;
                self.see(line);
            }
            "gap" => {
                let Gap { dropped } = self.api.read(&event.data)?;
                self.last += dropped;
                self.queue.push_back(Seen::Gap(dropped));
            }
            "status" => {
                let action = self.api.read(&event.data)?;
                self.queue.push_back(Seen::Action(action));
            }
            "end" => {
                let answer = Answer {
                    body: self.api.read(&event.data)?,
                    text: event.data.clone(),
                };
                self.queue.push_back(Seen::End(Box::new(answer)));
            }
            // A later server may have more to say.
            _ => {}
        }
        self.backoff.reset();
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), ApiError> {
        if self.lines {
            let lines = self.api.lines(self.id, self.last, PAGE).await?;
            self.found();
            if !lines.is_empty() {
                lines.into_iter().for_each(|line| self.see(line));
                return Ok(());
            }
        }
        let answer = self.api.action(self.id).await?;
        self.found();
        let action = &answer.body;
        if !(action.status.is_final() && action.closed) {
            self.queue.push_back(Seen::Action(Box::new(answer.body)));
            self.pause = Some(self.interval());
        } else if self.lines && action.lines > self.last && !self.asked_again {
            // Lines that came between the two questions.
            self.asked_again = true;
        } else {
            self.queue.push_back(Seen::End(Box::new(answer)));
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

    fn see(&mut self, line: Line) {
        let number = line.body.number;
        if number <= self.last {
            return;
        }
        let dropped = number - self.last - 1;
        if dropped > 0 {
            self.queue.push_back(Seen::Gap(dropped));
        }
        self.last = number;
        self.queue.push_back(Seen::Line(line));
    }

    fn lose(&mut self, error: ApiError) -> Result<(), Failure> {
        if !self.met {
            return Err(error.into());
        }
        let lost = match self.lost {
            Some(lost) => lost,
            None => {
                self.queue.push_back(Seen::Lost(error.to_string()));
                *self.lost.insert(Instant::now())
            }
        };
        if lost.elapsed() > PATIENCE {
            return Err(Failure::new(
                Exit::Unreachable,
                format_args!(
                    "{error}\ngave up after {} minutes; the action goes on without us",
                    PATIENCE.as_secs() / 60
                ),
            ));
        }
        if !matches!(self.mode, Mode::Poll { .. }) {
            self.mode = Mode::Connect;
        }
        self.pause = Some(self.backoff.next());
        Ok(())
    }

    fn found(&mut self) {
        self.met = true;
        if self.lost.take().is_some() {
            self.backoff.reset();
            self.queue.push_back(Seen::Back);
        }
    }
}

const POLL: Mode = Mode::Poll {
    interval: Duration::from_millis(200),
};
