//! `jobhook launch`: one action, and on wish its end.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::Args;
use jobhook_protocol::{Access, GrantBody, Json};

use super::api::{ServerOptions, launcher};
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::place::Place;
use super::watch::{Lines, at_once, watch};
use crate::config::{Surroundings, duration};

/// Launch an action
///
/// The type of a plain action, or --operation with the id of one that `jobhook operations`
/// lists: the server checks its --input before it stores anything.
///
/// Prints the action's id alone. With --wait or --follow the exit code is the action's:
/// 0 SUCCESS, 1 ERROR, 2 TIMEOUT, 3 CANCELLED. Without them it is 0 once the action is
/// launched; or 1, with the reason on standard error, if it ended as ERROR at once, because no
/// runner takes its type.
#[derive(Debug, Args)]
pub(crate) struct Launch {
    /// The action's type, which picks the runner
    #[arg(value_name = "TYPE", required_unless_present = "operation")]
    action_type: Option<String>,
    /// The operation's id, instead of a type
    #[arg(long, value_name = "ID", conflicts_with_all = ["action_type", "arguments"])]
    operation: Option<String>,
    /// The operation's input: JSON, @FILE for a file with JSON, or - for standard input
    #[arg(
        long,
        value_name = "JSON",
        allow_hyphen_values = true,
        conflicts_with = "action_type"
    )]
    input: Option<String>,
    /// Its arguments: JSON, @FILE for a file with JSON, or - for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    arguments: Option<String>,
    /// A file that its job finds among its inputs; may be given several times
    #[arg(long, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// What its job may use beside its own files: STORE/ID/PROPERTY to read, with :write to
    /// write too; ID and PROPERTY may be *; may be given several times
    #[arg(long, value_name = "PLACE")]
    grant: Vec<Granted>,
    /// How many tries it has [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempts: Option<u32>,
    /// How long one try may run, such as 90s or 2h [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = run_timeout)]
    timeout: Option<Duration>,
    /// When it starts: 2026-01-31T08:00:00Z, milliseconds since 1970, or +10m for ten minutes
    /// from now [default: at once]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// Wait until it is over, and say how it ended
    #[arg(long)]
    wait: bool,
    /// Show its log and progress on standard error until it is over
    #[arg(long, short)]
    follow: bool,
    /// Print the action as JSON, and not only its id; with --wait or --follow as it ended
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(
    launch: Launch,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    let launcher = launcher(&launch.server, surroundings)?;
    let mut wanted = match (&launch.action_type, &launch.operation) {
        (_, Some(id)) => jobhook::Launch::operation_json(id, None),
        (action_type, None) => jobhook::Launch::new(action_type.clone().unwrap_or_default()),
    };
    let arguments = [
        ("--arguments", &launch.arguments),
        ("--input", &launch.input),
    ];
    for (flag, text) in arguments {
        if let Some(text) = text {
            let json = json_argument(flag, text, surroundings.directory())?;
            wanted = wanted.arguments_json(json);
        }
    }
    if let Some(at) = &launch.at {
        wanted = scheduled(wanted, at, SystemTime::now())?;
    }
    if let Some(attempts) = launch.attempts {
        wanted = wanted.attempts(attempts);
    }
    if let Some(timeout) = launch.timeout {
        wanted = wanted.timeout(timeout);
    }
    for Granted(grant) in launch.grant {
        wanted = wanted.grant(grant);
    }
    for path in &launch.file {
        let path = surroundings.directory().join(path);
        wanted = wanted.file(launcher.upload(path).await?);
    }
    let launched = launcher.launch(&wanted).await.map_err(in_flags)?;
    let id = &launched.uuid;
    let watches = launch.wait || launch.follow;
    if !launch.json {
        output.line(id)?;
    } else if !watches {
        output.body(&launched.text)?;
    }
    output.flush()?;
    if !watches {
        return Ok(at_once(&launched, launch.json, output));
    }
    let lines = if launch.follow {
        Lines::Err
    } else {
        Lines::Nowhere
    };
    watch(&launcher, id, lines, launch.json, output).await
}

/// A grant, as people type it.
#[derive(Clone, Debug)]
struct Granted(GrantBody);

impl FromStr for Granted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Granted, &'static str> {
        let (place, access) = match text.strip_suffix(":write") {
            Some(place) => (place, Access::Write),
            None => (text.strip_suffix(":read").unwrap_or(text), Access::Read),
        };
        let Place {
            store,
            id,
            property,
        } = place.parse()?;
        Ok(Granted(GrantBody {
            store,
            uuid: id,
            property,
            access,
        }))
    }
}

/// Says what the server says of a field about the flag that it was filled from.
fn in_flags(error: jobhook::Error) -> jobhook::Error {
    const WORDS: [(&str, &str); 7] = [
        ("the field `operationId`", "`--operation`"),
        ("the field `type`", "the type"),
        ("the field `attempts`", "`--attempts`"),
        ("the field `timeout`", "`--timeout`"),
        ("`scheduled` cannot be", "`--at` cannot be"),
        ("the input has", "`--input` has"),
        ("the arguments have", "`--arguments` have"),
    ];
    const OPERATION: (&str, &str) = (
        "send `operationId` and `input` instead of `type` and `arguments`",
        "launch it with `--operation` and `--input` instead of a type and `--arguments`",
    );
    match error {
        jobhook::Error::Refused(mut problem) => {
            let words = WORDS.iter().find_map(|(field, flag)| {
                let rest = problem.detail.strip_prefix(field)?;
                Some(format!("{flag}{rest}"))
            });
            problem.detail =
                words.unwrap_or_else(|| problem.detail.replace(OPERATION.0, OPERATION.1));
            jobhook::Error::Refused(problem)
        }
        error => error,
    }
}

/// Schedules a launch. A span after a `+` counts from `now`; the server judges everything else.
fn scheduled(
    launch: jobhook::Launch,
    at: &str,
    now: SystemTime,
) -> Result<jobhook::Launch, Failure> {
    let Some(span) = at.strip_prefix('+') else {
        return Ok(launch.scheduled_text(at));
    };
    let span = duration(span).map_err(|error| Failure::usage(format_args!("--at: {error}")))?;
    match now.checked_add(span) {
        Some(at) => Ok(launch.scheduled(at)),
        None => Err(Failure::usage(format_args!("--at: +{span:?} is too long"))),
    }
}

/// A timeout that some job could keep.
fn run_timeout(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(Duration::ZERO) => {
            Err("no job ends within no time; leave the flag out for no limit".to_owned())
        }
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(error.to_string()),
    }
}

/// Takes JSON from the command line: itself, `@FILE`, or `-` for standard input. The text is
/// kept as it is, so that no number changes on the way.
pub(crate) fn json_argument(flag: &str, text: &str, directory: &Path) -> Result<Json, Failure> {
    let (source, text) = if text == "-" {
        let read = std::io::read_to_string(std::io::stdin());
        ("standard input".to_owned(), read)
    } else if let Some(path) = text.strip_prefix('@') {
        (
            path.to_owned(),
            std::fs::read_to_string(directory.join(path)),
        )
    } else {
        (String::new(), Ok(text.to_owned()))
    };
    let place = match source.as_str() {
        "" => String::new(),
        source => format!(" in {source}"),
    };
    let text = text
        .map_err(|error| Failure::usage(format_args!("{flag}: cannot read {source}: {error}")))?;
    serde_json::from_str::<Json>(&text).map_err(|error| {
        let hint = if source.is_empty() && !text.trim_start().starts_with(['{', '[', '"']) {
            "; a text needs quotes of its own, as in '\"text\"'"
        } else {
            ""
        };
        Failure::usage(format_args!("{flag} is not JSON{place}: {error}{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.json"), " {\"n\": 1.50} ").unwrap();
        json_argument("--arguments", text, directory.path())
            .map(|json| json.as_str().to_owned())
            .map_err(|failure| {
                assert_eq!(failure.exit(), Exit::Usage);
                let Failure::Said { message, .. } = failure else {
                    panic!("nothing said");
                };
                message
            })
    }

    #[test]
    fn json_is_taken_as_it_is_written() {
        assert_eq!(read("{\"n\": 1.50}").unwrap(), "{\"n\": 1.50}");
        assert_eq!(read("@a.json").unwrap(), "{\"n\": 1.50}");
        assert_eq!(read("null").unwrap(), "null");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert_eq!(
            read("{\"n\": }").unwrap_err(),
            "--arguments is not JSON: expected value at line 1 column 7"
        );
        assert!(
            read("text")
                .unwrap_err()
                .ends_with("a text needs quotes of its own, as in '\"text\"'")
        );
        assert!(
            read("@b.json")
                .unwrap_err()
                .starts_with("--arguments: cannot read b.json: ")
        );
    }
}
