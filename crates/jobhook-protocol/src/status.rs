//! The action state machine (clauses `LIFE-*`).
//!
//! ```text
//!  Scheduled ──due──▶ Queued ──claimed──▶ Starting ──started│reported──▶ Running
//!    │   ▲              │                    │                              │
//!    │   └──────────────┼──── closed_to_retry ───────────────────────────────┤
//!    ▼                  ▼                    ▼                              ▼
//!  Cancelled │ Timeout │ Error            Success │ Error │ Timeout │ Cancelled
//! ```
//!
//! [`Status::after`] is the only judge of a change; the store asks it inside the
//! transaction, and no status is written anywhere without it. The whole table, legal and
//! illegal, is `conformance/vectors/transitions.json`.
//!
//! Nothing here knows tries, marks or clocks: whoever asks has already decided which of the
//! events it is (for example [`Event::ReportedError`] or [`Event::ReportedErrorToRetry`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an action stands. The first four are live, the last four final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Waits for its time.
    Scheduled,
    /// Waits for a runner.
    Queued,
    /// A runner has taken it and is starting its job.
    Starting,
    /// Its job runs.
    Running,
    /// Final: the job did what it should.
    Success,
    /// Final: the job, or starting it, failed.
    Error,
    /// Final: one of its four timeouts ended it.
    Timeout,
    /// Final: somebody cancelled it.
    Cancelled,
}

/// Something that happened to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its time has come.
    Due,
    /// A runner took it.
    Claimed,
    /// No runner takes its type, or the runner would not start it and no try is left.
    Refused,
    /// The runner saw the job start.
    Started,
    /// The job said `RUNNING`.
    ReportedRunning,
    /// The job said `SUCCESS`.
    ReportedSuccess,
    /// The job said `ERROR` on its last try.
    ReportedError,
    /// The job said `ERROR` and has tries left: it stays live until the attempt closes.
    ReportedErrorToRetry,
    /// The job said `ERROR` while cancellation was wanted.
    ReportedErrorAfterCancel,
    /// The attempt closed as a success.
    ClosedSuccess,
    /// The attempt closed as a failure, and it was the last.
    ClosedError,
    /// The attempt closed because one of its timeouts fired, and it was the last.
    ClosedTimeout,
    /// The attempt closed under the cancel mark.
    ClosedCancelled,
    /// The attempt failed and another is due.
    ClosedToRetry,
    /// Cancelled before it was taken.
    Cancelled,
    /// A timeout fired before it was taken.
    Expired,
}

/// An event that the current status does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not possible while the action is {status}")]
pub struct IllegalTransition {
    /// Where the action stands.
    pub status: Status,
    /// What cannot happen now.
    pub event: Event,
}

impl Status {
    /// Every status, in the order of life.
    pub const ALL: [Status; 8] = [
        Status::Scheduled,
        Status::Queued,
        Status::Starting,
        Status::Running,
        Status::Success,
        Status::Error,
        Status::Timeout,
        Status::Cancelled,
    ];

    /// Returns the status that follows `event`.
    ///
    /// A final report that repeats the current status is accepted, so it may safely be sent
    /// twice; what a runner sees after the end changes nothing.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] if the event cannot happen now.
    pub fn after(self, event: Event) -> Result<Status, IllegalTransition> {
        use Event as E;
        use Status::*;

        match (self, event) {
            (Scheduled, E::Due) => Ok(Queued),
            (Queued, E::Claimed) => Ok(Starting),
            (Scheduled | Queued | Starting, E::Refused) => Ok(Error),
            (Scheduled | Queued, E::Cancelled) => Ok(Cancelled),
            (Scheduled | Queued, E::Expired) => Ok(Timeout),

            (Starting | Running, E::Started | E::ReportedRunning | E::ReportedErrorToRetry) => {
                Ok(Running)
            }
            (Starting | Running, E::ReportedSuccess | E::ClosedSuccess) => Ok(Success),
            (Starting | Running, E::ReportedError | E::ClosedError) => Ok(Error),
            (Starting | Running, E::ReportedErrorAfterCancel | E::ClosedCancelled) => Ok(Cancelled),
            (Starting | Running, E::ClosedTimeout) => Ok(Timeout),
            (Starting | Running, E::ClosedToRetry) => Ok(Scheduled),

            (Success, E::ReportedSuccess)
            | (Error, E::ReportedError)
            | (Cancelled, E::ReportedErrorAfterCancel) => Ok(self),
            (
                Success | Error | Timeout | Cancelled,
                E::Started
                | E::ClosedSuccess
                | E::ClosedError
                | E::ClosedTimeout
                | E::ClosedCancelled
                | E::ClosedToRetry,
            ) => Ok(self),

            (status, event) => Err(IllegalTransition { status, event }),
        }
    }

    /// Whether nothing can follow any more.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Status::Success | Status::Error | Status::Timeout | Status::Cancelled
        )
    }

    /// Whether a job may say this of itself (clause `REP-2`).
    pub const fn is_reportable(self) -> bool {
        matches!(self, Status::Running | Status::Success | Status::Error)
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Scheduled => "SCHEDULED",
            Status::Queued => "QUEUED",
            Status::Starting => "STARTING",
            Status::Running => "RUNNING",
            Status::Success => "SUCCESS",
            Status::Error => "ERROR",
            Status::Timeout => "TIMEOUT",
            Status::Cancelled => "CANCELLED",
        }
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 16] = [
        Event::Due,
        Event::Claimed,
        Event::Refused,
        Event::Started,
        Event::ReportedRunning,
        Event::ReportedSuccess,
        Event::ReportedError,
        Event::ReportedErrorToRetry,
        Event::ReportedErrorAfterCancel,
        Event::ClosedSuccess,
        Event::ClosedError,
        Event::ClosedTimeout,
        Event::ClosedCancelled,
        Event::ClosedToRetry,
        Event::Cancelled,
        Event::Expired,
    ];

    /// The name used in `docs/protocol.md` and the vectors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Event::Due => "due",
            Event::Claimed => "claimed",
            Event::Refused => "refused",
            Event::Started => "started",
            Event::ReportedRunning => "reported_running",
            Event::ReportedSuccess => "reported_success",
            Event::ReportedError => "reported_error",
            Event::ReportedErrorToRetry => "reported_error_to_retry",
            Event::ReportedErrorAfterCancel => "reported_error_after_cancel",
            Event::ClosedSuccess => "closed_success",
            Event::ClosedError => "closed_error",
            Event::ClosedTimeout => "closed_timeout",
            Event::ClosedCancelled => "closed_cancelled",
            Event::ClosedToRetry => "closed_to_retry",
            Event::Cancelled => "cancelled",
            Event::Expired => "expired",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a status; known are SCHEDULED, QUEUED, STARTING, RUNNING, SUCCESS, ERROR, TIMEOUT, CANCELLED"
)]
pub struct UnknownStatus(pub String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Status, UnknownStatus> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| UnknownStatus(word.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::*;

    #[track_caller]
    fn check(from: Status, event: Event, to: impl Into<Option<Status>>) {
        assert_eq!(from.after(event).ok(), to.into(), "{from} on {event}");
    }

    #[test]
    fn an_action_goes_from_schedule_to_success() {
        check(Scheduled, Event::Due, Queued);
        check(Queued, Event::Claimed, Starting);
        check(Starting, Event::Started, Running);
        check(Running, Event::ReportedSuccess, Success);
        check(Success, Event::ClosedError, Success);
    }

    #[test]
    fn a_late_report_does_not_revive_a_final_action() {
        for status in [Success, Error, Timeout, Cancelled] {
            check(status, Event::ReportedRunning, None);
            check(status, Event::Claimed, None);
        }
        check(Timeout, Event::ReportedSuccess, None);
    }

    #[test]
    fn a_failed_try_goes_back_to_the_schedule() {
        check(Running, Event::ReportedErrorToRetry, Running);
        check(Running, Event::ClosedToRetry, Scheduled);
    }

    #[test]
    fn every_word_reads_back_as_its_status() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert_eq!(
            "BANANA".parse::<Status>(),
            Err(UnknownStatus("BANANA".into()))
        );
    }
}
