//! How a command ends: the exit codes, and what is said on the way out.

use std::error::Error;
use std::fmt;
use std::io;

use jobhook_protocol::Status;

/// The exit codes. Scripts branch on them, so they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; of an action: `SUCCESS`.
    Success,
    /// Of an action: `ERROR`. Of a report: refused.
    Error,
    /// Of an action: `TIMEOUT`.
    Timeout,
    /// Of an action: `CANCELLED`. Of a report: the server wants the job to stop.
    Cancelled,
    /// The command line, a file it names or the environment is wrong, whoever found it: this
    /// program or the server.
    Usage,
    /// Nobody answered.
    Unreachable,
    /// Anything else.
    Other,
    /// No token, or one that may not.
    Denied,
    /// Ctrl-C, as shells count it.
    Interrupted,
    /// That of the program that was run, whatever it means by it.
    Program(u8),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// With a message for people.
    Said { exit: Exit, message: String },
    /// Whoever read our output has seen enough (`| head`): nothing to say.
    ReaderGone,
}

/// What a command comes to.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure::Said {
            exit,
            message: message.to_string(),
        }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Said { exit, .. } => *exit,
            Failure::ReaderGone => Exit::Success,
        }
    }
}

/// An error and everything that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors say what their cause says.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

impl From<io::Error> for Failure {
    /// For errors of writing to our own output.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::new(
                Exit::Other,
                format_args!("the output cannot be written: {error}"),
            ),
        }
    }
}

impl Exit {
    /// What the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Error => 1,
            Exit::Timeout => 2,
            Exit::Cancelled => 3,
            Exit::Usage => 64,
            Exit::Unreachable => 69,
            Exit::Other => 70,
            Exit::Denied => 77,
            Exit::Interrupted => 130,
            Exit::Program(code) => code,
        }
    }
}

impl From<Status> for Exit {
    /// The code for an action that ended so; one that is not final has no code of its own.
    fn from(status: Status) -> Exit {
        match status {
            Status::Success => Exit::Success,
            Status::Error => Exit::Error,
            Status::Timeout => Exit::Timeout,
            Status::Cancelled => Exit::Cancelled,
            Status::Scheduled | Status::Queued | Status::Starting | Status::Running => Exit::Other,
        }
    }
}
