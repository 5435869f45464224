//! The cluster that a scenario runs on, with a namespace of its own, and servers that use it.
//!
//! With `JOBHOOK_TEST_CLUSTER=real`, which `./just test-kube` sets, it is the one that `KUBECONFIG`
//! names, and these count:
//!
//! - `JOBHOOK_TEST_IMAGE`: an image that holds `sh`; `busybox` if not set.
//! - `JOBHOOK_TEST_JOB_IMAGE`: one that holds the `jobhook` binary, on its `PATH`.
//! - `JOBHOOK_TEST_HOOK_URL`: the server's address as pods see it, `http://HOST:PORT`. The server
//!   listens on that port, on every address of this machine.
//! - `JOBHOOK_TEST_PYTHON_IMAGE`: one whose `python3` has the wheel `jobhook`; without it the
//!   scenarios in Python are not run.
//! - `JOBHOOK_TEST_POD_PATCH`: JSON that is merged into the specification of every pod. An entry of
//!   its `containers` counts for the container of that name, or without a name for all of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{JOBHOOK, TOKEN_SHA256};
use crate::fake_cluster::FakeCluster;
use crate::real_cluster::RealCluster;
use crate::server::Server;

/// Where a scenario's Jobs are.
pub(crate) struct Cluster {
    side: Side,
    namespace: String,
    dir: TempDir,
}

enum Side {
    Fake(FakeCluster),
    Real(RealCluster),
}

/// What a runner's pods are made from.
pub(crate) struct Pod {
    image: Image,
    command: Vec<String>,
    /// Merged into the specification; with it the runner has a template.
    patch: Value,
    more: String,
}

enum Image {
    WithShell,
    WithJobhook,
    WithWheel,
    Named(String),
}

/// What tells a server of the token that the commands of these tests show.
pub(crate) fn token() -> String {
    format!("[[auth.tokens]]\nname = \"test\"\nscope = \"admin\"\nsha256 = \"{TOKEN_SHA256}\"\n")
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Cluster {
    /// The one that is to be tested on.
    pub(crate) fn open() -> Cluster {
        match variable("JOBHOOK_TEST_CLUSTER").as_deref() {
            Some("real") => {
                let real = RealCluster::open();
                let namespace = real.create_namespace();
                Cluster::of(Side::Real(real), namespace)
            }
            None | Some("fake") => Cluster::fake(FakeCluster::start()),
            Some(other) => panic!("JOBHOOK_TEST_CLUSTER is `{other}`; it may be `real` or `fake`"),
        }
    }

    /// The one that is made for tests.
    pub(crate) fn fake(fake: FakeCluster) -> Cluster {
        fake.create_namespace("jobs");
        Cluster::of(Side::Fake(fake), "jobs".to_owned())
    }

    fn of(side: Side, namespace: String) -> Cluster {
        Cluster {
            side,
            namespace,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The one made for tests, if it is that.
    pub(crate) fn as_fake(&self) -> Option<&FakeCluster> {
        match &self.side {
            Side::Fake(fake) => Some(fake),
            Side::Real(_) => None,
        }
    }

    /// The path of a kubeconfig that leads to it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        match &self.side {
            Side::Fake(fake) => fake.kubeconfig_in(self.dir.path(), &self.namespace),
            Side::Real(real) => real.kubeconfig().to_owned(),
        }
    }

    /// `type = "KubeRunner"` for actions of the type `name`, on this cluster.
    pub(crate) fn runner(&self, name: &str, pod: &Pod) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let image = match &pod.image {
            Image::WithShell => match &self.side {
                Side::Fake(_) => "busybox".to_owned(),
                Side::Real(_) => variable("JOBHOOK_TEST_IMAGE").unwrap_or("busybox".into()),
            },
            Image::WithJobhook => match &self.side {
                Side::Fake(_) => "jobhook".to_owned(),
                Side::Real(_) => variable("JOBHOOK_TEST_JOB_IMAGE").expect(
                    "this scenario speaks to the hook: set JOBHOOK_TEST_JOB_IMAGE to an image that holds `jobhook`",
                ),
            },
            Image::WithWheel => match &self.side {
                Side::Fake(_) => "python".to_owned(),
                Side::Real(_) => variable("JOBHOOK_TEST_PYTHON_IMAGE").expect(
                    "this scenario is in Python: set JOBHOOK_TEST_PYTHON_IMAGE to an image whose `python3` has the wheel `jobhook`",
                ),
            },
            Image::Named(image) => image.clone(),
        };
        let mut text = format!(
            "[runners.{name}]\ntype = \"KubeRunner\"\nactions = [{name}]\nconfig = {}\nnamespace = {}\n",
            quoted(&self.kubeconfig().display().to_string()),
            quoted(&self.namespace),
            name = quoted(name),
        );
        if let Some(url) = self.hook_url() {
            text.push_str(&format!("hook_url = {}\n", quoted(&url)));
        } else if matches!(
            (&pod.image, &self.side),
            (Image::WithJobhook | Image::WithWheel, Side::Real(_))
        ) {
            panic!(
                "this scenario speaks to the hook: set JOBHOOK_TEST_HOOK_URL to the server's address as pods see it"
            );
        }
        text.push_str(&format!("image = {}\n", quoted(&image)));
        if pod.patch.is_null() && self.pod_patch().is_null() {
            text.push_str(&format!("command = {}\n", toml(&json!(pod.command))));
        } else {
            let main = json!({"name": "main", "image": image, "command": pod.command});
            let mut spec = json!({"restartPolicy": "Never", "containers": [main]});
            merge(&mut spec, &pod.patch);
            merge(&mut spec, &self.pod_patch());
            let template = json!({
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {},
                "spec": {"template": {"spec": spec}},
            });
            text.push_str(&format!("template = {}\n", toml(&template)));
        }
        format!("{text}{}\n", pod.more)
    }

    /// The server's address as pods see it, where that is not how we do.
    fn hook_url(&self) -> Option<String> {
        match &self.side {
            Side::Fake(_) => None,
            Side::Real(_) => variable("JOBHOOK_TEST_HOOK_URL"),
        }
    }

    /// What every pod has to have on this cluster.
    fn pod_patch(&self) -> Value {
        let text = match &self.side {
            Side::Fake(_) => None,
            Side::Real(_) => variable("JOBHOOK_TEST_POD_PATCH"),
        };
        let patch =
            text.map(|text| serde_json::from_str(&text).expect("JOBHOOK_TEST_POD_PATCH is JSON"));
        patch.unwrap_or_default()
    }

    /// A runner for actions of the type `T` with this Job as its template.
    pub(crate) fn runner_of(&self, mut template: Value) -> String {
        if let Some(pod) = template.pointer_mut("/spec/template/spec") {
            merge(pod, &self.pod_patch());
        }
        self.runner_with(&toml(&template))
    }

    /// A Job in a file: as it is, unless this cluster asks for more in its pods.
    pub(crate) fn patched_yaml(&self, text: &str) -> String {
        let patch = self.pod_patch();
        if patch.is_null() {
            return text.to_owned();
        }
        let mut job: Value = serde_saphyr::from_str(text).unwrap();
        merge(&mut job["spec"]["template"]["spec"], &patch);
        job.to_string()
    }

    /// The same with what the configuration says for `template`.
    pub(crate) fn runner_with(&self, template: &str) -> String {
        let config = self.runner("T", &Pod::sh("exit"));
        let own = |line: &&str| !line.starts_with("command = ") && !line.starts_with("template = ");
        let lines: Vec<&str> = config.lines().filter(own).collect();
        format!("{}\ntemplate = {template}\n", lines.join("\n"))
    }

    /// A server with these runners.
    pub(crate) fn serve(&self, config: &str) -> Server {
        self.serve_with(config, &[])
    }

    /// The same with more in its environment, until it is started again.
    pub(crate) fn serve_with(&self, config: &str, variables: &[(&str, &str)]) -> Server {
        let listen = match self.hook_url() {
            None => SocketAddr::from(([127, 0, 0, 1], 0)),
            Some(url) => {
                let url: url::Url = url.parse().expect("JOBHOOK_TEST_HOOK_URL is a URL");
                let port = url.port_or_known_default();
                let port = port.expect("JOBHOOK_TEST_HOOK_URL has a port");
                SocketAddr::from(([0, 0, 0, 0], port))
            }
        };
        Server::start_at(listen, &(token() + config), variables)
    }

    /// A server with one runner, whose actions are of the type `T`.
    pub(crate) fn serve_one(&self, pod: &Pod) -> Server {
        self.serve(&self.runner("T", pod))
    }

    /// The objects of a resource in its namespace.
    pub(crate) fn objects(&self, resource: &str) -> Vec<Value> {
        match &self.side {
            Side::Fake(fake) => fake.objects(resource, &self.namespace),
            Side::Real(real) => real.objects(resource, &self.namespace),
        }
    }

    /// Has somebody else delete an object, and what it owns.
    pub(crate) fn delete(&self, resource: &str, name: &str) {
        match &self.side {
            Side::Fake(fake) => fake.delete_object(resource, &self.namespace, name),
            Side::Real(real) => real.delete(resource, &self.namespace, name),
        }
    }

    /// Waits until the objects of a resource are as wanted.
    #[track_caller]
    pub(crate) fn until<T>(
        &self,
        what: &str,
        resource: &str,
        found: impl Fn(&[Value]) -> Option<T>,
    ) -> T {
        match &self.side {
            Side::Fake(fake) => fake.until(what, resource, &self.namespace, found),
            Side::Real(real) => real.until(what, resource, &self.namespace, found),
        }
    }

    /// Waits until the pod of an action is in `phase`; returns it.
    #[track_caller]
    pub(crate) fn pod_of(&self, id: &str, phase: &str) -> Value {
        self.until(&format!("the pod of {id} is {phase}"), "pods", |pods| {
            let found = pods.iter().find(|pod| {
                pod["metadata"]["labels"]["jobhook.dev/action"] == *id
                    && pod["status"]["phase"] == *phase
            });
            found.cloned()
        })
    }

    /// Waits until nothing of a resource is left.
    #[track_caller]
    pub(crate) fn until_none(&self, resource: &str) {
        self.until(&format!("no {resource} are left"), resource, |all| {
            all.is_empty().then_some(())
        });
    }
}

impl Pod {
    /// One that runs a shell script.
    pub(crate) fn sh(script: &str) -> Pod {
        Pod::new(Image::WithShell, &["sh", "-c", script])
    }

    /// One that runs one of our own commands.
    pub(crate) fn jobhook(arguments: &[&str]) -> Pod {
        let program = match variable("JOBHOOK_TEST_CLUSTER").as_deref() {
            Some("real") => "jobhook",
            _ => JOBHOOK,
        };
        Pod::new(Image::WithJobhook, &[&[program], arguments].concat())
    }

    /// One that runs Python with the wheel.
    pub(crate) fn python(script: &str) -> Pod {
        let python = match variable("JOBHOOK_TEST_CLUSTER").as_deref() {
            Some("real") => "python3".to_owned(),
            _ => variable("JOBHOOK_TEST_PYTHON").expect(
                "this scenario is in Python: set JOBHOOK_TEST_PYTHON to a `python3` that has the wheel, as `./just test-python-kube` does",
            ),
        };
        Pod::new(Image::WithWheel, &[&python, "-c", script])
    }

    /// One of another image.
    pub(crate) fn image(image: &str) -> Pod {
        Pod::new(Image::Named(image.to_owned()), &["sh"])
    }

    fn new(image: Image, command: &[&str]) -> Pod {
        Pod {
            image,
            command: command.iter().map(|&part| part.to_owned()).collect(),
            patch: Value::Null,
            more: String::new(),
        }
    }

    /// With more lines of TOML for its runner.
    pub(crate) fn with(mut self, more: &str) -> Pod {
        self.more.push_str(more);
        self.more.push('\n');
        self
    }

    /// From a template, with this merged into its pod's specification.
    pub(crate) fn patched(mut self, patch: Value) -> Pod {
        self.patch = patch;
        self
    }
}

/// Merges `patch` into a pod's specification, or a part of it.
fn merge(known: &mut Value, patch: &Value) {
    match (known.as_object_mut(), patch) {
        (_, Value::Null) => {}
        (Some(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                let field = fields.entry(name).or_insert(Value::Null);
                match (name.as_str(), field.as_array_mut(), change.as_array()) {
                    ("containers", Some(containers), Some(changes)) => {
                        changes
                            .iter()
                            .for_each(|change| merge_container(containers, change));
                    }
                    _ => merge(field, change),
                }
            }
        }
        (_, patch) => *known = patch.clone(),
    }
}

fn merge_container(containers: &mut Vec<Value>, change: &Value) {
    let name = &change["name"];
    let meant = |container: &&mut Value| name.is_null() || container["name"] == *name;
    let mut found = false;
    for container in containers.iter_mut().filter(meant) {
        merge(container, change);
        found = true;
    }
    if !found {
        containers.push(change.clone());
    }
}

/// A value as TOML has it on one line.
fn toml(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{} = {}", Value::from(name.as_str()), toml(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(entries) => {
            let entries: Vec<String> = entries.iter().map(toml).collect();
            format!("[{}]", entries.join(", "))
        }
        // JSON writes texts and numbers as TOML does.
        other => other.to_string(),
    }
}
