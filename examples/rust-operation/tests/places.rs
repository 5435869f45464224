//! The same function in a test and as a child process; and what else its program does.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::process::{Command, Output};

use jobhook::Status;
use jobhook::protocol::Definitions;
use jobhook::testing::{self, FakeHook};
use serde_json::{Value, json};

const ID: &str = "Report.Generate";

fn sales() -> Value {
    json!({"sales": [
        {"region": "north", "cents": 250},
        {"region": "south", "cents": 100},
        {"region": "north", "cents": 50},
    ]})
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rust-operation"));
    command.env_clear();
    command
}

fn child(hook: &FakeHook, input: &Value) -> Output {
    hook.set_operation(ID);
    hook.set_arguments(input).unwrap();
    let variables = hook.environment().variables();
    program().envs(variables).output().unwrap()
}

#[tokio::test]
async fn a_child_says_what_the_function_says_in_a_test() {
    let ran = testing::run(&rust_operation::operations(), ID, &sales()).await;
    let ran = ran.unwrap();
    let hook = FakeHook::start().unwrap();
    let output = child(&hook, &sales());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(hook.status(), Some(Status::Success));
    assert_eq!(hook.results(), ran.result.clone().ok());
    assert_eq!(
        ran.result.unwrap(),
        json!({"total": 400, "regions": {"north": 300, "south": 100}})
    );
    assert_eq!(ran.lines, ["north: 300", "south: 100"]);
    // `run` makes lines of events, too; the test above has no subscriber.
    let mut lines = hook.lines();
    assert_eq!(lines.remove(0), "INFO rust_operation: adding up sales=3");
    assert_eq!(lines, ran.lines);
    let reports = hook.reports();
    let mut newest_first = reports.iter().rev();
    let progress = newest_first.find_map(|it| it.report.progress.as_ref());
    assert_eq!(progress, ran.progress.last());
    assert_eq!(ran.progress.last().unwrap().percent, Some(100.0));
}

#[test]
fn an_error_has_the_name_of_its_type() {
    let hook = FakeHook::start().unwrap();
    let output = child(&hook, &json!({"sales": [{"region": "west", "cents": -1}]}));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let last = hook.reports().pop().unwrap().report;
    assert_eq!(last.status, Some(Status::Error));
    assert_eq!(last.error_name.as_deref(), Some("NoReport"));
    let message = "sale 1 in west is below zero: -1";
    assert_eq!(last.error_message.as_deref(), Some(message));
}

#[test]
fn an_input_of_another_shape_is_told_with_what_is_wrong() {
    let hook = FakeHook::start().unwrap();
    child(&hook, &json!({"sale": []}));
    let last = hook.reports().pop().unwrap().report;
    assert_eq!(last.error_name.as_deref(), Some("invalid_input"));
    let message = last.error_message.unwrap();
    assert!(message.contains("unknown field `sale`"), "{message}");
}

#[test]
fn it_prints_the_definitions() {
    let output = program().arg("operations").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let definitions: Definitions = serde_json::from_str(&text).unwrap();
    assert_eq!(definitions.application.name, "rust-operation");
    let input = definitions.operations[ID].input.as_deref();
    assert_eq!(input, Some("report.generate.input"));
    let input = &definitions.schemas["report.generate.input"];
    assert_eq!(input["required"], json!(["sales"]));
    assert_eq!(input["additionalProperties"], json!(false));
    assert!(definitions.schemas.contains_key("report.generate.output"));
    assert!(text.starts_with("{\n  \"application\"") && text.ends_with("}\n"));
}

#[test]
fn by_hand_it_says_what_it_is() {
    for arguments in [&[][..], &["--help"]] {
        let output = program().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("\n  Report.Generate\n"), "{text}");
        assert!(
            text.contains("`rust-operation operations` prints"),
            "{text}"
        );
        let names_it = text.contains("unknown argument `--help`");
        assert_eq!(names_it, !arguments.is_empty(), "{text}");
    }
}

#[test]
fn half_an_environment_is_told_and_not_guessed() {
    let output = program().env("JOB_ID", "a").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("JOB_SECRET_KEY is not set"), "{text}");
}
