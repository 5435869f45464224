//! How much work judging may be.
//!
//! Work is counted where it touches the value (`touch`), and every so many touches the clock is
//! asked how much processor time the thread has had since. The time of the processor, not that of
//! the wall: a busy machine refuses nothing that a quiet one takes.
//!
//! The judges of schemas know no way to stop. So what has had its time is unwound, up to
//! `within`; nothing goes on after that. No judge holds a lock or writes what outlives it, and
//! the hook for panics is not called.
//!
//! Nothing here knows schemas.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use nix::time::ClockId;

/// So many touches are some tens of microseconds.
const EVERY: usize = 4096;

thread_local! {
    /// Touches until the clock is asked again.
    static LEFT: Cell<usize> = const { Cell::new(EVERY) };
    /// How long the thread may work; `None` where nobody counts.
    static ALLOWED: Cell<Option<Allowance>> = const { Cell::new(None) };
}

/// How much processor time some work may take. Most is done before the clock would be asked once,
/// so the time runs from the first time that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    limit: Duration,
    /// When it is over, by the thread's own clock.
    end: Option<Duration>,
}

impl Allowance {
    /// Of so much time.
    pub(super) const fn of(limit: Duration) -> Allowance {
        Allowance { limit, end: None }
    }

    fn is_spent(&mut self) -> bool {
        let now = now();
        now >= *self.end.get_or_insert(now.saturating_add(self.limit))
    }
}

/// The time that was given is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent;

/// How much processor time the thread has had.
fn now() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    // No Linux is without this clock. If one were, nothing would be judged, rather than for ever.
    time.map_or(Duration::MAX, Duration::from)
}

/// Does what touches as it goes, until `allowance` is spent; what is left of it stays in there.
pub(super) fn within<T>(allowance: &mut Allowance, work: impl FnOnce() -> T) -> Result<T, Spent> {
    let before = ALLOWED.replace(Some(*allowance));
    LEFT.set(EVERY);
    let done = catch_unwind(AssertUnwindSafe(work));
    if let Some(left) = ALLOWED.replace(before) {
        *allowance = left;
    }
    match done {
        Ok(value) => Ok(value),
        Err(payload) if payload.is::<Spent>() => Err(Spent),
        Err(panic) => resume_unwind(panic),
    }
}

/// Counts work that is worth so many looks at one value.
#[inline]
pub(super) fn touch(weight: usize) {
    LEFT.with(|left| match left.get().checked_sub(weight) {
        Some(rest) => left.set(rest),
        None => look(),
    });
}

/// Asks the clock.
#[cold]
pub(super) fn look() {
    LEFT.set(EVERY);
    let Some(mut allowance) = ALLOWED.get() else {
        return;
    };
    let is_spent = allowance.is_spent();
    ALLOWED.set(Some(allowance));
    if is_spent {
        give_up();
    }
}

/// Ends the work of [`within`] as if its time were over.
pub(super) fn give_up() {
    resume_unwind(Box::new(Spent));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_without_an_end_is_ended() {
        let mut allowance = Allowance::of(Duration::from_millis(10));
        let endless = || loop {
            touch(1)
        };
        assert_eq!(within::<()>(&mut allowance, endless), Err(Spent));
        // What goes on with it has no time left.
        assert_eq!(within(&mut allowance, look), Err(Spent));
        // Nobody counts any more.
        (0..3 * EVERY).for_each(|_| touch(1));
    }

    #[test]
    fn work_that_ends_in_time_gives_what_it_found() {
        assert_eq!(
            within(&mut Allowance::of(Duration::MAX), || {
                touch(usize::MAX);
                7
            }),
            Ok(7)
        );
    }

    #[test]
    fn another_panic_goes_on() {
        let mut allowance = Allowance::of(Duration::MAX);
        let panics = || within::<()>(&mut allowance, || resume_unwind(Box::new("else")));
        let payload = catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"else"));
    }
}
