//! The judgement on an attempt whose job is gone, from its two witnesses and the marks on it.
//!
//! ```text
//! said SUCCESS ▷ cancelled ▷ timed out ▷ said ERROR ▷ what the runner saw
//! ```
//!
//! The first that applies decides. Pure: the ledger asks, inside the transaction that closes.

use std::time::Duration;

use jobhook_protocol::{Code, Event, Status};

use crate::action::{Action, CancelMark, Failure, TimeoutKind};
use crate::attempt::{Attempt, Ending, Fault, Outcome, Saw};

/// How an attempt is judged, and what follows for its action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// Whose fault it was.
    pub fault: Option<Fault>,
    /// Whether the witnesses contradict each other.
    pub disagree: bool,
    /// What happens to the action.
    pub event: Event,
}

/// Judges `attempt`, whose runner saw `saw`.
///
/// - `needs_results`: whether exit code 0 is no success where nothing was reported as results.
pub fn judge(action: &Action, attempt: &Attempt, saw: &Saw, needs_results: bool) -> Verdict {
    let (outcome, failure, fault) = if attempt.said == Some(Status::Success) {
        (Outcome::Success, None, None)
    } else if let Some(cancel) = &action.cancel {
        (Outcome::Cancelled, Some(cancel_failure(cancel)), None)
    } else if let Some(kind) = attempt.timed_out {
        (
            Outcome::Timeout,
            Some(timeout_failure(action, attempt.heartbeat, kind)),
            Some(Fault::Code),
        )
    } else if attempt.said == Some(Status::Error) {
        let said = attempt.said_failure.clone();
        let failure = said.unwrap_or_else(|| {
            Failure::new(
                "reported_error",
                "the job reported ERROR and did not say why",
            )
        });
        (Outcome::Error, Some(failure), Some(Fault::Code))
    } else {
        let lacks_results = needs_results && action.results.is_none();
        judge_by_sight(attempt, &saw.ending, lacks_results)
    };
    let disagree = attempt.said == Some(Status::Success)
        && !saw.stopped
        && !matches!(saw.ending, Ending::Exited { code: 0 } | Ending::Returned);
    let event = match outcome {
        Outcome::Success => Event::ClosedSuccess,
        Outcome::Cancelled => Event::ClosedCancelled,
        Outcome::Error | Outcome::Timeout if may_be_tried_again(action, attempt, &saw.ending) => {
            Event::ClosedToRetry
        }
        Outcome::Error => Event::ClosedError,
        Outcome::Timeout => Event::ClosedTimeout,
    };
    Verdict {
        outcome,
        failure,
        fault,
        disagree,
        event,
    }
}

/// Whether another try is left after this one, whatever becomes of it.
pub fn has_tries_left(action: &Action) -> bool {
    action.attempt < action.attempts && action.cancel.is_none()
}

fn may_be_tried_again(action: &Action, attempt: &Attempt, ending: &Ending) -> bool {
    has_tries_left(action)
        && attempt.timed_out != Some(TimeoutKind::Total)
        // What could not be started will not start the next time either.
        && !matches!(ending, Ending::NotStarted { .. })
}

/// The job left no final word: what was seen decides.
fn judge_by_sight(
    attempt: &Attempt,
    ending: &Ending,
    lacks_results: bool,
) -> (Outcome, Option<Failure>, Option<Fault>) {
    if let Ending::Exited { code: 0 } = ending
        && attempt.auto_status
    {
        if !lacks_results {
            return (Outcome::Success, None, None);
        }
        let message =
            "the program exited with code 0 without the results that its operation promises";
        let failure = Failure::new(Code::InvalidOutput.as_str(), message);
        return (Outcome::Error, Some(failure), Some(Fault::Code));
    }
    let fault = match ending {
        Ending::Lost { .. } => Fault::Infrastructure,
        Ending::Displaced { fault, .. } => *fault,
        _ => Fault::Code,
    };
    (
        Outcome::Error,
        Some(Failure::new(name(ending), sentence(ending))),
        Some(fault),
    )
}

/// Says for programs what a runner saw.
pub fn name(ending: &Ending) -> &str {
    match ending {
        Ending::Exited { code: 0 } | Ending::Returned => "ended_without_word",
        Ending::Exited { .. } => "exit_code",
        Ending::Signalled { .. } => "killed_by_signal",
        Ending::OutOfMemory { .. } => "out_of_memory",
        Ending::Panicked => "panicked",
        Ending::Aborted => "aborted",
        Ending::Abandoned => "abandoned",
        Ending::Displaced { name, .. } => name,
        Ending::NotStarted { .. } => "not_started",
        Ending::Lost { .. } => "lost",
    }
}

/// Says in plain words what a runner saw.
pub fn sentence(ending: &Ending) -> String {
    match ending {
        Ending::Exited { code: 0 } => "the program exited with code 0 without reporting SUCCESS or ERROR".into(),
        Ending::Exited { code: code @ 129..=159 } => format!(
            "the program exited with code {code}, which a shell uses for a program killed by signal {} ({})",
            code - 128,
            signal_name(code - 128),
        ),
        Ending::Exited { code: 127 } => {
            "the program exited with code 127, which a shell uses for a command that it did not find".into()
        }
        Ending::Exited { code } => format!("the program exited with code {code}"),
        Ending::Signalled { signal, name, core_dumped } => {
            let core = if *core_dumped { " and dumped core" } else { "" };
            format!("the program was killed by signal {signal} ({name}){core}")
        }
        Ending::OutOfMemory { signal, limit } => {
            let limit = limit
                .as_ref()
                .map(|limit| format!(" at its limit of {limit}"))
                .unwrap_or_default();
            format!(
                "the program was killed by the kernel because memory ran out{limit} (signal {signal}, {})",
                signal_name(*signal)
            )
        }
        Ending::Returned => "the operation returned without reporting SUCCESS or ERROR".into(),
        Ending::Panicked => "the operation panicked".into(),
        Ending::Aborted => "the operation did not return in time and was ended".into(),
        Ending::Abandoned => {
            "the operation did not return in time; its thread goes on in the server until it does".into()
        }
        Ending::Displaced { reason, .. } => reason.clone(),
        Ending::NotStarted { reason } => format!("the job could not be started: {reason}"),
        Ending::Lost { reason } => format!("infrastructure failure: {reason}"),
    }
}

/// What is said of an ending to people: like [`sentence`], but without judging silence.
///
/// - `stopped`: whether the job had been asked to stop.
pub fn sight(ending: &Ending, stopped: bool) -> String {
    let asked = if stopped {
        " after it was asked to stop"
    } else {
        ""
    };
    match ending {
        Ending::Exited { code: 0 } => format!("the program exited with code 0{asked}"),
        Ending::Returned => format!("the operation returned{asked}"),
        ending => format!("{}{asked}", sentence(ending)),
    }
}

/// What a cancellation says of itself.
pub fn cancel_failure(cancel: &CancelMark) -> Failure {
    let reason = cancel
        .reason
        .as_ref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    Failure::new("cancelled", format!("cancelled by {}{reason}", cancel.by))
}

/// What a timeout says of itself.
///
/// - `announced`: the heartbeat that the job announced, if it did.
pub fn timeout_failure(action: &Action, announced: Option<Duration>, kind: TimeoutKind) -> Failure {
    let timeouts = &action.timeouts;
    let message = match kind {
        TimeoutKind::Queue => format!(
            "no runner took it within its queue timeout of {}",
            span(timeouts.queue)
        ),
        TimeoutKind::Run => format!(
            "its job ran longer than its run timeout of {}",
            span(timeouts.run)
        ),
        TimeoutKind::Heartbeat => match announced {
            Some(announced) => format!(
                "its job was silent for more than three of its announced heartbeats of {}",
                span(Some(announced))
            ),
            None => format!(
                "its job was silent for longer than its heartbeat timeout of {}",
                span(timeouts.heartbeat)
            ),
        },
        TimeoutKind::Total => format!(
            "it was not done within its total timeout of {}",
            span(timeouts.total)
        ),
    };
    Failure::new(format!("{}_timeout", kind.as_str()), message)
}

fn span(duration: Option<Duration>) -> String {
    let seconds = duration.unwrap_or_default().as_secs_f64();
    format!("{seconds} s")
}

/// The name of a signal on Linux.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => "a signal without a common name",
    }
}
