//! The lane for real clusters, `./just test-kube`, on the cluster of these tests: as far as it is
//! reached over the network alone.

use std::path::Path;
use std::process::Command;

use crate::command::JOBHOOK;
use crate::fake_cluster::FakeCluster;

/// What is run: enough for each thing that the lane is told by its environment.
const SCENARIOS: [&str; 4] = [
    "scenarios::hook::",
    "scenarios::shapes::",
    "scenarios::outcomes::an_image_that_is_not_there_ends_the_action_and_is_named",
    "scenarios::restarts::a_pod_that_ends_while_no_server_is_there_is_told_by_the_next",
];

#[test]
fn the_lane_for_real_clusters_works_on_the_one_for_tests() {
    let programs = Path::new(JOBHOOK).parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "lane::a_cluster_and_its_lane",
            "--ignored",
            "--nocapture",
        ])
        // Of its containers, too: `jobhook` is in the image.
        .env("PATH", path)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "only makes sense as the process that another test starts"]
fn a_cluster_and_its_lane() {
    let cluster = FakeCluster::start();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = cluster.kubeconfig_in(folder.path(), "default");
    // Free a moment ago; a server waits for it if it is not any more.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let hook_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let patch = r#"{"hostNetwork": true, "containers": [{"imagePullPolicy": "Never"}]}"#;
    let status = Command::new(std::env::current_exe().unwrap())
        .args(SCENARIOS)
        .args(["--test-threads", "1"])
        .envs([
            ("JOBHOOK_TEST_CLUSTER", "real"),
            ("JOBHOOK_TEST_IMAGE", "image/with-sh:1"),
            ("JOBHOOK_TEST_JOB_IMAGE", "image/with-jobhook:1"),
            ("JOBHOOK_TEST_HOOK_URL", &hook_url),
            ("JOBHOOK_TEST_POD_PATCH", patch),
        ])
        .env("KUBECONFIG", kubeconfig)
        .status()
        .unwrap();
    assert!(status.success());
    let requests = cluster.requests();
    let jobs: Vec<_> = requests
        .iter()
        .filter(|request| (request.verb, request.resource.as_str()) == ("create", "jobs"))
        .collect();
    assert!(!jobs.is_empty());
    for request in jobs {
        let pod = &request.body["spec"]["template"]["spec"];
        assert_eq!(pod["hostNetwork"], true, "{}", request.body);
        let container = &pod["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Never", "{}", request.body);
        assert_ne!(
            request.namespace, "default",
            "each has a namespace of its own"
        );
    }
    cluster.until("no namespace is left", "namespaces", "", |all| {
        let of_test = |namespace: &&serde_json::Value| {
            namespace["metadata"]["labels"]["jobhook.dev/test"] == "true"
        };
        all.iter().find(of_test).is_none().then_some(())
    });
}
