//! `jobhook check`: would a server start, and with what.

use std::path::PathBuf;

use clap::Args;
use jobhook_engine::log::LogLimits;

use super::exit::{Exit, Failure, Outcome};
use super::output::Output;
use super::serve::{Local, LocalOptions};
use crate::config::{Config, Runner, RunnerKind, Surroundings};
use crate::data_dir;
use crate::runner::LocalCommand;
use crate::store::sqlite::SqliteStore;
use crate::tokens::Tokens;

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
    local.log_filter()?;
    for line in describe(&local.config) {
        output.line(&line)?;
    }
    output.line(&format!("data       {}", local.data_directory.display()))?;
    output.flush()?;
    data_dir::probe(&local.data_directory).map_err(failed)?;
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

/// Opens the store, which says if it is of a newer version, or none.
async fn store(local: &Local, output: &mut Output) -> Result<(), Failure> {
    let database = data_dir::database(&local.data_directory);
    let has_tokens = if database.exists() {
        let store = SqliteStore::open(&database, LogLimits::default())
            .await
            .map_err(failed)?;
        let has_tokens = store.any().await.map_err(failed)?;
        store.close().await;
        output.line(&format!("store      {}", database.display()))?;
        has_tokens
    } else {
        output.line("store      none yet: the first start makes it")?;
        false
    };
    let has_tokens = has_tokens || !local.config.auth.tokens.is_empty();
    local.config.may_serve(has_tokens).map_err(failed)?;
    let who = if has_tokens {
        "with a token"
    } else {
        "no tokens: programs on this machine only"
    };
    output.line(&format!("access     {who}"))
}

/// Looks whether a runner could start its jobs: its command is there and its holes are known.
async fn runner(local: &Local, runner: &Runner, output: &mut Output) -> Result<(), Failure> {
    let RunnerKind::Local(settings) = &runner.kind;
    let wrong =
        |what: &str| Failure::new(Exit::Other, format_args!("runners.{}: {what}", runner.name));
    LocalCommand::configured(settings, &local.config.directory)
        .check()
        .map_err(|error| wrong(&error.to_string()))?;
    match find_command(&local.config, &settings.command) {
        Some(path) => output.line(&format!("           {}: {}", runner.name, path.display())),
        None => Err(wrong(&format!(
            "there is no program `{}`; give its path, or put it on PATH",
            settings.command
        ))),
    }
}

/// Where the command lies: its path, or what `PATH` leads to.
fn find_command(config: &Config, command: &str) -> Option<PathBuf> {
    if command.contains('/') {
        return Some(config.directory.join(command)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(command))
        .find(|path| path.is_file())
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::new(Exit::Other, super::http::chain(&error))
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
