//! The Job to create, with its holes: read once, from a file, from the configuration or the default,
//! and judged as far as that goes without an action.
//!
//! Holes are filled in the texts of the parsed document: no value can add a field or end a text. Kubernetes
//! itself replaces `$(NAME)` in the command, the arguments and the variables of a container, which would
//! print the key for an argument that asks for it: there a `$` in a value is doubled, which stands for itself.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::KubeRunner;
use crate::runner::template::{Holes, MissingValue, Template, Values};

/// A document whose texts have holes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ManifestTemplate {
    tree: Tree,
    kind: Kind,
    /// What means nothing in it; it cannot be filled then.
    pub(super) bad: Vec<BadHole>,
}

/// What it creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A Job, which is watched.
    Job,
    /// Something else, which is created and left to itself.
    Other {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Text {
        template: Template,
        /// Whether Kubernetes replaces `$(NAME)` here.
        expands: bool,
    },
    List(Vec<Tree>),
    Table(Vec<(String, Tree)>),
    /// A number, a flag, or nothing.
    Other(Value),
}

/// Why a template is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("template: the file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is neither YAML nor JSON.
    #[error("template{}: not YAML: {reason}", shown(path))]
    NotYaml {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// What the parser said.
        reason: String,
    },
    /// It is YAML, but not what can be created.
    #[error("template{}: {reason}", shown(path))]
    Shape {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// What is missing or wrong.
        reason: String,
    },
}

/// A `${…}` that means nothing: no launch is possible, but what was launched goes on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(super) struct BadHole {
    /// Where.
    field: String,
    /// What is wrong with it.
    reason: String,
}

/// A text with holes, unless one of them means nothing.
pub(super) fn parse(field: &str, text: &str, holes: Holes) -> Result<Template, BadHole> {
    Template::parse(text, holes).map_err(|error| BadHole {
        field: field.to_owned(),
        reason: error.to_string(),
    })
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_ref()
        .map(|path| format!(" {}", path.display()))
        .unwrap_or_default()
}

impl ManifestTemplate {
    /// The template that a runner configures, in a file that lies in `directory`.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub(super) fn configured(
        config: &KubeRunner,
        directory: &Path,
    ) -> Result<ManifestTemplate, ManifestError> {
        let (path, document) = match &config.template {
            None => (None, default_job(config)),
            Some(Value::String(path)) => {
                let path = KubeRunner::beside(directory, path);
                let document = read(&path)?;
                (Some(path), document)
            }
            Some(inline) => (None, inline.clone()),
        };
        let kind = judge(&document).map_err(|reason| ManifestError::Shape { path, reason })?;
        let holes = Holes::Kube {
            key: config.plain_env,
        };
        let mut bad = Vec::new();
        let tree = Tree::parse("template", &document, holes, Place::Elsewhere, &mut bad);
        Ok(ManifestTemplate { tree, kind, bad })
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The document with every hole filled.
    pub(super) fn fill(&self, values: &Values<'_>) -> Result<Value, MissingValue> {
        self.tree.fill(values)
    }
}

/// Where in a document a value is, as far as that says whether `$(NAME)` is replaced in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Containers,
    Container,
    Variables,
    Variable,
    Mounts,
    Mount,
    Probe,
    Exec,
    Expanded,
}

impl Place {
    /// The value of `key` in a table here.
    fn under(self, key: &str) -> Place {
        match (self, key) {
            (Place::Container | Place::Exec, "command")
            | (Place::Container, "args")
            | (Place::Variable, "value")
            | (Place::Mount, "subPathExpr") => Place::Expanded,
            (Place::Container, "env") => Place::Variables,
            (Place::Container, "volumeMounts") => Place::Mounts,
            (Place::Container, "livenessProbe" | "readinessProbe" | "startupProbe") => Place::Probe,
            (Place::Container, "lifecycle") => Place::Probe,
            (Place::Probe, "exec") => Place::Exec,
            (Place::Probe, "postStart" | "preStop") => Place::Probe,
            (Place::Elsewhere, "containers" | "initContainers") => Place::Containers,
            (Place::Container | Place::Variable | Place::Mount | Place::Probe | Place::Exec, _) => {
                Place::Elsewhere
            }
            (place, _) => place,
        }
    }

    /// An item of a list here.
    fn item(self) -> Place {
        match self {
            Place::Containers => Place::Container,
            Place::Variables => Place::Variable,
            Place::Mounts => Place::Mount,
            place => place,
        }
    }
}

/// A value that Kubernetes is not to look for `$(NAME)` in.
pub(super) fn unexpanded(value: String) -> String {
    value.replace('$', "$$")
}

impl Tree {
    fn parse(
        field: &str,
        value: &Value,
        holes: Holes,
        place: Place,
        bad: &mut Vec<BadHole>,
    ) -> Tree {
        match value {
            Value::String(text) => match parse(field, text, holes) {
                Ok(template) => Tree::Text {
                    template,
                    expands: place == Place::Expanded,
                },
                Err(hole) => {
                    bad.push(hole);
                    Tree::Other(value.clone())
                }
            },
            Value::Array(items) => {
                let mut parse = |(at, item)| {
                    let field = format!("{field}[{at}]");
                    Tree::parse(&field, item, holes, place.item(), bad)
                };
                Tree::List(items.iter().enumerate().map(&mut parse).collect())
            }
            Value::Object(fields) => {
                let mut parse = |(key, value): (&String, &Value)| {
                    let field = format!("{field}.{key}");
                    let tree = Tree::parse(&field, value, holes, place.under(key), bad);
                    (key.clone(), tree)
                };
                Tree::Table(fields.iter().map(&mut parse).collect())
            }
            other => Tree::Other(other.clone()),
        }
    }

    fn fill(&self, values: &Values<'_>) -> Result<Value, MissingValue> {
        Ok(match self {
            Tree::Text {
                template,
                expands: true,
            } => Value::String(template.fill_with(values, unexpanded)?),
            Tree::Text {
                template,
                expands: false,
            } => Value::String(template.fill(values)?),
            Tree::List(items) => {
                let filled = items.iter().map(|item| item.fill(values));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Tree::Table(fields) => {
                let fill = |(key, tree): &(String, Tree)| Ok((key.clone(), tree.fill(values)?));
                Value::Object(fields.iter().map(fill).collect::<Result<Map<_, _>, _>>()?)
            }
            Tree::Other(value) => value.clone(),
        })
    }
}

fn read(path: &Path) -> Result<Value, ManifestError> {
    let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    // JSON is YAML.
    serde_saphyr::from_str(&text).map_err(|error| ManifestError::NotYaml {
        path: Some(path.to_owned()),
        // Without the lines around it: they may hold a password.
        reason: error.without_snippet().to_string(),
    })
}

/// What is created where only an image is configured.
fn default_job(config: &KubeRunner) -> Value {
    let mut container = serde_json::json!({"name": "main", "image": "${image}"});
    for (key, list) in [("command", &config.command), ("args", &config.args)] {
        if let Some(list) = list {
            container[key] = list.clone().into();
        }
    }
    let mut pod = serde_json::json!({"containers": [container]});
    if config.service_account.is_none() {
        // Who names no account wants none.
        pod["automountServiceAccountToken"] = false.into();
    }
    serde_json::json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}})
}

/// What a document creates, or why it creates nothing.
fn judge(document: &Value) -> Result<Kind, String> {
    let Value::Object(fields) = document else {
        return Err("it is not an object; it needs apiVersion, kind and spec".into());
    };
    let text = |key: &str| {
        let value = fields
            .get(key)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        value.ok_or_else(|| {
            format!("it has no `{key}`; a Job's are apiVersion: batch/v1 and kind: Job")
        })
    };
    let (api_version, kind) = (text("apiVersion")?.to_owned(), text("kind")?.to_owned());
    if kind != "Job" {
        return Ok(Kind::Other { api_version, kind });
    }
    if api_version != "batch/v1" {
        return Err(format!(
            "a Job of `{api_version}` is not known; its apiVersion is batch/v1"
        ));
    }
    let spec = &document["spec"];
    let containers = spec["template"]["spec"]["containers"].as_array();
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        return Err("it has no containers at spec.template.spec.containers".into());
    };
    if let Some(at) = containers
        .iter()
        .position(|container| !container.is_object())
    {
        return Err(format!(
            "spec.template.spec.containers[{at}] is not an object"
        ));
    }
    for key in ["parallelism", "completions"] {
        if !matches!(spec[key].as_i64(), None | Some(1)) {
            return Err(format!("spec.{key} must be 1: an attempt is one pod"));
        }
    }
    Ok(Kind::Job)
}

#[cfg(test)]
mod tests;
