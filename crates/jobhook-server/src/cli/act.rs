//! `jobhook cancel` and `jobhook retry`.

use clap::Args;

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Outcome};
use super::output::Output;
use super::watch::at_once;
use crate::config::Surroundings;

/// Cancel an action
///
/// One that has not started ends at once. The job of one that runs is asked to stop, and is
/// killed if it does not within its runner's grace.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The action's id
    id: String,
    /// Why; is shown with the action
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    reason: Option<String>,
    /// Print the action as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

/// Launch an action that is over once more
///
/// Prints the id of the new action alone. The exit code is 0 once it is launched; or 1, with the
/// reason on standard error, if it ended as ERROR at once, because no runner takes its type.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The action's id
    id: String,
    /// Print the new action as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn cancel(
    cancel: Cancel,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    let launcher = launcher(&cancel.server, surroundings)?;
    let reason = cancel.reason.as_deref();
    let action = launcher.cancel(&cancel.id, reason).await?;
    let status = action.status;
    if cancel.json {
        output.body(&action.text)?;
    } else if status.is_final() {
        output.line(&output.out_style.status(status, 0))?;
    } else {
        let status = output.out_style.status(status, 0);
        output.line(&format!("{status}  the job was asked to stop"))?;
    }
    Ok(Exit::Success)
}

pub(crate) async fn retry(
    retry: Retry,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    let launcher = launcher(&retry.server, surroundings)?;
    let action = launcher.retry(&retry.id).await?;
    if retry.json {
        output.body(&action.text)?;
    } else {
        output.line(&action.uuid)?;
    }
    output.flush()?;
    Ok(at_once(&action, retry.json, output))
}
