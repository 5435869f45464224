//! What server and supervisor say to each other: one JSON value a line over a Unix socket.
//!
//! ```text
//! supervisor ─ Hello ─▶ server          server ─ Greeting ─▶ supervisor
//! server ─ Call{n, Request} ─▶          ◀─ Answer{n, Answer}
//!                                       ◀─ Notice      (a hint; the same can be asked for)
//! ```
//!
//! Environment and key of a job travel here and nowhere else: not in an argument list, not in a
//! file. Nothing in this module does I/O.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::build::Build;

/// The version of these messages. Both sides must speak the same one.
pub(crate) const PROTOCOL: u32 = 1;

/// The longest line either side accepts, in bytes.
pub(crate) const MAX_LINE_BYTES: usize = 32 * 1024 * 1024;

/// One attempt of one action.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// The action.
    pub id: String,
    /// Counted from 1.
    pub attempt: u32,
}

impl RunKey {
    /// The attempt `attempt` of the action `id`.
    pub fn new(id: impl Into<String>, attempt: u32) -> RunKey {
        RunKey {
            id: id.into(),
            attempt,
        }
    }

    /// Whether the id can be the name of a folder: 1–64 of `[A-Za-z0-9._-]`, no leading dot.
    pub(crate) fn is_valid(&self) -> bool {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=64).contains(&self.id.len())
            && self.id.bytes().all(is_word)
            && !self.id.starts_with('.')
            && self.attempt > 0
    }

    /// The name of its run directory.
    pub(crate) fn dir_name(&self) -> String {
        format!("{}.{}", self.id, self.attempt)
    }

    /// The attempt whose run directory is called `name`.
    pub(crate) fn of_dir_name(name: &str) -> Option<RunKey> {
        let (id, attempt) = name.rsplit_once('.')?;
        let key = RunKey::new(id, attempt.parse().ok()?);
        (key.is_valid() && key.dir_name() == name).then_some(key)
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id, self.attempt)
    }
}

/// How to run one job.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// A path, or a name that is looked up in the job's own `PATH`.
    pub program: String,
    /// What follows the program's name.
    pub args: Vec<String>,
    /// The whole environment of the job; nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub cwd: String,
    /// What it reads; nothing if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The user it runs as, by name or number; the supervisor's own if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// What the kernel holds it to.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Whether it gets an own empty folder, `runs/{id}.{attempt}/work`.
    #[serde(default)]
    pub workdir: bool,
}

impl fmt::Debug for Spec {
    /// Leaves out the values of the environment (the key is one of them) and the input.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.keys())
            .field("cwd", &self.cwd)
            .field("run_as", &self.run_as)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Resource limits, soft and hard alike; what is `None` is left as the server has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Processor time, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// Address space, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address_space: Option<u64>,
    /// Open files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Size of a core dump, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<u64>,
    /// Size of a file it writes, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// Processes of its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Limits::default()
    }
}

/// The first line of a supervisor on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the messages it speaks.
    pub protocol: u32,
    /// The program file it runs.
    pub build: Build,
    /// Its process.
    pub pid: i32,
}

/// The first line of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The version of the messages it speaks.
    pub protocol: u32,
    /// The program file it runs. A supervisor stays for servers of its own build only; without
    /// jobs it has nothing to offer to others.
    pub build: Build,
    /// Whether it wants notices.
    pub watch: bool,
}

/// A request and the number its answer will carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub n: u64,
    pub request: Request,
}

/// What a server asks of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// Run it, unless its run directory exists. Answered by the state in either case.
    Start { key: RunKey, spec: Box<Spec> },
    /// TERM to its group, KILL after `grace_ms`. Answered by the state.
    Stop { key: RunKey, grace_ms: u64 },
    /// Answered by the state.
    State { key: RunKey },
    /// All run directories.
    List,
    /// The server has stored everything: the run directory may go.
    Forget { key: RunKey },
    /// The server has read the output up to this line; not answered.
    Read { key: RunKey, position: u64 },
}

/// What a supervisor writes after its [`Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Answer { n: u64, answer: Answer },
    Notice(Notice),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    State(State),
    Runs(Vec<Run>),
    /// The name under `runs/.trash/` that the run directory was moved to, if there was one.
    Forgotten {
        trash: Option<String>,
    },
    /// It could not be done; the sentence says why. Nothing was started.
    Failed(String),
}

/// A run directory and how it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Which attempt.
    pub key: RunKey,
    /// How it stands.
    pub state: State,
}

/// What is known of one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has no run directory: it was never started, or it is forgotten.
    Unknown,
    /// Its process lives, or its end is being recorded.
    Running {
        /// The leader of its process group.
        pid: i32,
        /// Milliseconds since the epoch.
        started_ms: u64,
        /// How many lines of output it has written.
        lines: u64,
    },
    /// It is over.
    Ended(Exit),
    /// The living supervisor of another build has it.
    Elsewhere {
        /// That build.
        build: Build,
    },
}

/// Something that happened, told to the connected server without being asked. All of it is a
/// hint: asking gives the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A job began.
    Started {
        /// Which attempt.
        key: RunKey,
        /// The leader of its process group.
        pid: i32,
        /// Milliseconds since the epoch.
        started_ms: u64,
    },
    /// A job has written output. Not told again until it is read, see
    /// [`Supervisors::read_up_to`](super::Supervisors::read_up_to).
    Output {
        /// Which attempt.
        key: RunKey,
        /// How many lines there are by now.
        lines: u64,
    },
    /// A run is over, and its end recorded.
    Exited {
        /// Which attempt.
        key: RunKey,
        /// How it ended.
        exit: Exit,
    },
}

/// How a run ended; also the content of its `exit.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// What happened.
    pub end: End,
    /// Milliseconds since the epoch; `None` if no process ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// Milliseconds since the epoch.
    pub ended_ms: u64,
    /// What the process used, descendants that it waited for included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Whether it had been asked to stop before it ended.
    #[serde(default)]
    pub stopped: bool,
    /// How many lines of output it wrote in all.
    pub lines: u64,
}

/// The kinds of end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It returned.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Its number.
        number: i32,
        /// Whether the kernel wrote a core dump.
        core: bool,
        /// Whether the kernel's out-of-memory killer sent it, as far as its counters tell.
        oom: bool,
    },
    /// It never ran; the sentence says why. Trying again gives the same.
    NotStarted(String),
    /// Nobody saw it end; the sentence says why. The machinery failed, not the job.
    Lost(String),
}

/// What a process used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time in its own code, milliseconds.
    pub user_ms: u64,
    /// Processor time in the kernel, milliseconds.
    pub system_ms: u64,
    /// The largest resident set, bytes.
    pub max_rss_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_leaves_its_folder_is_no_key() {
        for id in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            ".trash",
            "a\0",
            "é",
            &"a".repeat(65),
        ] {
            assert!(!RunKey::new(id, 1).is_valid(), "{id:?}");
        }
        assert!(!RunKey::new("a", 0).is_valid());
        for name in ["a", "a.x", "a.0", "a.01", ".staging.0.1", ".trash"] {
            assert_eq!(RunKey::of_dir_name(name), None, "{name}");
        }
        assert_eq!(RunKey::of_dir_name("a.b.12"), Some(RunKey::new("a.b", 12)));
        assert!(RunKey::new("constructor", 1).is_valid());
        assert!(RunKey::new("0198c2f4-7d10-7000-8000-000000000000", 7).is_valid());
    }

    #[test]
    fn the_key_of_a_job_is_not_printed() {
        let spec = Spec {
            program: "sh".into(),
            args: vec![],
            env: BTreeMap::from([("JOB_SECRET_KEY".into(), "s3cret".into())]),
            cwd: "/".into(),
            stdin: Some("hidden".into()),
            run_as: None,
            limits: Limits::default(),
            workdir: false,
        };
        let text = format!("{spec:?}");
        assert!(text.contains("JOB_SECRET_KEY"), "{text}");
        assert!(
            !text.contains("s3cret") && !text.contains("hidden"),
            "{text}"
        );
    }
}
