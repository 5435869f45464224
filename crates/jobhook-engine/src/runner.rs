//! What starts and stops jobs: the contract of a runner.
//!
//! ```text
//! start ──▶ Started ──▶ (Output | Said)* ──▶ Ended          one stream of sightings a job
//! ```
//!
//! A runner starts a job and testifies; it decides nothing. How an attempt is judged is
//! [`crate::verdict`]'s, when to stop one the [dispatcher](crate::dispatcher)'s. An
//! implementation is right when [`crate::runner_suite!`] passes on it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jobhook_protocol::{JobEnvironment, LineSource, Report};
use tokio::sync::{mpsc, oneshot};

use crate::action::Action;
use crate::attempt::{AttemptRef, Saw};
use crate::clock::Timestamp;
use crate::ledger::Answer;

/// Starts and stops the jobs of some action types.
#[async_trait]
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Its name in the configuration, unique in a server.
    fn name(&self) -> &str;

    /// The action types it takes.
    fn types(&self) -> &TypeFilter;

    /// How many of its jobs may run at once.
    fn concurrency(&self) -> usize;

    /// How its jobs are treated.
    fn terms(&self) -> Terms;

    /// The hook's address as its jobs reach it, where they do not reach it as others do.
    fn hook_url(&self) -> Option<&str> {
        None
    }

    /// Starts the job of an attempt, or finds it if it was started before: starting an
    /// attempt twice never gives two jobs. Returns as soon as the job is on its way.
    ///
    /// The stream ends with [`Sighting::Ended`], which comes after all output. A stream that
    /// ends without it means that the runner is shutting down; the job goes on.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    async fn start(&self, job: JobStart) -> Result<mpsc::Receiver<Sighting>, StartError>;

    /// Ends a job: asks it to, and after `grace` makes it. Returns once that is under way;
    /// the end itself is seen in the stream. Succeeds if the job is already gone.
    ///
    /// # Errors
    ///
    /// [`StopError`]; asking again later may help.
    async fn stop(&self, job: AttemptRef, grace: Duration) -> Result<(), StopError>;

    /// Lets go of what is kept about a job whose attempt is closed and stored.
    async fn forget(&self, job: AttemptRef);

    /// The attempts about whose jobs something is kept; maybe those of other runners, too. A
    /// server asks when it starts, because the last one may have died before it could `forget`.
    async fn kept(&self) -> Vec<AttemptRef> {
        Vec::new()
    }

    /// Whether something of a job is here that was started under another runner's name: of those of
    /// one kind each can go on with the jobs of the others. The error says why that is not known at
    /// the moment.
    async fn holds(&self, job: AttemptRef) -> Result<bool, String> {
        Ok(self.kept().await.contains(&job))
    }

    /// Ends the jobs that cannot outlive this server, and returns once each of them was
    /// forgotten, or it has waited long enough. Nothing is started any more by then.
    async fn shut_down(&self) {}
}

/// Which action types a runner takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFilter {
    /// Only these; every type if `None`.
    pub only: Option<Vec<String>>,
    /// But none of these: what earlier runners take.
    pub except: Vec<String>,
}

impl TypeFilter {
    /// Takes every type.
    pub fn all() -> TypeFilter {
        TypeFilter::default()
    }

    /// Takes the types named.
    pub fn only<T: Into<String>>(types: impl IntoIterator<Item = T>) -> TypeFilter {
        TypeFilter {
            only: Some(types.into_iter().map(Into::into).collect()),
            except: Vec::new(),
        }
    }

    /// Whether it takes `action_type`.
    pub fn takes(&self, action_type: &str) -> bool {
        let named = |types: &[String]| types.iter().any(|named| named == action_type);
        self.only.as_deref().is_none_or(named) && !named(&self.except)
    }
}

/// Why nobody takes actions of `action_type` where runners take `types`; `None` if one does.
pub fn untaken<'t>(
    action_type: &str,
    mut types: impl Iterator<Item = &'t TypeFilter> + Clone,
) -> Option<String> {
    let all = types.clone();
    if types.any(|filter| filter.takes(action_type)) {
        return None;
    }
    let named = all.flat_map(|filter| filter.only.iter().flatten());
    let named: Vec<String> = named.map(|taken| format!("`{taken}`")).collect();
    let known = match named.as_slice() {
        [] => "no types at all".to_owned(),
        named => named.join(", "),
    };
    Some(format!(
        "no runner takes the type `{action_type}`: the configured runners take {known}; add it to the `actions` of one"
    ))
}

/// How the jobs of a runner are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether an exit code of 0 is a success where the job said nothing.
    pub auto_status: bool,
    /// Whether only `v1` requests of the job count.
    pub signature_required: bool,
    /// How long a job that is asked to end has before it is made to.
    pub grace: Duration,
    /// How long a job may live on after its final word.
    pub linger: Duration,
}

/// What a runner needs to start a job.
#[derive(Clone, Debug)]
pub struct JobStart {
    /// Which attempt.
    pub attempt: AttemptRef,
    /// The action, with its type and arguments.
    pub action: Action,
    /// What the job finds in its environment; holds its key.
    pub environment: JobEnvironment,
    /// Drawn at random for the attempt; not secret.
    pub nonce: String,
    /// When the attempt was taken.
    pub claimed_at: Timestamp,
    /// How far the job's output is stored already; the stream goes on from there.
    pub output_offset: u64,
    /// The mark that the runner gave with the last stretch that had one.
    pub output_mark: Option<String>,
    /// Whether an earlier server took the attempt, and may have started its job.
    pub taken_up: bool,
    /// Why the job may not be started, if it was not before. Of an attempt that was taken up only:
    /// its job is found and goes on, or the start is refused with this.
    pub forbidden: Option<String>,
}

/// What a runner sees of a job.
#[derive(Debug)]
pub enum Sighting {
    /// The job began.
    Started {
        /// When.
        at: Timestamp,
    },
    /// The job wrote something.
    Output(Output),
    /// The job said something, inside the server: what others send to the hook.
    Said(Box<Said>),
    /// The job is gone, and all its output was sent.
    Ended(Saw),
}

/// A report of a job that runs inside the server.
#[derive(Debug)]
pub struct Said {
    /// What it said.
    pub report: Report,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who waits for what became of it; nobody, once the engine has stopped.
    pub answer: oneshot::Sender<Answer>,
}

/// A stretch of a job's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Where it begins, in the runner's own measure.
    pub from: u64,
    /// Where the next one begins.
    pub to: u64,
    /// Its lines, in order.
    pub lines: Vec<OutputLine>,
    /// What the runner wants to know when it is asked to start this attempt again, for no one
    /// else to read; stored in one commit with the lines. It stays until the next one.
    pub mark: Option<String>,
}

/// One line of output.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputLine {
    /// Which stream; `Server` for what the runner has to say about a gap.
    pub source: LineSource,
    /// When it was written.
    pub time: Timestamp,
    /// The text, without its end.
    pub text: String,
}

/// Why a job was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It will never start like this: the action is refused, and not tried again.
    #[error("{0}")]
    Refused(String),
    /// The runner cannot start anything at the moment; the start is repeated.
    #[error("the runner is unavailable: {0}")]
    Unavailable(String),
}

/// Why a stop did not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job could not be stopped: {0}")]
pub struct StopError(pub String);
