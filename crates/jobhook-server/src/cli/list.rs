//! `jobhook list`: actions in a table, newest first.

use clap::Args;
use jobhook::ListQuery;
use jobhook_protocol::{ActionBody, Status};

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Outcome};
use super::output::{Output, Style, shown};
use super::words;
use crate::config::Surroundings;

/// List actions, newest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those with this status; several may be given
    #[arg(long, value_name = "STATUS", value_parser = status, value_delimiter = ',', num_args = 1..)]
    status: Vec<Status>,
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    action_type: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on where a list before ended: the `next` of its JSON
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

fn status(word: &str) -> Result<Status, jobhook_protocol::status::UnknownStatus> {
    word.to_ascii_uppercase().parse()
}

pub(crate) async fn run(list: List, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let launcher = launcher(&list.server, surroundings)?;
    let query = ListQuery {
        statuses: list.status,
        action_type: list.action_type,
        limit: Some(list.limit),
        cursor: list.cursor,
    };
    let page = launcher.list(&query).await?;
    if list.json {
        output.body(&page.text)?;
        return Ok(Exit::Success);
    }
    for line in table(&page.actions, &output.out_style, output.out_width()) {
        output.line(&line)?;
    }
    output.flush()?;
    if page.actions.is_empty() {
        output.note("no actions");
    } else if let Some(next) = &page.next {
        let next = shown(next).into_owned();
        output.note(&format!("… there are more: --limit N, or --cursor {next}"));
    }
    Ok(Exit::Success)
}

/// `terminal`: the terminal's width, to which the last column is cut; `None` leaves it whole.
fn table(actions: &[ActionBody], style: &Style, terminal: Option<usize>) -> Vec<String> {
    if actions.is_empty() {
        return Vec::new();
    }
    let row = |action: &ActionBody| {
        [
            cell(&action.uuid),
            cell(&action.action_type),
            format!("{}/{}", action.attempt, action.attempts),
            words::time(&action.created_at),
            remark(action),
        ]
    };
    let head = ["ID", "TYPE", "TRY", "LAUNCHED", ""].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head)
        .chain(actions.iter().map(row))
        .collect();
    let width = |column: usize| {
        let widths = rows
            .iter()
            .map(|row: &[String; 5]| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (id, kind, tries, launched) = (width(0), width(1), width(2), width(3));
    // The status has 9, and there are two spaces after each column.
    let room = terminal.map(|terminal| room(id + kind + tries + launched + 9 + 10, terminal));
    let statuses = std::iter::once(format!("{:9}", "STATUS"))
        .chain(actions.iter().map(|action| style.status(action.status, 9)));
    rows.iter()
        .zip(statuses)
        .map(|(row, status)| {
            format!(
                "{:id$}  {status}  {:kind$}  {:>tries$}  {:launched$}  {}",
                row[0],
                row[1],
                row[2],
                row[3],
                cut(&row[4], room)
            )
            .trim_end()
            .to_owned()
        })
        .collect()
}

/// A text that others wrote, as wide as it looks.
fn cell(text: &str) -> String {
    shown(text).replace('\t', "\\t")
}

/// How much of a line is left after `taken` columns. Where too little is, the line may go on in
/// the next one, to its end.
fn room(taken: usize, terminal: usize) -> usize {
    const LEAST: usize = 20;
    (taken + LEAST).next_multiple_of(terminal.max(1)) - taken
}

/// At most `room` characters of a text.
fn cut(text: &str, room: Option<usize>) -> String {
    match room {
        Some(room) if text.chars().count() > room => {
            text.chars().take(room - 1).chain(['…']).collect()
        }
        _ => text.to_owned(),
    }
}

/// How far it is, or what went wrong.
fn remark(action: &ActionBody) -> String {
    if action.status.is_final() {
        words::error(None, action.error_message.as_deref())
    } else {
        words::progress(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let actions: Vec<ActionBody> = serde_json::from_str(
            r#"[{"uuid":"a-1","type":"WordCount","status":"RUNNING","attempt":1,"attempts":10,
            "statusDetails":{"progress":5},"createdAt":"2025-11-24T16:00:00.000Z","closed":false,"lines":0},
            {"uuid":"a-22","type":"T","status":"ERROR","attempt":1,"attempts":1,"errorMessage":"no runner found",
            "createdAt":"2025-11-24T16:00:01.000Z","closed":true,"lines":0}]"#,
        )
        .unwrap();
        let expected = "\
ID    STATUS     TYPE        TRY  LAUNCHED
a-1   RUNNING    WordCount  1/10  2025-11-24 16:00:00 UTC  5 %
a-22  ERROR      T           1/1  2025-11-24 16:00:01 UTC  no runner found";
        assert_eq!(
            table(&actions, &Style::default(), None).join("\n"),
            expected
        );
    }

    #[test]
    fn a_reason_is_cut_to_the_terminal_and_never_to_nothing() {
        assert_eq!(room(60, 100), 40);
        assert_eq!(room(95, 80), 65);
        assert_eq!(cut("abcdef", Some(4)), "abc…");
        assert_eq!(cut("abcd", Some(4)), "abcd");
        assert_eq!(cut("abcdef", None), "abcdef");
    }
}
