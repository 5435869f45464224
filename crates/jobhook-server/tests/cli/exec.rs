//! `exec`, around a job's program: what it refuses, and what it sends.

use jobhook_protocol::signature::HashKind;
use jobhook_protocol::{Code, Problem, SecretKey, Status};

use crate::command::jobhook;
use crate::job::{KEY, job, read, server_that_first, signed, stores_everything};
use crate::standin::{Then, events, json, problem};

/// Would be seen if it had been started.
const PROGRAM: [&str; 4] = ["--", "sh", "-c", "echo started"];

#[test]
fn outside_a_job_nothing_is_started_and_what_is_missing_is_named() {
    let server = stores_everything();
    for variable in ["JOB_ID", "JOB_SECRET_KEY", "JOB_HOOK"] {
        let arguments = [&["exec"], &PROGRAM[..]].concat();
        let ended = job(&arguments, &server).env(variable, "").run();
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
        let says = format!("error: {variable} is not set: ");
        assert!(ended.err.starts_with(&says), "{}", ended.err);
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_command_line_that_is_wrong_starts_nothing() {
    for (arguments, says) in [
        (&["exec"][..], "<CMD>"),
        (&["exec", "--"], "<CMD>"),
        (&["exec", "--hartbeat", "5s", "true"], "--hartbeat"),
        (&["exec", "--heartbeat", "5", "--", "true"], "off"),
        (
            &["exec", "--spool-size", "many", "--", "true"],
            "a size such as",
        ),
        (
            &["exec", "--lines", "some", "--", "true"],
            "auto, always, never",
        ),
    ] {
        let ended = jobhook(arguments).run();
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.err.contains(says), "{}", ended.err);
    }
    let server = stores_everything();
    let arguments = [&["exec", "--heartbeat", "1ms"], &PROGRAM[..]].concat();
    let ended = job(&arguments, &server).run();
    assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
    assert!(ended.err.contains("0.1 to 86400 s"), "{}", ended.err);
}

#[test]
fn options_of_the_program_are_the_programs() {
    let server = stores_everything();
    let ended = job(&["exec", "echo", "--lines", "never"], &server).run();
    assert_eq!((ended.code, ended.out.as_str()), (0, "--lines never\n"));
}

#[test]
fn its_output_is_reported_in_order_around_its_start_and_its_end() {
    let server = stores_everything();
    let script = "echo one; echo; echo two";
    let ended = job(
        &["exec", "--heartbeat", "7s", "--", "sh", "-c", script],
        &server,
    )
    .run();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    assert_eq!(ended.out, "one\n\ntwo\n");
    let reports: Vec<_> = server.seen().iter().map(read).collect();
    assert_eq!(reports[0].heartbeat, Some(7.0));
    let said: Vec<_> = reports.iter().filter_map(|report| report.status).collect();
    assert_eq!(said, [Status::Running, Status::Success]);
    let lines: Vec<_> = reports.iter().flat_map(|report| &report.logs).collect();
    assert_eq!(lines, ["one", "", "two"]);
    let seqs = reports
        .iter()
        .map(|report| report.delivery.as_ref().unwrap().seq);
    assert!(seqs.eq(1..=reports.len() as u64));
    let key = SecretKey::from_text(KEY).unwrap();
    for request in server.seen() {
        assert!(signed(&request).signature_fits(&key, "POST", "/status", &request.body));
    }
}

#[test]
fn output_that_is_stored_already_is_not_reported_unless_asked_for() {
    for (stored, lines, are_sent) in [
        ("stored", "auto", false),
        ("", "auto", true),
        ("other", "auto", true),
        ("stored", "always", true),
        ("", "never", false),
    ] {
        let server = stores_everything();
        let script = "echo a line; echo ${JOB_OUTPUT:-nothing}";
        let arguments = ["exec", "--lines", lines, "--", "sh", "-c", script];
        let ended = job(&arguments, &server).env("JOB_OUTPUT", stored).run();
        // What is stored here is not to be reported from further inside.
        let inside = match stored {
            _ if are_sent => "stored",
            "" => "nothing",
            as_it_was => as_it_was,
        };
        assert_eq!(ended.out, format!("a line\n{inside}\n"), "{ended:?}");
        let seen = server.seen();
        let count = seen
            .iter()
            .map(|request| read(request).logs.len())
            .sum::<usize>();
        assert_eq!(count, if are_sent { 2 } else { 0 });
    }
}

#[test]
fn under_the_original_nothing_is_announced_and_the_end_is_said() {
    let server = stores_everything();
    let script = "echo a line; exit 2";
    let arguments = ["exec", "--heartbeat", "off", "--", "sh", "-c", script];
    let ended = job(&arguments, &server).env("JOB_ATTEMPT", "").run();
    assert_eq!((ended.code, ended.err.as_str()), (2, ""), "{ended:?}");
    let key = SecretKey::from_text(KEY).unwrap();
    for request in server.seen() {
        assert_eq!(signed(&request).hash_kind(&key), Some(HashKind::Webda));
        assert!(!signed(&request).has_signature());
    }
    let last = read(server.seen().last().unwrap());
    assert_eq!(last.status, Some(Status::Error));
    assert_eq!(
        last.error_message.as_deref(),
        Some("the program exited with code 2")
    );
}

#[test]
fn a_job_that_is_not_wanted_any_more_is_not_started() {
    let stop = r#"{"uuid":"a-1","type":"T","status":"RUNNING","action":"STOP"}"#;
    let over = |code| problem(Problem::new(code, "over").with("action", "STOP"));
    for answer in [
        None,
        Some(Code::AttemptSuperseded),
        Some(Code::AttemptClosed),
    ] {
        let server = server_that_first(move |_| Some(answer.map_or(json(200, stop), over)));
        let ended = job(&[&["exec"], &PROGRAM[..]].concat(), &server).run();
        assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{ended:?}");
        assert!(
            ended.err.contains("nothing was started: the server wants"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn a_hook_that_refuses_is_told_before_anything_is_started() {
    for (answer, code, says) in [
        (Code::BadSignature, 77, "no (bad_signature)"),
        (Code::InvalidField, 1, "no (invalid_field)"),
    ] {
        let server = server_that_first(move |_| Some(problem(Problem::new(answer, "no"))));
        let ended = job(&[&["exec"], &PROGRAM[..]].concat(), &server).run();
        assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{ended:?}");
        let expected = format!("error: nothing was started: the report was refused: {says}\n");
        assert_eq!(ended.err, expected);
    }
    let server = server_that_first(|_| Some(json(200, "<html>")));
    let ended = job(&[&["exec"], &PROGRAM[..]].concat(), &server).run();
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    assert!(ended.err.contains("check the address"), "{}", ended.err);
}

#[test]
fn a_server_that_never_answers_keeps_no_program_from_its_work() {
    let hangs = server_that_first(|_| Some(events("{", Then::Hangs)));
    let arguments = [&["exec", "--flush", "100ms"], &PROGRAM[..]].concat();
    let ended = job(&arguments, &hangs).run();
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "started\n"),
        "{ended:?}"
    );
    assert!(
        ended
            .err
            .starts_with("[jobhook] not everything could be reported: "),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("s3cret"), "{}", ended.err);
}
