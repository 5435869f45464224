//! `jobhook cancel` and `jobhook retry`.

use clap::Args;

use super::api::{Api, ServerOptions, action_id};
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
    #[arg(value_parser = action_id)]
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
    #[arg(value_parser = action_id)]
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
    let api = Api::new(&cancel.server, surroundings)?;
    let action = api.cancel(&cancel.id, cancel.reason.as_deref()).await?;
    let status = action.body.status;
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
    let api = Api::new(&retry.server, surroundings)?;
    let action = api.retry(&retry.id).await?;
    if retry.json {
        output.body(&action.text)?;
    } else {
        output.line(&action.body.uuid)?;
    }
    output.flush()?;
    Ok(at_once(&action.body, retry.json, output))
}
