//! The command line: what people type, and what scripts branch on.
//!
//! ```text
//! serve  token  check          on the server's machine: configuration and data directory
//! launch operations             anywhere: JOBHOOK_URL and JOBHOOK_TOKEN
//! list show logs cancel retry
//! schedules
//! report log upload download   inside a job: JOB_*
//! exec                         around a job's program: JOB_*
//! ```
//!
//! Each command is a file: its flags, and what becomes of them. The crate `jobhook` speaks to a
//! server; [`api`] and [`job`] give it its settings and say what its errors mean. [`output`]
//! alone writes, [`exit`] says what the exit codes mean. A command never reads the process's
//! environment; it is given its [`Surroundings`].

mod act;
mod api;
mod check;
mod download;
mod exec;
mod exit;
mod files;
mod job;
mod launch;
mod list;
mod log;
mod logs;
mod operations;
mod output;
mod place;
mod report;
mod schedules;
mod serve;
mod show;
mod token;
mod upload;
mod watch;
mod words;

use std::num::NonZero;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jobhook::Operations;

use crate::config::Surroundings;
use exit::{Exit, Failure, Outcome};
use output::{Output, shown};

/// Run background jobs anywhere, and see how they fare
#[derive(Debug, Parser)]
#[command(name = "jobhook", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; with --wait or --follow the action's: 0 SUCCESS, 1 ERROR, 2 TIMEOUT,
3 CANCELLED; 64 wrong usage, also where the server finds what is wrong (400, 413, 422), 69 no
answer from the server, 77 denied, 130 Ctrl-C while watching (the action goes on), 70 anything else.

A server's address is read from JOBHOOK_URL, a token from JOBHOOK_TOKEN.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Launch(launch::Launch),
    Operations(operations::Operations),
    List(list::List),
    Show(show::Show),
    Logs(logs::Logs),
    Files(files::Files),
    Cancel(act::Cancel),
    Retry(act::Retry),
    Schedules(schedules::Schedules),
    Token(token::Token),
    Check(check::Check),
    Report(report::Report),
    Log(log::Log),
    Upload(upload::Upload),
    Download(download::Download),
    Exec(exec::Exec),
}

/// Runs the command line of this process to its end.
///
/// A binary that embeds the server's own command line returns this from `main`.
pub fn main() -> ExitCode {
    main_with(Operations::new())
}

/// The command line of a binary that has operations of its own, which `serve` runs inside the
/// server.
///
/// ```no_run
/// # fn operations() -> jobhook::Operations { jobhook::Operations::new() }
/// fn main() -> std::process::ExitCode {
///     jobhook_server::supervisor::enter();
///     jobhook_server::cli::main_with(operations())
/// }
/// ```
pub fn main_with(operations: Operations) -> ExitCode {
    let surroundings = Surroundings::of_this_process();
    let mut output = Output::of_this_process(&surroundings);
    let exit = run(std::env::args_os(), &surroundings, operations, &mut output);
    ExitCode::from(exit.code())
}

fn run(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    surroundings: &Surroundings,
    operations: Operations,
    output: &mut Output,
) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // Asking for help or the version comes this way too, and is no error.
        Err(error) if error.use_stderr() => {
            output.note(error.to_string().trim_end());
            return Exit::Usage;
        }
        Err(help) => {
            return end(
                output.body(&help.to_string()).map(|()| Exit::Success),
                output,
            );
        }
    };
    let outcome = runtime(&cli.command).and_then(|runtime| {
        let outcome = runtime.block_on(dispatch(cli.command, surroundings, operations, output));
        // A name that is still being looked up holds nobody back.
        runtime.shutdown_background();
        outcome
    });
    end(outcome, output)
}

fn end(outcome: Outcome, output: &mut Output) -> Exit {
    match outcome.and_then(|exit| output.close().map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            if let Failure::Said { message, .. } = &failure {
                let lines: Vec<_> = message.lines().map(shown).collect();
                output.note(&format!("error: {}", lines.join("\n")));
            }
            failure.exit()
        }
    }
}

/// tokio's own variable for the number of its threads.
const THREADS: &str = "TOKIO_WORKER_THREADS";

/// For the server a thread for each processor but one, which is left to the thread that commits: were
/// there more that have much to do than there are processors, they would take them from each other at
/// each answer. One is enough to wait for an answer.
fn runtime(command: &Command) -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = match command {
        Command::Serve(_) => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads_that_answer(std::env::var_os(THREADS))?);
            builder
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build().map_err(|error| {
        Failure::new(
            Exit::Other,
            format_args!("the system gives no threads or files: {error}"),
        )
    })
}

/// How many threads answer requests, if `wanted` does not say otherwise.
fn threads_that_answer(wanted: Option<std::ffi::OsString>) -> Result<usize, Failure> {
    let Some(wanted) = wanted else {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        return Ok(processors.saturating_sub(1).max(1));
    };
    let number = wanted.to_str().and_then(|text| text.parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| {
        let wanted = wanted.to_string_lossy();
        Failure::usage(format_args!(
            "the variable {THREADS} is `{wanted}`, and must be a whole number from 1"
        ))
    })
}

async fn dispatch(
    command: Command,
    surroundings: &Surroundings,
    operations: Operations,
    output: &mut Output,
) -> Outcome {
    match command {
        Command::Serve(serve) => serve::run(serve, surroundings, operations, output).await,
        Command::Launch(launch) => launch::run(launch, surroundings, output).await,
        Command::Operations(operations) => operations::run(operations, surroundings, output).await,
        Command::List(list) => list::run(list, surroundings, output).await,
        Command::Show(show) => show::run(show, surroundings, output).await,
        Command::Logs(logs) => logs::run(logs, surroundings, output).await,
        Command::Files(files) => files::run(files, surroundings, output).await,
        Command::Cancel(cancel) => act::cancel(cancel, surroundings, output).await,
        Command::Retry(retry) => act::retry(retry, surroundings, output).await,
        Command::Schedules(schedules) => schedules::run(schedules, surroundings, output).await,
        Command::Token(token) => token::run(token, surroundings, output).await,
        Command::Check(check) => check::run(check, surroundings, operations, output).await,
        Command::Report(report) => report::run(report, surroundings, output).await,
        Command::Log(log) => log::run(log, surroundings, output).await,
        Command::Upload(upload) => upload::run(upload, surroundings, output).await,
        Command::Download(download) => download::run(download, surroundings, output).await,
        Command::Exec(exec) => exec::run(exec, surroundings, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_threads_that_is_none_is_named() {
        assert_eq!(threads_that_answer(Some("3".into())).unwrap(), 3);
        assert!(threads_that_answer(None).unwrap() > 0);
        for wrong in ["0", "x", "-1", ""] {
            let Err(Failure::Said { exit, message }) = threads_that_answer(Some(wrong.into()))
            else {
                panic!("`{wrong}` is no number of threads");
            };
            assert_eq!(exit, Exit::Usage);
            assert!(message.contains(&format!("`{wrong}`")), "{message}");
        }
    }
}
