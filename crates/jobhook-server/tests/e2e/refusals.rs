//! What a server and its commands refuse, with what message and exit code.

use std::fs;
use std::net::TcpListener;

use serde_json::json;

use crate::client::Connection;
use crate::command::{Ended, JOBHOOK, finish, shell, text};
use crate::server::{Folder, Server};

/// The words of a refusal: everything on standard error, with `@` for the folder.
fn refusal(folder: &Folder, args: &[&str], code: i32) -> String {
    let ended = folder.run(args);
    let said = ended.err.replace(&*folder.path("").to_string_lossy(), "@/");
    assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
    said.trim_end().to_owned()
}

/// Neither a server starts nor does a check succeed; both say the same.
#[track_caller]
pub(crate) fn check(folder: &Folder, args: &[&str], code: i32, expected: &str) {
    let serve = [&["serve"], args].concat();
    assert_eq!(refusal(folder, &serve, code), expected);
    let check = [&["check"], args].concat();
    assert_eq!(refusal(folder, &check, code), expected, "by check");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
    let folder = Folder::new("[server]\n\nlistn = \"127.0.0.1:0\"\n");
    check(
        &folder,
        &[],
        64,
        "error: jobhook.toml:3:1: unknown key `listn` in [server]; did you mean `listen`?",
    );
}

#[test]
fn a_runner_without_a_command_is_refused() {
    let folder = Folder::new("[runners.a]\ntype = \"LocalRunner\"\n");
    check(
        &folder,
        &[],
        64,
        "error: jobhook.toml:1:1: runners.a: the runner has no command; it needs one, as in command = \"sh\"",
    );
}

#[test]
fn two_runners_of_one_name_are_refused() {
    let one = shell("a", "true", "");
    let folder = Folder::new(&format!("{one}{one}"));
    check(
        &folder,
        &[],
        64,
        "error: jobhook.toml:7:10: two runners are named `a`; each needs a name of its own",
    );
}

#[test]
fn two_schedules_of_one_name_are_refused() {
    for (text, says) in [
        (
            "[schedules.nightly]\ncron = \"@daily\"\ntype = \"A\"\n[schedules.nightly]\n",
            "4:12: two schedules are named `nightly`; each needs a name of its own",
        ),
        (
            "[schedules]\nnightly = { cron = \"@daily\", type = \"A\" }\n\
             nightly = { cron = \"@hourly\", type = \"A\" }\n",
            "3:1: `nightly` is set twice",
        ),
    ] {
        let expected = format!("error: jobhook.toml:{says}");
        check(&Folder::new(text), &[], 64, &expected);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let folder = Folder::new("");
    let said = refusal(&folder, &["serve", "--listen", &address], 70);
    assert_eq!(
        said,
        format!(
            "error: {address} cannot be listened on: another program listens there; \
             choose another with --listen: Address already in use (os error 98)"
        )
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let folder = Folder::new("");
    fs::write(folder.path("file"), "").unwrap();
    let below = folder.path("file/data");
    check(
        &folder,
        &["--data-dir", below.to_str().unwrap()],
        70,
        "error: the data directory @/file/data cannot be used: it must be writable for this user; \
         choose another with --data-dir: Not a directory (os error 20)",
    );
    // Here only an attempt tells, and a check makes none.
    let said = refusal(&folder, &["serve", "--data-dir", "/proc/none"], 70);
    assert_eq!(
        said,
        "error: the data directory /proc/none cannot be used: it must be writable for this user; \
         choose another with --data-dir: No such file or directory (os error 2)"
    );
}

#[test]
fn a_check_leaves_no_data_directory_behind() {
    let folder = Folder::new("");
    let ended = folder.run(&["check", "--data-dir", "some/where"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!folder.path("some").exists());
}

#[test]
fn a_second_server_on_one_data_directory_is_refused_and_the_first_goes_on() {
    let server = Server::start(&shell("T", "true", ""));
    let said = refusal(&server.folder, &["serve", "--listen", "127.0.0.1:0"], 70);
    assert_eq!(
        said,
        format!(
            "error: the data directory @/data is in use by another server (process {}); \
             stop that one, or choose another with --data-dir",
            server.pid()
        )
    );
    assert_eq!(server.outcome("T", &[])["status"], "SUCCESS");
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let mut server = Server::start(&shell("T", "true", ""));
    server.outcome("T", &[]);
    assert_eq!(server.stop().code(), Some(0));
    let script = "
import sqlite3
database = sqlite3.connect('data/jobhook.db')
print(database.execute(\"SELECT value FROM meta WHERE key = 'schema'\").fetchone()[0], end='')
database.execute(\"UPDATE meta SET value = '9' WHERE key = 'schema'\")
database.commit()
";
    let ended = finish(
        server
            .folder
            .command("/usr/bin/env", &["python3", "-c", script]),
        "",
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let known = ended.out;
    let before = fs::read(server.folder.path("data/jobhook.db")).unwrap();
    check(
        &server.folder,
        &[],
        70,
        &format!(
            "error: the database `@/data/jobhook.db` has schema version 9, which a newer jobhook \
             made; this one knows versions up to {known}"
        ),
    );
    assert_eq!(
        fs::read(server.folder.path("data/jobhook.db")).unwrap(),
        before
    );
}

#[test]
fn a_server_that_others_can_reach_needs_a_token() {
    let mut server = Server::start("");
    assert_eq!(server.stop().code(), Some(0));
    let folder = &server.folder;
    fs::write(
        folder.path("jobhook.toml"),
        "[server]\nlisten = \"0.0.0.0:0\"\n",
    )
    .unwrap();
    check(
        folder,
        &[],
        70,
        "error: 0.0.0.0:0 can be reached from other machines, and without tokens anybody there could run \
         commands: create one with `jobhook token create NAME --scope admin`, or listen on 127.0.0.1",
    );
    let said = refusal(folder, &["serve", "--listen", "[::]:0"], 70);
    assert!(said.starts_with("error: [::]:0 can be reached"), "{said}");

    let created = folder.run(&["token", "create", "ops", "--scope", "admin"]);
    assert_eq!(created.code, Some(0), "{created:?}");
    assert_eq!(folder.run(&["check"]).code, Some(0));
    server.listen_at(([0, 0, 0, 0], 0).into());
    server.start_again();
    assert_eq!(server.get("/api/v1/actions").0, 401);
    let token = format!("Bearer {}", created.out.trim_end());
    let (status, list) = server.get_with("/api/v1/actions", &[("Authorization", &token)]);
    assert_eq!((status, list), (200, json!({"actions": []})));
}

#[test]
fn tokens_count_at_once_and_are_worthless_once_revoked() {
    let server = Server::start(&shell("T", "true", ""));
    let create = |name: &str, scope: &str| {
        let ended = server
            .folder
            .run(&["token", "create", name, "--scope", scope]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out.trim_end().to_owned()
    };
    let (read, launch) = (create("reader", "read"), create("launcher", "launch"));
    let run = |token: &str, args: &[&str]| {
        let mut command = server.command(args);
        command.env("JOBHOOK_TOKEN", token);
        finish(command, "")
    };
    let denied = |ended: Ended| {
        assert_eq!(ended.code, Some(77), "{ended:?}");
        ended.err
    };
    let said = denied(server.run(&["list"]));
    assert!(said.contains("unauthenticated"), "{said}");
    assert_eq!(run(&read, &["list"]).code, Some(0));
    let said = denied(run(&read, &["launch", "T"]));
    assert!(said.contains("this needs the scope `launch`"), "{said}");
    assert_eq!(run(&launch, &["launch", "T", "--wait"]).code, Some(0));

    let list = server.folder.run(&["token", "list"]);
    let lines: Vec<&str> = list.out.lines().collect();
    assert_eq!(lines.len(), 2, "{list:?}");
    for (name, scope) in [("reader", "read"), ("launcher", "launch")] {
        let line = lines.iter().find(|line| line.ends_with(name));
        assert!(line.is_some_and(|line| line.starts_with(scope)), "{list:?}");
    }
    assert!(!list.out.contains(&launch) && !list.out.contains(&read));

    assert_eq!(
        server.folder.run(&["token", "revoke", "launcher"]).code,
        Some(0)
    );
    denied(run(&launch, &["list"]));
    let again = server.folder.run(&["token", "revoke", "launcher"]);
    assert_eq!(again.code, Some(70));
    assert_eq!(again.err, "error: there is no token called `launcher`\n");
    let twice = server
        .folder
        .run(&["token", "create", "reader", "--scope", "admin"]);
    assert_ne!(twice.code, Some(0), "{twice:?}");
}

#[test]
fn a_log_filter_that_is_none_is_refused() {
    let folder = Folder::new("");
    for command in ["serve", "check"] {
        let mut command = folder.command(JOBHOOK, &[command]);
        command.env("JOBHOOK_LOG", "jobhook=loud");
        let ended = finish(command, "");
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert_eq!(
            ended.err,
            "error: JOBHOOK_LOG: `jobhook=loud` is no log filter: error parsing level filter: \
             expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5\n"
        );
    }
}

#[test]
fn a_type_that_no_runner_handles_ends_as_an_error_that_names_those_they_do() {
    let server = Server::start(&(shell("A", "true", "") + &shell("B", "true", "")));
    let action = server.outcome("C", &[]);
    assert_eq!(action["status"], "ERROR");
    assert_eq!(action["errorName"], "no_runner");
    assert_eq!(
        text(&action, "errorMessage"),
        "no runner takes the type `C`: the configured runners take `A`, `B`; add it to the `actions` of one"
    );
    assert_eq!(action["closed"], true);
}

#[test]
fn arguments_that_are_no_json_are_refused_before_anything_is_sent() {
    let server = Server::start(&shell("T", "true", ""));
    for (arguments, expected) in [
        (
            "{\"path\": }",
            "error: --arguments is not JSON: expected value at line 1 column 10",
        ),
        (
            "text",
            "error: --arguments is not JSON: expected ident at line 1 column 2; \
             a text needs quotes of its own, as in '\"text\"'",
        ),
    ] {
        let ended = server.run(&["launch", "T", "--arguments", arguments]);
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert_eq!(ended.err.trim_end(), expected);
    }
    assert_eq!(server.get("/api/v1/actions").1, json!({"actions": []}));

    let body = "{\"type\": \"T\", \"arguments\": {]}";
    let request = format!(
        "POST /api/v1/actions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, answer) = Connection::open(server.address()).ask(request.as_bytes());
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["code"], "malformed_body", "{answer}");
}

#[test]
fn a_server_that_is_not_there_is_told_with_its_own_exit_code() {
    let folder = Folder::new("");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    for args in [&["list"][..], &["launch", "T", "--wait"]] {
        let mut command = folder.command(JOBHOOK, args);
        command.env("JOBHOOK_URL", format!("http://{address}"));
        let ended = finish(command, "");
        assert_eq!(ended.code, Some(69), "{ended:?}");
    }
}

#[test]
fn an_expression_that_never_fires_is_refused() {
    let folder = Folder::new("[housekeeping]\nprune = \"0 0 30 2 *\"\n");
    check(
        &folder,
        &[],
        64,
        "error: jobhook.toml:2:9: housekeeping.prune: `0 0 30 2 *` never fires: no date matches its day and month",
    );
}
