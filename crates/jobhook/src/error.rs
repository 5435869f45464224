//! What can go wrong, told apart by what the caller can do about it.
//!
//! [`Error::code`] is stable: a program branches on it and on nothing else. Where the server
//! refused, the code is the server's own, from `docs/protocol.md` §9. The texts are for people:
//! they say what is wrong and what to do.
//!
//! An error is kept by the job that met it and is given to every later call, so it can be
//! cloned; causes are therefore texts, and hold the whole chain. No key and no token is in any.

use std::path::PathBuf;
use std::time::Duration;

use jobhook_protocol::{EnvironmentError, KeyError, Problem};

/// Why something did not work.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This is not the environment of a job.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The key of a job that was put together by hand cannot be one.
    #[error("the job's key is unusable: {0}")]
    Key(#[from] KeyError),
    /// A setting has a value it cannot have.
    #[error("{name} is invalid: {reason}")]
    Setting {
        /// Which setting.
        name: &'static str,
        /// What is wrong with it, and what it may be.
        reason: String,
    },
    /// A value that was to be reported cannot be.
    #[error("{name} cannot be reported: {reason}")]
    Value {
        /// Which value.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is not JSON, for example because it holds NaN. It is refused and not altered.
    #[error("{name}{path} cannot be reported: {reason}")]
    NotJson {
        /// Which value.
        name: &'static str,
        /// Where in it, such as `.loss[3]`; empty for the value itself.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// A report is longer than a server takes.
    #[error(
        "the report has {size_bytes} bytes, and a server takes {limit_bytes}: keep big results elsewhere and report where"
    )]
    TooLarge {
        /// How long it is.
        size_bytes: usize,
        /// How long it may be.
        limit_bytes: usize,
    },
    /// The action's arguments are not what the program expects.
    #[error("the action's arguments are not what this program expects: {0}")]
    Arguments(String),
    /// The job has said how it ended; only lines may follow.
    #[error("the job has already reported {0}; after that only log lines may follow")]
    Ended(jobhook_protocol::Status),
    /// The job was closed.
    #[error("the job is closed: report before `close`, or keep the job longer")]
    Closed,
    /// The process was forked after the job was made.
    #[error(
        "this process ({pid}) was forked from {made_in}, which the job belongs to: make another one after the fork"
    )]
    Forked {
        /// The process that made the job.
        made_in: u32,
        /// This process.
        pid: u32,
    },
    /// Nothing could be sent for so long that the memory set aside for it is full.
    #[error(
        "{limit_bytes} bytes wait to be sent to {server}, which is the limit; {lines_lost} lines were not taken{}",
        because(cause)
    )]
    SpoolFull {
        /// The hook.
        server: String,
        /// The limit.
        limit_bytes: usize,
        /// How many lines were refused up to now.
        lines_lost: u64,
        /// Why nothing can be sent, if that is so.
        cause: Option<String>,
    },
    /// The spool directory cannot be used.
    #[error(
        "the spool {} cannot be written: {cause}; reports wait in memory only and do not survive this process",
        path.display()
    )]
    SpoolUnwritable {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The server was away for longer than a job or a follower waits.
    #[error("gave up on {server} after {} s without an answer: {cause}", tenths(*away))]
    Unreachable {
        /// The server or hook.
        server: String,
        /// For how long.
        away: Duration,
        /// What went wrong the last time, with all its causes.
        cause: String,
    },
    /// Not everything was answered in the time that the caller gave.
    #[error(
        "{waiting} reports were not answered by {server} within {} s{}", limit.as_secs_f64(), because(cause)
    )]
    FlushTimeout {
        /// The hook.
        server: String,
        /// The time that was given.
        limit: Duration,
        /// How many reports wait.
        waiting: usize,
        /// What went wrong the last time, if anything did.
        cause: Option<String>,
    },
    /// One call did not reach the server, or its answer broke off.
    #[error("cannot reach {server}: {cause}")]
    NoAnswer {
        /// The server.
        server: String,
        /// The whole chain of causes.
        cause: String,
    },
    /// The server takes no lines for this action; it takes everything else. Told by
    /// [`Job::error`](crate::Job::error) only: the job's own end is not made a failure by it.
    #[error(
        "{server} takes no log lines for this action, so they are left out: servers of the original take them where it was launched with `logs: []`"
    )]
    LinesRefused {
        /// The hook.
        server: String,
    },
    /// A file of this machine cannot be read.
    #[error("the file {} cannot be read: {cause}", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A file of this machine cannot be written.
    #[error("the file {} cannot be written: {cause}", path.display())]
    FileUnwritable {
        /// The file, or its directory.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Something else has the name that a file of a server was to get; it was left alone.
    #[error(
        "{} is there already, and is not the same file; it was left alone: move it away, or choose another place",
        path.display()
    )]
    FileExists {
        /// What is there.
        path: PathBuf,
    },
    /// Somebody wrote to a file while it was uploaded.
    #[error("the file {} changed while it was read: upload it once it is complete", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
    },
    /// What arrived is not the file that the server announced; nothing of it is kept.
    #[error("what {server} sent is not what it announced: {reason}")]
    Mismatch {
        /// Who sent it.
        server: String,
        /// What differs.
        reason: String,
    },
    /// This job has no files.
    #[error(
        "files are not available to operations inside the server yet: run the operation as a program"
    )]
    NoFiles,
    /// The server said no, in the words of the protocol.
    #[error("{} ({})", .0.detail, .0.code)]
    Refused(Box<Problem>),
    /// The server wants the request somewhere else. Signed headers are meant for one address.
    #[error(
        "{server} answered {status} and points to {location}: redirects are not followed, since a signature and a token are meant for one address; name the right one"
    )]
    Redirected {
        /// Who answered.
        server: String,
        /// The HTTP status.
        status: u16,
        /// Where it points to.
        location: String,
    },
    /// An answer that no jobhook server gives.
    #[error(
        "{server} answered {status} with {what}, and not as a jobhook server does: check the address"
    )]
    Foreign {
        /// Who answered.
        server: String,
        /// The HTTP status.
        status: u16,
        /// What came.
        what: String,
    },
    /// The certificates for https cannot be used.
    #[error("the certificates cannot be used for https: {0}")]
    Certificates(String),
    /// The operating system refused a thread, a socket or random numbers.
    #[error("the job cannot be started: {0}")]
    System(String),
}

/// Seconds, as people read them.
fn tenths(span: Duration) -> f64 {
    (span.as_secs_f64() * 10.0).round() / 10.0
}

fn because(cause: &Option<String>) -> String {
    cause
        .as_ref()
        .map_or(String::new(), |cause| format!(": {cause}"))
}

impl Error {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Error::Environment(EnvironmentError::Missing(_)) => "missing_variable",
            Error::Environment(EnvironmentError::Invalid { .. }) => "invalid_variable",
            Error::Key(KeyError::NotLatin1) => "key_not_latin1",
            Error::Key(_) => "invalid_key",
            Error::Setting { .. } => "invalid_setting",
            Error::Value { .. } => "invalid_value",
            Error::NotJson { .. } => "not_json",
            Error::TooLarge { .. } => "body_too_large",
            Error::Arguments(_) => "unexpected_arguments",
            Error::Ended(_) => "job_ended",
            Error::Closed => "job_closed",
            Error::Forked { .. } => "job_forked",
            Error::SpoolFull { .. } => "spool_full",
            Error::SpoolUnwritable { .. } => "spool_unwritable",
            Error::Unreachable { .. } => "server_unreachable",
            Error::FlushTimeout { .. } => "flush_timeout",
            Error::NoAnswer { .. } => "no_answer",
            Error::LinesRefused { .. } => "lines_refused",
            Error::FileUnreadable { .. } => "file_unreadable",
            Error::FileUnwritable { .. } => "file_unwritable",
            Error::FileExists { .. } => "file_exists",
            Error::FileChanged { .. } => "file_changed",
            Error::Mismatch { .. } => "content_mismatch",
            Error::NoFiles => "files_unavailable",
            Error::Refused(problem) => &problem.code,
            Error::Redirected { .. } => "redirected",
            Error::Foreign { .. } => "unexpected_answer",
            Error::Certificates(_) => "certificates_unusable",
            Error::System(_) => "system_refused",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        let later = |status: u16| status >= 500 || matches!(status, 408 | 425 | 429);
        match self {
            Error::NoAnswer { .. } | Error::FlushTimeout { .. } | Error::SpoolFull { .. } => true,
            Error::Refused(problem) => later(problem.status),
            Error::Foreign { status, .. } => later(*status),
            _ => false,
        }
    }
}
