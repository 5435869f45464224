//! Launches that are repeated, and what they find in their place by then.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Pod};
use crate::command::text;
use crate::fake_cluster::{FakeCluster, Fault, Request};
use crate::server::Server;

/// An action whose Job could not be created for now, and what it is to be.
fn put_off(cluster: &Cluster, script: &str, first: Fault) -> (Server, String, Value) {
    let fake = cluster.as_fake().expect("it is the one for tests");
    let server = cluster.serve_one(&Pod::sh(script));
    fake.fail("create", "jobs", 1, first);
    fake.fail("create", "jobs", usize::MAX, Fault::unavailable());
    let id = server.begin(&[]).id;
    let job = fake.until_requests("it is tried twice", |requests| {
        let mut tries = requests.iter().filter(|request| is_creation(request));
        tries.nth(1).map(|request| request.body.clone())
    });
    (server, id, job)
}

fn is_creation(request: &Request) -> bool {
    (request.verb, request.resource.as_str()) == ("create", "jobs")
}

#[test]
fn a_job_of_somebody_else_by_that_name_refuses_the_launch_and_is_left_alone() {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let (server, id, mut job) = put_off(&cluster, "exit", Fault::unavailable());
    job["metadata"]["annotations"] = Value::Null;
    fake.create_object("jobs", "jobs", job);
    fake.heal();
    let ended = server.known(&id).end();
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let message = text(&ended.action, "errorMessage");
    assert!(message.contains("not of this attempt"), "{message}");
    assert_eq!(cluster.objects("jobs").len(), 1, "it is not ours to delete");
    let none: [Value; 0] = [];
    assert_eq!(cluster.objects("secrets"), none, "no key is left behind");
}

#[test]
fn a_job_of_its_own_that_is_being_deleted_is_never_launched_again() {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let (server, id, job) = put_off(&cluster, "exec sleep 1000", Fault::CutAfter);
    let name = text(&job, "/metadata/name");
    let hold = |finalizers: Value| {
        fake.change_object("jobs", "jobs", name, |job| {
            job["metadata"]["finalizers"] = finalizers;
        });
    };
    hold(json!(["example.com/hold"]));
    fake.delete_object("jobs", "jobs", name);
    fake.heal();
    fake.until_requests("its name is found taken", |requests| {
        let met = |request: &&Request| is_creation(request) && request.code == Some(409);
        requests.iter().find(met).map(drop)
    });
    hold(json!([]));
    let ended = server.known(&id).end();
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    assert_eq!(ended.action["errorName"], "deleted", "{ended:#?}");
    assert_eq!(ended.attempts(), 1, "{ended:#?}");
    cluster.until_none("jobs");
}

/// The running Job was deleted.
#[test]
fn a_quota_that_the_job_itself_has_used_up_does_not_undo_its_launch() {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let server = cluster.serve_one(&Pod::sh("echo ran"));
    fake.fail("create", "jobs", 1, Fault::CutAfter);
    fake.fail("create", "jobs", 1, Fault::quota("jobs", "j"));
    server.whole(&[]).succeeded(&["ran"]);
    assert_eq!(cluster.objects("jobs").len(), 1);
    assert_eq!(cluster.objects("pods").len(), 1);
}

#[test]
fn a_finished_job_is_gone_after_its_time_to_live_and_the_action_stays() {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let mut server = cluster.serve_one(&Pod::sh("echo ran"));
    let ended = server.whole(&[]);
    let jobs = cluster.objects("jobs");
    let day = Duration::from_secs(24 * 60 * 60).as_secs();
    assert_eq!(
        jobs[0]["spec"]["ttlSecondsAfterFinished"], day,
        "{}",
        jobs[0]
    );
    // Nobody waits for a day here.
    let name = text(&jobs[0], "/metadata/name");
    fake.change_object("jobs", "jobs", name, |job| {
        job["spec"]["ttlSecondsAfterFinished"] = 0.into();
    });
    for resource in ["jobs", "pods", "secrets"] {
        cluster.until_none(resource);
    }
    server.kill();
    server.start_again();
    let again = server.known(text(&ended.action, "uuid")).end();
    again.succeeded(&["ran"]);
    assert_eq!(again.attempts(), 1, "{again:#?}");
}
