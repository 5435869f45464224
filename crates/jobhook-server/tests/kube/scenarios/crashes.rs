//! A server that is killed between every two steps of a launch.

#![cfg(feature = "crash-points")]

use crate::cluster::{Cluster, Pod};

/// Where it dies: before the Secret, before the Job, before the Secret has its owner, and before
/// the store knows of any of it.
const STEPS: [&str; 4] = [
    "kube.before-secret",
    "kube.after-secret",
    "kube.after-job",
    "kube.after-owner",
];

#[test]
fn wherever_the_server_dies_while_it_launches_exactly_one_job_exists_and_the_action_ends_rightly() {
    for step in STEPS {
        let cluster = Cluster::open();
        // It waits until the server is there again, so that the Job is seen while it runs.
        let config = cluster.runner("T", &Pod::sh("echo ran; sleep 2; exit 3"));
        let mut server = cluster.serve_with(&config, &[("JOBHOOK_CRASH_AT", step)]);
        // The launch is acknowledged or not: the server may die before it has answered.
        server.run(&["launch", "T"]);
        server.wait();
        server.start_again();
        let listed = server.run(&["list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
        let actions = listed["actions"].as_array().unwrap();
        assert_eq!(actions.len(), 1, "{step}: {listed}");
        let id = actions[0]["uuid"].as_str().unwrap();
        let ended = server.known(id).end();
        ended.check("ERROR", "exit_code", "exited with code 3");
        assert_eq!(ended.lines, ["ran"], "{step}");
        assert_eq!(ended.attempts(), 1, "{step}");
        let jobs = cluster.objects("jobs");
        assert_eq!(jobs.len(), 1, "{step}: {jobs:?}");
        let job = &jobs[0]["metadata"];
        let secrets = cluster.until("the Secret belongs to the Job", "secrets", |secrets| {
            let of_job = |secret: &&serde_json::Value| secret["metadata"]["name"] == job["name"];
            let secrets: Vec<_> = secrets.iter().filter(of_job).cloned().collect();
            secrets
                .iter()
                .all(|secret| secret["metadata"]["ownerReferences"][0]["uid"] == job["uid"])
                .then_some(secrets)
        });
        assert!(secrets.len() <= 1, "{step}: {secrets:?}");
    }
}
