//! `jobhook exec` around real programs, as the entrypoint of an image has it: a job whose runner does
//! not read its output, and who is told by the hook alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::command::{Ended, JOBHOOK, ended, finish, text};
use crate::job::{Job, TELLING};
use crate::processes::{carriers, is_alive, memory, until};
use crate::server::Server;

/// Launches an action whose program is started by the test.
fn launch(server: &Server) -> String {
    server.launch(&json!({"type": "Tell"}))
}

/// `jobhook exec OPTIONS -- sh -c SCRIPT`, as the first attempt of the action.
fn exec(server: &Server, id: &str, options: &[&str], script: &str) -> Command {
    command(server, id, options, &["sh", "-c", script])
}

fn command(server: &Server, id: &str, options: &[&str], program: &[&str]) -> Command {
    let args = [&["exec"], options, &["--"], program].concat();
    let mut command = server.folder.command(JOBHOOK, &args);
    command
        .envs(Job::of(server, id, 1).environment())
        .env("JOBHOOK", JOBHOOK);
    command
}

fn started(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// The program, and what fell to the process in front of it.
fn children_of(exec: &Child) -> Vec<i32> {
    let own = exec.id();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace();
    pids.map(|pid| pid.parse().unwrap()).collect()
}

/// Waits until the program has made a file.
fn appeared(server: &Server, name: &str) {
    let file = server.folder.path(name);
    until("the program makes its file", || file.exists());
}

fn touch(server: &Server, name: &str) {
    fs::write(server.folder.path(name), "").unwrap();
}

#[track_caller]
fn failure(action: &Value) -> (&str, &str, &str) {
    (
        text(action, "status"),
        text(action, "errorName"),
        text(action, "errorMessage"),
    )
}

#[test]
fn what_a_program_writes_is_in_the_log_and_passed_on_and_code_0_is_success() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    let script = "for i in 1 2 3; do echo line $i; done; echo trouble >&2; printf last";
    let Ended { code, out, err } = finish(exec(&server, &id, &[], script), "");
    assert_eq!((code, err.as_str()), (Some(0), "trouble\n"));
    assert_eq!(out, "line 1\nline 2\nline 3\nlast");
    let end = server.end_of(&id);
    assert_eq!(end.action["status"], "SUCCESS", "{}", end.action);
    let (trouble, lines): (Vec<_>, Vec<_>) = end.lines.iter().partition(|line| *line == "trouble");
    assert_eq!(trouble.len(), 1);
    assert_eq!(lines, ["line 1", "line 2", "line 3", "last"]);
}

#[test]
fn the_exit_code_is_the_programs_and_the_error_says_how_it_ended() {
    let server = Server::start(TELLING);
    for (script, code, failed) in [
        (
            "exit 3",
            3,
            ("ERROR", "exit_code", "the program exited with code 3"),
        ),
        (
            "kill -KILL $$",
            137,
            (
                "ERROR",
                "killed_by_signal",
                "the program was killed by signal 9 (SIGKILL)",
            ),
        ),
        (
            // One that has no name in most places.
            "kill -40 $$",
            168,
            (
                "ERROR",
                "killed_by_signal",
                "the program was killed by signal 40 (a signal without a common name)",
            ),
        ),
    ] {
        let id = launch(&server);
        let ended = finish(exec(&server, &id, &[], script), "");
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(failure(&server.end_of(&id).action), failed);
    }
}

#[test]
fn what_cannot_be_started_is_an_error_in_plain_words() {
    let server = Server::start(TELLING);
    fs::write(server.folder.path("text"), "no program").unwrap();
    fs::write(server.folder.path("script"), "#!/no/such/shell\n").unwrap();
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(server.folder.path("script"), mode).unwrap();
    for (program, code, reason) in [
        (
            "no-such-program",
            127,
            "there is no program `no-such-program` in its PATH",
        ),
        ("./nothing", 127, "there is no program `./nothing`"),
        (
            "./text",
            126,
            "`./text` may not be executed: permission denied",
        ),
        (
            "./script",
            126,
            "the interpreter that `./script` names in its first line does not exist",
        ),
    ] {
        let id = launch(&server);
        let ended = finish(command(&server, &id, &[], &[program]), "");
        let message = format!("the job could not be started: {reason}");
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.err, format!("[jobhook] {message}\n"));
        let failed = ("ERROR", "not_started", message.as_str());
        assert_eq!(failure(&server.end_of(&id).action), failed);
    }
}

#[test]
fn what_the_program_said_itself_stands() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    let script = r#""$JOBHOOK" report --error "the disk is full"; exit 0"#;
    let ended = finish(exec(&server, &id, &[], script), "");
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let action = server.end_of(&id).action;
    assert_eq!(text(&action, "status"), "ERROR", "{action}");
    assert_eq!(text(&action, "errorMessage"), "the disk is full");

    let id = launch(&server);
    let script = r#""$JOBHOOK" report --status SUCCESS --results '{"n": 1}'; exit 4"#;
    let ended = finish(exec(&server, &id, &[], script), "");
    assert_eq!((ended.code, ended.err.as_str()), (Some(4), ""));
    let action = server.end_of(&id).action;
    assert_eq!(text(&action, "status"), "SUCCESS", "{action}");
    assert_eq!(action["results"], json!({"n": 1}));

    // With another try left the action is not final by that, and its words stand nevertheless.
    let id = server.launch(&json!({"type": "Tell", "attempts": 2}));
    let script = r#""$JOBHOOK" report --error "the disk is full"; exit 5"#;
    let ended = finish(exec(&server, &id, &[], script), "");
    assert_eq!((ended.code, ended.err.as_str()), (Some(5), ""));
    Job::of(&server, &id, 1).exit(5);
    Job::of(&server, &id, 2).exit(0);
    let history = server.end_of(&id).action["history"].clone();
    assert_eq!(history[0]["errorMessage"], "the disk is full", "{history}");
}

#[test]
fn every_line_arrives_once_and_in_order_though_the_server_is_killed() {
    let mut server = Server::start(TELLING);
    let id = launch(&server);
    let script =
        "i=0; until [ -e enough ]; do i=$((i+1)); echo line $i; sleep 0.005; done; echo last $i";
    let child = started(exec(&server, &id, &["--spool", "spool"], script));
    for round in 1..=4 {
        let seen = server.action(&id)["lines"].as_u64().unwrap();
        let more = server.events(&id, seen).filter(|event| event.name == "log");
        assert_eq!(more.take(20).count(), 20, "round {round}");
        server.kill();
        // Half of the times something is written while it is away.
        let spool = server.folder.path("spool");
        if round % 2 == 0 {
            until("lines are kept", || {
                let mut files = fs::read_dir(&spool).unwrap();
                files.any(|file| file.unwrap().metadata().is_ok_and(|file| file.len() > 0))
            });
        }
        server.start_again();
    }
    // The end falls into an outage too.
    server.kill();
    touch(&server, "enough");
    until("the program ends", || children_of(&child).is_empty());
    server.start_again();
    let ended = ended(child);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let end = server.end_of(&id);
    assert_eq!(end.action["status"], "SUCCESS", "{}", end.action);
    assert_eq!(end.lines, ended.out.lines().collect::<Vec<_>>());
    assert!(end.lines.len() > 80, "{}", end.lines.len());
    assert_eq!(
        fs::read_dir(server.folder.path("spool")).unwrap().count(),
        0
    );
}

#[test]
fn a_dead_server_holds_a_program_up_no_longer_than_said_and_what_finds_no_room_is_told() {
    let mut server = Server::start(TELLING);
    let id = launch(&server);
    let options = ["--spool-size", "64KiB"];
    let script = "echo first; touch began; until [ -e go ]; do sleep 0.02; done
        i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo a line of some length with the number $i; done
        touch written; until [ -e end ]; do sleep 0.02; done; echo last";
    let mut command = exec(&server, &id, &options, script);
    let out = fs::File::create(server.folder.path("out")).unwrap();
    let child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    server.line(&id, "first");
    server.kill();
    touch(&server, "go");
    // 200 kB, of which 64 KiB are kept.
    appeared(&server, "written");
    touch(&server, "end");
    until("the program ends", || children_of(&child).is_empty());
    server.start_again();
    let ended = ended(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let out = fs::read_to_string(server.folder.path("out")).unwrap();
    assert_eq!(out.lines().count(), 5002);
    let lines = server.end_of(&id).lines;
    let lost: Vec<(usize, u64)> = (lines.iter().enumerate())
        .filter_map(|(at, line)| {
            let rest = line.strip_prefix("[jobhook] ")?;
            let lost = rest.strip_suffix(" lines are missing here: too much waited to be sent")?;
            Some((at, lost.parse().unwrap()))
        })
        .collect();
    let all: u64 = lost.iter().map(|(_, lost)| lost).sum();
    let kept = lines.len() - lost.len();
    assert_eq!(kept as u64 + all, 5002, "{lost:?}");
    assert!(kept > 500 && all > 1000, "{kept} kept, {all} lost");
    assert!(
        ended.err.contains(&format!("{all} lines were not taken")),
        "{}",
        ended.err
    );
    // Up to the first gap nothing is missing.
    let before = &lines[1..lost[0].0];
    for (line, number) in before.iter().zip(1..) {
        assert!(line.ends_with(&format!(" number {number}")), "{line}");
    }
}

#[test]
fn a_flood_is_slowed_down_and_does_not_grow_the_memory() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    // 50 MB in 50,000 lines.
    let script = "head -c 49950000 /dev/zero | tr '\\0' x | fold -w 999; echo; touch done
        until [ -e end ]; do sleep 0.02; done";
    let mut command = exec(&server, &id, &[], script);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    appeared(&server, "done");
    let peak = memory(child.id(), "VmHWM");
    touch(&server, "end");
    let ended = ended(child);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    // Some 30 MiB are the program itself, unoptimized; with all that was written it had 80 and more.
    assert!(peak < 60 * 1024, "{peak} KiB");
    let action = server.end_of(&id).action;
    assert_eq!(action["lines"], 50_000, "{action}");
}

#[test]
fn a_line_without_end_and_bytes_that_are_no_text_arrive_in_pieces() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    let script = r"printf 'a\377b\n'; head -c 10000000 /dev/zero | tr '\0' y; printf '\nafter\n'";
    let mut command = exec(&server, &id, &[], script);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = ended(command.spawn().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    let lines = server.end_of(&id).lines;
    assert_eq!(lines.first().unwrap(), "a\u{fffd}b");
    assert_eq!(lines.last().unwrap(), "after");
    let pieces = &lines[1..lines.len() - 1];
    assert_eq!(pieces.iter().map(String::len).sum::<usize>(), 10_000_000);
    assert!(pieces.iter().all(|piece| piece.len() <= 64 * 1024));
}

#[test]
fn a_cancelled_program_is_asked_to_end_and_killed_after_its_grace_with_all_it_started() {
    // Its runner asks as well, and gives it more time.
    let patient = TELLING.replace("umask 077", "trap '' TERM; umask 077");
    let server = Server::start(&patient.replace("grace = \"1s\"", "grace = \"1m\""));
    let id = launch(&server);
    let script = "trap 'echo asked' TERM; setsid sleep 1000 & sleep 1001 & echo ready
        while :; do wait; done";
    let options = ["--grace", "300ms", "--heartbeat", "300ms"];
    let child = started(exec(&server, &id, &options, script));
    server.line(&id, "ready");
    let telling = carriers(&id).len();
    server.cancel(&id);
    let ended = ended(child);
    assert_eq!(ended.code, Some(137), "{ended:?}");
    assert_eq!(ended.out, "ready\nasked\n");
    assert!(
        ended.err.starts_with("[jobhook] the server wants this job to stop: the program is asked to end, and is killed after 0.3 s\n"),
        "{}",
        ended.err
    );
    Job::of(&server, &id, 1).exit(137);
    let end = server.end_of(&id);
    assert_eq!(end.action["status"], "CANCELLED", "{}", end.action);
    assert!(end.lines.contains(&"asked".to_owned()), "{:?}", end.lines);
    assert!(telling > 1);
    until("nothing is left", || carriers(&id).is_empty());
}

#[test]
fn a_program_that_others_ask_to_end_is_judged_by_its_runner() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    // What only says something does not reach what the program started: it would end that.
    let script = "trap 'echo used' USR1; trap 'echo asked; exit 0' TERM
        sleep 1000 & helper=$!; echo ready
        while kill -0 $helper; do wait $helper; done; echo the helper is gone; exit 1";
    let child = started(exec(&server, &id, &[], script));
    server.line(&id, "ready");
    for (signal, answer) in [(Signal::SIGUSR1, "used"), (Signal::SIGTERM, "asked")] {
        kill(pid(&child), signal).unwrap();
        server.line(&id, answer);
    }
    let ended = ended(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let says = "[jobhook] the program exited with code 0, after SIGTERM came from outside\n";
    assert!(ended.err.ends_with(says), "{}", ended.err);
    assert_eq!(server.action(&id)["status"], "RUNNING");
    Job::of(&server, &id, 1).exit(143);
    let action = server.end_of(&id).action;
    assert_eq!(text(&action, "errorName"), "exit_code", "{action}");
}

#[test]
fn an_attempt_that_is_over_stops_its_program_and_does_not_start_another() {
    let server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell", "attempts": 2}));
    let options = ["--heartbeat", "300ms"];
    let script = "echo ready; exec sleep 1000";
    let child = started(exec(&server, &id, &options, script));
    server.line(&id, "ready");
    let second = exec(&server, &id, &[], "touch second");
    // Its runner sees it end, and it is tried again.
    Job::of(&server, &id, 1).exit(1);
    let successor = Job::of(&server, &id, 2);
    let ended = ended(child);
    assert_eq!(ended.code, Some(143), "{ended:?}");
    assert!(
        ended.err.contains("wants this job to stop"),
        "{}",
        ended.err
    );

    let ended = finish(second, "");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert_eq!(
        ended.err,
        "[jobhook] nothing was started: the server wants this job to stop: it was cancelled, or its attempt is over\n"
    );
    assert!(!server.folder.path("second").exists());
    successor.exit(0);
    assert_eq!(server.end_of(&id).action["status"], "SUCCESS");
}

#[test]
fn a_container_that_is_started_again_after_its_end_does_not_run_twice() {
    let server = Server::start(&TELLING.replace("linger = \"1s\"", "linger = \"1m\""));
    let id = launch(&server);
    let run = || finish(exec(&server, &id, &[], "echo once; exit 6"), "");
    assert_eq!(run().code, Some(6));
    let again = run();
    assert_eq!((again.code, again.out.as_str()), (Some(3), ""), "{again:?}");
    assert!(
        again.err.starts_with("[jobhook] nothing was started: "),
        "{}",
        again.err
    );
    Job::of(&server, &id, 1).exit(6);
    assert_eq!(server.end_of(&id).lines, ["once"]);
}

#[test]
fn what_falls_to_it_is_reaped_and_what_is_left_behind_ends() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    // Each of the first ends at once, and its parent before it; the last two stay.
    let script = "for i in 1 2 3 4 5 6 7 8; do (sleep 0.01 &) ; done
        (setsid sleep 1000 &); (sleep 1001 &); touch began; until [ -e go ]; do sleep 0.02; done";
    let child = started(exec(&server, &id, &[], script));
    appeared(&server, "began");
    until("the dead are taken off the list", || {
        let children = children_of(&child);
        // The program, and what it left.
        children.len() == 3 && children.iter().all(|pid| is_alive(*pid))
    });
    touch(&server, "go");
    assert_eq!(ended(child).code, Some(0));
    server.end_of(&id);
    until("nothing is left", || carriers(&id).is_empty());
}

#[test]
fn the_key_is_the_programs_unless_it_is_withheld_and_in_no_message() {
    let server = Server::start(TELLING);
    let id = launch(&server);
    let key = Job::of(&server, &id, 1).environment()[1].1.clone();
    let script = r#"test "${JOB_SECRET_KEY-none}" = none && echo without || echo with
        test "$JOB_ID" && echo a job"#;
    for (options, found) in [(&[][..], "with"), (&["--withhold-key"], "without")] {
        let id = launch(&server);
        let ended = finish(exec(&server, &id, options, script), "");
        assert_eq!(ended.out, format!("{found}\na job\n"), "{ended:?}");
    }
    let ended = finish(exec(&server, &id, &["--lines", "always"], "exit 9"), "");
    assert!(!format!("{ended:?}").contains(&key));
    assert!(!server.stderr().contains(&key));
}

#[test]
fn lines_are_stored_once_where_the_runner_reads_them_too() {
    let script = "echo one; echo two >&2; exit 7";
    let config = format!(
        "[runners.wrapped]\ntype = \"LocalRunner\"\nactions = [\"Wrapped\"]\ncommand = '{JOBHOOK}'\n\
         args = [\"exec\", \"--\", \"sh\", \"-c\", '{script}']\n"
    );
    let server = Server::start(&config);
    let id = server.launch(&json!({"type": "Wrapped"}));
    let mut end = server.end_of(&id);
    end.lines.sort();
    assert_eq!(end.lines, ["one", "two"]);
    assert_eq!(
        failure(&end.action),
        ("ERROR", "exit_code", "the program exited with code 7")
    );
}
