//! `jobhook schedules`: what launches by itself, and when.

use clap::{Args, Subcommand};
use jobhook_protocol::{FiringBody, ScheduleBody, TickBody};

use super::api::{ServerOptions, launcher};
use super::exit::{Exit, Failure, Outcome};
use super::output::{Output, shown};
use super::words;
use crate::config::Surroundings;

/// List, show, preview, run, pause and resume schedules
#[derive(Debug, Args)]
pub(crate) struct Schedules {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List schedules, by name, with the next moment of each
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Show a schedule and what became of its newest ticks
    Show {
        /// Its name
        name: String,
        /// So many ticks at most
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        ticks: u32,
        /// Print the schedule as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Print the next moments of a schedule, or of an expression
    Preview {
        /// The schedule's name
        #[arg(required_unless_present = "cron")]
        name: Option<String>,
        /// An expression instead, such as "30 2 * * *"
        #[arg(long, value_name = "EXPRESSION", conflicts_with = "name")]
        cron: Option<String>,
        /// The expression's time zone
        #[arg(
            long,
            value_name = "ZONE",
            default_value = "UTC",
            conflicts_with = "name"
        )]
        timezone: String,
        /// So many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Run a schedule now, and print the id of the action
    ///
    /// Works on a paused schedule too, and does not change when it fires next. Where the overlap
    /// lets it wait for the action before it there is no id yet, and nothing is printed.
    Run {
        /// Its name
        name: String,
        /// Print the tick as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Keep a schedule from firing
    Pause {
        /// Its name
        name: String,
        /// Why; is shown with the schedule. Without it a note that is there stays
        #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
        note: Option<String>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Let a schedule fire again; what it missed is not caught up
    Resume {
        /// Its name
        name: String,
        #[command(flatten)]
        server: ServerOptions,
    },
}

pub(crate) async fn run(
    schedules: Schedules,
    surroundings: &Surroundings,
    output: &mut Output,
) -> Outcome {
    match schedules.command {
        Command::List { json, server } => {
            let page = launcher(&server, surroundings)?.schedules().await?;
            if json {
                output.body(&page.text)?;
                return Ok(Exit::Success);
            }
            lines(output, &table(&list(&page.schedules)))?;
            if page.schedules.is_empty() {
                output.note("no schedules");
            }
        }
        Command::Show {
            name,
            ticks,
            json,
            server,
        } => {
            let launcher = launcher(&server, surroundings)?;
            let schedule = launcher.schedule(&name).await?;
            if json {
                output.body(&schedule.text)?;
                return Ok(Exit::Success);
            }
            lines(output, &table(&about(&schedule)))?;
            let page = launcher.ticks(&name, ticks).await?;
            if !page.ticks.is_empty() {
                output.line("")?;
                lines(output, &table(&history(&page.ticks)))?;
            }
        }
        Command::Preview {
            name,
            cron,
            timezone,
            limit,
            json,
            server,
        } => {
            let launcher = launcher(&server, surroundings)?;
            let page = match (name, cron) {
                (Some(name), _) => launcher.preview_schedule(&name, limit).await?,
                (None, Some(cron)) => launcher.preview_cron(&cron, &timezone, limit).await?,
                (None, None) => return Err(Failure::usage("name a schedule, or give --cron")),
            };
            if json {
                output.body(&page.text)?;
                return Ok(Exit::Success);
            }
            if page.firings.is_empty() {
                output.note("no moments: it does not fire from now on");
            } else {
                lines(output, &table(&moments(&page.firings)))?;
            }
        }
        Command::Run { name, json, server } => {
            let tick = launcher(&server, surroundings)?.run_schedule(&name).await?;
            if json {
                output.body(&tick.text)?;
            } else {
                match tick.action.as_deref() {
                    Some(id) => output.line(&shown(id))?,
                    None => output.note(&format!(
                        "it waits for the action before it, and has no id yet; `jobhook schedules show {name}` says what becomes of it"
                    )),
                }
            }
        }
        Command::Pause { name, note, server } => {
            let launcher = launcher(&server, surroundings)?;
            launcher.pause_schedule(&name, note.as_deref()).await?;
            output.line("paused")?;
        }
        Command::Resume { name, server } => {
            let schedule = launcher(&server, surroundings)?
                .resume_schedule(&name)
                .await?;
            output.line(&format!("next {}", next(&schedule)))?;
        }
    }
    output.flush()?;
    Ok(Exit::Success)
}

fn lines(output: &mut Output, lines: &[String]) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| output.line(line))
}

/// Columns as wide as their widest cell, with two spaces between.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate();
        let cells: Vec<String> = cells
            .map(|(column, cell)| format!("{cell:0$}", width(column)))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A text that others wrote, as wide as it looks.
fn cell(text: &str) -> String {
    shown(text).replace('\t', "\\t")
}

fn head<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

fn list(schedules: &[ScheduleBody]) -> Vec<Vec<String>> {
    if schedules.is_empty() {
        return Vec::new();
    }
    let row = |schedule: &ScheduleBody| {
        vec![
            cell(&schedule.name),
            cell(&schedule.cron),
            cell(&schedule.timezone),
            cell(&schedule.action_type),
            next(schedule),
        ]
    };
    let head = head(["NAME", "CRON", "TIMEZONE", "LAUNCHES", "NEXT"]);
    std::iter::once(head)
        .chain(schedules.iter().map(row))
        .collect()
}

/// Its next moment, or why there is none.
fn next(schedule: &ScheduleBody) -> String {
    if let Some(paused) = &schedule.paused {
        return match &paused.note {
            Some(note) => format!("paused by {}: {}", cell(&paused.by), cell(note)),
            None => format!("paused by {}", cell(&paused.by)),
        };
    }
    match (&schedule.next, &schedule.blocked) {
        (Some(next), _) => words::time(&next.at),
        (None, Some(blocked)) => format!("never: {}", cell(blocked)),
        (None, None) => "never".to_owned(),
    }
}

fn about(schedule: &ScheduleBody) -> Vec<Vec<String>> {
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let mut rows = vec![
        row("schedule", cell(&schedule.name)),
        row(
            "cron",
            format!("{}  {}", cell(&schedule.cron), cell(&schedule.timezone)),
        ),
        row("launches", cell(&schedule.action_type)),
        row("next", next(schedule)),
        row("overlap", cell(&schedule.overlap)),
        row("catch up", cell(&schedule.catch_up)),
        row(
            "made by",
            format!("{}, revision {}", cell(&schedule.source), schedule.revision),
        ),
    ];
    if let (Some(_), Some(blocked)) = (&schedule.paused, &schedule.blocked) {
        rows.push(row("blocked", cell(blocked)));
    }
    if schedule.queued > 0 {
        rows.push(row("waiting", schedule.queued.to_string()));
    }
    rows
}

fn moments(firings: &[FiringBody]) -> Vec<Vec<String>> {
    let row = |firing: &FiringBody| {
        let again = if firing.fold == 1 { " (again)" } else { "" };
        vec![
            format!("{}{again}", cell(&firing.local).replace('T', " ")),
            words::time(&firing.at),
        ]
    };
    let head = head(["LOCAL", "UTC"]);
    std::iter::once(head)
        .chain(firings.iter().map(row))
        .collect()
}

fn history(ticks: &[TickBody]) -> Vec<Vec<String>> {
    let row = |tick: &TickBody| {
        let mut what = cell(&tick.outcome);
        if let Some(reason) = &tick.reason {
            what = format!("{what}: {}", cell(reason));
        }
        if tick.count > 1 {
            let more = if tick.more { "more than " } else { "" };
            what = format!("{what}, {more}{} ticks", tick.count);
        }
        if tick.caught_up {
            what.push_str(", caught up");
        }
        if let Some(by) = &tick.run_by {
            what = format!("{what}, run by {}", cell(by));
        }
        vec![
            words::time(&tick.at),
            what,
            cell(tick.action.as_deref().unwrap_or_default()),
        ]
    };
    let head = head(["TICK", "WHAT BECAME OF IT", "ACTION"]);
    std::iter::once(head).chain(ticks.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_in_its_zone_and_in_utc() {
        let firings: Vec<FiringBody> = serde_json::from_str(
            r#"[{"at":"2026-10-25T00:30:00.000Z","local":"2026-10-25T02:30:00","fold":0},
            {"at":"2026-10-25T01:30:00.000Z","local":"2026-10-25T02:30:00","fold":1}]"#,
        )
        .unwrap();
        let expected = "\
LOCAL                        UTC
2026-10-25 02:30:00          2026-10-25 00:30:00 UTC
2026-10-25 02:30:00 (again)  2026-10-25 01:30:00 UTC";
        assert_eq!(table(&moments(&firings)).join("\n"), expected);
    }

    #[test]
    fn a_tick_is_told_in_plain_words() {
        let ticks: Vec<TickBody> = serde_json::from_str(
            r#"[{"number":2,"revision":1,"at":"2026-10-25T00:30:00.000Z","local":"x","fold":0,
            "decidedAt":"2026-10-25T00:30:00.000Z","outcome":"skipped","reason":"catch_up","count":59}]"#,
        )
        .unwrap();
        assert_eq!(history(&ticks)[1][1], "skipped: catch_up, 59 ticks");
    }
}
