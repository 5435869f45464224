//! A program that is its operations, from `main` to the exit code.
//!
//! ```text
//! prog operations ─▶ prints the definitions                           0
//! JOB_* is set ────▶ asks the hook what to run, runs it, reports      0, or 1 if it failed
//! otherwise ───────▶ says what it is, on stderr                       64
//! ```
//!
//! The counterpart of the original's `runAsyncOperationAction`, and understood by its servers.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use jobhook_protocol::Json;
use jobhook_protocol::environment::{JOB_HOOK, JOB_ID, JOB_SECRET_KEY};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, INVALID_OUTPUT, UNKNOWN_OPERATION};
use crate::shared::CENTURY;
use crate::{CancellationToken, Error, Job, Operations, Report};

/// The argument that asks for the definitions.
const OPERATIONS: &str = "operations";
/// The program was called wrongly (`EX_USAGE`).
const USAGE: u8 = 64;

impl Operations {
    /// Does what the program was started for: all that `main` has to do.
    ///
    /// ```no_run
    /// use jobhook::{Job, Operations};
    ///
    /// async fn greet(_: Job, name: String) -> anyhow::Result<String> {
    ///     Ok(format!("hello {name}"))
    /// }
    ///
    /// #[tokio::main]
    /// async fn main() -> std::process::ExitCode {
    ///     Operations::new().operation("Greet", greet).run().await
    /// }
    /// ```
    ///
    /// - With the argument `operations` it prints the [definitions](Operations::definitions) and
    ///   ends with 0.
    /// - Started as a job, it runs the operation that its action names; see
    ///   [`Operations::run_job`]. It ends with 0, or with 1 if the operation failed or could not
    ///   be reported. With the feature `tracing`, and unless the program has set a subscriber
    ///   before, events are lines of the action's log: those from INFO on, or as `RUST_LOG` says.
    ///   SIGTERM fires the job's [cancellation](Job::cancellation), as STOP does.
    /// - Else it says on stderr what it is, and ends with 64.
    pub async fn run(self) -> ExitCode {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        let of_job = [JOB_ID, JOB_SECRET_KEY, JOB_HOOK];
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match arguments.as_slice() {
            [one] if one == OPERATIONS => self.print(),
            _ if of_job.into_iter().any(is_set) => self.run_as_job().await,
            [] => {
                say(&self.usage());
                ExitCode::from(USAGE)
            }
            [first, ..] => {
                let first = first.to_string_lossy();
                say(&format!("unknown argument `{first}`\n\n{}", self.usage()));
                ExitCode::from(USAGE)
            }
        }
    }

    /// Runs the operation that a job's action names, with its input, and reports how it ended:
    /// SUCCESS with what the function returned, or ERROR with its name and message. Waits until
    /// that is answered, and closes the job. For programs that make their job themselves, such as
    /// one with a heartbeat; [`Operations::run`] does everything.
    ///
    /// The action names it as `operationId`, with its input as `arguments` or, from a server of
    /// the original, in its `context`; or by `serviceName` and `method`, which are
    /// `Service.method` here; else by its type.
    ///
    /// An operation that fails after it was asked to stop says so in the log and reports nothing:
    /// the server knows why it ended.
    ///
    /// # Errors
    ///
    /// What was reported: `unknown_operation`, `invalid_input`, `invalid_output`, `panicked`, or
    /// the function's own. If it could not be reported, the code of that [`Error`] as the name.
    pub async fn run_job(&self, job: Job) -> Result<Json, Failure> {
        let outcome = match self.outcome(&job).await {
            Ok(results) => succeed(&job, results).await,
            Err(failure) => Err(failure),
        };
        let outcome = match outcome {
            Err(failure) => Err(fail(&job, failure).await),
            Ok(results) => Ok(results),
        };
        // What was lost on the way is no failure of the operation.
        let _ = job.close_async().await;
        outcome
    }

    async fn run_as_job(&self) -> ExitCode {
        match self.try_as_job().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(said) => {
                if let Some(error) = said {
                    say(&format!("{error}\n"));
                }
                ExitCode::FAILURE
            }
        }
    }

    /// The error is what only stderr can tell, if anything.
    async fn try_as_job(&self) -> Result<(), Option<Error>> {
        let job = Job::from_env().map_err(Some)?;
        #[cfg(feature = "tracing")]
        listen_to_events(&job);
        if let Err(error) = cancel_on_sigterm(job.cancellation()) {
            let error = format!("cannot listen for SIGTERM: {error}");
            return Err(Some(Error::System(error)));
        }
        let outcome = self.run_job(job.clone()).await;
        if let Some(trouble) = job.error() {
            say(&format!("{trouble}\n"));
        }
        outcome.map(drop).map_err(|_| None)
    }

    /// Finds the operation, and runs it.
    async fn outcome(&self, job: &Job) -> Result<Json, Failure> {
        let unknown = |error: Error| Failure::new(error.code(), error.to_string());
        let standing = job.standing_async().await.map_err(unknown)?;
        self.check().map_err(unknown)?;
        let (id, input) = standing.operation();
        let id = id.unwrap_or_default();
        let Some(operation) = self.get(&id) else {
            let have = self.ids().map(|id| format!("`{id}`")).collect::<Vec<_>>();
            let message = format!(
                "this program has no operation `{id}`; it has {}",
                have.join(", ")
            );
            return Err(Failure::new(UNKNOWN_OPERATION, message));
        };
        operation.call(job.clone(), input).await
    }

    fn print(&self) -> ExitCode {
        let text = self.definitions().map_err(|error| error.to_string());
        let printed = text.and_then(|definitions| {
            let mut text =
                serde_json::to_string_pretty(&definitions).map_err(|error| error.to_string())?;
            text.push('\n');
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(text.as_bytes());
            written
                .and_then(|()| stdout.flush())
                .map_err(|error| format!("cannot print the definitions: {error}"))
        });
        match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("{error}\n"));
                ExitCode::FAILURE
            }
        }
    }

    fn usage(&self) -> String {
        let program = std::env::args_os().next().unwrap_or_default();
        let program = std::path::Path::new(&program);
        let program = program.file_name().unwrap_or(program.as_os_str());
        let program = program.to_string_lossy();
        let mut text = format!(
            "{program} runs these operations for a jobhook server, which starts it with JOB_ID, \
             JOB_SECRET_KEY and JOB_HOOK:\n\n"
        );
        for id in self.ids() {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {id}");
        }
        if let Err(error) = self.check() {
            let _ = writeln!(text, "\n{error}");
        }
        let _ = writeln!(
            text,
            "\n`{program} {OPERATIONS}` prints their definitions, which a server launches them by."
        );
        text
    }
}

/// Reports SUCCESS, and what the server makes of it.
async fn succeed(job: &Job, results: Json) -> Result<Json, Failure> {
    let report = Report::success().results_json(results.clone());
    match report_and_wait(job, report).await {
        Ok(()) => Ok(results),
        Err(Error::Refused(problem)) if problem.code == INVALID_OUTPUT => {
            Err(Failure::new(INVALID_OUTPUT, problem.detail))
        }
        Err(error @ Error::TooLarge { .. }) => Err(Failure::new(INVALID_OUTPUT, error.to_string())),
        Err(error) => Err(Failure::new(error.code(), error.to_string())),
    }
}

/// Reports ERROR, unless the operation was asked to end; then that is why it did.
async fn fail(job: &Job, failure: Failure) -> Failure {
    match report_and_wait(job, last_word(job, &failure)).await {
        Ok(()) => failure,
        // The first cause tells more than what followed from it.
        Err(error) if failure.name == error.code() => failure,
        Err(error) => Failure::new(error.code(), error.to_string()),
    }
}

/// What a failed operation has to say at its end.
pub(crate) fn last_word(job: &Job, failure: &Failure) -> Report {
    let (name, message) = (&failure.name, failure.brief());
    if job.is_cancelled() {
        Report::new().log(format!(
            "ended after it was asked to stop: {name}: {message}"
        ))
    } else {
        Report::error(name, message)
    }
}

/// Waits as long as the job has patience with its server: there is nothing else left to do.
async fn report_and_wait(job: &Job, report: Report) -> Result<(), Error> {
    job.report(report)?.wait_async(CENTURY).await
}

#[cfg(feature = "tracing")]
fn listen_to_events(job: &Job) {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::prelude::*;

    if tracing::dispatcher::has_been_set() {
        return;
    }
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let layer = crate::tracing_layer(job).with_filter(filter);
    // If another came first after all, that one stays.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// Takes SIGTERM as the wish to stop; it would end the program on the spot. On a thread of its
/// own, so that an operation that keeps the runtime busy hears of it, too.
fn cancel_on_sigterm(cancellation: CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let entered = runtime.enter();
    let mut sigterm = signal(SignalKind::terminate())?;
    drop(entered);
    std::thread::Builder::new()
        .name("sigterm".to_owned())
        .spawn(move || {
            runtime.block_on(sigterm.recv());
            cancellation.cancel();
        })
        .map(drop)
}

/// On stderr. Where nobody reads it there is nobody to tell that to.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
