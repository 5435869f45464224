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
    /// When the thread has had enough, by its own clock; `None` where nobody counts.
    static END: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// The time that was given is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent;

/// How much processor time the thread has had.
pub(super) fn now() -> Duration {
    let time = ClockId::CLOCK_THREAD_CPUTIME_ID.now();
    // No Linux is without this clock. If one were, nothing would be judged, rather than for ever.
    time.map_or(Duration::MAX, Duration::from)
}

/// Does what touches as it goes, until the thread's own clock says `end`.
pub(super) fn within<T>(end: Duration, work: impl FnOnce() -> T) -> Result<T, Spent> {
    let before = END.replace(Some(end));
    LEFT.set(EVERY);
    let done = catch_unwind(AssertUnwindSafe(work));
    END.set(before);
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
    if END.get().is_some_and(|end| now() >= end) {
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
        let end = now() + Duration::from_millis(10);
        assert_eq!(
            within::<()>(end, || loop {
                touch(1)
            }),
            Err(Spent)
        );
        // Nobody counts any more.
        (0..3 * EVERY).for_each(|_| touch(1));
    }

    #[test]
    fn work_that_ends_in_time_gives_what_it_found() {
        assert_eq!(
            within(Duration::MAX, || {
                touch(usize::MAX);
                7
            }),
            Ok(7)
        );
    }

    #[test]
    fn another_panic_goes_on() {
        let panics = || within::<()>(Duration::MAX, || resume_unwind(Box::new("else")));
        let payload = catch_unwind(panics).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"else"));
    }
}
