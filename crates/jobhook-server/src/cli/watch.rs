//! Showing an action live, until it is over or Ctrl-C.

use jobhook::{Answer, Launcher, Seen};
use jobhook_protocol::ActionBody;

use super::exit::{Exit, Failure, Outcome};
use super::output::{Output, shown};
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

/// What comes of an action that nobody waits for: if it was over as soon as it was launched,
/// because no runner takes it, that is said and is the exit code.
pub(crate) fn at_once(action: &ActionBody, as_json: bool, output: &mut Output) -> Exit {
    if !action.status.is_final() {
        return Exit::Success;
    }
    if !as_json {
        for line in words::ending(action, &output.err_style) {
            output.note(&line);
        }
    }
    action.status.into()
}

/// Watches an action to its end and shows how it ended: with `as_json` its body on standard
/// output, else a few lines on standard error.
///
/// Ctrl-C ends the watching and not the action.
///
/// The exit code is the action's; or [`Exit::Interrupted`].
pub(crate) async fn watch(
    launcher: &Launcher,
    id: &str,
    lines: Lines,
    as_json: bool,
    output: &mut Output,
) -> Outcome {
    let ended = {
        let watching = to_the_end(launcher, id, lines, output);
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
        for line in words::ending(&ended, &output.err_style) {
            output.note(&line);
        }
    }
    Ok(ended.status.into())
}

async fn to_the_end(
    launcher: &Launcher,
    id: &str,
    lines: Lines,
    output: &mut Output,
) -> Result<Answer<ActionBody>, Failure> {
    let mut follower = match lines {
        Lines::Nowhere => launcher.follow_end(id)?,
        _ => launcher.follow(id)?,
    };
    let (mut passing, mut attempt) = (String::new(), 1);
    while let Some(seen) = follower.next().await? {
        if lines != Lines::Nowhere
            && let Seen::Action(action) = &seen
        {
            let failed = failed_attempts(launcher, action, attempt).await;
            if !failed.is_empty() {
                output.flush()?;
            }
            failed.iter().for_each(|text| output.note(text));
            attempt = attempt.max(action.attempt);
        }
        match seen {
            Seen::Line(line) => match lines {
                Lines::Out => {
                    let text = words::line(&line, &output.out_style);
                    output.line(&text)?;
                }
                Lines::OutAsJson => output.line(&line.text)?,
                Lines::Err => {
                    let text = words::line(&line, &output.err_style);
                    output.note(&text);
                    // On a terminal the line took the progress's place.
                    if output.err_is_terminal() && !passing.is_empty() {
                        output.passing_note(&passing);
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
                    words::progress(&action)
                );
                if now != passing && !action.status.is_final() {
                    output.passing_note(now.trim_end());
                    passing = now;
                }
            }
            Seen::Action(_) => {}
            Seen::Lost(error) => {
                let why = error.to_string();
                output.note(&format!("{}; trying again", shown(&why)));
            }
            Seen::Back => output.note("the server is back"),
            Seen::End(answer) => return Ok(*answer),
            // A later version may see more.
            _ => {}
        }
        // Whatever is there is shown before waiting for more.
        if follower.must_wait() {
            output.flush()?;
        }
    }
    // Not reached: the last thing that a follower sees is the end.
    Ok(launcher.show(id).await?)
}

/// What is to be said of the attempts that failed since attempt `known` was under way.
async fn failed_attempts(launcher: &Launcher, action: &ActionBody, known: u32) -> Vec<String> {
    if action.attempt <= known {
        return Vec::new();
    }
    // Events come without the history, which has the reasons.
    let asked = match action.history.is_empty() {
        true => launcher.show(&action.uuid).await.ok(),
        false => None,
    };
    let action = asked.as_deref().unwrap_or(action);
    (known..action.attempt)
        .map(|number| words::failed_attempt(number, action))
        .collect()
}
