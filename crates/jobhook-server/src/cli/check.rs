//! `jobhook check`: would a server start and its jobs too, and with what.
//!
//! Everything that is wrong is told, not the first thing only: each part gives its
//! [`Finding`]s, and what they say is all that decides. Nothing is left behind, nothing started.

mod place;
mod program;

use std::sync::Arc;

use clap::Args;
use jobhook::Operations;
use jobhook_engine::log::LogLimits;
use jobhook_engine::runner::TypeFilter;

use self::place::look_at;
use self::program::{program_of, user_of};
use super::exit::{Exit, Failure, Outcome, chain};
use super::output::{Output, shown};
use super::serve::{Local, LocalOptions};
use crate::config::{self, Config, FilesBackend, Runner, RunnerKind, Surroundings};
use crate::data_dir;
use crate::operations::Catalogue;
use crate::runner::LocalCommand;
use crate::server::prospect::{self, THIS_PROGRAM};
use crate::store::sqlite::SqliteStore;
use crate::tokens::Tokens;

/// Check configuration, data directory, store and runners, without starting anything
///
/// Exits with 0 if a server would start and its runners could start their jobs; else all that
/// is wrong is told, and the exit code is 70, or 64 for a configuration that cannot be read.
/// Only whether the address is free is not looked at: a server may listen there.
/// `serve` asks for less: where a runner's command or its `run_as` user is missing, `check`
/// fails while the server starts, and the runner's actions end as ERROR.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    local: LocalOptions,
}

/// What was found: a line about what is right, or what is wrong.
type Finding = Result<String, String>;

pub(crate) async fn run(
    check: Check,
    surroundings: &Surroundings,
    operations: Operations,
    output: &mut Output,
) -> Outcome {
    let local = Local::find(&check.local, surroundings)?;
    local.log_filter()?;
    let mut findings: Vec<Finding> = describe(&local.config).into_iter().map(Ok).collect();
    match look_at(&local.data_directory) {
        Ok(what) => {
            let data_directory = local.data_directory.display();
            findings.push(Ok(format!("data       {data_directory}{what}")));
            findings.extend(store(&local).await);
        }
        Err(error) => findings.push(Err(chain(&error))),
    }
    findings.extend(bucket(&local.config).await);
    let (launches, warnings) = launches(&local.config, &operations);
    findings.extend(launches);
    for runner in &local.config.runners {
        findings.extend(self::runner(&local.config, runner, surroundings));
        findings.extend(cluster(&local.config, runner).await);
    }
    let loopback = local
        .config
        .runners
        .iter()
        .filter_map(|runner| loopback(&local.config, runner));
    for warning in warnings.into_iter().chain(loopback) {
        let warning = shown(&warning).into_owned();
        output.note(&format!("warning: {warning}"));
    }
    told(findings, output)
}

/// Whether the bucket can be used, if files are kept in one.
async fn bucket(config: &Config) -> Option<Finding> {
    let FilesBackend::S3(s3) = &config.files.backend else {
        return None;
    };
    let usable = prospect::bucket(s3).await;
    Some(match usable {
        Ok(_) => Ok(format!("files      in the bucket {}", s3.bucket)),
        Err(error) => Err(chain(&error)),
    })
}

/// What is right goes to standard output, then what is wrong to standard error.
fn told(findings: Vec<Finding>, output: &mut Output) -> Outcome {
    let (right, wrong): (Vec<_>, Vec<_>) = findings.into_iter().partition(Result::is_ok);
    for line in right.into_iter().flatten() {
        let line = shown(&line).into_owned();
        output.line(&line)?;
    }
    output.flush()?;
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    let Some((last, others)) = wrong.split_last() else {
        return Ok(Exit::Success);
    };
    for error in others {
        let error = shown(error).into_owned();
        output.note(&format!("error: {error}"));
    }
    Err(Failure::new(Exit::Other, last))
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
    for store in &config.stores {
        let properties = store.properties.join(", ");
        lines.push(format!("objects    {}: {properties}", store.name));
    }
    if config.runners.is_empty() {
        lines.push("runners    none: every action would end with \"no runner found\"".to_owned());
    }
    for Runner { name, kind } in &config.runners {
        let takes = |actions: &Option<Vec<String>>, all: &str| match actions {
            Some(actions) => actions.join(", "),
            None => all.to_owned(),
        };
        let what = match kind {
            RunnerKind::Local(runner) => format!(
                "{} → {} (LocalRunner, at most {} at once)",
                takes(&runner.actions, "every type"),
                runner.command,
                runner.concurrency
            ),
            RunnerKind::Kube(runner) => format!(
                "{} → {} (KubeRunner, at most {} at once)",
                takes(&runner.actions, "every type"),
                runner.image.as_deref().unwrap_or("its template"),
                runner.concurrency
            ),
            RunnerKind::Service(runner) => format!(
                "{} (ServiceRunner, at most {} at once)",
                takes(&runner.actions, "every operation of this program"),
                runner.concurrency
            ),
        };
        lines.push(format!("runner     {name}: {what}"));
    }
    lines
}

/// Opens the store, which says if it is of a newer version, or none; and judges who may come.
async fn store(local: &Local) -> Vec<Finding> {
    let database = data_dir::database(&local.data_directory);
    let (line, stored) = if database.exists() {
        match has_tokens(&database).await {
            Ok(stored) => (format!("store      {}", database.display()), stored),
            // Without the store nobody knows whether there are tokens.
            Err(error) => return vec![Err(error)],
        }
    } else {
        (
            "store      none yet: the first start makes it".to_owned(),
            false,
        )
    };
    let has_tokens = stored || !local.config.auth.tokens.is_empty();
    let access = match local.config.may_serve(has_tokens) {
        Err(error) => Err(chain(&error)),
        Ok(()) if has_tokens => Ok("access     with a token".to_owned()),
        Ok(()) => Ok("access     no tokens: programs on this machine only".to_owned()),
    };
    vec![Ok(line), access]
}

/// What can be launched by name, by whom it is run, and what is launched by itself; and what is
/// odd about it.
fn launches(config: &Config, operations: &Operations) -> (Vec<Finding>, Vec<String>) {
    let catalogue = match prospect::catalogue(config, operations) {
        Ok(catalogue) => Arc::new(catalogue),
        // Without it nobody knows which runner takes what.
        Err(error) => return (vec![Err(chain(&error))], Vec::new()),
    };
    let warnings = catalogue.warnings().to_vec();
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(self::operations(config, operations, &catalogue).map(Ok));
    let mut types: Option<Vec<TypeFilter>> = Some(Vec::new());
    for planned in prospect::runners(config, operations, &catalogue) {
        match (planned, &mut types) {
            (Ok(planned), Some(types)) => types.push(planned.types()),
            (Ok(_), None) => {}
            (Err(error), _) => {
                findings.push(Err(chain(&error)));
                types = None;
            }
        }
    }
    // Where a runner cannot be, what it would take is not known.
    let Some(types) = types else {
        return (findings, warnings);
    };
    for schedule in &config.schedules {
        findings.push(match prospect::judge(schedule, &catalogue, &types) {
            Ok(()) => Ok(self::schedule(schedule)),
            Err(error) => Err(chain(&error)),
        });
    }
    (findings, warnings)
}

/// How many operations there are and where from, if there are any.
fn operations(config: &Config, own: &Operations, catalogue: &Catalogue) -> Option<String> {
    let files = config.operations.files.iter();
    let mut from: Vec<String> = files.map(|file| file.display().to_string()).collect();
    if own.ids().next().is_some() {
        from.push(THIS_PROGRAM.to_owned());
    }
    let from = Some(from).filter(|from| !from.is_empty())?.join(", ");
    Some(format!("operations {}, from {from}", catalogue.len()))
}

fn schedule(schedule: &config::Schedule) -> String {
    let config::Schedule { name, definition } = schedule;
    format!(
        "schedule   {name}: {} {} → {}",
        definition.cron, definition.timezone, definition.action_type
    )
}

async fn has_tokens(database: &std::path::Path) -> Result<bool, String> {
    let store = SqliteStore::open(database, LogLimits::default())
        .await
        .map_err(|error| chain(&error))?;
    let any = store.any().await;
    store.close().await;
    any.map_err(|error| chain(&error))
}

/// Looks whether a runner could start its jobs: its holes are known, its user and its command
/// are there.
fn runner(config: &Config, runner: &Runner, surroundings: &Surroundings) -> Vec<Finding> {
    let RunnerKind::Local(settings) = &runner.kind else {
        return Vec::new();
    };
    let name = &runner.name;
    let holes = LocalCommand::configured(settings, &config.directory)
        .check()
        .map_err(|error| error.to_string());
    let user = settings.run_as.as_deref().map(user_of);
    let program = program_of(settings, &config.directory, surroundings);
    [
        holes.err().map(Err),
        user.and_then(Result::err).map(Err),
        Some(program.map(|path| format!("command    {name}: {path}"))),
    ]
    .into_iter()
    .flatten()
    .map(|finding| finding.map_err(|what| format!("runners.{name}: {what}")))
    .collect()
}

/// Whether a runner's cluster answers, and lets this server do what it has to.
#[cfg(feature = "kube")]
async fn cluster(config: &Config, runner: &Runner) -> Option<Finding> {
    let RunnerKind::Kube(kube) = &runner.kind else {
        return None;
    };
    let name = &runner.name;
    let found = crate::runner::kube::check(name, kube, &config.directory).await;
    Some(found.map_err(|what| format!("runners.{name}: {what}")))
}

#[cfg(not(feature = "kube"))]
async fn cluster(_: &Config, runner: &Runner) -> Option<Finding> {
    let is_kube = matches!(runner.kind, RunnerKind::Kube(_));
    is_kube.then(|| {
        let name = &runner.name;
        Err(format!(
            "runners.{name}: this program was built without Kubernetes; take another type of runner"
        ))
    })
}

/// Whether the pods of a runner are told an address that is their own.
fn loopback(config: &Config, runner: &Runner) -> Option<String> {
    let RunnerKind::Kube(kube) = &runner.kind else {
        return None;
    };
    let own = || config.hook_address(config.server.listen);
    let hook = kube.hook_address(&config.hook.url).unwrap_or_else(own);
    let is_loopback = match url::Url::parse(&hook).ok()?.host()? {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unspecified(),
    };
    is_loopback.then(|| {
        format!(
            "runners.{}: pods are told to report to {hook}, which is themselves; set `hook_url` here, or `public_url` in [server], to the server's address as pods see it",
            runner.name
        )
    })
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

    async fn sum(_: jobhook::Job, numbers: Vec<i64>) -> Result<i64, jobhook::Failure> {
        Ok(numbers.iter().sum())
    }

    #[test]
    fn the_operations_of_this_program_are_known_to_its_check() {
        let directory = tempfile::tempdir().unwrap();
        let found = |text: &str, operations: &Operations| {
            std::fs::write(directory.path().join("jobhook.toml"), text).unwrap();
            let surroundings = Surroundings::new(directory.path(), []);
            launches(&Config::load(None, &surroundings).unwrap(), operations).0
        };
        let operations = Operations::new().operation("Try.sum", sum);
        let text = "[schedules.s]\ncron = \"@daily\"\noperation = \"Try.sum\"\ninput = ";
        assert_eq!(
            found(&format!("{text}[1]\n"), &operations),
            [
                Ok("operations 1, from this program".to_owned()),
                Ok("schedule   s: @daily UTC → Try.sum".to_owned()),
            ]
        );
        let wrong = found(&format!("{text}\"one\"\n"), &operations);
        let error = wrong[1].as_ref().unwrap_err();
        let start = "schedules.s: the input of `Try.sum` does not fit: ";
        assert!(error.starts_with(start), "{error}");
        let twice = operations.operation("Try.sum", sum);
        let error = found("", &twice).pop().unwrap().unwrap_err();
        assert!(error.contains("`Try.sum`"), "{error}");
    }
}
