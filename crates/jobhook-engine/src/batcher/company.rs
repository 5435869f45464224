//! How many writes go together, and how long the first wait for the others.
//!
//! Writers come back once they are answered. Were all of them in one batch, none had anything to do
//! before it is on the disk, and the first to come back would have a commit each to themselves:
//!
//! ```text
//! all at once:  ████████ commit · · · █ commit ███████ commit · · · █ commit     (small, large)
//! in halves:    ████ commit ████ commit ████ commit ████ commit                  (one half prepares)
//! ```
//!
//! So a batch takes half of those it knows of, and waits for that half, for as long as a commit
//! takes at most. A few writers never wait for each other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long the first wait for the others at most: what a quick disk needs for a commit.
const PATIENCE: Duration = Duration::from_micros(200);

/// Fewer are not worth a wait.
const FEW: usize = 8;

/// Of those who were seen and do not come any more, this part is forgotten with each batch.
const FORGOTTEN: usize = 16;

/// Who wakes the loop before its time.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// How many must have come; 0 while nobody waits.
    wanted: AtomicUsize,
    waiting: OnceLock<Thread>,
}

impl Bell {
    /// One more has come; so many are there now.
    pub(super) fn ring(&self, there: impl FnOnce() -> usize) {
        // After what was queued: either that is seen there, or the wish is seen here.
        fence(Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted > 0
            && there() >= wanted
            && let Some(thread) = self.waiting.get()
        {
            thread.unpark();
        }
    }

    /// Waits until `wanted` are there, on the one thread that ever waits here, and not for longer
    /// than `patience`.
    fn wait(&self, wanted: usize, patience: Duration, there: impl Fn() -> usize) {
        self.waiting.get_or_init(thread::current);
        let begin = Instant::now();
        self.wanted.store(wanted, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while there() < wanted
            && let Some(left) = patience.checked_sub(begin.elapsed())
            && !left.is_zero()
        {
            thread::park_timeout(left);
        }
        self.wanted.store(0, Ordering::Relaxed);
    }
}

/// Who was seen lately.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// How many seem to write at the same time.
    size: usize,
    /// How many the last batch had.
    last: usize,
    /// How long that took.
    took: Duration,
}

impl Company {
    /// Waits for company where there is some, and says how many of those who are there go along.
    pub(super) fn gather(&mut self, bell: &Bell, there: impl Fn() -> usize) -> usize {
        let wanted = self.wanted();
        if there() < wanted {
            bell.wait(wanted, self.took.min(PATIENCE), &there);
        }
        self.share(there())
    }

    /// How long the commit of the batch took.
    pub(super) fn committed(&mut self, took: Duration) {
        self.took = took;
    }

    fn wanted(&self) -> usize {
        if self.size < FEW { 1 } else { self.size / 2 }
    }

    fn share(&mut self, there: usize) -> usize {
        let seen = there + self.last;
        self.size = seen.max(self.size - self.size.div_ceil(FORGOTTEN));
        self.last = there.min(seen.div_ceil(2));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn writers_that_come_back_are_parted_into_halves() {
        let mut company = Company::default();
        assert_eq!(company.share(32), 16);
        // Half of them are left, and the others come back meanwhile.
        for _ in 0..10 {
            assert_eq!(company.share(16), 16);
            assert_eq!(company.wanted(), 16);
        }
    }

    #[test]
    fn small_and_large_batches_by_turns_become_equal() {
        let mut company = Company::default();
        let mut there = 2;
        for _ in 0..8 {
            let share = company.share(there);
            // All 32 are either in the batch or there for the next one.
            there = 32 - share;
        }
        assert_eq!((company.share(there), there), (16, 16));
    }

    #[test]
    fn a_few_never_wait() {
        let mut company = Company::default();
        for there in [1, 1, 3, 1, 2, 4, 1] {
            company.share(there);
            assert_eq!(company.wanted(), 1, "the one who is there");
        }
    }

    #[test]
    fn those_who_stay_away_are_forgotten() {
        let mut company = Company::default();
        company.share(1000);
        let batches = (1..).find(|_| {
            company.share(1);
            company.wanted() <= 1
        });
        assert!(batches < Some(100), "{batches:?}");
    }

    #[test]
    fn all_that_is_there_goes_sooner_or_later() {
        let mut company = Company::default();
        let mut there = 1000;
        while there > 0 {
            let share = company.share(there);
            assert!(share > 0);
            there -= share;
        }
    }

    #[test]
    fn who_completes_the_company_ends_the_wait() {
        let bell = Arc::new(Bell::default());
        let there = Arc::new(AtomicUsize::new(1));
        let (ringing, coming) = (bell.clone(), there.clone());
        let comes = thread::spawn(move || {
            while ringing.wanted.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            for _ in 0..2 {
                coming.fetch_add(1, Ordering::SeqCst);
                ringing.ring(|| coming.load(Ordering::SeqCst));
            }
        });
        // Longer than any test may take: only the bell ends it.
        bell.wait(3, Duration::from_secs(3600), || {
            there.load(Ordering::SeqCst)
        });
        comes.join().unwrap();
        assert_eq!(bell.wanted.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let bell = Bell::default();
        bell.wait(2, Duration::from_micros(1), || 1);
        assert_eq!(bell.wanted.load(Ordering::Relaxed), 0);
    }
}
