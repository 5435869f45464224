//! Showing an action live, until it is over or Ctrl-C.

use jobhook_protocol::ActionBody;

use super::api::Answer;
use super::exit::{Exit, Failure, Outcome};
use super::follow::{Follower, Seen};
use super::output::Output;
use super::words;

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// To standard output, for people.
    Out,
    /// To standard output, as they came (NDJSON).
    OutAsJson,
    /// To standard error, with the progress between them.
    Err,
    /// Nowhere.
    Nowhere,
}

/// Watches an action to its end and shows how it ended: with `as_json` its body on standard
/// output, else a few lines on standard error.
///
/// Ctrl-C ends the watching and not the action.
///
/// The exit code is the action's; or [`Exit::Interrupted`].
pub(crate) async fn watch(
    follower: Follower<'_>,
    id: &str,
    lines: Lines,
    as_json: bool,
    output: &mut Output,
) -> Outcome {
    let ended = {
        let watching = to_the_end(follower, lines, output);
        tokio::select! {
            ended = watching => Some(ended?),
            _ = tokio::signal::ctrl_c() => None,
        }
    };
    let Some(ended) = ended else {
        output.flush()?;
        output.note(&format!(
            "no longer watching; the action goes on: `jobhook logs -f {id}` watches again, `jobhook cancel {id}` ends it"
        ));
        return Ok(Exit::Interrupted);
    };
    if as_json {
        output.body(&ended.text)?;
    } else {
        output.flush()?;
        for line in words::ending(&ended.body, &output.err_style) {
            output.note(&line);
        }
    }
    Ok(ended.body.status.into())
}

async fn to_the_end(
    mut follower: Follower<'_>,
    lines: Lines,
    output: &mut Output,
) -> Result<Answer<ActionBody>, Failure> {
    let mut shown = String::new();
    loop {
        match follower.next().await? {
            Seen::Line(line) => match lines {
                Lines::Out => {
                    let text = words::line(&line.body, &output.out_style);
                    output.line(&text)?;
                }
                Lines::OutAsJson => output.line(&line.text)?,
                Lines::Err => {
                    let text = words::line(&line.body, &output.err_style);
                    output.note(&text);
                    // On a terminal the line took the progress's place.
                    if output.err_is_terminal() && !shown.is_empty() {
                        output.passing_note(&shown);
                    }
                }
                Lines::Nowhere => {}
            },
            Seen::Gap(count) if lines != Lines::Nowhere => output.note(&words::dropped(count)),
            Seen::Gap(_) => {}
            Seen::Action(action) if lines == Lines::Err => {
                let now = format!(
                    "{}  {}",
                    output.err_style.status(action.status, 9),
                    words::progress(&action, &output.err_style)
                );
                if now != shown && !action.status.is_final() {
                    output.passing_note(now.trim_end());
                    shown = now;
                }
            }
            Seen::Action(_) => {}
            Seen::Lost(why) => {
                let why = why.lines().next().unwrap_or_default().to_owned();
                output.note(&format!("{why}; trying again"));
            }
            Seen::Back => output.note("the server is back"),
            Seen::End(answer) => return Ok(*answer),
        }
        // Whatever is there is shown before waiting for more.
        if follower.must_wait() {
            output.flush()?;
        }
    }
}
