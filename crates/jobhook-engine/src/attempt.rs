//! One try at an action: who took it, what its two witnesses testify, how it closed.
//!
//! The job *says* (reports), the runner *sees* (exit code, signal). Both are kept as they
//! came; [`crate::verdict`] judges between them, once, when the attempt closes.

use std::time::Duration;

use jobhook_protocol::Status;
use serde::{Deserialize, Serialize};

use crate::action::{ActionId, Failure, TimeoutKind};
use crate::clock::Timestamp;

/// Names one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptRef {
    /// The action.
    pub action: ActionId,
    /// The attempt's number, from 1.
    pub number: u32,
}

/// One try at an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Which.
    pub at: AttemptRef,
    /// The runner that took it.
    pub runner: String,
    /// The server that took it.
    pub worker: String,
    /// The master key that its key is derived from.
    pub key_id: String,
    /// Drawn at random when it was taken; not secret.
    pub nonce: String,
    /// Whether an exit code of 0 is a success where the job said nothing.
    pub auto_status: bool,
    /// Whether only `v1` requests count.
    pub signature_required: bool,
    /// When it was taken.
    pub claimed_at: Timestamp,
    /// When its runner saw the job start.
    pub started_at: Option<Timestamp>,
    /// When its job was last heard.
    pub heard_at: Option<Timestamp>,
    /// The job's own time of that, milliseconds since the Unix epoch (`X-Job-Time`).
    pub job_time_ms: Option<i64>,
    /// The silence that its job announced as normal.
    pub heartbeat: Option<Duration>,
    /// The last status its job said. A final one stays.
    pub said: Option<Status>,
    /// When it said something final.
    pub said_final_at: Option<Timestamp>,
    /// The error its job said.
    pub said_failure: Option<Failure>,
    /// The timeout that fired, and ends it.
    pub timed_out: Option<TimeoutKind>,
    /// How far its runner's output is stored, in the runner's own measure.
    pub output_offset: u64,
    /// What its runner wants to find again, for no one else to read.
    pub output_mark: Option<String>,
    /// What its runner saw of the end.
    pub saw: Option<Saw>,
    /// How it closed.
    pub closing: Option<Closing>,
}

impl Attempt {
    /// Whether its job may still speak.
    pub fn is_open(&self) -> bool {
        self.closing.is_none()
    }

    /// Whether its job has said `SUCCESS` or `ERROR`.
    pub fn has_final_word(&self) -> bool {
        self.said.is_some_and(Status::is_final)
    }
}

/// What a runner saw of a job's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saw {
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub at: Timestamp,
    /// Whether the runner had been asked to stop it.
    #[serde(default)]
    pub stopped: bool,
    /// What it used, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// How a job ended, as its runner saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Ending {
    /// The program ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the program.
    Signalled {
        /// Its number.
        signal: i32,
        /// Its name, for example `SIGKILL`.
        name: String,
        /// Whether a core was dumped.
        core_dumped: bool,
    },
    /// The kernel ended it because memory ran out.
    OutOfMemory {
        /// The signal it was ended with.
        signal: i32,
        /// The most it could use, as whoever set it wrote it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<String>,
    },
    /// The operation returned; it ran inside the server.
    Returned,
    /// The operation panicked; it ran inside the server.
    Panicked,
    /// The operation did not return when it was asked to, and was ended where it waited.
    Aborted,
    /// The operation did not return when it was asked to, and cannot be ended: its thread goes
    /// on in the server.
    Abandoned,
    /// What it ran on ended it, or never let it begin.
    Displaced {
        /// The name that an error has for it, for example `evicted`.
        name: String,
        /// What happened, as a lower-case fragment.
        reason: String,
        /// Whose fault that is.
        fault: Fault,
    },
    /// It never began: nothing of it ran.
    NotStarted {
        /// Why, as a lower-case fragment.
        reason: String,
    },
    /// Nobody can say how it ended: an infrastructure failure.
    Lost {
        /// What is known, as a lower-case fragment.
        reason: String,
    },
}

/// What a job used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Milliseconds of user time.
    pub user_ms: u64,
    /// Milliseconds of system time.
    pub system_ms: u64,
    /// The most memory that was resident, in KiB.
    pub max_rss_kib: u64,
}

/// How an attempt closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// Whose fault it was, if something went wrong.
    pub fault: Option<Fault>,
    /// Whether the witnesses contradict each other.
    pub disagree: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// It failed.
    Error,
    /// A timeout ended it.
    Timeout,
    /// It was cancelled.
    Cancelled,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The job's own.
    Code,
    /// Of what runs it.
    Infrastructure,
}

impl Outcome {
    /// The word in answers and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Error => "error",
            Outcome::Timeout => "timeout",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl Fault {
    /// The word in answers and columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Code => "code",
            Fault::Infrastructure => "infrastructure",
        }
    }
}
