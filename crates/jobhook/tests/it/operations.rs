//! Operations as jobs: what is asked of the hook, and what it is told.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jobhook::protocol::JobEnvironment;
use jobhook::testing::{Behaviour, FakeHook};
use jobhook::{Failure, Job, Operations, Report, Status};

async fn double(job: Job, n: u32) -> anyhow::Result<u32> {
    job.log(format!("doubling {n}"))?;
    Ok(n * 2)
}

async fn pair(_: Job, (text, n): (String, u32)) -> anyhow::Result<String> {
    Ok(text.repeat(n as usize))
}

async fn fails(_: Job, (): ()) -> Result<(), Failure> {
    Err(Failure::new("NoPaper", "the printer has none"))
}

async fn panics(_: Job, (): ()) -> Result<(), Failure> {
    panic!("a fault")
}

fn operations() -> Operations {
    Operations::new()
        .operation("Number.double", double)
        .operation("Text.pair", pair)
        .operation("Fails", fails)
        .operation("Panics", panics)
}

/// Runs what the hook says, and tells what it heard at last.
async fn run(hook: &FakeHook) -> jobhook::protocol::Report {
    let outcome = operations().run_job(hook.job().build().unwrap()).await;
    let last = hook.reports().pop().unwrap().report;
    assert_eq!(last.results.as_ref(), outcome.as_ref().ok());
    let failed = outcome.err();
    assert_eq!(last.error_name, failed.as_ref().map(|it| it.name.clone()));
    assert_eq!(last.error_message, failed.map(|it| it.message));
    last
}

#[tokio::test]
async fn an_operation_is_run_with_its_input_and_reports_what_it_returned() {
    let hook = FakeHook::start().unwrap();
    hook.set_operation("Number.double");
    hook.set_arguments(&21).unwrap();
    let last = run(&hook).await;
    assert_eq!(last.status, Some(Status::Success));
    assert_eq!(hook.results(), Some(42.into()));
    assert_eq!(hook.lines(), ["doubling 21"]);
}

#[tokio::test]
async fn whatever_goes_wrong_has_its_name() {
    for (id, input, name, says) in [
        ("Fails", "null", "NoPaper", "the printer has none"),
        ("Panics", "null", "panicked", "a fault"),
        ("Number.double", "-1", "invalid_input", "expected u32"),
        (
            "Number.halve",
            "1",
            "unknown_operation",
            "no operation `Number.halve`; it has `Fails`",
        ),
        (
            "constructor",
            "1",
            "unknown_operation",
            "no operation `constructor`",
        ),
    ] {
        let hook = FakeHook::start().unwrap();
        hook.set_operation(id);
        let input: serde_json::Value = serde_json::from_str(input).unwrap();
        hook.set_arguments(&input).unwrap();
        let last = run(&hook).await;
        assert_eq!(last.status, Some(Status::Error));
        assert_eq!(last.error_name.as_deref(), Some(name));
        let message = last.error_message.unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn the_servers_of_the_original_are_understood() {
    let buffer = r#"{"type":"Buffer","data":[50,49]}"#;
    let operation = r#"{"type":"AsyncOperationAction","operationId":"Number.double","context""#;
    let method = r#"{"type":"AsyncWebdaAction","serviceName""#;
    for (answer, results) in [
        (format!(r#"{operation}:{{"input":{buffer}}}}}"#), "42"),
        (format!(r#"{operation}:{{"input":"21"}}}}"#), "42"),
        (format!(r#"{operation}:{{"input":21}}}}"#), "42"),
        (
            format!(r#"{method}:"Number","method":"double","arguments":[21]}}"#),
            "42",
        ),
        (
            format!(r#"{method}:"Text","method":"pair","arguments":["ab",2]}}"#),
            r#""abab""#,
        ),
    ] {
        let hook = FakeHook::start().unwrap();
        hook.set_environment(JobEnvironment {
            attempt: None,
            ..hook.environment()
        });
        let first = Behaviour::Answer {
            status: 200,
            body: answer.clone(),
        };
        hook.script([first]);
        let last = run(&hook).await;
        assert_eq!(last.status, Some(Status::Success), "{answer}");
        assert_eq!(last.results.unwrap().as_str(), results);
    }
}

#[tokio::test]
async fn results_that_the_server_refuses_are_an_error_with_its_words() {
    let hook = FakeHook::start().unwrap();
    hook.set_operation("Number.double");
    hook.set_arguments(&21).unwrap();
    let detail = "the results do not fit: / is more than 40";
    let problem = serde_json::json!({
        "type": "https://jobhook.dev/problems/invalid_output",
        "title": "Invalid output", "status": 422, "code": "invalid_output", "detail": detail,
    });
    let refusal = Behaviour::Answer {
        status: 422,
        body: problem.to_string(),
    };
    // The question, the line, the results.
    hook.script([Behaviour::Well, Behaviour::Well, refusal]);
    let last = run(&hook).await;
    assert_eq!(last.status, Some(Status::Error));
    assert_eq!(last.error_name.as_deref(), Some("invalid_output"));
    assert_eq!(last.error_message.as_deref(), Some(detail));
    assert_eq!(hook.lines(), ["doubling 21"]);
}

#[tokio::test]
async fn operations_that_cannot_be_are_told_to_the_server() {
    let hook = FakeHook::start().unwrap();
    hook.set_operation("Number.double");
    let job = hook.job().build().unwrap();
    let outcome = operations().operation("1", double).run_job(job).await;
    assert_eq!(outcome.unwrap_err().name, "invalid_setting");
    let last = hook.reports().pop().unwrap().report;
    assert!(last.error_message.unwrap().contains("`1` is no id"));
}

#[tokio::test]
async fn an_attempt_that_is_over_is_no_fault_of_the_operation() {
    let hook = FakeHook::start().unwrap();
    hook.set_operation("Number.double");
    hook.set_arguments(&21).unwrap();
    let job = hook.job().build().unwrap();
    let standing = job.standing_async().await.unwrap();
    assert_eq!(standing.operation_id.as_deref(), Some("Number.double"));
    let problem = r#"{"type":"p","title":"t","status":409,"code":"attempt_closed","detail":"over","action":"STOP"}"#;
    hook.behave(Behaviour::Answer {
        status: 409,
        body: problem.to_owned(),
    });
    let outcome = operations().run_job(job).await;
    assert_eq!(outcome.unwrap_err().name, "attempt_closed");
    assert!(hook.reports().iter().all(|it| it.report.status.is_none()));
}

/// The program `examples/operations.rs` as a job of this hook. It says a message when it is
/// ready to be stopped.
fn start(hook: &FakeHook, id: &str) -> Child {
    hook.set_operation(id);
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.set_file_name("examples");
    program.push("operations");
    let mut command = Command::new(&program);
    let variables = hook.environment().variables();
    command.env_clear().envs(variables).stderr(Stdio::null());
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo test` builds it", program.display()));
    let is_ready = hook.wait_until(|reports| {
        let mut progress = reports.iter().filter_map(|it| it.report.progress.as_ref());
        progress.any(|progress| progress.message.is_some())
    });
    assert!(is_ready);
    child
}

fn end(mut child: Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn sigterm_is_the_wish_to_stop_and_nothing_false_is_said_of_the_end() {
    for (id, says) in [
        ("Wait", "Cancelled: asked to stop"),
        ("Spin", "panicked: asked to stop"),
    ] {
        let hook = FakeHook::start().unwrap();
        let child = start(&hook, id);
        let killed = Command::new("kill").arg(child.id().to_string()).status();
        assert!(killed.unwrap().success());
        assert_eq!(end(child), Some(1));
        assert_eq!(hook.status(), None, "it says neither SUCCESS nor ERROR");
        let line = format!("ended after it was asked to stop: {says}");
        assert_eq!(hook.lines(), [line]);
    }
}

#[test]
fn what_is_done_is_done_whoever_wanted_it_to_stop() {
    let hook = FakeHook::start().unwrap();
    let child = start(&hook, "Finish");
    let killed = Command::new("kill").arg(child.id().to_string()).status();
    assert!(killed.unwrap().success());
    assert_eq!(end(child), Some(0));
    assert_eq!(hook.results(), Some("done".into()));
}

#[test]
fn stop_reaches_an_operation_through_its_job() {
    let hook = FakeHook::start().unwrap();
    hook.set_operation("Finish");
    let job = hook.job().listen_every(Duration::from_millis(20));
    let job = job.build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let finish = |job: Job, (): ()| async move {
        job.report(Report::running())?;
        job.cancellation().cancelled().await;
        Ok::<_, jobhook::Error>(())
    };
    let operations = Operations::new().operation("Finish", finish);
    let work = async {
        hook.stop();
        operations.run_job(job).await
    };
    runtime.block_on(work).unwrap();
    assert_eq!(hook.status(), Some(Status::Success));
}
