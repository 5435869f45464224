//! How many Jobs are created each second: a bucket of permits that fills steadily. And how many at
//! the same time: a cluster that answers slowly is not sent ever more, to find it all at once when it
//! recovers.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Gives permits, each at its time.
#[derive(Debug)]
pub(super) struct Rate {
    /// Between two permits.
    step: Duration,
    /// How far the time of the next may lie behind, so that a few may go at once.
    burst: Duration,
    next: Mutex<Instant>,
    under_way: Semaphore,
}

/// A creation that is under way, until it is dropped.
pub(super) type Permit<'a> = SemaphorePermit<'a>;

impl Rate {
    /// `a_second` permits each second. Half as many go at once after a pause, and are under way at
    /// once.
    pub(super) fn new(a_second: u32) -> Rate {
        let step = Duration::from_secs(1) / a_second.max(1);
        let half = a_second.div_ceil(2).max(1);
        Rate {
            step,
            burst: step * (half - 1),
            next: Mutex::new(Instant::now()),
            under_way: Semaphore::new(usize::try_from(half).unwrap_or(usize::MAX)),
        }
    }

    /// Waits until fewer are under way, and for its turn unless it has had that: who tries again.
    ///
    /// Nothing if nobody gets one any more, which never happens.
    pub(super) async fn permit(&self, is_first: bool) -> Option<Permit<'_>> {
        let permit = self.under_way.acquire().await.ok();
        if is_first {
            tokio::time::sleep_until(self.take(Instant::now())).await;
        }
        permit
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
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_few_go_at_once_and_the_others_one_by_one() {
        let rate = Rate::new(10);
        let now = Instant::now() + Duration::from_secs(60);
        let waits: Vec<u128> = (0..15)
            .map(|_| (rate.take(now) - now).as_millis())
            .collect();
        assert_eq!(waits[..5], [0; 5]);
        assert_eq!(
            waits[5..],
            [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
        );
    }

    #[tokio::test]
    async fn a_slow_cluster_is_not_sent_ever_more() {
        let rate = Rate::new(1000);
        let mut under_way = Vec::new();
        for _ in 0..500 {
            under_way.push(rate.permit(true).await.unwrap());
        }
        let mut another = std::pin::pin!(rate.permit(false));
        assert!(another.as_mut().now_or_never().is_none());
        under_way.pop();
        assert!(another.await.is_some());
    }

    #[test]
    fn a_pause_fills_the_bucket_only_so_far() {
        let rate = Rate::new(4);
        let later = Instant::now() + Duration::from_secs(3600);
        let waits: Vec<u128> = (0..4)
            .map(|_| (rate.take(later) - later).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 250, 500]);
    }
}
