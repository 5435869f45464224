//! Runs actions as processes of this machine.
//!
//! ```text
//! start ─▶ supervisor ─▶ process          sightings ◀─ follow ◀─ output log, news
//! ```
//!
//! The supervisor owns the process and its output log; this runner tells it what to start, and
//! turns what it says and what the log holds into sightings. A restarted server calls `start`
//! again for every open attempt: the supervisor answers with the job that is there, and the
//! output goes on from the offset that the store has. The offset is the number of the next line.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jobhook_engine::attempt::{AttemptRef, Ending, Saw, Usage};
use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::runner::{
    JobStart, Output, OutputLine, Runner, Sighting, StartError, StopError, Terms, TypeFilter,
};
use jobhook_engine::verdict::signal_name;
use jobhook_protocol::LineSource;
use tokio::sync::mpsc;

use super::local_command::{LocalCommand, LocalCommandError, Prepared};
use super::local_jobs::{LocalJobs, News, Watch};
use crate::config::{self, Signature};
use crate::supervisor::{
    Chunk, End, Exit, Line, OutputReader, RunKey, State, Stream, SupervisorError,
};

/// How much output is read at once. With what waits in the stream it bounds the memory that a
/// flooding job costs.
const READ_BYTES: usize = 128 * 1024;
/// How long to wait before the supervisors are asked again after they could not be reached.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often output is read in vain, in a row, before it counts as lost: for a minute.
const MOST_READS: u32 = 60;

/// A runner of local processes.
#[derive(Debug)]
pub struct LocalRunner {
    name: String,
    types: TypeFilter,
    concurrency: usize,
    terms: Terms,
    command: Prepared,
    jobs: LocalJobs,
}

impl LocalRunner {
    /// A runner that starts `command` for actions of `types`, among the other `jobs` of its data
    /// directory.
    ///
    /// # Errors
    ///
    /// If the command can never be started as it is configured.
    pub fn new(
        name: impl Into<String>,
        types: TypeFilter,
        concurrency: usize,
        terms: Terms,
        command: LocalCommand,
        jobs: LocalJobs,
    ) -> Result<LocalRunner, LocalCommandError> {
        // What is not UTF-8 cannot be sent to the supervisor; such a variable is left out.
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let command = Prepared::of(command, environment)?;
        Ok(LocalRunner {
            name: name.into(),
            types,
            concurrency,
            terms,
            command,
            jobs,
        })
    }

    /// The runner that `[runners.NAME]` configures. `directory` is the configuration's, and
    /// `signature` what holds where the runner does not say.
    ///
    /// # Errors
    ///
    /// If the command can never be started as it is configured.
    pub fn configured(
        name: &str,
        config: &config::LocalRunner,
        directory: &Path,
        signature: Signature,
        jobs: LocalJobs,
    ) -> Result<LocalRunner, LocalCommandError> {
        let types = LocalRunner::types_of(config);
        let terms = Terms {
            auto_status: config.auto_status,
            signature_required: config.signature.unwrap_or(signature) == Signature::V1,
            grace: config.grace,
            linger: config.linger,
        };
        let concurrency = usize::try_from(config.concurrency).unwrap_or(usize::MAX);
        let command = LocalCommand::configured(config, directory);
        LocalRunner::new(name, types, concurrency, terms, command, jobs)
    }

    /// What a runner that is configured so takes.
    pub(crate) fn types_of(config: &config::LocalRunner) -> TypeFilter {
        let actions = config.actions.clone();
        actions.map_or_else(TypeFilter::all, TypeFilter::only)
    }

    async fn begin(&self, key: &RunKey, job: &JobStart) -> Result<State, StartError> {
        let supervisors = self.jobs.supervisors();
        let unavailable = |error: SupervisorError| StartError::Unavailable(error.to_string());
        let spec = match &job.forbidden {
            Some(reason) => Err(reason.clone()),
            None => {
                let spec = self.command.spec(job, &supervisors.run_dir(key));
                spec.map_err(|missing| missing.to_string())
            }
        };
        if let Ok(spec) = &spec
            && !self.may_have_run_before_the_machine_restarted(job)
        {
            return supervisors.start(key, spec).await.map_err(unavailable);
        }
        match supervisors.state(key).await.map_err(unavailable)? {
            State::Unknown => match spec {
                Ok(_) => Ok(State::Ended(lost(
                    "the machine restarted, and nobody knows whether the job had begun",
                    job.output_offset,
                ))),
                Err(reason) => Err(StartError::Refused(reason)),
            },
            // The configuration, or what operations promise, may have changed since it was
            // started; then it goes on.
            state => Ok(state),
        }
    }

    fn may_have_run_before_the_machine_restarted(&self, job: &JobStart) -> bool {
        let since = timestamp(self.jobs.supervisors().served_since_ms());
        // A clock that was set back tells nothing.
        job.action.updated_at < since && since <= SystemClock.now()
    }
}

#[async_trait]
impl Runner for LocalRunner {
    fn name(&self) -> &str {
        &self.name
    }

    fn types(&self) -> &TypeFilter {
        &self.types
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    async fn start(&self, job: JobStart) -> Result<mpsc::Receiver<Sighting>, StartError> {
        let key = run_key(job.attempt);
        // Before the start, or its end might be told to nobody.
        let watch = self.jobs.watch(&key);
        let state = self.begin(&key, &job).await?;
        watch.learn(&state);
        let started_ms = match &state {
            State::Running { started_ms, .. } => Some(*started_ms),
            State::Ended(exit) => exit.started_ms,
            State::Unknown | State::Elsewhere { .. } => None,
        };
        // One stretch waits while another is stored and a third is read: no more.
        let (sightings, seen) = mpsc::channel(1);
        let reader = self.jobs.supervisors().output(&key, job.output_offset);
        let follower = Follower {
            name: self.name.clone(),
            jobs: self.jobs.clone(),
            key,
            watch,
            reader: Some(reader),
            position: job.output_offset,
            unread: 0,
            upheavals: 0,
            sightings,
        };
        tokio::spawn(follower.follow(started_ms));
        Ok(seen)
    }

    async fn stop(&self, job: AttemptRef, grace: Duration) -> Result<(), StopError> {
        let stopped = self.jobs.supervisors().stop(&run_key(job), grace).await;
        stopped
            .map(|_| ())
            .map_err(|error| StopError(error.to_string()))
    }

    async fn forget(&self, job: AttemptRef) {
        let key = run_key(job);
        if let Err(error) = self.jobs.supervisors().forget(&key).await {
            tracing::warn!(
                action.id = %key.id, attempt = key.attempt, runner = %self.name, %error,
                "The run directory of a closed attempt could not be removed: {error}"
            );
        }
        crate::crash::reached("runner.forgotten");
    }

    async fn kept(&self) -> Vec<AttemptRef> {
        let supervisors = self.jobs.supervisors().clone();
        let keys = tokio::task::spawn_blocking(move || supervisors.keys()).await;
        match keys.map_err(std::io::Error::from).flatten() {
            Ok(keys) => keys.iter().filter_map(attempt).collect(),
            Err(error) => {
                tracing::warn!(runner = %self.name, %error, "The run directories cannot be read: {error}");
                Vec::new()
            }
        }
    }
}

fn run_key(attempt: AttemptRef) -> RunKey {
    RunKey::new(attempt.action.to_string(), attempt.number)
}

/// The attempt of `key`; `None` if the run is not one of an engine's.
fn attempt(key: &RunKey) -> Option<AttemptRef> {
    Some(AttemptRef {
        action: key.id.parse().ok()?,
        number: key.attempt,
    })
}

/// Follows one job to its end.
#[derive(Debug)]
struct Follower {
    name: String,
    jobs: LocalJobs,
    key: RunKey,
    watch: Watch,
    /// Lent away while it reads.
    reader: Option<OutputReader>,
    position: u64,
    /// How often in a row it could not be read.
    unread: u32,
    /// How many losses of a supervisor were answered by asking.
    upheavals: u64,
    sightings: mpsc::Sender<Sighting>,
}

/// The engine does not look any more: the job goes on without us.
struct Unwatched;

impl Follower {
    async fn follow(mut self, started_ms: Option<u64>) {
        // Whoever watches no more needs no last word.
        let _ = self.show_all(started_ms).await;
    }

    async fn show_all(&mut self, started_ms: Option<u64>) -> Result<(), Unwatched> {
        if let Some(started_ms) = started_ms {
            self.show(Sighting::Started {
                at: timestamp(started_ms),
            })
            .await?;
        }
        loop {
            let news = self.watch.news();
            if news.upheavals != self.upheavals && news.exit.is_none() {
                self.upheavals = news.upheavals;
                self.ask().await;
                continue;
            }
            if news.lines > self.position && self.show_output(&news).await? {
                continue;
            }
            if let Some(exit) = news.exit {
                return self.show(Sighting::Ended(saw(exit))).await;
            }
            tokio::select! {
                () = self.watch.changed() => {}
                () = self.sightings.closed() => return Err(Unwatched),
            }
        }
    }

    async fn show(&self, sighting: Sighting) -> Result<(), Unwatched> {
        self.sightings.send(sighting).await.map_err(|_| Unwatched)
    }

    /// Shows the next stretch of output; `false` if there is nothing to read.
    async fn show_output(&mut self, news: &News) -> Result<bool, Unwatched> {
        let Some(chunk) = self.read().await else {
            return Ok(true);
        };
        let is_complete = news.exit.is_some();
        let mut lines: Vec<OutputLine> = Vec::with_capacity(chunk.lines.len() + 1);
        let mut to = chunk.position.max(self.position);
        let mut lost = chunk.lost;
        if chunk.lines.is_empty() && lost == 0 {
            if !is_complete {
                // The disk refused what was told of; the next segment will show how much.
                self.jobs
                    .supervisors()
                    .read_up_to(&self.key, news.lines)
                    .await;
                return Ok(false);
            }
            lost = news.lines - self.position;
            to = news.lines;
        }
        if lost > 0 {
            let time = chunk.lines.first().map(|line| line.time_ms);
            let time = time
                .or(news.exit.as_ref().map(|exit| exit.ended_ms))
                .unwrap_or_default();
            lines.push(gap(lost, time));
        }
        lines.extend(chunk.lines.into_iter().map(output_line));
        self.show(Sighting::Output(Output {
            from: self.position,
            to,
            lines,
            mark: None,
        }))
        .await?;
        self.position = to;
        if !is_complete {
            self.jobs.supervisors().read_up_to(&self.key, to).await;
        }
        Ok(true)
    }

    /// Reads on in the log, away from the threads that must not wait. `None` if that failed and may
    /// succeed later: what is on the disk is not given up for a file that cannot be opened now.
    async fn read(&mut self) -> Option<Chunk> {
        let nothing = Chunk {
            position: self.position,
            ..Chunk::default()
        };
        let Some(mut reader) = self.reader.take() else {
            return Some(nothing);
        };
        let read = tokio::task::spawn_blocking(move || (reader.read(READ_BYTES), reader)).await;
        match read {
            Ok((Ok(chunk), reader)) => {
                self.reader = Some(reader);
                self.unread = 0;
                Some(chunk)
            }
            Ok((Err(error), _)) => {
                tracing::error!(
                    action.id = %self.key.id, attempt = self.key.attempt, runner = %self.name, %error,
                    "The output of a job cannot be read: {error}"
                );
                self.reader = Some(self.jobs.supervisors().output(&self.key, self.position));
                self.unread += 1;
                if self.unread >= MOST_READS {
                    return Some(nothing);
                }
                tokio::select! {
                    () = tokio::time::sleep(ASK_AGAIN) => {}
                    () = self.sightings.closed() => {}
                }
                None
            }
            // It panicked, or the runtime is ending.
            Err(_) => Some(nothing),
        }
    }

    /// A supervisor is gone, maybe the one of this job: its state says more.
    async fn ask(&self) {
        loop {
            match self.jobs.supervisors().state(&self.key).await {
                Ok(State::Unknown) => {
                    let exit = lost("its run directory is gone", self.position);
                    return self.watch.learn(&State::Ended(exit));
                }
                Ok(state) => return self.watch.learn(&state),
                Err(error) => {
                    tracing::warn!(
                        action.id = %self.key.id, attempt = self.key.attempt, runner = %self.name, %error,
                        "Nobody can say how a job stands: {error}"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(ASK_AGAIN) => {}
                () = self.sightings.closed() => return,
            }
        }
    }
}

/// The end of a run that nobody saw, and of whose output `lines` lines are known.
fn lost(why: &str, lines: u64) -> Exit {
    Exit {
        end: End::Lost(why.to_owned()),
        started_ms: None,
        ended_ms: u64::try_from(SystemClock.now().0).unwrap_or(0),
        usage: None,
        stopped: false,
        lines,
    }
}

fn timestamp(ms: u64) -> Timestamp {
    Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn output_line(line: Line) -> OutputLine {
    let source = match line.stream {
        Stream::Stdout => LineSource::Stdout,
        Stream::Stderr => LineSource::Stderr,
    };
    OutputLine {
        source,
        time: timestamp(line.time_ms),
        text: line.text,
    }
}

fn gap(lost: u64, time_ms: u64) -> OutputLine {
    let lines = if lost == 1 {
        "1 line".to_owned()
    } else {
        format!("{lost} lines")
    };
    let text = format!(
        "{lines} of output were dropped here: the job wrote faster than they could be stored"
    );
    OutputLine {
        source: LineSource::Server,
        time: timestamp(time_ms),
        text,
    }
}

impl From<End> for Ending {
    fn from(end: End) -> Ending {
        match end {
            End::Code(code) => Ending::Exited { code },
            End::Signal {
                number, oom: true, ..
            } => Ending::OutOfMemory {
                signal: number,
                limit: None,
            },
            End::Signal {
                number,
                core,
                oom: false,
            } => Ending::Signalled {
                signal: number,
                name: signal_name(number).to_owned(),
                core_dumped: core,
            },
            End::NotStarted(reason) => Ending::NotStarted { reason },
            End::Lost(reason) => Ending::Lost { reason },
        }
    }
}

fn saw(exit: Exit) -> Saw {
    let usage = exit.usage.map(|usage| Usage {
        user_ms: usage.user_ms,
        system_ms: usage.system_ms,
        max_rss_kib: usage.max_rss_bytes / 1024,
    });
    Saw {
        ending: exit.end.into(),
        at: timestamp(exit.ended_ms),
        stopped: exit.stopped,
        usage,
    }
}
