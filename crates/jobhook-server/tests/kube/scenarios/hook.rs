//! Jobs that speak to the hook, from inside their pods.

use serde_json::json;

use crate::cluster::{Cluster, Pod};
use crate::server::Server;

/// A server whose actions run one of our own commands.
fn serve(cluster: &Cluster, arguments: &[&str]) -> Server {
    cluster.serve_one(&Pod::jobhook(arguments))
}

#[test]
fn a_report_from_inside_a_pod_arrives() {
    let cluster = Cluster::open();
    let results = json!({"answer": 42}).to_string();
    let report = [
        "report",
        "--progress",
        "40",
        "--message",
        "nearly",
        "--results",
        &results,
        "--status",
        "success",
    ];
    let ended = serve(&cluster, &report).whole(&[]);
    ended.succeeded(&[]);
    let action = &ended.action;
    assert_eq!(action["results"]["answer"], 42, "{action}");
    let details = json!({"progress": 40, "message": "nearly"});
    assert_eq!(action["statusDetails"], details, "{action}");
    assert_eq!(action["witness"]["said"], "SUCCESS", "{action}");
}

#[test]
fn a_line_from_inside_a_pod_arrives_once() {
    let cluster = Cluster::open();
    let ended = serve(&cluster, &["log", "told"]).whole(&[]);
    ended.succeeded(&["told"]);
}

#[test]
fn lines_arrive_once_whichever_way_they_are_to_take() {
    let cluster = Cluster::open();
    let run = ["exec", "--", "sh", "-c", "echo printed"];
    for way in ["pod", "hook", "both"] {
        let pod = Pod::jobhook(&run).with(&format!("logs = \"{way}\""));
        let ended = cluster.serve_one(&pod).whole(&[]);
        ended.succeeded(&["printed"]);
    }
}

#[test]
fn what_a_pod_prints_is_stored_unless_only_the_hook_counts() {
    let cluster = Cluster::open();
    for (way, lines) in [
        ("pod", &["printed"][..]),
        ("hook", &[]),
        ("both", &["printed"]),
    ] {
        let pod = Pod::sh("echo printed").with(&format!("logs = \"{way}\""));
        cluster.serve_one(&pod).whole(&[]).succeeded(lines);
    }
}

#[test]
fn a_file_from_inside_a_pod_arrives_whole() {
    let cluster = Cluster::open();
    // Every container has one.
    let server = serve(&cluster, &["upload", "/etc/hosts", "--name", "hosts.txt"]);
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "SUCCESS", "{ended:#?}");
    let id = ended.action["uuid"].as_str().unwrap();
    let came = server.run(&["files", id, "--download", "."]);
    assert_eq!(came.code, Some(0), "{came:?}");
    let path = came.out.lines().next().unwrap();
    let hosts = std::fs::read_to_string(server.folder.path(path)).unwrap();
    assert!(hosts.contains("localhost"), "{hosts}");
}

#[test]
fn a_file_gets_into_a_pod_and_what_is_not_there_is_an_error() {
    let cluster = Cluster::open();
    let server = serve(&cluster, &["download", "0", "--out", "."]);
    std::fs::write(server.folder.path("words.txt"), "a b a\n").unwrap();
    let ended = server.whole(&["--file", "words.txt"]);
    assert_eq!(ended.action["status"], "SUCCESS", "{ended:#?}");
    assert!(ended.lines[0].ends_with("words.txt"), "{ended:#?}");
    let without = server.whole(&[]);
    without.check("ERROR", "exit_code", "exited with code 1");
}
