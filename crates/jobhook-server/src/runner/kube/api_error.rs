//! What an answer of the API server means for what was asked: never, later, or already.

use std::time::Duration;

use kube::Error;

use super::cluster::chain;

/// For how long an API server is left alone at most, whatever it says.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What becomes of a call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It will always be answered so; in the API server's own words.
    Refused(String),
    /// There is nothing of that name.
    NotFound(String),
    /// There is something of that name, or it has changed meanwhile.
    Conflict(String),
    /// The API server is away, overloaded, or does not believe us for now.
    Unavailable {
        words: String,
        /// How long it wants to be left alone.
        wait: Duration,
    },
}

impl Failure {
    pub(super) fn unavailable(words: impl Into<String>) -> Failure {
        Failure::Unavailable {
            words: words.into(),
            wait: Duration::ZERO,
        }
    }

    /// How long to wait at least before it is asked again; a minute at most.
    pub(super) fn wait(&self) -> Duration {
        match self {
            Failure::Unavailable { wait, .. } => (*wait).min(LONGEST_WAIT),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn of(error: &Error) -> Failure {
        let Error::Api(status) = error else {
            return Failure::unavailable(format!(
                "the API server cannot be reached: {}",
                chain(error)
            ));
        };
        let words = if status.message.is_empty() {
            status.reason.clone()
        } else {
            status.message.clone()
        };
        match status.code {
            401 => Failure::unavailable(format!(
                "the API server does not accept the credentials (401: {words}); the token may have expired"
            )),
            404 => Failure::NotFound(words),
            409 => Failure::Conflict(words),
            400 | 402 | 403 | 405 | 406 | 413 | 415 | 422 => Failure::Refused(format!(
                "the API server refused it ({}): {words}",
                status.code
            )),
            code => {
                let after = status
                    .details
                    .as_ref()
                    .map_or(0, |details| details.retry_after_seconds);
                Failure::Unavailable {
                    words: format!("the API server answered {code}: {words}"),
                    wait: Duration::from_secs(u64::from(after)),
                }
            }
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(words)
            | Failure::NotFound(words)
            | Failure::Conflict(words)
            | Failure::Unavailable { words, .. } => f.write_str(words),
        }
    }
}

/// How long to wait before a call is made again: longer each time, up to half a minute, and never
/// all at once.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let step = Duration::from_millis(250) * 2u32.pow(self.0.min(7));
        self.0 += 1;
        let mut random = [0; 1];
        // Without randomness it is only less spread.
        let _ = getrandom::fill(&mut random);
        let spread = step.mul_f64(f64::from(random[0]) / 512.0);
        (step / 2 + spread).min(Duration::from_secs(30))
    }

    pub(super) fn reset(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn of(code: u16, message: &str) -> Failure {
        let status = Status {
            code,
            message: message.into(),
            ..Status::default()
        };
        Failure::of(&Error::Api(Box::new(status)))
    }

    #[test]
    fn what_will_always_be_answered_so_is_refused_in_the_same_words() {
        let quota = "pods \"x\" is forbidden: exceeded quota: small";
        let Failure::Refused(words) = of(403, quota) else {
            panic!()
        };
        assert_eq!(words, format!("the API server refused it (403): {quota}"));
        assert!(matches!(
            of(422, "spec: Invalid value"),
            Failure::Refused(_)
        ));
    }

    #[test]
    fn what_may_change_is_asked_again() {
        for code in [401, 408, 429, 500, 502, 503, 504] {
            assert!(
                matches!(of(code, "x"), Failure::Unavailable { .. }),
                "{code}"
            );
        }
        assert!(
            of(401, "Unauthorized")
                .to_string()
                .contains("may have expired")
        );
    }

    #[test]
    fn each_wait_is_longer_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((125..=250).contains(&first.as_millis()), "{first:?}");
        let last = (0..20).map(|_| backoff.next()).last().unwrap();
        assert!((15..=30).contains(&last.as_secs()), "{last:?}");
    }
}
