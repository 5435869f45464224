//! What a runner is read from, and what of it is refused.

use super::super::tests::{load, refused};
use super::*;

#[track_caller]
fn local(text: &str) -> Box<LocalRunner> {
    let config = load(text, &[]).unwrap();
    let RunnerKind::Local(runner) = config.runners.into_iter().next().unwrap().kind else {
        panic!("a LocalRunner was written");
    };
    runner
}

#[test]
fn a_local_runner_is_read_with_all_its_keys() {
    let runner = local(
        r#"
        [runners.any]
        type = "LocalRunner"
        actions = ["WordCount"]
        concurrency = 2
        grace = "1s"
        linger = "2s"
        auto_status = false
        signature = "v1"
        orchestrator = "me"
        command = "sh"
        args = ["word-count.sh", "${arguments.path}"]
        cwd = "${config_dir}"
        env = { PORT = 8080, NAME = "x" }
        stdin = "arguments"
        run_as = "nobody"
        [runners.any.limits]
        cpu_seconds = 5
        memory = "1GiB"
        open_files = 64
        processes = 8
        file_size = "1MB"
        core = 0
        "#,
    );
    assert_eq!(runner.actions.unwrap(), ["WordCount"]);
    assert_eq!(runner.concurrency, 2);
    assert_eq!(runner.grace, Duration::from_secs(1));
    assert_eq!(runner.linger, Duration::from_secs(2));
    assert!(!runner.auto_status);
    assert_eq!(runner.signature, Some(Signature::V1));
    assert_eq!(runner.args, ["word-count.sh", "${arguments.path}"]);
    assert_eq!(runner.env["PORT"], "8080");
    assert_eq!(runner.stdin, Stdin::Arguments);
    assert_eq!(runner.run_as.as_deref(), Some("nobody"));
    assert_eq!(runner.limits.memory, Some(1 << 30));
    assert_eq!(runner.limits.core, Some(0));
}

#[test]
fn a_local_runner_needs_only_type_and_command() {
    let runner = local("[runners.any]\ntype = \"LocalRunner\"\ncommand = \"true\"\n");
    assert_eq!(runner.actions, None);
    assert_eq!(runner.concurrency, 100);
    assert_eq!(runner.grace, Duration::from_secs(10));
    assert_eq!(runner.linger, Duration::from_secs(30));
    assert!(runner.auto_status);
    assert_eq!(runner.orchestrator, "jobhook");
    assert_eq!(runner.stdin, Stdin::Null);
}

#[test]
fn the_names_of_webda_are_understood() {
    let runner = local(
        r#"
        [runners.any]
        type = "Webda/LocalRunner"
        command = "python3"
        autoStatus = false
        concurrencyLimit = 3
        options = { env = { A = "b" }, cwd = "jobs" }
        "#,
    );
    assert!(!runner.auto_status);
    assert_eq!(runner.concurrency, 3);
    assert_eq!(runner.env["A"], "b");
    assert_eq!(runner.cwd.as_deref(), Some("jobs"));
}

#[test]
fn runners_keep_the_order_of_the_file() {
    let runner = |name| format!("[runners.{name}]\ntype = \"LocalRunner\"\ncommand = \"true\"\n");
    let text = ["zebra", "apple", "mango"].map(runner).concat();
    let names: Vec<String> = load(&text, &[])
        .unwrap()
        .runners
        .into_iter()
        .map(|runner| runner.name)
        .collect();
    assert_eq!(names, ["zebra", "apple", "mango"]);
}

#[test]
fn a_runner_without_a_command_is_refused() {
    refused(
        "[server]\n\n[runners.any]\ntype = \"LocalRunner\"\n",
        "jobhook.toml:3:1: runners.any: the runner has no command; it needs one, as in command = \"sh\"",
    );
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \" \"\n",
        "jobhook.toml:3:11: runners.any.command: the command is empty",
    );
}

#[test]
fn two_runners_of_one_name_are_refused() {
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\n\n[runners.any]\ntype = \"LocalRunner\"\ncommand = \"b\"\n",
        "jobhook.toml:5:10: two runners are named `any`; each needs a name of its own",
    );
}

#[test]
fn a_type_of_runner_that_is_not_there_is_refused() {
    refused(
        "[runners.any]\ntype = \"LocalRuner\"\n",
        "jobhook.toml:2:8: runners.any.type: there is no type of runner `LocalRuner`; did you mean `LocalRunner`?",
    );
    refused(
        "[runners.any]\ncommand = \"a\"\n",
        "jobhook.toml:1:1: runners.any: the runner has no type; there is `LocalRunner`, `ServiceRunner`, `KubeRunner`, as in type = \"LocalRunner\"",
    );
}

#[test]
fn an_empty_list_of_actions_is_refused() {
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\nactions = []\n",
        "jobhook.toml:4:11: runners.any.actions: an empty list takes no action at all; leave the key out to take every type",
    );
}

#[test]
fn a_list_that_is_none_is_told_what_one_looks_like() {
    let runner = "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\n";
    refused(
        &format!("{runner}actions = \"WordCount\"\n"),
        "jobhook.toml:4:11: runners.any.actions: expected a list of action types, such as [\"WordCount\"], found string \"WordCount\"",
    );
    refused(
        &format!("{runner}args = \"-v\"\n"),
        "jobhook.toml:4:8: runners.any.args: expected a list of texts, such as [\"-v\", \"${arguments.path}\"], found string \"-v\"",
    );
}

#[test]
fn a_concurrency_of_nothing_is_refused() {
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\nconcurrency = 0\n",
        "jobhook.toml:4:15: runners.any.concurrency: 0 would never start a job; 1 is the least",
    );
}

#[test]
fn a_variable_that_is_the_servers_own_is_refused() {
    refused(
        "[runners.any]\ntype = \"LocalRunner\"\ncommand = \"a\"\nenv = { JOB_ID = \"x\" }\n",
        "jobhook.toml:4:7: runners.any.env: `JOB_ID` is set by the server, for each attempt",
    );
}
