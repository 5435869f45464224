//! Requests that are refused, slow, or break off.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Pod};
use crate::command::text;
use crate::fake_cluster::{FakeCluster, Fault};

fn cluster() -> Cluster {
    Cluster::fake(FakeCluster::start())
}

fn fake(cluster: &Cluster) -> &FakeCluster {
    cluster.as_fake().expect("it is the one for tests")
}

#[test]
fn a_launch_that_is_put_off_is_repeated_when_the_server_said_and_not_before() {
    let cluster = cluster();
    let server = cluster.serve_one(&Pod::sh("echo ran"));
    fake(&cluster).fail("create", "jobs", 1, Fault::too_many(2));
    server.whole(&[]).succeeded(&["ran"]);
    let requests = fake(&cluster).requests();
    let creates: Vec<_> = requests
        .iter()
        .filter(|request| (request.verb, request.resource.as_str()) == ("create", "jobs"))
        .collect();
    assert_eq!(creates.len(), 2);
    assert!(creates[1].at - creates[0].at >= Duration::from_secs(2));
}

#[test]
fn a_launch_goes_on_through_errors_slow_answers_and_cut_connections() {
    for fault in [
        Fault::internal(),
        Fault::unavailable(),
        Fault::conflict("secrets", "any"),
        Fault::Slow(Duration::from_secs(1)),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::CutBody(10),
    ] {
        let cluster = cluster();
        let server = cluster.serve_one(&Pod::sh("echo ran"));
        for (verb, resource) in [
            ("create", "secrets"),
            ("create", "jobs"),
            ("patch", "secrets"),
        ] {
            fake(&cluster).fail(verb, resource, 1, fault.clone());
        }
        let ended = server.whole(&[]);
        assert_eq!(ended.lines, ["ran"], "{fault:?}: {ended:#?}");
        assert_eq!(ended.action["status"], "SUCCESS", "{fault:?}");
        assert_eq!(cluster.objects("jobs").len(), 1, "{fault:?}");
        assert_eq!(cluster.objects("pods").len(), 1, "{fault:?}");
    }
}

#[test]
fn a_stop_goes_on_though_its_deletions_are_put_off() {
    for fault in [
        Fault::too_many(1),
        Fault::internal(),
        Fault::CutBefore,
        Fault::CutAfter,
    ] {
        let cluster = cluster();
        let pod = Pod::sh("echo up; exec sleep 1000").with("grace = \"1s\"");
        let server = cluster.serve_one(&pod);
        let launched = server.begin(&[]);
        launched.line("up");
        for resource in ["jobs", "pods"] {
            fake(&cluster).fail("delete", resource, 2, fault.clone());
        }
        launched.cancel();
        let ended = launched.end();
        assert_eq!(ended.action["status"], "CANCELLED", "{fault:?}: {ended:#?}");
        for resource in ["jobs", "pods", "secrets"] {
            cluster.until_none(resource);
        }
    }
}

#[test]
fn a_restart_goes_on_with_its_jobs_though_its_lists_are_put_off() {
    let cluster = cluster();
    let script = "echo up; while [ ! -e go ]; do sleep 0.05; done; echo done";
    let mut server = cluster.serve_one(&Pod::sh(script));
    let id = server.begin(&[]).id;
    server.known(&id).line("up");
    let pod = cluster.pod_of(&id, "Running");
    server.kill();
    for fault in [Fault::too_many(1), Fault::internal(), Fault::CutBody(40)] {
        fake(&cluster).fail("list", "*", 2, fault);
    }
    server.start_again();
    fake(&cluster).leave_file(&pod, "main", "go");
    server.known(&id).end().succeeded(&["up", "done"]);
    assert_eq!(cluster.objects("jobs").len(), 1);
}

#[test]
fn a_quota_that_is_used_up_is_told_in_the_words_of_the_cluster() {
    let cluster = cluster();
    let server = cluster.serve_one(&Pod::sh("echo ran"));
    fake(&cluster).fail("create", "jobs", 100, Fault::quota("jobs", "j"));
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let message = text(&ended.action, "errorMessage");
    assert!(message.contains("exceeded quota: small"), "{message}");
    assert_eq!(
        cluster.objects("secrets"),
        [] as [Value; 0],
        "no key is left behind"
    );
}

#[test]
fn a_job_whose_pod_is_refused_says_why_while_it_waits() {
    let cluster = cluster();
    let server = cluster.serve_one(&Pod::sh("echo ran"));
    fake(&cluster).fail("create", "pods", usize::MAX, Fault::quota("pods", "p"));
    let launched = server.begin(&[]);
    launched.line("exceeded quota: small");
    fake(&cluster).heal();
    launched.end().succeeded(&["ran"]);
}

#[test]
fn a_watch_that_expires_or_breaks_off_misses_nothing() {
    let cluster = cluster();
    let server = cluster.serve_one(&Pod::sh("echo ran; exit 3"));
    let watched = |requests: &[crate::fake_cluster::Request]| {
        let open = requests
            .iter()
            .filter(|request| request.verb == "watch" && request.open);
        (open.count() > 0).then_some(())
    };
    server.whole(&[]).check("ERROR", "exit_code", "code 3");
    for round in 0..4 {
        fake(&cluster).until_requests("it watches", watched);
        let launched = server.begin(&[]);
        match round % 2 {
            0 => fake(&cluster).expire_watches(),
            _ => fake(&cluster).cut_connections(),
        }
        launched.end().check("ERROR", "exit_code", "code 3");
    }
}

#[test]
fn a_log_that_breaks_off_again_and_again_has_each_line_once() {
    let cluster = cluster();
    let script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo a$i; echo b$i; sleep 0.01; done";
    let server = cluster.serve_one(&Pod::sh(script));
    let launched = server.begin(&[]);
    for step in 1..=5 {
        launched.line(&format!("b{}", step * 50));
        fake(&cluster).cut_connections();
    }
    let ended = launched.end();
    assert_eq!(ended.action["status"], "SUCCESS", "{}", ended.action);
    let wanted: Vec<String> = (1..=300)
        .flat_map(|number| [format!("a{number}"), format!("b{number}")])
        .collect();
    assert_eq!(ended.lines, wanted);
}

/// It kept the action RUNNING for ever.
#[test]
fn a_log_whose_connection_dies_without_a_word_is_read_again_once_its_container_has_ended() {
    let cluster = cluster();
    let server = cluster.serve_one(&Pod::sh("echo first; echo second"));
    fake(&cluster).fail("get", "pods/log", 1, Fault::Silence(0));
    server.whole(&[]).succeeded(&["first", "second"]);
}

/// The pod's end was told as a deletion by somebody.
#[test]
fn why_a_job_ends_its_pod_is_asked_for_where_only_the_pod_was_seen_to_go() {
    let cluster = cluster();
    fake(&cluster).fail("watch", "jobs", usize::MAX, Fault::Silence(0));
    let pod = json!({"name": "main", "command": ["sh", "-c", "echo up; exec sleep 1000"]});
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "activeDeadlineSeconds": 2,
            "template": {"spec": {"restartPolicy": "Never", "containers": [pod]}},
        },
    });
    let server = cluster.serve(&cluster.runner_of(job));
    let ended = server.whole(&[]);
    ended.check("ERROR", "deadline_exceeded", "activeDeadlineSeconds");
    assert_eq!(ended.lines, ["up"]);
}

#[test]
fn a_stretch_of_a_log_that_the_cluster_threw_away_is_marked() {
    let cluster = cluster();
    let mut server = cluster.serve_one(&Pod::sh(
        "echo first; while [ ! -e go ]; do sleep 0.05; done; i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo gone $i; done; echo kept; exec sleep 1000",
    ).with("grace = \"1s\""));
    let id = server.begin(&[]).id;
    server.known(&id).line("first");
    let pod = cluster.pod_of(&id, "Running");
    server.kill();
    fake(&cluster).leave_file(&pod, "main", "go");
    let deadline = Instant::now() + Duration::from_secs(60);
    while fake(&cluster).lines_written(&pod, "main") < 52 {
        assert!(Instant::now() < deadline, "it writes on");
        std::thread::yield_now();
    }
    fake(&cluster).rotate_log(&pod, "main", 1);
    server.start_again();
    server.known(&id).line("kept");
    server.known(&id).cancel();
    let ended = server.known(&id).end();
    assert_eq!(ended.lines, ["first", "kept"], "{ended:#?}");
    let marked = ended.remarks.iter().any(|remark| {
        remark.contains("missing") || remark.contains("rotated") || remark.contains("gap")
    });
    assert!(marked, "{ended:#?}");
}

/// Nothing was said of the lines that were gone.
#[test]
fn a_log_of_which_nothing_is_left_is_told_as_lost() {
    let cluster = cluster();
    let script = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo second";
    let mut server = cluster.serve_one(&Pod::sh(script));
    let id = server.begin(&[]).id;
    server.known(&id).line("first");
    let pod = cluster.pod_of(&id, "Running");
    server.kill();
    fake(&cluster).leave_file(&pod, "main", "go");
    cluster.pod_of(&id, "Succeeded");
    fake(&cluster).rotate_log(&pod, "main", 0);
    server.start_again();
    let ended = server.known(&id).end();
    ended.succeeded(&["first"]);
    let told = ended
        .remarks
        .iter()
        .filter(|remark| remark.contains("rotated the log away"));
    assert_eq!(told.count(), 1, "{ended:#?}");
}

/// It was put off for ever, since the server could not know that nothing was there to stop.
#[cfg(feature = "crash-points")]
#[test]
fn what_an_earlier_server_did_not_launch_can_be_cancelled_while_nothing_can_be_launched() {
    let cluster = cluster();
    let config = cluster.runner("T", &Pod::sh("echo ran"));
    let mut server = cluster.serve_with(&config, &[("JOBHOOK_CRASH_AT", "kube.before-secret")]);
    server.run(&["launch", "T"]);
    server.wait();
    fake(&cluster).fail("create", "secrets", usize::MAX, Fault::unavailable());
    server.start_again();
    fake(&cluster).until_requests("it is tried", |requests| {
        let failed = |request: &&crate::fake_cluster::Request| {
            (request.verb, request.code) == ("create", Some(503))
        };
        requests.iter().find(failed).map(drop)
    });
    let listed = server.run(&["list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    let launched = server.known(listed["actions"][0]["uuid"].as_str().unwrap());
    launched.cancel();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "CANCELLED", "{ended:#?}");
    assert!(cluster.objects("jobs").is_empty());
}
