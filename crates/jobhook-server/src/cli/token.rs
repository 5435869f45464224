//! `jobhook token`: who may use the management API.
//!
//! A token is 32 random bytes; the store keeps its SHA-256 and shows it never again.

use clap::{Args, Subcommand};
use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::log::LogLimits;

use super::exit::{Exit, Failure, Outcome, chain};
use super::output::{Output, shown};
use super::serve::{Local, LocalOptions};
use crate::config::Surroundings;
use crate::data_dir;
use crate::store::sqlite::SqliteStore;
use crate::tokens::{Scope, Tokens};

/// Create, list and revoke tokens for the management API
///
/// Works on the data directory of this machine, whether its server runs or not.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Create a token, and print it this once
    Create {
        /// Whose it is; shows in the log and as who cancelled an action
        name: String,
        /// What it allows: read, launch, operate or admin, each with all before it
        #[arg(long)]
        scope: Scope,
        #[command(flatten)]
        local: LocalOptions,
    },
    /// List the tokens: name, scope, when it was created
    List {
        #[command(flatten)]
        local: LocalOptions,
    },
    /// Make a token worthless
    Revoke {
        /// Its name
        name: String,
        #[command(flatten)]
        local: LocalOptions,
    },
}

pub(crate) async fn run(token: Token, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    match token.command {
        TokenCommand::Create { name, scope, local } => {
            let local = Local::find(&local, surroundings)?;
            refuse_configured(&local, &name)?;
            let token = open(&local)
                .await?
                .create(&name, scope, SystemClock.now())
                .await
                .map_err(failed)?;
            output.line(token.reveal())?;
            output.flush()?;
            output.note(&format!(
                "token `{name}` with scope {scope}; it is shown this once. Clients read it from JOBHOOK_TOKEN."
            ));
        }
        TokenCommand::List { local } => {
            let local = Local::find(&local, surroundings)?;
            let stored = match existing(&local).await? {
                Some(store) => store.list().await.map_err(failed)?,
                None => Vec::new(),
            };
            let fixed = &local.config.auth.tokens;
            let none = stored.is_empty() && fixed.is_empty();
            for token in stored {
                let (created, used) = (time(token.created_at), token.last_used_at.map(time));
                let used = used.map_or_else(
                    || "never used".to_owned(),
                    |used| format!("last used {used}"),
                );
                output.line(&format!(
                    "{:<8}  created {created}  {used}  {}",
                    token.scope, token.name
                ))?;
            }
            for token in fixed {
                output.line(&format!(
                    "{:<8}  in the configuration  {}",
                    token.scope,
                    shown(&token.name)
                ))?;
            }
            if none {
                output.note("no tokens");
            }
        }
        TokenCommand::Revoke { name, local } => {
            let local = Local::find(&local, surroundings)?;
            refuse_configured(&local, &name)?;
            let revoked = match existing(&local).await? {
                Some(store) => store.revoke(&name).await.map_err(failed)?,
                None => false,
            };
            if !revoked {
                return Err(Failure::new(
                    Exit::Other,
                    format_args!("there is no token called `{name}`"),
                ));
            }
            output.note(&format!("token `{name}` is revoked"));
        }
    }
    Ok(Exit::Success)
}

/// The tokens of the data directory, which is made if it is not there.
async fn open(local: &Local) -> Result<SqliteStore, Failure> {
    let folder = data_dir::make(&local.data_directory).map_err(failed)?;
    SqliteStore::open(&data_dir::database(&folder), LogLimits::default())
        .await
        .map_err(failed)
}

/// The tokens of the data directory, if it has any: to look makes nothing.
async fn existing(local: &Local) -> Result<Option<SqliteStore>, Failure> {
    let there = data_dir::database(&local.data_directory)
        .try_exists()
        .map_err(failed)?;
    Ok(if there {
        Some(open(local).await?)
    } else {
        None
    })
}

fn refuse_configured(local: &Local, name: &str) -> Result<(), Failure> {
    if local
        .config
        .auth
        .tokens
        .iter()
        .any(|token| token.name == name)
    {
        return Err(Failure::usage(format_args!(
            "the token `{name}` is fixed in the configuration; change it there"
        )));
    }
    Ok(())
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::new(Exit::Other, chain(&error))
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}
