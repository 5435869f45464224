//! Actions that are ended before they end by themselves.

use crate::cluster::{Cluster, Pod};

#[test]
fn a_cancelled_action_ends_in_its_own_way_and_its_last_words_are_kept() {
    let cluster = Cluster::open();
    let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.2; done";
    let server = cluster.serve_one(&Pod::sh(script));
    let launched = server.begin(&[]);
    launched.line("up");
    launched.cancel();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "CANCELLED", "{ended:#?}");
    assert_eq!(ended.lines, ["up", "bye"], "{ended:#?}");
    cluster.until_none("pods");
}

#[test]
fn a_cancelled_action_that_does_not_listen_is_killed_after_its_grace() {
    let cluster = Cluster::open();
    let script = "trap '' TERM; echo deaf; while :; do sleep 0.2; done";
    let server = cluster.serve_one(&Pod::sh(script).with("grace = \"2s\""));
    let launched = server.begin(&[]);
    launched.line("deaf");
    launched.cancel();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "CANCELLED", "{ended:#?}");
    cluster.until_none("pods");
}

#[test]
fn an_action_whose_time_is_over_is_ended() {
    let cluster = Cluster::open();
    let pod = Pod::sh("echo up; while :; do sleep 0.2; done").with("grace = \"1s\"");
    let server = cluster.serve_one(&pod);
    let ended = server.whole(&["--timeout", "3s"]);
    assert_eq!(ended.action["status"], "TIMEOUT", "{ended:#?}");
    cluster.until_none("pods");
}
