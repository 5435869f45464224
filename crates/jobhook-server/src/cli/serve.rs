//! `jobhook serve`: the server itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use jobhook::{JobLayer, Operations};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

use super::exit::{Exit, Failure, Outcome, chain};
use super::output::Output;
use crate::config::{Config, Surroundings, listen_address};
use crate::server::Server;

/// What is logged unless something else is asked for. The scheduler of housekeeping tells
/// how it was built, and the client of clusters each failure without saying of what: whoever
/// asked says that.
const LOGGED: &str = "info,tokio_cron_scheduler=warn,kube_client::client=off";

/// Where a server's configuration and data are.
#[derive(Debug, Args)]
pub(crate) struct LocalOptions {
    /// The configuration file [env: JOBHOOK_CONFIG] [default: ./jobhook.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory [env: JOBHOOK_DATA_DIR] [default: $STATE_DIRECTORY, else
    /// $XDG_DATA_HOME/jobhook, else ~/.local/share/jobhook]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Start a server
///
/// Jobs that run outlive it: the next server on the same data directory goes on with them.
/// Ctrl-C or SIGTERM stops it. It logs to standard error what JOBHOOK_LOG asks for, `info` by
/// default.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    local: LocalOptions,
    /// The address to listen on [default: 127.0.0.1:8088]; beyond loopback it needs tokens
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    listen: Option<SocketAddr>,
}

/// What a command on this machine works with.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) config: Config,
    /// Absolute; it may not exist yet.
    pub(crate) data_directory: PathBuf,
    /// What the server logs: `JOBHOOK_LOG`, as tracing-subscriber's filters are written.
    pub(crate) log: Option<String>,
}

impl Local {
    /// Reads the configuration and finds the data directory.
    pub(crate) fn find(
        options: &LocalOptions,
        surroundings: &Surroundings,
    ) -> Result<Local, Failure> {
        let config = Config::load(options.config.as_deref(), surroundings)
            .map_err(|error| Failure::usage(chain(&error)))?;
        let data_directory = config
            .data_directory(options.data_dir.as_deref(), surroundings)
            .map_err(Failure::usage)?;
        Ok(Local {
            config,
            data_directory,
            log: surroundings.get("JOBHOOK_LOG").map(str::to_owned),
        })
    }

    /// What is to be logged.
    pub(crate) fn log_filter(&self) -> Result<EnvFilter, Failure> {
        let wanted = self.log.as_deref().unwrap_or(LOGGED);
        EnvFilter::try_new(wanted).map_err(|error| {
            Failure::usage(format_args!(
                "JOBHOOK_LOG: `{wanted}` is no log filter: {error}"
            ))
        })
    }
}

pub(crate) async fn run(
    serve: Serve,
    surroundings: &Surroundings,
    operations: Operations,
    output: &mut Output,
) -> Outcome {
    let mut local = Local::find(&serve.local, surroundings)?;
    if let Some(listen) = serve.listen {
        local.config.server.listen = listen;
    }
    start(local, operations, output).await
}

async fn start(local: Local, operations: Operations, output: &mut Output) -> Outcome {
    // Before the first line is printed: who reads it may stop the server right away.
    let stop = stop_signal().map_err(|error| {
        Failure::new(
            Exit::Other,
            format_args!("signals cannot be waited for: {error}"),
        )
    })?;
    write_log(&local)?;
    let server = Server::builder(local.config, local.data_directory)
        .operations(operations)
        .start()
        .await
        .map_err(|error| Failure::new(Exit::Other, chain(&error)))?;
    output.line(&format!("jobhook is listening on {server}"))?;
    output.flush()?;
    server.run(stop).await;
    Ok(Exit::Success)
}

/// SIGTERM or Ctrl-C; waited for from now on.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Stopping; jobs that run go on");
        // Whoever asks again does not want to wait, for a disk that hangs for example.
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("Stopped at once, before everything was written");
            std::process::exit(Exit::Other.code().into());
        });
    })
}

/// Sends the log to standard error, as `JOBHOOK_LOG` says.
fn write_log(local: &Local) -> Result<(), Failure> {
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_filter(local.log_filter()?);
    // What operations say inside this server belongs to their jobs, whatever the server logs.
    let of_jobs = JobLayer::scoped().with_filter(LevelFilter::INFO);
    let log = tracing_subscriber::registry().with(of_jobs).with(log);
    // Fails only if an embedder has set up a log before, and then that one counts.
    let _ = log.try_init();
    Ok(())
}
