//! The Job and the Secret of one attempt, as they are sent: the filled template, and over it what
//! the server relies on.
//!
//! The key is in the Secret and nowhere else, unless `plain_env` says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jobhook_engine::runner::JobStart;
use jobhook_protocol::JobEnvironment;
use jobhook_protocol::environment::{JOB_OUTPUT, JOB_SECRET_KEY, OUTPUT_STORED};
use serde_json::{Map, Value, json};

use super::manifest_template::{BadHole, Kind, ManifestError, ManifestTemplate, parse, unexpanded};
use super::names;
use crate::config::{self, LogSource};
use crate::runner::template::{Holes, MissingValue, Template, Values};

/// Fields of a Job that do not go with one pod and one try.
const ONE_POD: [&str; 4] = [
    "backoffLimitPerIndex",
    "completionMode",
    "podFailurePolicy",
    "successPolicy",
];

/// How much later than the server the cluster itself ends a Job.
const BACKSTOP: Duration = Duration::from_secs(600);

/// What a runner creates for each attempt.
#[derive(Debug)]
pub(super) struct Blueprint {
    runner: String,
    installation: String,
    template: ManifestTemplate,
    image: Option<Template>,
    env: BTreeMap<String, Template>,
    bad: Vec<BadHole>,
    config: config::KubeRunner,
    config_dir: PathBuf,
}

/// What is sent for one attempt.
#[derive(Clone)]
pub(super) struct Manifest {
    /// The name of both.
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) job: Value,
    /// None where nothing refers to it.
    pub(super) secret: Option<Value>,
    pub(super) kind: Kind,
}

/// Why an attempt cannot be described.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undescribed {
    #[error(transparent)]
    Missing(#[from] MissingValue),
    #[error(transparent)]
    BadHole(#[from] BadHole),
    #[error(
        "the image is empty once its variables are filled in; name one, as in \"busybox:1.37\""
    )]
    NoImage,
    #[error(
        "the template is for the namespace `{found}`, and the runner's is `{wanted}`; leave it out there"
    )]
    Namespace { found: String, wanted: String },
}

impl Blueprint {
    /// What the runner `name` creates as `config` says, in a file that lies in `directory`.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub(super) fn of(
        name: &str,
        installation: &str,
        config: &config::KubeRunner,
        directory: &Path,
    ) -> Result<Blueprint, ManifestError> {
        let holes = Holes::Kube {
            key: config.plain_env,
        };
        let template = ManifestTemplate::configured(config, directory)?;
        let mut bad = template.bad.clone();
        let mut parse = |field: &str, text: &str| match parse(field, text, holes) {
            Ok(template) => Some(template),
            Err(hole) => {
                bad.push(hole);
                None
            }
        };
        let image = config.image.as_ref();
        let image = image.and_then(|text| parse("image", text));
        let mut env = BTreeMap::new();
        for (name, text) in &config.env {
            if let Some(value) = parse(&format!("env.{name}"), text) {
                env.insert(name.clone(), value);
            }
        }
        Ok(Blueprint {
            runner: name.to_owned(),
            installation: installation.to_owned(),
            template,
            image,
            env,
            bad,
            config: config.clone(),
            config_dir: directory.to_owned(),
        })
    }

    /// Why nothing can be launched from it, if nothing can.
    pub(super) fn refusal(&self) -> Option<&BadHole> {
        self.bad.first()
    }

    /// What it creates.
    pub(super) fn kind(&self) -> &Kind {
        self.template.kind()
    }

    /// What is sent for an attempt, into `namespace`.
    pub(super) fn describe(
        &self,
        start: &JobStart,
        namespace: &str,
    ) -> Result<Manifest, Undescribed> {
        if let Some(bad) = self.refusal() {
            return Err(bad.clone().into());
        }
        let environment = self.environment(&start.environment);
        let arguments: Option<Value> = start
            .action
            .arguments
            .as_ref()
            .and_then(|arguments| serde_json::from_str(arguments.as_str()).ok());
        let config_dir = self.config_dir.to_string_lossy();
        let of_server = |name: &str| std::env::var(name).ok();
        let of_attempt = |name: &str| match name {
            "serviceName" => Some(self.runner.clone()),
            "JOB_HOOK" => Some(environment.hook.clone()),
            "JOB_ORCHESTRATOR" => environment.orchestrator.clone(),
            "JOB_SECRET_KEY" => Some(environment.secret_key.reveal()),
            _ => None,
        };
        let values = Values {
            arguments: arguments.as_ref(),
            config_dir: &config_dir,
            environment: &of_server,
            job_id: &environment.id,
            job_attempt: start.attempt.number,
            work_dir: "",
            given: &of_attempt,
        };
        let image = self.image.as_ref().map(|image| image.fill(&values));
        let image = image.transpose()?;
        if image.as_ref().is_some_and(|image| image.trim().is_empty()) {
            return Err(Undescribed::NoImage);
        }
        let with_image = |name: &str| match name {
            "image" => image.clone(),
            other => of_attempt(other),
        };
        let values = Values {
            given: &with_image,
            ..values
        };
        let mut env = Vec::new();
        for (name, template) in &self.env {
            env.push((name.clone(), template.fill_with(&values, unexpanded)?));
        }
        let mut job = self.template.fill(&values)?;
        let kind = self.template.kind().clone();
        let name = names::object_name(&self.installation, start.attempt);
        let digest = names::nonce_digest(&start.nonce);
        if let Some(found) = job["metadata"]["namespace"].as_str()
            && found != namespace
        {
            return Err(Undescribed::Namespace {
                found: found.to_owned(),
                wanted: namespace.to_owned(),
            });
        }
        self.mark(&mut job, start, &name, &digest);
        if kind == Kind::Job {
            self.rule(&mut job, start, &image);
        }
        let variables = self.variables(&environment, env, &name);
        let mut gets_key = false;
        for path in [
            &["spec", "template", "spec"][..],
            &["spec", "jobTemplate", "spec", "template", "spec"],
        ] {
            if let Some(pod) = at_path(&mut job, path) {
                gets_key |= give_variables(pod, &variables);
            }
        }
        let secret = (gets_key && !self.config.plain_env)
            .then(|| self.secret(start, &name, &digest, &environment));
        Ok(Manifest {
            name,
            digest,
            job,
            secret,
            kind,
        })
    }

    /// What a job finds, with this runner's orchestrator.
    fn environment(&self, given: &JobEnvironment) -> JobEnvironment {
        JobEnvironment {
            orchestrator: Some(self.config.orchestrator.clone()),
            ..given.clone()
        }
    }

    fn variables(
        &self,
        environment: &JobEnvironment,
        own: Vec<(String, String)>,
        secret: &str,
    ) -> Vec<Value> {
        let own = own
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}));
        let of_job = environment.variables().into_iter().map(|(name, value)| {
            if name == JOB_SECRET_KEY && !self.config.plain_env {
                let key = json!({"name": secret, "key": JOB_SECRET_KEY});
                json!({"name": name, "valueFrom": {"secretKeyRef": key}})
            } else {
                json!({"name": name, "value": unexpanded(value)})
            }
        });
        let stored = json!({"name": JOB_OUTPUT, "value": OUTPUT_STORED});
        let stored = (self.config.logs != LogSource::Hook).then_some(stored);
        own.chain(of_job).chain(stored).collect()
    }

    fn annotations(&self, start: &JobStart, digest: &str) -> [(&'static str, String); 3] {
        [
            (names::NONCE_DIGEST, digest.to_owned()),
            (names::RUNNER, self.runner.clone()),
            (names::TYPE, start.action.action_type.clone()),
        ]
    }

    /// Names and marks an object.
    fn mark(&self, object: &mut Value, start: &JobStart, name: &str, digest: &str) {
        let metadata = table(&mut object["metadata"]);
        metadata.remove("generateName");
        metadata.remove("namespace");
        metadata.insert("name".into(), name.into());
        let labels = table(metadata.entry("labels").or_insert(Value::Null));
        for (key, value) in names::labels(&self.installation, &self.runner, start.attempt) {
            labels.insert(key, value.into());
        }
        if let Some(queue) = &self.config.queue_name {
            labels.insert(names::QUEUE.into(), queue.clone().into());
        }
        let annotations = table(metadata.entry("annotations").or_insert(Value::Null));
        for (key, value) in self.annotations(start, digest) {
            annotations.insert(key.into(), value.into());
        }
    }

    /// Lays over a Job what the server relies on, and what the runner's own keys say.
    fn rule(&self, job: &mut Value, start: &JobStart, image: &Option<String>) {
        let config = &self.config;
        let spec = table(&mut job["spec"]);
        spec.insert("backoffLimit".into(), 0.into());
        // What would give a Job another pod, or end it before its pod has.
        for field in ONE_POD {
            spec.remove(field);
        }
        spec.insert(
            "ttlSecondsAfterFinished".into(),
            config.ttl.as_secs().into(),
        );
        if let Some(most) = self.backstop(start) {
            let own = spec.get("activeDeadlineSeconds").and_then(Value::as_u64);
            let deadline = own.map_or(most, |own| own.min(most));
            spec.insert("activeDeadlineSeconds".into(), deadline.into());
        }
        let template = table(spec.entry("template").or_insert(Value::Null));
        let metadata = table(template.entry("metadata").or_insert(Value::Null));
        let labels = table(metadata.entry("labels").or_insert(Value::Null));
        for (key, value) in names::labels(&self.installation, &self.runner, start.attempt) {
            labels.insert(key, value.into());
        }
        let pod = table(template.entry("spec").or_insert(Value::Null));
        pod.insert("restartPolicy".into(), "Never".into());
        pod.entry("terminationGracePeriodSeconds")
            .or_insert_with(|| whole_seconds(config.grace).into());
        if let Some(account) = &config.service_account {
            pod.insert("serviceAccountName".into(), account.clone().into());
        }
        if !config.image_pull_secrets.is_empty() {
            let secrets = config
                .image_pull_secrets
                .iter()
                .map(|name| json!({"name": name}));
            pod.insert("imagePullSecrets".into(), secrets.collect());
        }
        if !config.node_selector.is_empty() {
            let selector = table(pod.entry("nodeSelector").or_insert(Value::Null));
            for (key, value) in &config.node_selector {
                selector.insert(key.clone(), value.clone().into());
            }
        }
        if let Some(tolerations) = &config.tolerations {
            pod.insert("tolerations".into(), tolerations.clone().into());
        }
        let main = main_container(job).map(str::to_owned);
        let containers = at_path(job, &["spec", "template", "spec"])
            .and_then(|pod| pod.get_mut("containers"))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if container["name"].as_str() != main.as_deref() {
                continue;
            }
            if let Some(resources) = &config.resources {
                container["resources"] = resources.clone();
            }
            if let (Some(image), Value::Null) = (image, &container["image"]) {
                container["image"] = image.clone().into();
            }
        }
    }

    /// When the cluster ends a Job that its server did not end, seconds from its start.
    fn backstop(&self, start: &JobStart) -> Option<u64> {
        let timeouts = &start.action.timeouts;
        let longest = timeouts.run.into_iter().chain(timeouts.total).min()?;
        Some(whole_seconds(longest + self.config.grace + BACKSTOP))
    }

    fn secret(
        &self,
        start: &JobStart,
        name: &str,
        digest: &str,
        environment: &JobEnvironment,
    ) -> Value {
        let annotations = self.annotations(start, digest);
        let annotations: BTreeMap<&str, String> = annotations.into_iter().collect();
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "labels": names::labels(&self.installation, &self.runner, start.attempt),
                "annotations": annotations,
            },
            "type": "Opaque",
            "immutable": true,
            "stringData": {JOB_SECRET_KEY: environment.secret_key.reveal()},
        })
    }
}

/// Gives variables to every container of a pod; `false` if it has none.
fn give_variables(pod: &mut Map<String, Value>, variables: &[Value]) -> bool {
    let mut any = false;
    for key in ["initContainers", "containers"] {
        let containers = pod.get_mut(key).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            let env = container.entry("env").or_insert(Value::Null);
            let mut kept = match env.take() {
                Value::Array(kept) => kept,
                _ => Vec::new(),
            };
            // What the server says goes first; Kubernetes takes the last of two.
            kept.retain(|entry| variables.iter().all(|own| own["name"] != entry["name"]));
            kept.extend(variables.iter().cloned());
            *env = kept.into();
            any = true;
        }
    }
    any
}

/// The main container of a Job: whose end is the job's end, and whose output is its log.
pub(super) fn main_container(job: &Value) -> Option<&str> {
    let template = &job["spec"]["template"];
    let named = template["metadata"]["annotations"][names::MAIN].as_str();
    let containers = template["spec"]["containers"].as_array()?;
    let mut all = containers
        .iter()
        .filter_map(|container| container["name"].as_str());
    let first = all.clone().next();
    named
        .filter(|named| all.any(|name| name == *named))
        .or(first)
}

fn at_path<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Map<String, Value>> {
    let mut value = value;
    for key in path {
        value = value.get_mut(*key)?;
    }
    value.as_object_mut()
}

/// The value as a table; an empty one if it is none.
fn table(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(table) => table,
        // It has just been made one.
        _ => unreachable!("a table"),
    }
}

/// Seconds, rounded up.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl std::fmt::Debug for Manifest {
    /// Without the contents: one of them is the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
