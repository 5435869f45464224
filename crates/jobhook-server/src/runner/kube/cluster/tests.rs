use super::*;
use crate::config::{Config, RunnerKind, Surroundings};

fn config(text: &str) -> config::KubeRunner {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[runners.k]\ntype = \"KubeRunner\"\nimage = \"a\"\n{text}");
    std::fs::write(directory.path().join("jobhook.toml"), text).unwrap();
    let surroundings = Surroundings::new(directory.path(), []);
    let config = Config::load(None, &surroundings).unwrap();
    match config.runners.into_iter().next().unwrap().kind {
        RunnerKind::Kube(runner) => *runner,
        other => panic!("{other:?}"),
    }
}

const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:1"}}
users:
- {name: u, user: {token: s3cret-token}}
- {name: at-keyboard, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: Always}}}
- {name: old, user: {auth-provider: {name: oidc, config: {}}}}
contexts:
- {name: one, context: {cluster: c, user: u, namespace: jobs}}
- {name: asks, context: {cluster: c, user: at-keyboard}}
- {name: old, context: {cluster: c, user: old}}
- {name: dangling, context: {cluster: nowhere, user: u}}
"#;

async fn connect(kubeconfig: &str, keys: &str) -> Result<Cluster, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("kube.yaml"), kubeconfig).unwrap();
    let config = config(&format!("config = \"kube.yaml\"\n{keys}"));
    let cluster = Cluster::configured(&config, directory.path()).await;
    cluster.map_err(|error| error.to_string())
}

#[track_caller]
fn check(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("s3cret-token"), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_says_where_to_and_the_runner_may_say_otherwise() {
    let cluster = connect(KUBECONFIG, "").await.unwrap();
    assert_eq!(
        (cluster.address.as_str(), cluster.namespace.as_str()),
        ("http://127.0.0.1:1/", "jobs")
    );
    let cluster = connect(KUBECONFIG, "namespace = \"others\"\n")
        .await
        .unwrap();
    assert_eq!(cluster.namespace, "others");
}

#[tokio::test]
async fn a_kubeconfig_may_stand_in_the_configuration() {
    let inline = config(&format!("config = '''{KUBECONFIG}'''\n"));
    let cluster = Cluster::configured(&inline, Path::new("/")).await.unwrap();
    assert_eq!(cluster.namespace, "jobs");
    let table = config(
        "[runners.k.config]\ncurrent-context = \"x\"\nclusters = [{ name = \"c\", cluster = { server = \"http://127.0.0.1:2\" } }]\n\
         users = []\ncontexts = [{ name = \"x\", context = { cluster = \"c\" } }]\n",
    );
    let cluster = Cluster::configured(&table, Path::new("/")).await.unwrap();
    assert_eq!(
        (cluster.address.as_str(), cluster.namespace.as_str()),
        ("http://127.0.0.1:2/", "default")
    );
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_is_named() {
    let config = config("config = \"nope.yaml\"\n");
    let error = Cluster::configured(&config, Path::new("/etc"))
        .await
        .unwrap_err();
    check(&error.to_string(), &["/etc/nope.yaml", "cannot be read"]);
}

#[tokio::test]
async fn a_malformed_kubeconfig_is_refused_without_showing_it() {
    check(
        &connect("users: [{name: u, user: {token: s3cret-token", "")
            .await
            .unwrap_err(),
        &["malformed", "line "],
    );
    check(
        &connect("users: s3cret-token\n", "").await.unwrap_err(),
        &["malformed"],
    );
}

#[tokio::test]
async fn a_context_that_is_not_there_is_told_with_those_that_are() {
    let error = connect(KUBECONFIG, "context = \"two\"\n")
        .await
        .unwrap_err();
    check(&error, &["no context `two`", "`one`, `asks`"]);
    let error = connect(&KUBECONFIG.replace("current-context: one", ""), "")
        .await
        .unwrap_err();
    check(&error, &["no current context"]);
    let error = connect(KUBECONFIG, "context = \"dangling\"\n")
        .await
        .unwrap_err();
    check(&error, &["kube.yaml", "nowhere"]);
}

#[tokio::test]
async fn who_would_have_to_sit_at_a_keyboard_is_refused() {
    let error = connect(KUBECONFIG, "context = \"asks\"\n")
        .await
        .unwrap_err();
    check(&error, &["`at-keyboard`", "interactiveMode: Never"]);
    let error = connect(KUBECONFIG, "context = \"old\"\n")
        .await
        .unwrap_err();
    check(&error, &["`old`", "the provider `oidc`"]);
}
