//! `jobhook exec`: around a job's program, reports what it does.
//!
//! ```text
//! ask the hook ─▶ start ─▶ it ends ─▶ what is left is said ─▶ the exit code is the program's
//!   │ not wanted    │        ▲
//!   ▼ 3             ▼ 126    └ signals are passed on; STOP becomes TERM, and after a grace KILL
//!                     127
//! ```
//!
//! Made to be process 1 of a container: it reaps whatever falls to it, and ends what the program
//! leaves behind. The SDK reports, keeps and sends again; here is decided what there is to say.
//! [`program`] is the process, [`outputs`] what it writes, [`signals`] what others send to it,
//! [`voice`] who is told.

mod outputs;
mod program;
mod signals;
mod voice;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jobhook::{Error, Job, Report};
use jobhook_engine::attempt::Ending;
use jobhook_protocol::Code;
use jobhook_protocol::environment::{JOB_OUTPUT, OUTPUT_STORED};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep_until};

use self::outputs::Outputs;
use self::program::{Program, Start};
use self::signals::Signals;
use self::voice::Voice;
use super::exit::{Exit, Failure, Outcome};
use super::job::undone;
use super::output::Output;
use crate::config::{Surroundings, duration, size};

/// How long the program waits for the first answer before it is started without one.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

const HELP: &str = "\
Reads JOB_ID, JOB_SECRET_KEY, JOB_HOOK and JOB_ATTEMPT from the environment, and passes it on. As the
entrypoint of an image: ENTRYPOINT [\"/jobhook\", \"exec\", \"--\"]. Exit code 0 is reported as SUCCESS and
anything else as ERROR, unless the program said how it ended itself (`jobhook report`).

Exit codes: the program's; 128+N if signal N ended it; 127 there is no such program; 126 it cannot be
executed. Nothing was started: 3 the job is not wanted any more (cancelled, or its attempt is over);
1 refused; 64 not in a job, or wrong flags; 77 the signature was not accepted.";

/// Around a job's program: run it, and report its output, its end and that it is alive
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct Exec {
    /// The program and its arguments; no shell reads them
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
    /// Announce that something is heard at least this often, and see to it; or "off"
    #[arg(long, value_name = "DURATION", value_parser = heartbeat, default_value = "30s")]
    heartbeat: Heartbeat,
    /// Whether what it writes is reported as lines of the log; it is passed on in any case
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Lines::Auto)]
    lines: Lines,
    /// How long it may go on after it was asked to stop because the server wants that
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    grace: Duration,
    /// How long the end may wait for a server that is away
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    flush: Duration,
    /// How much may wait to be sent while the server is away; what comes then is counted and lost
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64MiB")]
    spool_size: u64,
    /// Keep what waits in this directory too, so that it outlives this process
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Start the program without JOB_SECRET_KEY: it cannot report by itself then
    #[arg(long)]
    withhold_key: bool,
}

#[derive(Clone, Copy, Debug)]
struct Heartbeat(Option<Duration>);

fn heartbeat(text: &str) -> Result<Heartbeat, String> {
    match text {
        "off" => Ok(Heartbeat(None)),
        text => duration(text)
            .map(|every| Heartbeat(Some(every)))
            .map_err(|error| format!("{error}, and not \"off\"")),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lines {
    /// Unless whoever started this stores the output itself (JOB_OUTPUT=stored)
    Auto,
    /// Report them
    Always,
    /// Do not
    Never,
}

impl Lines {
    fn are_reported(self, surroundings: &Surroundings) -> bool {
        match self {
            Lines::Auto => surroundings.get(JOB_OUTPUT) != Some(OUTPUT_STORED),
            Lines::Always => true,
            Lines::Never => false,
        }
    }
}

pub(crate) async fn run(exec: Exec, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    // Before anything else: from here on no signal is lost, also as process 1.
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::Other, format_args!("no signals: {error}")))?;
    let job = job_of(&exec, surroundings)?;
    let reports_lines = exec.lines.are_reported(surroundings);
    let mut voice = Voice::new(job.clone(), output, reports_lines);
    match is_wanted(&job, &mut signals).await? {
        Wanted::Yes => {}
        Wanted::No(why) => {
            voice.note(&format!("nothing was started: {why}"));
            return Ok(Exit::Cancelled);
        }
        Wanted::NotByUs(signal) => return Ok(Exit::Program(128 + signal as u8)),
    }
    let start = Start {
        command: &exec.command,
        directory: surroundings.directory(),
        reports_lines,
        withholds_key: exec.withhold_key,
    };
    let (mut program, outputs) = match Program::start(start) {
        Ok((program, pipes)) => (program, Outputs::follow(pipes, &job)),
        Err(not_started) => {
            let ending = Ending::NotStarted {
                reason: not_started.reason,
            };
            voice.note(&jobhook_engine::verdict::sentence(&ending));
            voice.last_word(&ending, None, exec.flush).await;
            return Ok(Exit::Program(not_started.code));
        }
    };
    let (ending, asked) = watch(&mut program, &mut signals, &job, exec.grace, &mut voice).await;
    program.end_leftovers();
    tokio::select! {
        () = async {
            match outputs {
                Ok(outputs) => outputs.finish().await,
                Err(error) => voice.note(&format!("its output cannot be followed: {error}")),
            }
            voice.last_word(&ending, asked, exec.flush).await;
        } => {}
        // Somebody who sits in front of it has seen enough.
        () = signals.interrupted() => {}
    }
    Ok(Exit::Program(code_of(&ending)))
}

fn job_of(exec: &Exec, surroundings: &Surroundings) -> Result<Job, Failure> {
    let lookup = |name: &str| surroundings.get(name).map(str::to_owned);
    let build = || {
        let mut builder = Job::builder()
            .variables(lookup)?
            // A server that is away for a night finds the program at work in the morning.
            .patience(Duration::MAX)
            .spool_bytes(usize::try_from(exec.spool_size).unwrap_or(usize::MAX))
            // What is waited for at the end, and how long, is decided here.
            .flush_limit(Duration::ZERO);
        if let Heartbeat(Some(every)) = exec.heartbeat {
            builder = builder.heartbeat(every);
        }
        if let Some(spool) = &exec.spool {
            builder = builder.spool_directory(surroundings.directory().join(spool));
        }
        builder.build()
    };
    build().map_err(|error| undone("the report", &error, FIRST_ANSWER))
}

/// Whether the program is to be started.
enum Wanted {
    Yes,
    /// The server says why not.
    No(String),
    /// Somebody asked this process to end meanwhile.
    NotByUs(Signal),
}

/// Says that the job runs, and hears what the server has to say to that. A server that does not
/// answer holds nobody up for long; one that refuses would hear nothing of what the program does.
async fn is_wanted(job: &Job, signals: &mut Signals) -> Result<Wanted, Failure> {
    let answer = async {
        match job.report(Report::running()) {
            Ok(receipt) => receipt.wait_async(FIRST_ANSWER).await,
            Err(error) => Err(error),
        }
    };
    let answer = tokio::select! {
        answer = answer => answer,
        signal = signals.asked_to_end() => return Ok(Wanted::NotByUs(signal)),
    };
    match answer {
        _ if job.is_cancelled() => Ok(Wanted::No(
            "the server wants this job to stop: it was cancelled, or its attempt is over".into(),
        )),
        Ok(()) | Err(Error::FlushTimeout { .. } | Error::SpoolFull { .. }) => Ok(Wanted::Yes),
        Err(Error::Refused(problem)) if problem.code == Code::IllegalTransition.as_str() => Ok(
            Wanted::No(format!("this attempt has ended before: {}", problem.detail)),
        ),
        Err(error) => Err(undone(
            "nothing was started: the report",
            &error,
            FIRST_ANSWER,
        )),
    }
}

/// Waits for the program's end. Tells the signal by which others asked it to end, if they did.
async fn watch(
    program: &mut Program,
    signals: &mut Signals,
    job: &Job,
    grace: Duration,
    voice: &mut Voice<'_>,
) -> (Ending, Option<Signal>) {
    let stop = job.cancellation();
    let mut asked = None;
    let mut is_stopping = false;
    let mut kill_at: Option<Instant> = None;
    loop {
        let patience_ends = async {
            match kill_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::SIGCHLD => {
                    if let Some(ending) = program.reap() {
                        return (ending, asked);
                    }
                }
                signal if signals::asks_to_end(signal) => {
                    asked = Some(signal);
                    program.end(signal);
                }
                signal => program.tell(signal),
            },
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                kill_at = Instant::now().checked_add(grace);
                program.end(Signal::SIGTERM);
                voice.note(&format!(
                    "the server wants this job to stop: the program is asked to end, and is killed after {} s",
                    grace.as_secs_f64()
                ));
            }
            () = patience_ends => {
                kill_at = None;
                program.kill();
            }
        }
    }
}

/// As shells count it.
fn code_of(ending: &Ending) -> u8 {
    let code = match ending {
        Ending::Exited { code } => *code,
        Ending::Signalled { signal, .. } | Ending::OutOfMemory { signal, .. } => 128 + signal,
        _ => 126,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
