//! A server that is asked to stop, and what stays behind.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::client::End;
use crate::command::{JOBHOOK, finish};
use crate::job::{Job, TELLING};
use crate::processes::{carriers, is_alive, until};
use crate::server::Server;

#[test]
fn a_server_that_is_asked_to_stop_ends_and_its_jobs_go_on_until_the_next_takes_them_up() {
    let mut server = Server::start(TELLING);
    let (first, second) = (
        server.launch(&json!({"type": "Tell"})),
        server.launch(&json!({"type": "Tell"})),
    );
    Job::of(&server, &first, 1);
    Job::of(&server, &second, 1);
    let jobs = [carriers(&first), carriers(&second)].concat();
    let ended = server.stop();
    assert_eq!(ended.code(), Some(0), "{}", server.stderr());
    assert!(jobs.iter().any(|pid| is_alive(*pid)), "{jobs:?}");
    assert!(!carriers(&first).is_empty() && !carriers(&second).is_empty());

    // One ends while no server is there.
    std::fs::write(server.folder.path(&format!("go-{first}-1")), "6").unwrap();
    until("it ends", || carriers(&first).is_empty());
    server.start_again();
    let End { action, .. } = server.end_of(&first);
    assert_eq!(action["witness"]["saw"], "the program exited with code 6");
    Job::of(&server, &second, 1).exit(0);
    let End { action, .. } = server.end_of(&second);
    assert_eq!(action["status"], "SUCCESS", "{action}");
    assert_eq!(action["history"].as_array().map(Vec::len), Some(1));
    let ran = std::fs::read_to_string(server.folder.path("ran")).unwrap();
    assert_eq!(ran.lines().count(), 2);
}

#[test]
fn a_server_that_is_asked_to_stop_does_not_wait_for_those_who_follow_a_log() {
    let mut server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell"}));
    Job::of(&server, &id, 1);
    let mut events = server.events(&id, 0);
    // It streams, and has nothing more to say.
    events.next().unwrap();
    assert_eq!(server.stop().code(), Some(0));
    assert!(events.all(|event| event.name != "end"));
}

#[test]
fn an_idle_supervisor_whose_data_directory_is_deleted_ends_quietly() {
    let server = Server::start(TELLING);
    let dir = server.folder.path("other");
    std::fs::create_dir(&dir).unwrap();
    let path = dir.to_str().unwrap();
    let mut command = server
        .folder
        .command(JOBHOOK, &["__jobhook-supervisor", "stay", path, "300"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(kill(pid, None::<Signal>), Ok(()));
    let ended = crate::command::ended(child);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!dir.exists());
    // It never was in the way of others.
    assert_eq!(finish(server.command(&["list"]), "").code, Some(0));
}
