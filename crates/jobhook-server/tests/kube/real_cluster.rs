//! A real cluster, as `KUBECONFIG` leads to it; `./just test-kube` runs the scenarios on it.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::kube::api::{ApiResource, DynamicObject};
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::runtime::{WatchStreamExt, watcher};
use ::kube::{Api, Client, Config};
use futures_util::{Stream, StreamExt};
use hyper_util::client::proxy::matcher::Matcher;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A real cluster takes its time: images are pulled, and pods scheduled, for real.
const PATIENCE: Duration = Duration::from_secs(150);

/// On each namespace of a test: what is left of a run that was ended is found by it.
const LABEL: &str = "jobhook.dev/test";

/// A connection, and the namespace that is gone with it.
pub(crate) struct RealCluster {
    runtime: Runtime,
    client: Client,
    kubeconfig: PathBuf,
    namespace: std::sync::OnceLock<String>,
}

/// The API group of a resource.
fn group(resource: &str) -> &'static str {
    match resource {
        "jobs" | "cronjobs" => "batch",
        _ => "",
    }
}

/// Where the objects of a resource are.
fn path(resource: &str, namespace: &str) -> String {
    let api = match group(resource) {
        "" => "api/v1".to_owned(),
        group => format!("apis/{group}/v1"),
    };
    format!("/{api}/namespaces/{namespace}/{resource}")
}

/// Whether the environment has no proxy stand before the cluster.
fn is_direct(cluster: &http::Uri) -> bool {
    let host = cluster.host().unwrap_or_default();
    let is_here = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    is_here || Matcher::from_env().intercept(cluster).is_none()
}

impl RealCluster {
    pub(crate) fn open() -> RealCluster {
        let path = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty());
        let path = PathBuf::from(path.expect("KUBECONFIG names the cluster to test on"));
        // The servers under test start elsewhere.
        let kubeconfig = std::path::absolute(path).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let known = Kubeconfig::read_from(&kubeconfig).unwrap();
            let names_a_proxy = known.clusters.iter().any(|known| {
                let cluster = known.cluster.as_ref();
                cluster.is_some_and(|cluster| cluster.proxy_url.is_some())
            });
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(known, &options).await;
            let mut config = config.unwrap();
            // It holds NO_PROXY against the proxy; the servers under test do better.
            if !names_a_proxy && is_direct(&config.cluster_url) {
                config.proxy_url = None;
            }
            Client::try_from(config).unwrap()
        });
        RealCluster {
            runtime,
            client,
            kubeconfig,
            namespace: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, ::kube::Error> {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        self.runtime.block_on(self.client.request(request))
    }

    /// Creates one that is deleted when this is dropped.
    pub(crate) fn create_namespace(&self) -> String {
        let name = format!("jobhook-test-{}", uuid::Uuid::now_v7());
        let object = json!({"metadata": {"name": name, "labels": {LABEL: "true"}}});
        self.ask("POST", "/api/v1/namespaces", &object).unwrap();
        let _ = self.namespace.set(name.clone());
        self.until(
            "it has a service account",
            "serviceaccounts",
            &name,
            |all| {
                let named = |account: &&Value| account["metadata"]["name"] == "default";
                all.iter().find(named).map(drop)
            },
        );
        name
    }

    fn delete_namespace(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{name}");
        match self.ask("DELETE", &path, &Value::Null) {
            Ok(_) => {}
            Err(::kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            // Also while a test fails; the lane looks for what is left in the end.
            Err(error) => drop(writeln!(
                std::io::stderr(),
                "namespace {name} is left: {error}"
            )),
        }
    }

    /// Deletes every namespace of a test.
    pub(crate) fn sweep(&self) {
        let path = format!("/api/v1/namespaces?labelSelector={LABEL}");
        let all = self.ask("GET", &path, &Value::Null).unwrap();
        let items = all["items"].as_array().into_iter().flatten();
        for name in items.filter_map(|item| item["metadata"]["name"].as_str()) {
            self.delete_namespace(name);
        }
    }

    pub(crate) fn objects(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let all = self.ask("GET", &path(resource, namespace), &Value::Null);
        match all.unwrap()["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        }
    }

    pub(crate) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        let path = format!("{}/{name}", path(resource, namespace));
        let options = json!({"propagationPolicy": "Background"});
        self.ask("DELETE", &path, &options).unwrap();
    }

    #[track_caller]
    pub(crate) fn until<T>(
        &self,
        what: &str,
        resource: &str,
        namespace: &str,
        found: impl Fn(&[Value]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut changes = std::pin::pin!(self.changes(resource, namespace));
        loop {
            if let Some(found) = found(&self.objects(resource, namespace)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let change = async { tokio::time::timeout(left, changes.next()).await };
            assert!(self.runtime.block_on(change).is_ok(), "never: {what}");
        }
    }

    /// Tells that there may be a change: also what is there at first, and that it cannot be told for now.
    fn changes(&self, resource: &str, namespace: &str) -> impl Stream<Item = ()> + use<> {
        let group = group(resource);
        let resource = ApiResource {
            group: group.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{group}/v1").trim_start_matches('/').to_owned(),
            // Only paths are made of it, and those have the plural.
            kind: resource.to_owned(),
            plural: resource.to_owned(),
        };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let events = watcher(api, watcher::Config::default()).default_backoff();
        events.map(drop)
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        if let Some(name) = self.namespace.get() {
            self.delete_namespace(name);
        }
    }
}
