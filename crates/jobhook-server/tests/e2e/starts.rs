//! One action, with a SIGKILL at each step from its launch to its end: in the server, and in
//! the supervisor.
//!
//! Whatever dies where, the next server brings the action to its one end, and the program ran
//! at most once.

use std::os::unix::process::ExitStatusExt;

use serde_json::{Value, json};

use crate::client::{Connection, End, post};
use crate::command::JOBHOOK;
use crate::processes::{carriers, until};
use crate::server::Server;

/// A job that leaves a trace, speaks in both ways, leaves a process behind, and fails.
fn runner() -> String {
    format!(
        r#"
[runners.tracing]
type = "LocalRunner"
command = "sh"
args = ["-c", '''
echo ran >> ran
setsid sleep 1000 &
echo written
{JOBHOOK} log told
exit 3
''']
"#
    )
}

/// Walks the steps, side by side: most of the time goes by in waiting.
fn at_each<Step: Send, const N: usize>(
    steps: [Step; N],
    check: impl Fn(Step) + Copy + Sync + Send,
) {
    std::thread::scope(|scope| {
        let walks = steps.map(|step| scope.spawn(move || check(step)));
        for walk in walks {
            if let Err(panic) = walk.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// Launches an action on a server that dies at `step`, or whose supervisor does.
fn launch_and_die_at(step: &str, wait_for_death: impl FnOnce(&mut Server)) -> Server {
    let mut server = Server::start_with(&runner(), &[("JOBHOOK_CRASH_AT", step)]);
    let launch = post("/api/v1/actions", &[], &json!({"type": "Trace"}));
    let mut connection = Connection::open(server.address());
    connection.send(&launch);
    // It may die before it answers.
    let _ = connection.answer();
    wait_for_death(&mut server);
    server.kill();
    server.start_again();
    server
}

/// The end of the only action that there is, and how often its program ran.
#[track_caller]
fn end_of_the_action(server: &Server, step: &str) -> (End, usize) {
    let (status, list) = server.get("/api/v1/actions");
    assert_eq!(status, 200, "{step}: {list}");
    let actions = list["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 1, "{step}: {list}");
    let id = actions[0]["uuid"].as_str().unwrap();
    let end = server.end_of(id);
    assert_eq!(end.action["status"], "ERROR", "{step}: {}", end.action);
    let tries = end.action["history"].as_array().map_or(0, Vec::len);
    assert_eq!(tries, 1, "{step}: {}", end.action);
    assert_eq!(carriers(id), [0; 0], "{step}: nothing of it is left");
    let ran = std::fs::read_to_string(server.dir().join("ran")).unwrap_or_default();
    (end, ran.lines().count())
}

#[track_caller]
fn check_true_end(step: &str, (end, ran): (End, usize)) {
    let End { action, mut lines } = end;
    assert_eq!(ran, 1, "{step}: {action}");
    assert_eq!(action["errorName"], "exit_code", "{step}: {action}");
    let saw = &action["witness"]["saw"];
    assert_eq!(saw, "the program exited with code 3", "{step}: {action}");
    lines.sort_unstable();
    assert_eq!(lines, ["told", "written"], "{step}");
}

#[test]
fn a_server_killed_at_any_step_leaves_an_action_that_the_next_one_brings_to_its_end() {
    at_each(
        [
            "store.stored_insert",
            "store.stored_claim",
            "link.start_sending",
            "link.start_sent",
            "link.start_answered",
            "store.storing_started",
            "store.stored_started",
            "store.storing_output",
            "store.stored_output",
            "store.storing_report",
            "store.stored_report",
            "store.storing_gone",
            "store.stored_gone",
            "store.storing_close",
            "store.stored_close",
        ],
        |step| {
            let server = launch_and_die_at(step, |server| {
                let ended = server.wait();
                assert_eq!(ended.signal(), Some(9), "{step}");
            });
            check_true_end(step, end_of_the_action(&server, step));
        },
    );
}

#[test]
fn a_supervisor_killed_at_any_step_has_run_the_program_once_at_most_and_its_loss_is_told() {
    at_each(
        [
            ("supervisor.remains_killed", Some(1)),
            ("supervisor.recovered", Some(1)),
            ("supervisor.staged", Some(1)),
            ("supervisor.claimed", Some(0)),
            ("supervisor.forked", Some(0)),
            ("supervisor.led", Some(0)),
            ("supervisor.spawned", None),
            ("supervisor.reaped", None),
            ("supervisor.exit_unnamed", None),
            ("supervisor.recorded", Some(1)),
        ],
        |(step, expected)| {
            let server = launch_and_die_at(step, |server| {
                until("a supervisor dies", || {
                    let log = server.stderr();
                    // After its birth, or before it could say that it is there.
                    log.contains("The supervisor of build") || log.contains("died at once")
                });
            });
            let (end, ran) = end_of_the_action(&server, step);
            if expected == Some(1) {
                return check_true_end(step, (end, ran));
            }
            check_lost(step, &end.action);
            match expected {
                Some(expected) => assert_eq!(ran, expected, "{step}"),
                None => assert!(ran <= 1, "{step}: {ran}"),
            }
        },
    );
}

#[track_caller]
fn check_lost(step: &str, action: &Value) {
    assert_eq!(action["errorName"], "lost", "{step}: {action}");
    let attempt = &action["history"][0];
    assert_eq!(attempt["failure"], "infrastructure", "{step}: {action}");
    let said = action["errorMessage"].as_str().unwrap_or_default();
    assert!(
        said.starts_with("infrastructure failure: "),
        "{step}: {action}"
    );
}
