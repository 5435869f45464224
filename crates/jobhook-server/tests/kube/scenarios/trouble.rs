//! Pods and Jobs that go away, and namespaces that are not there.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Pod};
use crate::command::text;

fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

#[test]
fn a_pod_that_somebody_deletes_is_missed() {
    let cluster = Cluster::open();
    let server = cluster.serve_one(&Pod::sh("echo up; exec sleep 1000").with("grace = \"1s\""));
    let launched = server.begin(&[]);
    launched.line("up");
    let pod = cluster.pod_of(&launched.id, "Running");
    cluster.delete("pods", name(&pod));
    let ended = launched.end();
    ended.check("ERROR", "deleted", "deleted");
    assert_eq!(ended.lines, ["up"]);
}

#[test]
fn a_job_that_somebody_deletes_is_missed() {
    let cluster = Cluster::open();
    let server = cluster.serve_one(&Pod::sh("echo up; exec sleep 1000").with("grace = \"1s\""));
    let launched = server.begin(&[]);
    launched.line("up");
    let jobs = cluster.objects("jobs");
    cluster.delete("jobs", name(&jobs[0]));
    let ended = launched.end();
    ended.check("ERROR", "deleted", "deleted");
    assert_eq!(ended.lines, ["up"]);
}

#[test]
fn what_failed_through_no_fault_of_its_own_is_tried_again() {
    let cluster = Cluster::open();
    let script = "echo try $JOB_ATTEMPT; [ $JOB_ATTEMPT = 2 ] || exec sleep 1000";
    let server = cluster.serve_one(&Pod::sh(script).with("grace = \"1s\""));
    let launched = server.begin(&["--attempts", "2"]);
    launched.line("try 1");
    let pod = cluster.pod_of(&launched.id, "Running");
    cluster.delete("pods", name(&pod));
    let ended = launched.end();
    ended.succeeded(&["try 1", "try 2"]);
    assert_eq!(ended.attempts(), 2, "{ended:#?}");
}

#[test]
fn a_namespace_that_is_not_there_is_told_in_the_words_of_the_cluster() {
    let cluster = Cluster::open();
    let config = cluster.runner("T", &Pod::sh("exit"));
    let known = format!("namespace = \"{}\"", cluster.namespace());
    let config = config.replace(&known, "namespace = \"jobhook-no-such-namespace\"");
    let server = cluster.serve(&config);
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let message = text(&ended.action, "errorMessage");
    let said = "namespaces \"jobhook-no-such-namespace\" not found";
    assert!(message.contains(said), "{ended:#?}");
}

#[test]
fn what_the_cluster_does_not_take_is_told_in_its_words() {
    let cluster = Cluster::open();
    let wrong = "resources = { requests = { memory = \"2Gi\" }, limits = { memory = \"1Gi\" } }";
    let server = cluster.serve_one(&Pod::sh("exit").with(wrong));
    let ended = server.whole(&["--attempts", "3"]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let message = text(&ended.action, "errorMessage");
    assert!(
        message.contains("must be less than or equal to memory limit"),
        "{ended:#?}"
    );
    assert_eq!(ended.attempts(), 1, "it would be refused again");
}

#[test]
fn a_pod_that_does_not_begin_says_why_where_only_events_tell() {
    let cluster = Cluster::open();
    let pod = Pod::sh("exit").patched(json!({
        "volumes": [{"name": "v", "secret": {"secretName": "not-there"}}],
        "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    }));
    let server = cluster.serve_one(&pod.with("grace = \"1s\""));
    let launched = server.begin(&[]);
    launched.line("\"not-there\" not found");
    launched.cancel();
    assert_eq!(launched.end().action["status"], "CANCELLED");
}

/// A Job of one container, with more in its specification and the annotations of its pod.
fn job(script: &str, container: &str, more: &Value, annotations: &Value) -> Value {
    let image = json!({"name": container, "command": ["sh", "-c", script]});
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"template": {
            "metadata": {"annotations": annotations},
            "spec": {"restartPolicy": "Never", "containers": [image]},
        }},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

#[test]
fn the_deadline_of_a_template_ends_the_job_and_is_told_as_such() {
    let cluster = Cluster::open();
    let more = json!({"activeDeadlineSeconds": 2});
    let job = job("exec sleep 1000", "main", &more, &Value::Null);
    let server = cluster.serve(&cluster.runner_of(job));
    let ended = server.whole(&[]);
    ended.check("ERROR", "deadline_exceeded", "activeDeadlineSeconds");
}

#[test]
fn a_name_that_is_too_long_is_refused_in_the_words_of_the_cluster() {
    let cluster = Cluster::open();
    let job = job("exit", &"n".repeat(64), &Value::Null, &Value::Null);
    let server = cluster.serve(&cluster.runner_of(job));
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let message = text(&ended.action, "errorMessage");
    assert!(message.contains("containers[0].name"), "{ended:#?}");
}

/// The action never ended.
#[test]
fn where_the_container_that_is_named_is_not_there_the_first_is_the_main_one() {
    let cluster = Cluster::open();
    let annotations = json!({"kubectl.kubernetes.io/default-container": "nobody"});
    let job = job("echo ran", "main", &Value::Null, &annotations);
    let server = cluster.serve(&cluster.runner_of(job));
    server.whole(&[]).succeeded(&["ran"]);
}
