//! How an action ends, by what its containers do.

use serde_json::json;

use crate::cluster::{Cluster, Pod};

#[test]
fn a_pod_that_ends_well_is_a_success_with_all_that_it_wrote() {
    let cluster = Cluster::open();
    let server = cluster.serve_one(&Pod::sh("echo one; echo two >&2; sleep 1; printf three"));
    let ended = server.whole(&[]);
    let mut lines = ended.lines.clone();
    // Two streams of one container are not in any order.
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"], "{ended:#?}");
    assert_eq!(ended.action["status"], "SUCCESS", "{ended:#?}");
    assert_eq!(ended.attempts(), 1);
}

#[test]
fn an_exit_code_is_told() {
    let cluster = Cluster::open();
    let server = cluster.serve_one(&Pod::sh("echo said; exit 3"));
    let ended = server.whole(&[]);
    ended.check("ERROR", "exit_code", "exited with code 3");
    assert_eq!(ended.lines, ["said"]);
}

#[test]
fn an_exit_code_that_shells_use_for_a_signal_is_explained() {
    let cluster = Cluster::open();
    let server = cluster.serve_one(&Pod::sh("sleep 1000 & kill -KILL $!; wait $!; exit $?"));
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let saw = ended.action["witness"]["saw"].as_str().unwrap();
    assert!(saw.contains("137") && saw.contains("SIGKILL"), "{saw}");
}

#[test]
fn a_pod_that_takes_too_much_memory_is_told_so_with_its_limit() {
    let cluster = Cluster::open();
    let script = if cluster.as_fake().is_some() {
        "echo hungry; exec sleep 1000"
    } else {
        "echo hungry; exec tail /dev/zero"
    };
    let limits = "resources = { limits = { memory = \"32Mi\" } }";
    let server = cluster.serve_one(&Pod::sh(script).with(limits));
    let launched = server.begin(&[]);
    if let Some(fake) = cluster.as_fake() {
        let pod = cluster.pod_of(&launched.id, "Running");
        launched.line("hungry");
        fake.out_of_memory(&pod, "main");
    }
    let ended = launched.end();
    ended.check("ERROR", "out_of_memory", "32Mi");
    assert_eq!(ended.lines, ["hungry"]);
}

#[test]
fn ten_thousand_lines_are_there_once_and_in_their_order() {
    let cluster = Cluster::open();
    let script = "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); echo line $i; done";
    let server = cluster.serve_one(&Pod::sh(script));
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "SUCCESS", "{}", ended.action);
    let wanted = (1..=10_000).map(|number| format!("line {number}"));
    assert!(
        ended
            .lines
            .iter()
            .map(String::as_str)
            .eq(wanted.collect::<Vec<_>>().iter().map(String::as_str))
    );
}

#[test]
fn a_sidecar_that_never_ends_does_not_keep_the_action() {
    let cluster = Cluster::open();
    let sidecar = json!({
        "name": "helper",
        "image": "${image}",
        "command": ["sh", "-c", "while :; do sleep 1; done"],
    });
    let pod = Pod::sh("echo done; exit 4").patched(json!({"containers": [sidecar]}));
    let server = cluster.serve_one(&pod);
    let ended = server.whole(&[]);
    ended.check("ERROR", "exit_code", "exited with code 4");
    assert_eq!(ended.lines, ["done"]);
    // What is left of the pod is ended, too.
    cluster.until("the pod ends", "pods", |pods| {
        let runs = |pod: &&serde_json::Value| {
            pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        };
        pods.iter().find(runs).is_none().then_some(())
    });
}

#[test]
fn an_image_that_is_not_there_ends_the_action_and_is_named() {
    let cluster = Cluster::open();
    let image = "localhost:1/missing/image:1";
    let server = cluster.serve_one(&Pod::image(image).with("image_pull_deadline = \"3s\""));
    let ended = server.whole(&[]);
    ended.check("ERROR", "image_pull", image);
}

#[test]
fn a_pod_that_no_node_takes_says_why_while_it_waits() {
    let cluster = Cluster::open();
    let nowhere = "node_selector = { \"jobhook.dev/no-such-node\" = \"true\" }";
    let server = cluster.serve_one(&Pod::sh("exit").with(nowhere));
    let launched = server.begin(&[]);
    launched.line("node affinity/selector");
    launched.cancel();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "CANCELLED", "{ended:#?}");
    cluster.until_none("pods");
}

#[test]
fn a_program_that_is_not_in_the_image_is_named() {
    let cluster = Cluster::open();
    let main = json!({"name": "main", "command": ["/no/such/program"]});
    let server = cluster.serve_one(&Pod::sh("").patched(json!({"containers": [main]})));
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let saw = ended.action["witness"]["saw"].as_str().unwrap();
    assert!(saw.contains("/no/such/program"), "{saw}");
}

#[test]
fn arguments_and_values_arrive_as_they_are_whatever_is_in_them() {
    let cluster = Cluster::open();
    let script = "printf '%s|' \"$0\" \"$VALUE\"";
    let hard = "a\"b'c: [d]\n- e: {f} $(JOB_ID) ${JOB_ID}";
    let pod = Pod::sh(script).with("env = { VALUE = \"${arguments.text}\" }");
    // A template, so that the text meets YAML, too.
    let patch = json!({"containers": [{"name": "main", "command": ["sh", "-c", script, "${arguments.text}"]}]});
    let server = cluster.serve_one(&pod.patched(patch));
    let arguments = json!({"text": hard}).to_string();
    let ended = server.whole(&["--arguments", &arguments]);
    let wanted = format!("{hard}|{hard}|");
    let wanted: Vec<&str> = wanted.lines().collect();
    ended.succeeded(&wanted);
}
