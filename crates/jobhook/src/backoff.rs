//! Waiting longer each time, and never at the same moment as everybody else.

use std::time::Duration;

/// The pauses between tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Backoff {
        Backoff {
            first,
            most,
            tries: 0,
        }
    }

    /// The next pause: somewhere between half and all of first, 2 × first, 4 × first … most.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = self
            .first
            .saturating_mul(1 << self.tries.min(16))
            .min(self.most);
        self.tries += 1;
        // Without randomness the pauses are merely not spread.
        let spread = getrandom::u32().unwrap_or(u32::MAX);
        whole.mul_f64(0.5 + 0.5 * f64::from(spread) / f64::from(u32::MAX))
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for most_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let pause = backoff.next();
            let most = Duration::from_millis(most_ms);
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
