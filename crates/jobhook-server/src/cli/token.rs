//! `jobhook token`: who may use the management API.
//!
//! A token is 32 random bytes; the store keeps its SHA-256 and shows it never again.

use clap::{Args, Subcommand};
use jobhook_protocol::key::hex;
use sha2::{Digest, Sha256};

use super::exit::{Exit, Failure, Outcome};
use super::output::Output;
use super::serve::{Local, LocalOptions};
use crate::config::{Scope, Surroundings};

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
            let drawn = DrawnToken::draw()?;
            create(&local, &name, scope, &drawn.sha256).await?;
            output.line(&drawn.text)?;
            output.flush()?;
            output.note(&format!(
                "token `{name}` with scope {scope}; it is shown this once. Clients read it from JOBHOOK_TOKEN."
            ));
            Ok(Exit::Success)
        }
        TokenCommand::List { local } => list(&Local::find(&local, surroundings)?, output).await,
        TokenCommand::Revoke { name, local } => {
            revoke(&Local::find(&local, surroundings)?, &name).await?;
            output.note(&format!("token `{name}` is revoked"));
            Ok(Exit::Success)
        }
    }
}

/// A new token, and what is kept of it.
struct DrawnToken {
    /// `jh_` and 64 hexadecimal digits.
    text: String,
    sha256: String,
}

impl DrawnToken {
    fn draw() -> Result<DrawnToken, Failure> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| {
            Failure::new(
                Exit::Other,
                format_args!("the system gives no random numbers: {error}"),
            )
        })?;
        let text = format!("jh_{}", hex(&random));
        let sha256 = hex(&Sha256::digest(&text));
        Ok(DrawnToken { text, sha256 })
    }
}

/// Writes a token into the store; refuses a name that is taken.
async fn create(local: &Local, _name: &str, _scope: Scope, _sha256: &str) -> Result<(), Failure> {
    Err(no_store(local))
}

/// Prints the tokens of the store and of the configuration.
async fn list(local: &Local, _output: &mut Output) -> Outcome {
    Err(no_store(local))
}

/// Takes a token out of the store; refuses a name that is not there, and one that the
/// configuration fixes.
async fn revoke(local: &Local, _name: &str) -> Result<(), Failure> {
    Err(no_store(local))
}

fn no_store(local: &Local) -> Failure {
    Failure::new(
        Exit::Other,
        format_args!(
            "there is no store yet in {}",
            local.data_directory.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_kept_as_its_hash() {
        let (Ok(one), Ok(other)) = (DrawnToken::draw(), DrawnToken::draw()) else {
            panic!("no random numbers");
        };
        assert_ne!(one.text, other.text);
        assert!(
            one.text.starts_with("jh_") && one.text.len() == 67,
            "{}",
            one.text
        );
        assert_eq!(one.sha256, hex(&Sha256::digest(one.text)));
    }
}
