//! What a server that starts finds in the cluster, and what of it it removes.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Pod};
use crate::command::text;
use crate::fake_cluster::FakeCluster;
use crate::processes::until;

/// A Job that looks like one of ours.
fn job(name: &str, installation: &str, action: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {
            "app.kubernetes.io/managed-by": "jobhook",
            "jobhook.dev/installation": installation,
            "jobhook.dev/action": action,
            "jobhook.dev/attempt": "1",
        }},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [
            {"name": "main", "image": "busybox", "command": ["sleep", "1000"]},
        ]}}},
    })
}

#[test]
fn only_what_is_ours_and_of_no_use_any_more_is_removed() {
    let cluster = Cluster::fake(FakeCluster::start());
    let fake = cluster.as_fake().expect("it is the one for tests");
    let mut server = cluster.serve_one(&Pod::sh("exit 0"));
    let kept = server.whole(&[]);
    let stuck = server.whole(&[]);
    server.kill();
    let jobs = cluster.objects("jobs");
    let of = |ended: &crate::follow::Ended| {
        let id = text(&ended.action, "uuid");
        let found = jobs
            .iter()
            .find(|job| job["metadata"]["labels"]["jobhook.dev/action"] == *id);
        text(found.expect("it has a Job"), "/metadata/name").to_owned()
    };
    let installation = text(&jobs[0]["metadata"]["labels"], "jobhook.dev/installation").to_owned();
    // Of an action that is final, and yet the cluster takes its Job for unfinished.
    fake.change_object("jobs", "jobs", &of(&stuck), |job| job["status"] = json!({}));
    let unknown = "01998f3e-5d5e-7cc0-8000-2f6d6f0a0b0c";
    for (name, installation) in [
        ("of-no-action", installation.as_str()),
        ("of-another", "another"),
    ] {
        fake.create_object("jobs", "jobs", job(name, installation, unknown));
        let labels = job(name, installation, unknown)["metadata"].clone();
        fake.create_object("secrets", "jobs", json!({"metadata": labels, "data": {}}));
    }
    server.start_again();
    let names = |resource: &str| -> Vec<String> {
        let all = cluster.objects(resource);
        all.iter()
            .map(|object| text(object, "/metadata/name").to_owned())
            .collect()
    };
    until("the stuck Job is gone", || {
        !names("jobs").contains(&of(&stuck))
    });
    until("and its Secret", || !names("secrets").contains(&of(&stuck)));
    until("what is not known is told", || {
        server.stderr().contains("does not know")
    });
    let mut wanted = [of(&kept), "of-another".into(), "of-no-action".into()];
    wanted.sort();
    for resource in ["jobs", "secrets"] {
        let mut left = names(resource);
        left.sort();
        assert_eq!(left, wanted, "{resource}");
    }
}
