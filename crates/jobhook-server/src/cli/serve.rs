//! `jobhook serve`: the server itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure, Outcome};
use super::output::Output;
use crate::config::{Config, Surroundings, listen_address};

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
/// Ctrl-C or SIGTERM stops it.
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
}

impl Local {
    /// Reads the configuration and finds the data directory.
    pub(crate) fn find(
        options: &LocalOptions,
        surroundings: &Surroundings,
    ) -> Result<Local, Failure> {
        let config = Config::load(options.config.as_deref(), surroundings)
            .map_err(|error| Failure::usage(super::http::chain(&error)))?;
        let data_directory = config
            .data_directory(options.data_dir.as_deref(), surroundings)
            .map_err(Failure::usage)?;
        Ok(Local {
            config,
            data_directory,
        })
    }
}

pub(crate) async fn run(serve: Serve, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let mut local = Local::find(&serve.local, surroundings)?;
    if let Some(listen) = serve.listen {
        local.config.server.listen = listen;
    }
    start(local, output).await
}

/// Opens the store, judges the address by `config::may_listen`, starts the runners, listens,
/// and ends on SIGTERM or Ctrl-C.
async fn start(local: Local, _output: &mut Output) -> Outcome {
    Err(Failure::new(
        Exit::Other,
        format_args!(
            "there is no server yet to listen on {} with {}",
            local.config.server.listen,
            local.data_directory.display()
        ),
    ))
}
