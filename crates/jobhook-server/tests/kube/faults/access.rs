//! Clusters that do not let the server in, or not everywhere.

use crate::cluster::{Cluster, Pod};
use crate::command::text;
use crate::fake_cluster::FakeCluster;
use crate::server::Folder;

fn cluster() -> Cluster {
    Cluster::fake(FakeCluster::start())
}

fn fake(cluster: &Cluster) -> &FakeCluster {
    cluster.as_fake().expect("it is the one for tests")
}

#[test]
fn a_right_that_is_missing_is_told_by_check_and_by_the_action() {
    let cluster = cluster();
    fake(&cluster).deny("create", "jobs");
    let config = cluster.runner("T", &Pod::sh("exit"));
    let checked = Folder::new(&config).run(&["check"]);
    let said = format!("{}{}", checked.out, checked.err);
    assert_ne!(checked.code, Some(0), "{said}");
    assert!(said.contains("create") && said.contains("jobs"), "{said}");
    let server = cluster.serve(&config);
    let ended = server.whole(&[]);
    assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
    let message = text(&ended.action, "errorMessage");
    assert!(
        message.contains("cannot create resource \"jobs\""),
        "{message}"
    );
}

#[test]
fn a_token_that_is_not_good_any_more_is_told() {
    let cluster = cluster();
    let config = cluster.runner("T", &Pod::sh("exit"));
    fake(&cluster).renew_token();
    let checked = Folder::new(&config).run(&["check"]);
    let said = format!("{}{}", checked.out, checked.err);
    assert_ne!(checked.code, Some(0), "{said}");
    assert!(
        said.contains("401") || said.contains("Unauthorized"),
        "{said}"
    );
}

#[test]
fn a_kubeconfig_that_leads_nowhere_is_told_with_its_path() {
    let cluster = cluster();
    let config = cluster.runner("T", &Pod::sh("exit"));
    let path = cluster.kubeconfig().display().to_string();
    let check = |config: &str, words: &[&str]| {
        let checked = Folder::new(config).run(&["check"]);
        let said = format!("{}{}", checked.out, checked.err);
        assert_ne!(checked.code, Some(0), "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    };
    check(
        &config.replace(&path, "/no/such/kubeconfig"),
        &["/no/such/kubeconfig"],
    );
    check(
        &format!("{config}context = \"nowhere\"\n"),
        &["nowhere", "fake"],
    );
    std::fs::write(&path, "clusters: {[\n").unwrap();
    check(&config, &[&path]);
}

#[test]
fn a_server_whose_token_is_refused_for_a_while_misses_nothing() {
    let cluster = cluster();
    let script = "echo up; while [ ! -e go ]; do sleep 0.05; done; echo on; exit 3";
    let server = cluster.serve_one(&Pod::sh(script));
    let launched = server.begin(&[]);
    launched.line("up");
    let pod = cluster.pod_of(&launched.id, "Running");
    let token = fake(&cluster).token();
    fake(&cluster).renew_token();
    fake(&cluster).cut_connections();
    let waiting = server.begin(&[]);
    fake(&cluster).until_requests("it is refused", |requests| {
        let refused = requests.iter().filter(|request| request.code == Some(401));
        (refused.count() > 2).then_some(())
    });
    fake(&cluster).leave_file(&pod, "main", "go");
    fake(&cluster).pod_in(cluster.namespace(), "Failed");
    fake(&cluster).accept_token(&token);
    let ended = launched.end();
    ended.check("ERROR", "exit_code", "code 3");
    assert_eq!(ended.lines, ["up", "on"]);
    let second = cluster.pod_of(&waiting.id, "Running");
    fake(&cluster).leave_file(&second, "main", "go");
    waiting.end().check("ERROR", "exit_code", "code 3");
}
