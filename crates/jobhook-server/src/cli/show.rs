//! `jobhook show`: everything about one action, in plain words.

use clap::Args;
use jobhook_protocol::{ActionBody, AttemptBody};

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Outcome};
use super::output::{Output, Style, shown};
use super::words;
use crate::config::Surroundings;

/// Show one action
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The action's id
    id: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(show: Show, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let launcher = launcher(&show.server, surroundings)?;
    let action = launcher.show(&show.id).await?;
    if show.json {
        output.body(&action.text)?;
    } else {
        for line in describe(&action, &output.out_style) {
            output.line(&line)?;
        }
    }
    Ok(Exit::Success)
}

fn describe(action: &ActionBody, style: &Style) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {}",
        shown(&action.action_type),
        shown(&action.uuid)
    )];
    let mut say = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {name:9}  {text}"));
        }
    };
    let json = |json: &Option<jobhook_protocol::Json>| {
        json.as_ref()
            .map(|json| shown(json.as_str()).into_owned())
            .unwrap_or_default()
    };
    let time = |text: &Option<String>| text.as_deref().map(words::time).unwrap_or_default();

    say("status", style.status(action.status, 0));
    say("progress", words::progress(action));
    say(
        "error",
        words::error(
            action.error_name.as_deref(),
            action.error_message.as_deref(),
        ),
    );
    say("results", json(&action.results));
    say("arguments", json(&action.arguments));
    say(
        "attempt",
        format!("{} of {}", action.attempt, action.attempts),
    );
    say("launched", words::time(&action.created_at));
    if !action.status.is_final() {
        say("due", time(&action.scheduled));
    }
    let waiting = action.waiting.as_deref().unwrap_or_default();
    say("waits", shown(waiting).into_owned());
    say("started", time(&action.started_at));
    let took = words::between(action.started_at.as_deref(), action.finished_at.as_deref());
    say(
        "finished",
        match took {
            Some(took) => format!("{} (after {took})", time(&action.finished_at)),
            None => time(&action.finished_at),
        },
    );
    if let Some(cancel) = &action.cancel {
        let reason = match &cancel.reason {
            Some(reason) => format!(": {}", shown(reason)),
            None => String::new(),
        };
        let by = shown(&cancel.by);
        say(
            "cancelled",
            format!("by {by} at {}{reason}", words::time(&cancel.at)),
        );
    }
    if let Some(original) = &action.retry_of {
        say("retry of", shown(original).into_owned());
    }
    if let Some(witness) = &action.witness {
        say(
            "said",
            witness
                .said
                .map(|said| said.to_string())
                .unwrap_or_default(),
        );
        let saw = witness.saw.as_deref().unwrap_or_default();
        say("saw", shown(saw).into_owned());
        if witness.disagree {
            say(
                "",
                "what the job said and what its runner saw do not agree".to_owned(),
            );
        }
    }
    if action.status.is_final() && !action.closed {
        say(
            "",
            "its last attempt is not closed yet: more of its log may come".to_owned(),
        );
    }
    let dropped = match action.lines_dropped {
        0 => String::new(),
        count => format!(", the oldest {count} dropped"),
    };
    if action.lines > 0 {
        say("log", format!("{} lines{dropped}", action.lines));
    }
    if action.history.len() > 1 {
        lines.push("  history".to_owned());
        lines.extend(action.history.iter().map(history));
    }
    lines
}

fn history(attempt: &AttemptBody) -> String {
    let outcome = attempt.outcome.as_deref().unwrap_or("under way");
    let failure = match attempt.failure.as_deref() {
        Some("infrastructure") => " (infrastructure)",
        _ => "",
    };
    let mut parts = vec![
        format!("    {}", attempt.attempt),
        shown(&attempt.runner).into_owned(),
        words::time(&attempt.claimed_at),
        format!("{}{failure}", shown(outcome)),
    ];
    let error = words::error(
        attempt.error_name.as_deref(),
        attempt.error_message.as_deref(),
    );
    if !error.is_empty() {
        parts.push(error);
    }
    parts.extend(words::contradiction(&attempt.witness));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(text: &str) -> ActionBody {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_action_that_failed_twice_is_told_in_plain_words() {
        let action = action(
            r#"{"uuid":"a-1","type":"WordCount","status":"ERROR","attempt":2,"attempts":2,
            "arguments":{"path":"x"},"errorName":"exit","errorMessage":"the job exited with code 1",
            "statusDetails":{"progress":42.9,"message":"counting","done":3,"total":7},
            "createdAt":"2025-11-24T16:00:00.000Z","startedAt":"2025-11-24T16:00:01.000Z",
            "finishedAt":"2025-11-24T16:00:03.100Z","closed":true,"lines":12,"linesDropped":2,
            "cancel":{"at":"2025-11-24T16:00:02.000Z","by":"ops","reason":"too slow"},"retryOf":"a-0",
            "witness":{"said":"SUCCESS","saw":"exit code 1","disagree":true},
            "history":[
              {"attempt":1,"runner":"any","claimedAt":"2025-11-24T16:00:00.500Z","outcome":"error",
               "failure":"infrastructure","errorMessage":"the supervisor was killed","witness":{}},
              {"attempt":2,"runner":"any","claimedAt":"2025-11-24T16:00:01.000Z","outcome":"error",
               "failure":"code","witness":{"said":"SUCCESS","saw":"exit code 1","disagree":true}}]}"#,
        );
        let expected = "\
WordCount  a-1
  status     ERROR
  progress   42 %  3/7  counting
  error      exit: the job exited with code 1
  arguments  {\"path\":\"x\"}
  attempt    2 of 2
  launched   2025-11-24 16:00:00 UTC
  started    2025-11-24 16:00:01 UTC
  finished   2025-11-24 16:00:03 UTC (after 2.1 s)
  cancelled  by ops at 2025-11-24 16:00:02 UTC: too slow
  retry of   a-0
  said       SUCCESS
  saw        exit code 1
             what the job said and what its runner saw do not agree
  log        12 lines, the oldest 2 dropped
  history
    1  any  2025-11-24 16:00:00 UTC  error (infrastructure)  the supervisor was killed
    2  any  2025-11-24 16:00:01 UTC  error  the job said SUCCESS, but its runner saw: exit code 1";
        assert_eq!(describe(&action, &Style::default()).join("\n"), expected);
    }

    #[test]
    fn a_new_action_shows_only_what_there_is() {
        let action = action(
            r#"{"uuid":"a-1","type":"T\u001b[2J","status":"SCHEDULED","attempt":1,"attempts":1,
            "createdAt":"2025-11-24T16:00:00.000Z","scheduled":"2025-11-25T16:00:00.000Z",
            "closed":false,"lines":0}"#,
        );
        let expected = "\
T\\u{1b}[2J  a-1
  status     \u{1b}[2mSCHEDULED\u{1b}[0m
  attempt    1 of 1
  launched   2025-11-24 16:00:00 UTC
  due        2025-11-25 16:00:00 UTC";
        assert_eq!(describe(&action, &Style::TERMINAL).join("\n"), expected);
    }
}
