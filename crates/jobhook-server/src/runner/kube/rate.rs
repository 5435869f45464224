//! How many Jobs are created each second: a bucket of permits that fills steadily.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Gives permits, each at its time.
#[derive(Debug)]
pub(super) struct Rate {
    /// Between two permits.
    step: Duration,
    /// How far the time of the next may lie behind, so that a few may go at once.
    burst: Duration,
    next: Mutex<Instant>,
}

impl Rate {
    /// `a_second` permits each second, and as many at once after a pause.
    pub(super) fn new(a_second: u32) -> Rate {
        let step = Duration::from_secs(1) / a_second.max(1);
        Rate {
            step,
            burst: step * (a_second.max(1) - 1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for its turn.
    pub(super) async fn permit(&self) {
        tokio::time::sleep_until(self.take(Instant::now())).await;
    }

    fn take(&self, now: Instant) -> Instant {
        let mut next = self
            .next
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let turn = (*next).max(earliest);
        *next = turn + self.step;
        turn.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_at_once_and_the_others_one_by_one() {
        let rate = Rate::new(10);
        let now = Instant::now() + Duration::from_secs(60);
        let waits: Vec<u128> = (0..15)
            .map(|_| (rate.take(now) - now).as_millis())
            .collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300, 400, 500]);
    }

    #[test]
    fn a_pause_fills_the_bucket_only_so_far() {
        let rate = Rate::new(2);
        let later = Instant::now() + Duration::from_secs(3600);
        let waits: Vec<u128> = (0..4)
            .map(|_| (rate.take(later) - later).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 500, 1000]);
    }
}
