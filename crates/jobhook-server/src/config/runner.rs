//! `[runners.NAME]`: who starts the jobs of which action types.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jobhook_protocol::environment;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::kube_runner::KubeRunner;
use super::measure::{read_a_duration, read_some_size};
use super::read::{Fault, read};
use super::section::Signature;
use super::service_runner::ServiceRunner;
use super::suggest::did_you_mean;
use super::tree::Node;

/// A runner and its name. They are asked in the order of the file; the first that takes an
/// action's type has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Runner {
    /// Its name, unique in the file.
    pub name: String,
    /// What it does.
    pub kind: RunnerKind,
}

/// The types of runner, by the key `type`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunnerKind {
    /// `type = "LocalRunner"`: starts a program on this machine.
    Local(Box<LocalRunner>),
    /// `type = "ServiceRunner"`: runs operations inside the server.
    Service(ServiceRunner),
    /// `type = "KubeRunner"`: creates a Kubernetes Job.
    Kube(Box<KubeRunner>),
}

/// What is wrong with `key` of a runner, and where.
pub(super) fn fault(node: &Node, key: &str, what: &str) -> Fault {
    let origin = node.get(key).map_or(&node.origin, |node| &node.origin);
    Fault::new(what).at(origin).under(key)
}

/// Refuses what would make a runner that never starts anything.
pub(super) fn starts_something(
    node: &Node,
    actions: Option<&[String]>,
    concurrency: u32,
) -> Result<(), Fault> {
    if actions.is_some_and(<[String]>::is_empty) {
        return Err(fault(
            node,
            "actions",
            "an empty list takes no action at all; leave the key out to take every type",
        ));
    }
    if concurrency == 0 {
        return Err(fault(
            node,
            "concurrency",
            "0 would never start a job; 1 is the least",
        ));
    }
    Ok(())
}

/// `type = "LocalRunner"`: each job is a process of its own on this machine.
///
/// In `args`, `env` and `cwd` these are replaced, without any shell: `${arguments.NAME}`,
/// `${arguments.0}`, `${config_dir}`, `${env.NAME}`, `${JOB_ID}`, `${JOB_ATTEMPT}`,
/// `${workdir}`. A value that is not there refuses the launch, and names it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalRunner {
    /// The action types it takes. Default: every type that no runner before it takes.
    #[serde(default, deserialize_with = "read_actions")]
    pub actions: Option<Vec<String>>,
    /// How many of its jobs may run at once. Webda's name is `concurrencyLimit`.
    /// Default: 100.
    #[serde(default = "hundred", alias = "concurrencyLimit")]
    pub concurrency: u32,
    /// How long a job that is asked to end has before it is killed. Default: `"10s"`.
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
    /// The program: a path, or a name that is looked up in `PATH`.
    pub command: String,
    /// The program's arguments. Default: none.
    #[serde(default, deserialize_with = "read_args")]
    pub args: Vec<String>,
    /// The directory it starts in. Default: the configuration file's.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Variables added to the few that a job inherits (`PATH`, `HOME`, `LANG`, `LC_*`, `TZ`,
    /// `TMPDIR`, `SSL_CERT_*`). Webda's name is `options.env`. Default: none.
    #[serde(default, deserialize_with = "read_env")]
    pub env: BTreeMap<String, String>,
    /// What it reads on its standard input: `"null"`, nothing; or `"arguments"`, the action's
    /// arguments as JSON. Default: `"null"`.
    #[serde(default)]
    pub stdin: Stdin,
    /// The user it runs as; the server must be root for that. Default: the server's user.
    #[serde(default)]
    pub run_as: Option<String>,
    /// What one job may use.
    #[serde(default)]
    pub limits: ProcessLimits,
}

/// `[runners.NAME.limits]`: limits that the kernel enforces on each process of a job. A
/// limit that is absent stays as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessLimits {
    /// Seconds of processor time (`RLIMIT_CPU`).
    pub cpu_seconds: Option<u64>,
    /// Size of its address space, for example `"2GiB"` (`RLIMIT_AS`).
    #[serde(deserialize_with = "read_some_size")]
    pub memory: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes of its user (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Size of a file it writes (`RLIMIT_FSIZE`).
    #[serde(deserialize_with = "read_some_size")]
    pub file_size: Option<u64>,
    /// Size of a core dump (`RLIMIT_CORE`).
    #[serde(deserialize_with = "read_some_size")]
    pub core: Option<u64>,
}

/// What a job reads on its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stdin {
    /// Nothing.
    #[default]
    Null,
    /// The action's arguments as JSON.
    Arguments,
}

/// Webda's place for two of the keys.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WebdaOptions {
    #[serde(deserialize_with = "read_env")]
    env: BTreeMap<String, String>,
    cwd: Option<String>,
}

/// Variables that only the server sets; the last by the key `orchestrator`.
pub(super) const OWN: &[&str] = &[
    environment::JOB_ID,
    environment::JOB_SECRET_KEY,
    environment::JOB_HOOK,
    environment::JOB_ATTEMPT,
    environment::JOB_OUTPUT,
    environment::JOB_ORCHESTRATOR,
];

/// The types there are.
const TYPES: &[&str] = &["LocalRunner", "ServiceRunner", "KubeRunner"];

impl Runner {
    /// Reads `[runners.{name}]`.
    pub(super) fn read(name: &str, node: &Node) -> Result<Runner, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(Fault::new(format_args!(
                "a runner's name is 1 to 64 of A-Z a-z 0-9 _ - . and not `{name}`"
            )));
        }
        let Some(kind) = node.get("type") else {
            let known = TYPES.join("`, `");
            return Err(Fault::new(format_args!(
                "the runner has no type; there is `{known}`, as in type = \"LocalRunner\""
            ))
            .at(&node.origin));
        };
        let word: String = read(kind).map_err(|fault| fault.under("type"))?;
        // Webda writes `Webda/LocalRunner`.
        match word.rsplit('/').next().unwrap_or_default() {
            "LocalRunner" => Ok(Runner {
                name: name.to_owned(),
                kind: RunnerKind::Local(Box::new(LocalRunner::read(node)?)),
            }),
            "ServiceRunner" => Ok(Runner {
                name: name.to_owned(),
                kind: RunnerKind::Service(ServiceRunner::read(node)?),
            }),
            "KubeRunner" => Ok(Runner {
                name: name.to_owned(),
                kind: RunnerKind::Kube(Box::new(KubeRunner::read(node)?)),
            }),
            _ => {
                let hint = did_you_mean(&word, TYPES);
                Err(
                    Fault::new(format_args!("there is no type of runner `{word}`{hint}"))
                        .at(&kind.origin)
                        .under("type"),
                )
            }
        }
    }
}

impl LocalRunner {
    fn read(node: &Node) -> Result<LocalRunner, Fault> {
        let at = |key: &str, what: &str| fault(node, key, what);
        if node.get("command").is_none() {
            return Err(Fault::new(
                "the runner has no command; it needs one, as in command = \"sh\"",
            )
            .at(&node.origin));
        }
        let own = node.without(&["type", "options"]);
        let mut runner: LocalRunner = read(&own)?;
        if runner.command.trim().is_empty() {
            return Err(at("command", "the command is empty"));
        }
        starts_something(node, runner.actions.as_deref(), runner.concurrency)?;
        let webda: WebdaOptions = match node.get("options") {
            Some(options) => read(options).map_err(|fault| fault.under("options"))?,
            None => WebdaOptions::default(),
        };
        if !webda.env.is_empty() && !runner.env.is_empty() {
            return Err(at(
                "options",
                "`env` is given twice, as `env` and as `options.env`",
            ));
        }
        if webda.cwd.is_some() && runner.cwd.is_some() {
            return Err(at(
                "options",
                "`cwd` is given twice, as `cwd` and as `options.cwd`",
            ));
        }
        runner.env.extend(webda.env);
        runner.cwd = runner.cwd.or(webda.cwd);
        if let Some(own) = runner.env.keys().find(|name| OWN.contains(&name.as_str())) {
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
        Ok(runner)
    }
}

pub(super) fn hundred() -> u32 {
    100
}

pub(super) fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

pub(super) fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn jobhook() -> String {
    "jobhook".to_owned()
}

pub(super) fn read_actions<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let texts = Texts("a list of action types, such as [\"WordCount\"]");
    source.deserialize_seq(texts).map(Some)
}

pub(super) fn read_args<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    source.deserialize_seq(Texts(
        "a list of texts, such as [\"-v\", \"${arguments.path}\"]",
    ))
}

/// A list of texts, and what one looks like.
struct Texts(&'static str);

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

/// A variable is a text, but nobody should have to write `PORT = "8080"`.
pub(super) fn read_env<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let env = BTreeMap::<String, Scalar>::deserialize(source)?;
    Ok(env
        .into_iter()
        .map(|(name, Scalar(text))| (name, text))
        .collect())
}

struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Scalar, D::Error> {
        struct AsText;

        impl Visitor<'_> for AsText {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Scalar, E> {
                Ok(Scalar(flag.to_string()))
            }
        }

        // As a text first, so that a variable of the environment keeps its digits.
        source.deserialize_str(AsText)
    }
}

#[cfg(test)]
mod tests;
