//! Watching an action with our own commands, to its end, through restarts of the server.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::command::{Ended, ended, shell, text};
use crate::server::Server;

/// A program that writes a line whenever the test asks for the next, and ends when it asks for
/// no more.
const STEPPING: &str = r#"
i=0
until [ -e end ]; do
  i=$((i+1))
  echo line $i
  until [ -e go-$i ] || [ -e end ]; do sleep 0.02; done
done
exit 7
"#;

fn start(server: &Server, args: &[&str]) -> Child {
    let mut command = server.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Reads `source` up to a line with `wanted` in it.
fn read_until(source: &mut impl BufRead, wanted: &str) -> String {
    let mut read = String::new();
    while !read.contains(wanted) {
        assert!(source.read_line(&mut read).unwrap() > 0, "{read}");
    }
    read
}

/// The lines of the program in what was shown, without their times.
fn shown(text: &str) -> Vec<&str> {
    let lines = text.lines().filter_map(|line| line.split_once("stdout "));
    lines.map(|(_, text)| text).collect()
}

#[test]
fn the_exit_code_of_a_launch_that_waits_is_the_actions() {
    let config = [
        shell("Good", "exit 0", ""),
        shell("Bad", "exit 9", ""),
        shell("Long", "echo ready; exec sleep 1000", ""),
    ]
    .concat();
    let server = Server::start(&config);
    for (args, code, status) in [
        (&["launch", "Good", "--wait"][..], 0, "SUCCESS"),
        (&["launch", "Bad", "--wait"], 1, "ERROR"),
        (
            &["launch", "Long", "--wait", "--timeout", "200ms"],
            2,
            "TIMEOUT",
        ),
        (&["launch", "Nobody", "--wait"], 1, "ERROR"),
    ] {
        let ended = server.run(args);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        // On standard output stands the id, and nothing else.
        assert_eq!(
            server.action(ended.out.trim_end())["status"],
            status,
            "{ended:?}"
        );
    }

    let mut waiting = start(&server, &["launch", "Long", "--wait"]);
    let mut out = BufReader::new(waiting.stdout.take().unwrap());
    let id = read_until(&mut out, "\n");
    server.line(id.trim_end(), "ready");
    assert_eq!(server.run(&["cancel", id.trim_end()]).code, Some(0));
    let ended = ended(waiting);
    assert_eq!(ended.code, Some(3), "{ended:?}");
}

#[test]
fn a_launch_that_waits_with_json_prints_the_action_that_the_api_shows() {
    let server = Server::start(&shell("T", "echo out; exit 4", ""));
    let ended = server.run(&["launch", "T", "--wait", "--json", "--arguments", "[1]"]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(1), ""), "{ended:?}");
    let printed: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(printed, server.action(text(&printed, "uuid")));
    assert_eq!(printed["arguments"], json!([1]));
}

#[test]
fn followers_see_every_line_once_though_the_server_is_killed_under_them() {
    let mut server = Server::start(&shell("Step", STEPPING, ""));
    let mut launch = start(&server, &["launch", "Step", "--follow"]);
    let mut launch_err = BufReader::new(launch.stderr.take().unwrap());
    let id = read_until(&mut BufReader::new(launch.stdout.take().unwrap()), "\n");
    let id = id.trim_end();
    let mut launch_saw = read_until(&mut launch_err, "line 1");
    let mut logs = start(&server, &["logs", "-f", id]);
    let mut logs_out = BufReader::new(logs.stdout.take().unwrap());
    let mut logs_saw = read_until(&mut logs_out, "line 1");
    for round in 1..=3 {
        server.kill();
        // Once while it is away, once after it is back.
        std::fs::write(server.folder.path(&format!("go-{}", 2 * round - 1)), "").unwrap();
        server.start_again();
        std::fs::write(server.folder.path(&format!("go-{}", 2 * round)), "").unwrap();
        let last = format!("line {}", 2 * round + 1);
        launch_saw += &read_until(&mut launch_err, &last);
        logs_saw += &read_until(&mut logs_out, &last);
    }
    std::fs::write(server.folder.path("end"), "").unwrap();
    launch_err.read_to_string(&mut launch_saw).unwrap();
    logs_out.read_to_string(&mut logs_saw).unwrap();
    let ends = [launch, logs].map(ended);
    for (Ended { code, err, .. }, saw) in ends.iter().zip([&launch_saw, &logs_saw]) {
        assert_eq!(*code, Some(1), "{saw}\n{err}");
        let expected: Vec<String> = (1..=7).map(|number| format!("line {number}")).collect();
        assert_eq!(shown(saw), expected, "{saw}");
    }
}
