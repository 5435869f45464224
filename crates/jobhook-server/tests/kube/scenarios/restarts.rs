//! Servers that are killed while pods run.

use crate::cluster::{Cluster, Pod};

/// Writes numbered lines until somebody has it end.
const COUNTS: &str =
    "i=0; trap 'echo last $i; exit 0' TERM; while :; do i=$((i+1)); echo line $i; sleep 0.05; done";

#[test]
fn a_pod_outlives_its_server_again_and_again_and_each_line_is_there_once() {
    let cluster = Cluster::open();
    let mut server = cluster.serve_one(&Pod::sh(COUNTS));
    let id = server.begin(&[]).id;
    for round in 1..=3 {
        server.known(&id).line(&format!("line {}", round * 20));
        server.kill();
        server.start_again();
    }
    server.known(&id).line("line 80");
    server.known(&id).cancel();
    let ended = server.known(&id).end();
    assert_eq!(ended.action["status"], "CANCELLED", "{}", ended.action);
    assert_eq!(ended.attempts(), 1, "{}", ended.action);
    let count = ended.lines.len() - 1;
    let mut wanted: Vec<String> = (1..=count).map(|number| format!("line {number}")).collect();
    wanted.push(format!("last {count}"));
    assert_eq!(ended.lines, wanted);
}

#[test]
fn a_pod_that_ends_while_no_server_is_there_is_told_by_the_next() {
    let cluster = Cluster::open();
    let mut server = cluster.serve_one(&Pod::sh("echo one; sleep 3; echo two; exit 5"));
    let id = server.begin(&[]).id;
    server.known(&id).line("one");
    server.kill();
    cluster.pod_of(&id, "Failed");
    server.start_again();
    let ended = server.known(&id).end();
    ended.check("ERROR", "exit_code", "exited with code 5");
    assert_eq!(
        (
            ended.lines,
            ended.action["history"].as_array().map(Vec::len)
        ),
        (vec!["one".into(), "two".into()], Some(1))
    );
}

#[test]
fn a_pod_that_is_deleted_while_no_server_is_there_is_missed_by_the_next() {
    let cluster = Cluster::open();
    let pod = Pod::sh("echo up; exec sleep 1000").with("grace = \"1s\"");
    let mut server = cluster.serve_one(&pod);
    let id = server.begin(&[]).id;
    server.known(&id).line("up");
    server.kill();
    let jobs = cluster.objects("jobs");
    cluster.delete("jobs", jobs[0]["metadata"]["name"].as_str().unwrap());
    cluster.until_none("pods");
    server.start_again();
    let ended = server.known(&id).end();
    ended.check("ERROR", "deleted", "");
    assert_eq!(ended.lines, ["up"]);
}
