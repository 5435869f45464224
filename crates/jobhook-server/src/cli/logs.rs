//! `jobhook logs`: every line that is stored, and on wish those to come.

use clap::Args;

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Outcome};
use super::output::Output;
use super::watch::{Lines, watch};
use super::words;
use crate::config::Surroundings;

/// How many lines to ask for at once.
const PAGE: u32 = 1_000;

/// Print an action's log
///
/// Each line is its time, its source (job, stdout, stderr or server; stdout/2 in the second
/// attempt) and its text. Control characters are escaped; --json has the text as it is.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The action's id
    id: String,
    /// Go on until the action is over; the exit code is then the action's: 0 SUCCESS,
    /// 1 ERROR, 2 TIMEOUT, 3 CANCELLED
    #[arg(long, short)]
    follow: bool,
    /// Print each line as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(logs: Logs, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let launcher = launcher(&logs.server, surroundings)?;
    if logs.follow {
        let lines = if logs.json {
            Lines::OutAsJson
        } else {
            Lines::Out
        };
        return watch(&launcher, &logs.id, lines, false, output).await;
    }
    let mut last = 0;
    loop {
        let lines = launcher.lines(&logs.id, last, PAGE).await?.lines;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            let number = line.number;
            if number > last + 1 {
                output.flush()?;
                output.note(&words::dropped(number - last - 1));
            }
            last = last.max(number);
            if logs.json {
                output.line(&line.text)?;
            } else {
                let text = words::line(&line, &output.out_style);
                output.line(&text)?;
            }
        }
        output.flush()?;
    }
    Ok(Exit::Success)
}
