//! What a job waits for, told when it is news: not each time that a count in it changes.

use std::time::Duration;

use tokio::time::Instant;

/// After something was told, something else is told no sooner.
const NOT_SOONER: Duration = Duration::from_secs(60);

/// What was told when, of one job.
#[derive(Debug, Default)]
pub(super) struct Waits {
    told_at: Option<Instant>,
    /// From when on what came too soon after that may be told.
    untold: Option<Instant>,
}

impl Waits {
    /// Whether `why` is to be told now, where `told` was the last that was.
    pub(super) fn are_news(&mut self, told: Option<&str>, why: &str, now: Instant) -> bool {
        self.untold = None;
        if told == Some(why) {
            return false;
        }
        let from = self.told_at.map(|at| at + NOT_SOONER);
        if from.is_some_and(|from| now < from) {
            self.untold = from;
            return false;
        }
        self.told_at = Some(now);
        true
    }

    /// When to look again for something that may be told by then, if there was something. It is
    /// given once: a job that waits no more looks for nothing, again and again, otherwise.
    pub(super) fn take_next(&mut self) -> Option<Instant> {
        self.untold.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_told_once_and_something_else_a_minute_later() {
        let (mut waits, begin) = (Waits::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert!(waits.are_news(None, "no room", at(0)));
        assert!(!waits.are_news(Some("no room"), "no room", at(1)));
        assert_eq!(waits.take_next(), None);
        assert!(!waits.are_news(Some("no room"), "no image", at(2)));
        assert_eq!(waits.take_next(), Some(at(60)));
        assert_eq!(waits.take_next(), None, "it may have begun meanwhile");
        assert!(!waits.are_news(Some("no room"), "no image", at(59)));
        assert!(waits.are_news(Some("no room"), "no image", at(60)));
        assert_eq!(waits.take_next(), None);
    }

    #[test]
    fn what_is_over_before_it_may_be_told_is_not_waited_for() {
        let (mut waits, begin) = (Waits::default(), Instant::now());
        assert!(waits.are_news(None, "no room", begin));
        assert!(!waits.are_news(Some("no room"), "no image", begin));
        assert!(!waits.are_news(Some("no room"), "no room", begin));
        assert_eq!(waits.take_next(), None);
    }

    /// An earlier server told it.
    #[test]
    fn what_was_told_before_a_restart_is_not_told_again() {
        let mut waits = Waits::default();
        assert!(!waits.are_news(Some("no room"), "no room", Instant::now()));
        assert!(waits.are_news(Some("no room"), "no image", Instant::now()));
    }
}
