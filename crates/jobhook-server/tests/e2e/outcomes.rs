//! How an action ends, by what its program does.

use serde_json::{Value, json};

use crate::command::{JOBHOOK, TOKEN_SHA256, shell, text};
use crate::processes::{carriers, memory};
use crate::server::Server;

/// Status, name and sentence of the error, and what the runner saw.
fn judgement(action: &Value) -> [&str; 4] {
    let names = ["status", "errorName", "errorMessage", "/witness/saw"];
    names.map(|name| text(action, name))
}

/// Runs `script` as an action, and compares how it ended.
#[track_caller]
fn check(script: &str, expected: [&str; 4]) {
    let server = Server::start(&shell("T", script, ""));
    let action = server.outcome("T", &[]);
    assert_eq!(judgement(&action), expected, "{action}");
    assert_eq!(action["closed"], true, "{action}");
}

#[test]
fn an_exit_code_is_told() {
    let sentence = "the program exited with code 3";
    check("exit 3", ["ERROR", "exit_code", sentence, sentence]);
}

#[test]
fn a_signal_that_killed_the_program_is_named() {
    let sentence = "the program was killed by signal 9 (SIGKILL)";
    check(
        "kill -KILL $$",
        ["ERROR", "killed_by_signal", sentence, sentence],
    );
}

#[test]
fn an_exit_code_that_shells_use_for_a_signal_is_explained_and_not_taken_for_one() {
    let sentence = "the program exited with code 137, which a shell uses for a program killed by signal 9 (SIGKILL)";
    check("exit 137", ["ERROR", "exit_code", sentence, sentence]);
}

#[test]
fn a_job_that_said_success_and_then_fails_is_a_success_with_two_witnesses_that_disagree() {
    let script = format!("{} report --status SUCCESS && exit 1", JOBHOOK);
    let server = Server::start(&shell("T", &script, ""));
    let action = server.outcome("T", &[]);
    assert_eq!(
        judgement(&action),
        ["SUCCESS", "", "", "the program exited with code 1"]
    );
    assert_eq!(action["witness"]["said"], "SUCCESS");
    assert_eq!(action["witness"]["disagree"], true);
}

#[test]
fn a_job_that_said_error_and_stays_is_killed_after_its_linger() {
    let script = format!(
        "trap '' TERM; {} report --error 'disk full'; while :; do sleep 600; done",
        JOBHOOK
    );
    let server = Server::start(&shell("T", &script, "linger = \"1s\"\ngrace = \"1s\""));
    let action = server.outcome("T", &[]);
    assert_eq!(action["status"], "ERROR");
    assert_eq!(action["errorMessage"], "disk full");
    assert_eq!(action["closed"], true);
    assert_eq!(
        text(&action, "/witness/saw"),
        "the program was killed by signal 9 (SIGKILL) after it was asked to stop"
    );
}

#[test]
fn a_command_that_is_not_there_is_named_and_not_tried_again() {
    let server =
        Server::start("[runners.a]\ntype = \"LocalRunner\"\ncommand = \"/no/such/program\"\n");
    let action = server.outcome("T", &["--attempts", "3"]);
    let sentence = "the job could not be started: there is no program `/no/such/program`";
    assert_eq!(
        judgement(&action),
        ["ERROR", "not_started", sentence, sentence]
    );
    assert_eq!(action["attempt"], 1);
}

#[test]
fn an_argument_that_the_command_needs_and_the_action_lacks_is_named() {
    let runner =
        "[runners.a]\ntype = \"LocalRunner\"\ncommand = \"echo\"\nargs = [\"${arguments.x}\"]\n";
    let server = Server::start(runner);
    let missing = |action: &Value, reason: &str| {
        assert_eq!(action["status"], "ERROR");
        assert_eq!(
            text(action, "errorMessage"),
            format!("the job could not be started: ${{arguments.x}} has no value: {reason}")
        );
    };
    missing(&server.outcome("T", &[]), "the action has no arguments");
    missing(
        &server.outcome("T", &["--arguments", r#"{"y": 1}"#]),
        "the arguments do not have it",
    );
    let good = server.outcome("T", &["--arguments", r#"{"x": "$(id) ${y} *"}"#]);
    assert_eq!(server.texts(&good), ["$(id) ${y} *"]);
}

#[test]
fn a_user_that_is_not_there_is_named() {
    // Without tokens the jobs of other users would be let in, so none may be configured.
    let token = format!(
        "[[auth.tokens]]\nname = \"test\"\nscope = \"admin\"\nsha256 = \"{TOKEN_SHA256}\"\n"
    );
    let server = Server::start(&shell(
        "T",
        "true",
        &format!("run_as = \"nobody-of-this-name\"\n{token}"),
    ));
    let action = server.outcome("T", &[]);
    assert_eq!(action["errorName"], "not_started");
    let said = text(&action, "errorMessage");
    // Only root may change the user at all.
    assert!(
        said.contains("nobody-of-this-name") || said.contains("root"),
        "{said}"
    );
}

#[test]
fn a_program_can_read_its_arguments_on_standard_input() {
    let server = Server::start(&shell("T", "cat", "stdin = \"arguments\""));
    let arguments = r#"{"b": 1.50, "a": ["<&>", "é"]}"#;
    let action = server.outcome("T", &["--arguments", arguments]);
    assert_eq!(action["status"], "SUCCESS");
    let read: Value = serde_json::from_str(&server.texts(&action).concat()).unwrap();
    assert_eq!(read, json!({"b": 1.5, "a": ["<&>", "é"]}));
    let none = server.outcome("T", &[]);
    assert_eq!(server.texts(&none), ["null"]);
}

#[test]
fn of_the_servers_environment_a_job_gets_only_what_is_on_the_list() {
    let server = Server::start_with(
        &shell("T", "env | cut -d= -f1 | sort", "env = { MINE = \"1\" }"),
        &[
            ("AWS_SECRET_ACCESS_KEY", "s3cret"),
            ("JOBHOOK_TOKEN", "jh_s3cret"),
            ("LD_LIBRARY_PATH", "/tmp"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
        ],
    );
    let action = server.outcome("T", &[]);
    let mut names = server.texts(&action);
    // The shell's own.
    names.retain(|name| !["_", "PWD", "OLDPWD", "SHLVL"].contains(&name.as_str()));
    assert_eq!(
        names,
        [
            "JOB_ATTEMPT",
            "JOB_HOOK",
            "JOB_ID",
            "JOB_ORCHESTRATOR",
            "JOB_OUTPUT",
            "JOB_SECRET_KEY",
            "LC_ALL",
            "MINE",
            "PATH",
            "TMPDIR",
            "TZ",
        ]
    );
}

/// The kept lines are numbered without a gap up to the last, and the dropped are counted.
#[track_caller]
fn check_flood(script: &str, least_bytes: u64) {
    let server = Server::start(&shell("T", script, "stdin = \"arguments\""));
    // So that what the first action of all takes is there.
    server.outcome("T", &["--arguments", "{\"small\": true}"]);
    let before = memory(server.pid(), "VmRSS");
    let action = server.outcome("T", &["--arguments", "{\"small\": false}"]);
    let most = memory(server.pid(), "VmHWM");
    assert_eq!(action["status"], "SUCCESS", "{action}");
    assert!(
        most.saturating_sub(before) <= 16 * 1024,
        "grew from {before} KiB to {most} KiB"
    );
    let lines = server.log(&action);
    let (all, dropped) = (
        action["lines"].as_u64().unwrap(),
        action["linesDropped"].as_u64().unwrap_or(0),
    );
    assert_eq!(lines.len() as u64 + dropped, all);
    let bytes: usize = lines.iter().map(|line| text(line, "text").len()).sum();
    // As many as are promised, and before the oldest go a part of that more.
    assert!(lines.len() <= 100_390, "{} lines", lines.len());
    assert!(dropped == 0 || lines.len() >= 100_000 || bytes >= 64 << 20);
    assert!(bytes as u64 >= least_bytes, "{bytes} bytes are kept");
}

#[test]
fn a_flood_of_short_lines_costs_no_memory_and_what_is_dropped_is_counted() {
    check_flood(
        "read a; case $a in *true*) exit;; esac; head -c 50000000 /dev/zero | tr '\\0' x | fold -w 99",
        0,
    );
}

#[test]
fn a_program_that_leaves_daemons_behind_has_ended_all_the_same_and_they_go_with_it() {
    let script = "sh -c 'sleep 1000 & setsid sleep 1001 & echo started' & wait; exit 5";
    let server = Server::start(&shell("T", script, ""));
    let action = server.outcome("T", &[]);
    assert_eq!(action["errorMessage"], "the program exited with code 5");
    assert_eq!(server.texts(&action), ["started"]);
    assert_eq!(carriers(text(&action, "uuid")), [0; 0]);
}

#[test]
fn a_line_of_ten_megabytes_with_bytes_that_are_no_text_is_kept_in_pieces() {
    // An `é`, a byte that is no text, and plain letters, so that pieces end in all of them.
    let script = "yes \"$(printf '\\303\\251\\377xyz')\" | tr -d '\\n' | head -c 10000002";
    let server = Server::start(&shell("T", script, ""));
    let action = server.outcome("T", &[]);
    assert_eq!(action["status"], "SUCCESS", "{action}");
    let pieces = server.texts(&action);
    assert!(pieces.iter().all(|piece| piece.len() <= 2 * 64 * 1024));
    assert!(pieces.len() <= 160, "{} pieces", pieces.len());
    let whole = pieces.concat();
    let expected = "é\u{fffd}xyz".repeat(10_000_002 / 6);
    // A comparison that fails should not print all of it.
    let same = whole.bytes().zip(expected.bytes());
    assert_eq!(
        same.take_while(|(one, other)| one == other).count(),
        expected.len()
    );
    assert_eq!(whole.len(), expected.len());
}
