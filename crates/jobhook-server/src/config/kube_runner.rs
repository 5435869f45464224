//! `type = "KubeRunner"`: each job is a Kubernetes Job.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::measure::read_a_duration;
use super::read::{Fault, read};
use super::runner::{
    OWN, fault, hundred, jobhook, read_actions, read_args, read_env, starts_something, ten_seconds,
    thirty_seconds, yes,
};
use super::section::{Signature, read_public_url};
use super::tree::{self, Node};

/// The shortest time that a finished Job is kept: a server that was away so long can still read
/// how its jobs ended.
const LEAST_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// `type = "KubeRunner"`: each job is a Kubernetes Job.
///
/// In the texts of `template`, `command`, `args`, `env` and `image` these are replaced, in the parsed
/// document and never in its text: `${serviceName}` (the runner's name), `${image}`, `${JOB_ID}`,
/// `${JOB_ATTEMPT}`, `${JOB_HOOK}`, `${JOB_ORCHESTRATOR}`, `${arguments.NAME}`, `${arguments.0}`,
/// `${config_dir}`, `${env.NAME}`, and, with `plain_env` only, `${JOB_SECRET_KEY}`. One that is not
/// known, or has no value, refuses the launch, and is named.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubeRunner {
    /// The action types it takes. Default: every type that no runner before it takes.
    #[serde(default, deserialize_with = "read_actions")]
    pub actions: Option<Vec<String>>,
    /// How many of its jobs may run at once. Webda's name is `concurrencyLimit`.
    /// Default: 100.
    #[serde(default = "hundred", alias = "concurrencyLimit")]
    pub concurrency: u32,
    /// How long a pod that is asked to end has before it is killed; whole seconds. Default: `"10s"`.
    #[serde(default = "ten_seconds", deserialize_with = "read_a_duration")]
    pub grace: Duration,
    /// How long a job may live on after it said `SUCCESS` or `ERROR`. Default: `"30s"`.
    #[serde(default = "thirty_seconds", deserialize_with = "read_a_duration")]
    pub linger: Duration,
    /// Whether an exit code of 0 is a success where the job itself said nothing. Webda's
    /// name is `autoStatus`. Default: `true`.
    #[serde(default = "yes", alias = "autoStatus")]
    pub auto_status: bool,
    /// Which of its jobs' requests are taken, `"any"` or `"v1"`. Default: as in `[hook]`.
    #[serde(default)]
    pub signature: Option<Signature>,
    /// What the job finds in `JOB_ORCHESTRATOR`. Default: `"jobhook"`.
    #[serde(default = "jobhook")]
    pub orchestrator: String,
    /// The cluster: a kubeconfig, as a path or inline, as text or as a table. Default: `KUBECONFIG`,
    /// else `~/.kube/config`, else the cluster that the server itself runs in.
    #[serde(default)]
    pub config: Option<KubeconfigSource>,
    /// The context of the kubeconfig. Default: its current one.
    #[serde(default)]
    pub context: Option<String>,
    /// The namespace of the Jobs; it must exist. Default: that of the context, or the server's own.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The image of the job. Webda's name is `jobImage`. Needed unless a `template` names one.
    #[serde(default, alias = "jobImage")]
    pub image: Option<String>,
    /// The Job to create, as a path to a YAML or JSON file, or inline. Webda's names are
    /// `jobResources` and `resource`. Default: one container that runs `image`.
    #[serde(default, alias = "jobResources", alias = "resource")]
    pub template: Option<Value>,
    /// The container's command, instead of the image's. Not beside a `template`.
    #[serde(default, deserialize_with = "read_some_args")]
    pub command: Option<Vec<String>>,
    /// The container's arguments, instead of the image's. Not beside a `template`.
    #[serde(default, deserialize_with = "read_some_args")]
    pub args: Option<Vec<String>>,
    /// Variables of every container, beside those of the job. Default: none.
    #[serde(default, deserialize_with = "read_env")]
    pub env: BTreeMap<String, String>,
    /// The pods' service account. Default: the template's, else the namespace's own.
    #[serde(default)]
    pub service_account: Option<String>,
    /// Secrets that the image is pulled with, by name. Default: the template's.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// What the main container asks for and may use, as Kubernetes writes it:
    /// `{ requests = { cpu = "500m" }, limits = { memory = "1Gi" } }`. Default: the template's.
    #[serde(default)]
    pub resources: Option<Value>,
    /// Labels of the nodes that the pods may run on. Default: the template's.
    #[serde(default, deserialize_with = "read_env")]
    pub node_selector: BTreeMap<String, String>,
    /// The taints that the pods tolerate, as Kubernetes writes them. Default: the template's.
    #[serde(default)]
    pub tolerations: Option<Vec<Value>>,
    /// How long a finished Job is kept in the cluster; a day at least. Default: `"1d"`.
    #[serde(default = "a_day", deserialize_with = "read_a_duration")]
    pub ttl: Duration,
    /// The Kueue queue that admits the Jobs (label `kueue.x-k8s.io/queue-name`). Default: none.
    #[serde(default)]
    pub queue_name: Option<String>,
    /// The server's address as pods see it, for example `"http://jobhook.jobs.svc:8088"`; the
    /// hook's path is appended. Default: `public_url` of `[server]`.
    #[serde(default, deserialize_with = "read_public_url")]
    pub hook_url: Option<String>,
    /// Whether the key is written into the Job as it is, for all to read who may read Jobs. Only for
    /// programs that read templates of Webda's; the key is in a Secret otherwise. Default: `false`.
    #[serde(default)]
    pub plain_env: bool,
    /// Where the job's log comes from: `"pod"`, what its containers write; `"hook"`, what it reports;
    /// or `"both"`. Default: `"pod"`, which takes what is reported as well.
    #[serde(default)]
    pub logs: LogSource,
    /// What to do when the node of a pod is lost: `"wait"` for it to come back or be removed, or
    /// `"retry"`: end the attempt at once, though its pod may still run. Default: `"wait"`.
    #[serde(default)]
    pub on_node_lost: OnNodeLost,
    /// How long a pod may fail to pull its image, or to be made at all, before its attempt ends.
    /// Default: `"5m"`.
    #[serde(default = "five_minutes", deserialize_with = "read_a_duration")]
    pub image_pull_deadline: Duration,
    /// How many Jobs are created each second at most. Default: 20.
    #[serde(default = "twenty")]
    pub creation_rate: u32,
}

/// A kubeconfig: a path, its text, or a table. It may hold a token, so `Debug` does not show it.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct KubeconfigSource(pub Value);

impl std::fmt::Debug for KubeconfigSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubeconfigSource(..)")
    }
}

/// Where the log of a KubeRunner's job comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// What the pod's containers write.
    #[default]
    Pod,
    /// What the job reports.
    Hook,
    /// Both.
    Both,
}

/// What to do when the node of a pod is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNodeLost {
    /// Wait for it to come back, or for its pod to be removed.
    #[default]
    Wait,
    /// End the attempt, so that it is tried again where tries are left.
    Retry,
}

impl KubeRunner {
    pub(super) fn read(node: &Node) -> Result<KubeRunner, Fault> {
        let at = |key: &str, what: &str| fault(node, key, what);
        let runner: KubeRunner = read(&node.without(&["type"]))?;
        starts_something(node, runner.actions.as_deref(), runner.concurrency)?;
        let is_empty =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
        if is_empty(&runner.image) {
            let key = if node.get("image").is_some() {
                "image"
            } else {
                "jobImage"
            };
            return Err(at(
                key,
                "the image is empty; name one, as in \"busybox:1.37\"",
            ));
        }
        if runner.image.is_none() && runner.template.is_none() {
            return Err(Fault::new(
                "the runner has neither an image nor a template; it needs one, as in image = \"busybox:1.37\"",
            )
            .at(&node.origin));
        }
        if is_empty(&runner.namespace) {
            return Err(at(
                "namespace",
                "the namespace is empty; leave the key out to take the context's",
            ));
        }
        for (key, given) in [
            ("command", runner.command.is_some()),
            ("args", runner.args.is_some()),
        ] {
            if given && runner.template.is_some() {
                return Err(at(key, "a template has its own; write it there"));
            }
        }
        if runner.ttl < LEAST_TTL {
            return Err(at(
                "ttl",
                "a finished Job is kept for a day at least, so that a server that was away can still read it: \"1d\" or more",
            ));
        }
        if runner.creation_rate == 0 {
            return Err(at(
                "creation_rate",
                "0 would never create a Job; 1 is the least",
            ));
        }
        let is_own = |name: &&String| OWN.contains(&name.as_str()) || *name == "JOB_OUTPUT";
        if let Some(own) = runner.env.keys().find(is_own) {
            return Err(at(
                "env",
                &format!("`{own}` is set by the server, for each attempt"),
            ));
        }
        if let Some(bad) = runner
            .env
            .keys()
            .find(|name| name.is_empty() || name.contains(['=', '\0']))
        {
            return Err(at(
                "env",
                &format!("`{bad}` cannot be the name of a variable"),
            ));
        }
        for key in ["config", "template", "jobResources", "resource"] {
            let shape = node.get(key).map(|node| &node.value);
            if !matches!(
                shape,
                None | Some(tree::Value::Text(_) | tree::Value::Table(_))
            ) {
                return Err(at(key, "expected a path or a table"));
            }
        }
        Ok(runner)
    }

    /// The hook's address as its pods reach it, where it is not the server's own.
    ///
    /// - `path`: the hook's path.
    pub fn hook_address(&self, path: &str) -> Option<String> {
        self.hook_url
            .as_ref()
            .map(|server| format!("{server}{path}"))
    }

    /// A path of the configuration, as it lies beside the file.
    #[cfg(feature = "kube")]
    pub(crate) fn beside(directory: &std::path::Path, path: &str) -> std::path::PathBuf {
        directory.join(path)
    }
}

fn read_some_args<'de, D: serde::Deserializer<'de>>(
    source: D,
) -> Result<Option<Vec<String>>, D::Error> {
    read_args(source).map(Some)
}

fn a_day() -> Duration {
    LEAST_TTL
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn twenty() -> u32 {
    20
}

#[cfg(test)]
mod tests {
    use super::super::RunnerKind;
    use super::super::tests::load;
    use super::*;

    fn kube(text: &str) -> KubeRunner {
        let config = load(&format!("[runners.k]\ntype = \"KubeRunner\"\n{text}"), &[]).unwrap();
        match config.runners.into_iter().next().unwrap().kind {
            RunnerKind::Kube(runner) => *runner,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check_refused(text: &str, what: &str) {
        let text = format!("[runners.k]\ntype = \"KubeRunner\"\n{text}");
        let error = load(&text, &[]).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn an_image_is_all_it_needs() {
        let runner = kube("image = \"busybox\"\n");
        assert_eq!(runner.image.as_deref(), Some("busybox"));
        assert_eq!((runner.ttl, runner.creation_rate), (LEAST_TTL, 20));
        assert_eq!(
            (runner.logs, runner.on_node_lost),
            (LogSource::Pod, OnNodeLost::Wait)
        );
        assert!(!runner.plain_env);
    }

    #[test]
    fn the_names_of_webda_are_taken() {
        let runner = kube(
            "jobImage = \"busybox\"\njobResources = { kind = \"Job\", n = 1 }\nautoStatus = false\nconcurrencyLimit = 3\n",
        );
        assert_eq!(runner.image.as_deref(), Some("busybox"));
        assert_eq!(
            runner.template,
            Some(serde_json::json!({"kind": "Job", "n": 1}))
        );
        assert_eq!((runner.auto_status, runner.concurrency), (false, 3));
        assert_eq!(
            kube("resource = \"job.yaml\"\n").template,
            Some("job.yaml".into())
        );
    }

    #[test]
    fn a_runner_that_could_start_nothing_is_refused() {
        check_refused(
            "",
            "jobhook.toml:1:1: runners.k: the runner has neither an image nor a template",
        );
        check_refused(
            "image = \" \"\n",
            "jobhook.toml:3:9: runners.k.image: the image is empty",
        );
        check_refused(
            "image = \"a\"\nnamespace = \"\"\n",
            "runners.k.namespace: the namespace is empty",
        );
        check_refused(
            "image = \"a\"\nttl = \"1h\"\n",
            "runners.k.ttl: a finished Job is kept for a day at least",
        );
        check_refused(
            "image = \"a\"\ncreation_rate = 0\n",
            "runners.k.creation_rate: 0 would never",
        );
        check_refused(
            "image = \"a\"\nenv = { JOB_ID = \"x\" }\n",
            "runners.k.env: `JOB_ID` is set by the server",
        );
        check_refused(
            "template = 3\n",
            "runners.k.template: expected a path or a table",
        );
        check_refused(
            "template = \"a.yaml\"\nargs = [\"x\"]\n",
            "runners.k.args: a template has its own",
        );
        check_refused(
            "image = \"a\"\nlogs = \"all\"\n",
            "runners.k.logs: `all` is none of `pod`, `hook`, `both`",
        );
        check_refused(
            "image = \"a\"\nimagee = \"b\"\n",
            "unknown key `imagee` in [runners.k]",
        );
    }

    #[test]
    fn pods_may_be_told_another_address() {
        let runner = kube("image = \"a\"\nhook_url = \"http://jobhook.jobs.svc:8088/\"\n");
        assert_eq!(
            runner.hook_address("/async").as_deref(),
            Some("http://jobhook.jobs.svc:8088/async")
        );
        assert_eq!(kube("image = \"a\"\n").hook_address("/async"), None);
    }
}
