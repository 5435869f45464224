//! Nodes that throw pods out, and nodes that are lost.

use crate::cluster::{Cluster, Pod};
use crate::fake_cluster::FakeCluster;

fn cluster() -> Cluster {
    Cluster::fake(FakeCluster::start())
}

fn fake(cluster: &Cluster) -> &FakeCluster {
    cluster.as_fake().expect("it is the one for tests")
}

#[test]
fn a_pod_that_is_evicted_failed_through_no_fault_of_its_own_and_is_tried_again() {
    let cluster = cluster();
    let script = "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ] || exec sleep 1000";
    let server = cluster.serve_one(&Pod::sh(script));
    let launched = server.begin(&["--attempts", "2"]);
    launched.line("try 1");
    let pod = cluster.pod_of(&launched.id, "Running");
    fake(&cluster).evict(&pod);
    let ended = launched.end();
    ended.succeeded(&["try 1", "try 2"]);
    let first = ended.action["history"][0].to_string();
    assert!(
        first.contains("evicted") && first.contains("low on resource: memory"),
        "{first}"
    );
}

#[test]
fn a_lost_node_is_waited_for_and_the_end_is_told_when_it_is_back() {
    let cluster = cluster();
    let server = cluster.serve_one(&Pod::sh("echo up; sleep 1; echo on; exit 3"));
    let launched = server.begin(&[]);
    launched.line("up");
    fake(&cluster).lose_node();
    launched.line("node");
    fake(&cluster).return_node();
    let ended = launched.end();
    ended.check("ERROR", "exit_code", "code 3");
    assert_eq!(ended.lines, ["up", "on"]);
}

#[test]
fn a_lost_node_ends_the_attempt_at_once_where_it_is_not_to_be_waited_for() {
    let cluster = cluster();
    let script = "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ] || exec sleep 1000";
    let pod = Pod::sh(script).with("on_node_lost = \"retry\"");
    let server = cluster.serve_one(&pod);
    let launched = server.begin(&["--attempts", "2"]);
    launched.line("try 1");
    fake(&cluster).lose_node();
    fake(&cluster).taint_lost_pods();
    // The next one waits for a node.
    cluster.until("the second try is there", "jobs", |jobs| {
        let second = jobs
            .iter()
            .find(|job| job["metadata"]["labels"]["jobhook.dev/attempt"] == "2");
        second.map(drop)
    });
    fake(&cluster).return_node();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "SUCCESS", "{ended:#?}");
    let first = ended.action["history"][0].to_string();
    assert!(first.contains("node_lost"), "{first}");
}
