//! What is tried again, after which pause, and when it is given up.

use std::time::{Duration, Instant};

use crate::Error;
use crate::backoff::Backoff;
use crate::sender::Pace;

/// So often bytes may arrive as others than were sent before that is taken for what it is.
const MISMATCHES: u32 = 3;

/// Why one try did not succeed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The next one may, but not before so long.
    Again {
        error: Error,
        after: Option<Duration>,
    },
    /// Bytes were damaged on their way, or are others.
    Mismatch(Error),
    /// No other will.
    Over(Error),
}

impl Trouble {
    pub(crate) fn again(error: Error) -> Trouble {
        Trouble::Again { error, after: None }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Over(error)
    }
}

/// The tries of one upload or download.
#[derive(Debug)]
pub(crate) struct Tries {
    backoff: Backoff,
    longest_wait: Duration,
    patience: Duration,
    /// Since when nothing gets on.
    since: Option<Instant>,
    mismatches: u32,
}

impl Tries {
    pub(crate) fn new(pace: &Pace) -> Tries {
        Tries {
            backoff: Backoff::new(pace.first_pause, pace.longest_pause),
            longest_wait: pace.longest_wait,
            patience: pace.patience,
            since: None,
            mismatches: 0,
        }
    }

    /// It gets on: patience begins anew.
    pub(crate) fn progressed(&mut self) {
        self.since = None;
        self.backoff.reset();
    }

    /// Waits before the next try; or says why there is none.
    pub(crate) async fn pause(&mut self, server: &str, trouble: Trouble) -> Result<(), Error> {
        let (error, after) = match trouble {
            Trouble::Over(error) => return Err(error),
            Trouble::Mismatch(error) => {
                self.mismatches += 1;
                if self.mismatches >= MISMATCHES {
                    return Err(error);
                }
                (error, None)
            }
            Trouble::Again { error, after } => (error, after),
        };
        if self.patience.is_zero() {
            return Err(error);
        }
        let away = self.since.get_or_insert_with(Instant::now).elapsed();
        let asked = after.unwrap_or_default().min(self.longest_wait);
        let pause = self.backoff.next().max(asked);
        if away + pause > self.patience {
            return Err(Error::Unreachable {
                server: server.to_owned(),
                away,
                cause: cause_of(error),
            });
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn cause_of(error: Error) -> String {
    match error {
        Error::NoAnswer { cause, .. } => cause,
        Error::Foreign { status, .. } => format!("it answered {status}"),
        error => error.to_string(),
    }
}
