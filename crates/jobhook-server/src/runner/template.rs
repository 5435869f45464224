//! Texts with holes: `${arguments.path}`, `${config_dir}`, `${env.HOME}`, `${JOB_ID}`…
//!
//! A text is parsed once, when the configuration is read; a hole that can never be filled is an
//! error there. At each start the holes are filled with values, not with text to be parsed again:
//! no shell sees them, and a value that looks like a hole stays what it is. `$${` is a plain `${`.

use std::fmt;

use serde_json::Value;

/// Who asks, which says what holes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holes {
    /// A LocalRunner.
    Local,
    /// A KubeRunner.
    #[cfg(feature = "kube")]
    Kube {
        /// Whether the key may stand in the manifest.
        key: bool,
    },
}

/// A parsed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Hole(Hole),
}

/// What a hole asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hole {
    /// The arguments, or what this path leads to within them.
    Arguments(Vec<String>),
    ConfigDir,
    /// A variable of the server's own environment.
    Environment(String),
    JobId,
    JobAttempt,
    WorkDir,
    /// What only a KubeRunner has, by its name.
    #[cfg(feature = "kube")]
    Given(&'static str),
}

/// What a KubeRunner fills in beside the rest. The last one is the key.
#[cfg(feature = "kube")]
pub(crate) const GIVEN: [&str; 5] = [
    "serviceName",
    "image",
    "JOB_HOOK",
    "JOB_ORCHESTRATOR",
    "JOB_SECRET_KEY",
];

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("`${{{0}` has no closing brace; a plain `${{` is written `$${{`")]
    Unclosed(String),
    #[error("`${{{name}}}` is not known; there are {known}; a plain `${{` is written `$${{`")]
    Unknown { name: String, known: &'static str },
    #[cfg(feature = "kube")]
    #[error(
        "`${{JOB_SECRET_KEY}}` would write the key where all can read it who may read Jobs; every container \
         finds it in its environment, or say plain_env = true"
    )]
    Key,
}

/// A hole that has no value this time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{hole} has no value: {reason}")]
pub(crate) struct MissingValue {
    pub hole: String,
    pub reason: &'static str,
}

/// What the holes of one start are filled with.
pub(crate) struct Values<'a> {
    pub arguments: Option<&'a Value>,
    pub config_dir: &'a str,
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    pub job_id: &'a str,
    pub job_attempt: u32,
    pub work_dir: &'a str,
    /// What a KubeRunner gives by name.
    #[cfg_attr(not(feature = "kube"), expect(dead_code))]
    pub given: &'a dyn Fn(&str) -> Option<String>,
}

impl Holes {
    const fn known(self) -> &'static str {
        match self {
            Holes::Local => {
                "${arguments}, ${arguments.NAME}, ${config_dir}, ${env.NAME}, ${JOB_ID}, ${JOB_ATTEMPT} and ${workdir}"
            }
            #[cfg(feature = "kube")]
            Holes::Kube { .. } => {
                "${serviceName}, ${image}, ${JOB_ID}, ${JOB_ATTEMPT}, ${JOB_HOOK}, ${JOB_ORCHESTRATOR}, \
                 ${arguments}, ${arguments.NAME}, ${config_dir} and ${env.NAME}"
            }
        }
    }
}

impl Template {
    pub(crate) fn parse(text: &str, holes: Holes) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            plain.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let end = inner
                .find('}')
                .ok_or_else(|| TemplateError::Unclosed(inner.to_owned()))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Hole(Hole::parse(&inner[..end], holes)?));
            rest = &inner[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template { parts })
    }

    /// Whether it names the job's own folder.
    pub(crate) fn wants_work_dir(&self) -> bool {
        self.parts.contains(&Part::Hole(Hole::WorkDir))
    }

    /// The text with every hole filled.
    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<String, MissingValue> {
        self.fill_with(values, |value| value)
    }

    /// The text with every hole filled with what `quote` makes of its value.
    pub(crate) fn fill_with(
        &self,
        values: &Values<'_>,
        quote: impl Fn(String) -> String,
    ) -> Result<String, MissingValue> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Hole(hole) => filled.push_str(&quote(hole.fill(values)?)),
            }
        }
        Ok(filled)
    }
}

impl TemplateError {
    fn unknown(name: &str, holes: Holes) -> TemplateError {
        TemplateError::Unknown {
            name: name.to_owned(),
            known: holes.known(),
        }
    }
}

impl Hole {
    fn parse(name: &str, holes: Holes) -> Result<Hole, TemplateError> {
        let path = |path: &str| path.split('.').map(str::to_owned).collect();
        let hole = match name {
            "arguments" => Hole::Arguments(Vec::new()),
            "config_dir" => Hole::ConfigDir,
            "JOB_ID" => Hole::JobId,
            "JOB_ATTEMPT" => Hole::JobAttempt,
            "workdir" if holes == Holes::Local => Hole::WorkDir,
            _ => match name.split_once('.') {
                Some(("arguments", rest)) if !rest.is_empty() => Hole::Arguments(path(rest)),
                Some(("env", rest)) if !rest.is_empty() => Hole::Environment(rest.to_owned()),
                _ => Hole::given(name, holes)?,
            },
        };
        Ok(hole)
    }

    #[cfg(feature = "kube")]
    fn given(name: &str, holes: Holes) -> Result<Hole, TemplateError> {
        let given = GIVEN.into_iter().find(|given| *given == name);
        match (holes, given) {
            (Holes::Kube { key: false }, Some("JOB_SECRET_KEY")) => Err(TemplateError::Key),
            (Holes::Kube { .. }, Some(given)) => Ok(Hole::Given(given)),
            _ => Err(TemplateError::unknown(name, holes)),
        }
    }

    #[cfg(not(feature = "kube"))]
    fn given(name: &str, holes: Holes) -> Result<Hole, TemplateError> {
        Err(TemplateError::unknown(name, holes))
    }

    fn fill(&self, values: &Values<'_>) -> Result<String, MissingValue> {
        let missing = |reason| MissingValue {
            hole: self.to_string(),
            reason,
        };
        match self {
            Hole::Arguments(path) => {
                let arguments = values
                    .arguments
                    .ok_or_else(|| missing("the action has no arguments"))?;
                let found = path.iter().try_fold(arguments, |value, step| match value {
                    Value::Object(fields) => fields.get(step),
                    Value::Array(items) => items.get(step.parse::<usize>().ok()?),
                    _ => None,
                });
                match found {
                    None => Err(missing("the arguments do not have it")),
                    Some(Value::Null) => Err(missing("it is null in the arguments")),
                    Some(Value::String(text)) => Ok(text.clone()),
                    Some(other) => Ok(other.to_string()),
                }
            }
            Hole::Environment(name) => (values.environment)(name)
                .ok_or_else(|| missing("the server's environment does not have it")),
            Hole::ConfigDir => Ok(values.config_dir.to_owned()),
            Hole::JobId => Ok(values.job_id.to_owned()),
            Hole::JobAttempt => Ok(values.job_attempt.to_string()),
            Hole::WorkDir => Ok(values.work_dir.to_owned()),
            #[cfg(feature = "kube")]
            Hole::Given(name) => (values.given)(name).ok_or_else(|| missing("the runner has none")),
        }
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hole::Arguments(path) if path.is_empty() => f.write_str("${arguments}"),
            Hole::Arguments(path) => write!(f, "${{arguments.{}}}", path.join(".")),
            Hole::ConfigDir => f.write_str("${config_dir}"),
            Hole::Environment(name) => write!(f, "${{env.{name}}}"),
            Hole::JobId => f.write_str("${JOB_ID}"),
            Hole::JobAttempt => f.write_str("${JOB_ATTEMPT}"),
            Hole::WorkDir => f.write_str("${workdir}"),
            #[cfg(feature = "kube")]
            Hole::Given(name) => write!(f, "${{{name}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, arguments: Option<Value>) -> Result<String, String> {
        let values = Values {
            arguments: arguments.as_ref(),
            config_dir: "/etc/jobhook",
            environment: &|name| (name == "HOME").then(|| "/home/me".to_owned()),
            job_id: "an-id",
            job_attempt: 2,
            work_dir: "/data/work",
            given: &|_| None,
        };
        let template = Template::parse(text, Holes::Local).map_err(|error| error.to_string())?;
        template.fill(&values).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let arguments = serde_json::json!({
            "path": "a b; rm -rf $HOME", "n": 3, "deep": {"list": [true, {"x": 1.5}]}, "hole": "${JOB_ID}",
        });
        assert_eq!(fill(text, Some(arguments)).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_refused(text: &str, arguments: Option<Value>, expected: &str) {
        let error = fill(text, arguments).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn holes_are_filled_with_values() {
        check("plain $HOME {x}", "plain $HOME {x}");
        check("", "");
        check("${arguments.path}", "a b; rm -rf $HOME");
        check("--n=${arguments.n}!", "--n=3!");
        check(
            "${arguments.deep.list.0} ${arguments.deep.list.1}",
            r#"true {"x":1.5}"#,
        );
        check(
            "${config_dir}/x ${env.HOME} ${JOB_ID}.${JOB_ATTEMPT}",
            "/etc/jobhook/x /home/me an-id.2",
        );
        check("${workdir}", "/data/work");
    }

    #[test]
    fn a_value_that_looks_like_a_hole_stays_what_it_is() {
        check("${arguments.hole}", "${JOB_ID}");
        check("$${JOB_ID} $$ $", "${JOB_ID} $$ $");
    }

    #[test]
    fn a_missing_value_is_named() {
        let some = || Some(serde_json::json!({"n": null, "list": [1]}));
        check_refused("${arguments.path}", some(), "${arguments.path}");
        check_refused("${arguments.n}", some(), "null");
        check_refused("${arguments.list.1}", some(), "${arguments.list.1}");
        check_refused("${arguments.list.x}", some(), "${arguments.list.x}");
        check_refused("${arguments.list.0.y}", some(), "${arguments.list.0.y}");
        check_refused("${arguments}", None, "no arguments");
        check_refused("${env.NOPE}", None, "${env.NOPE}");
    }

    #[test]
    fn a_hole_that_can_never_be_filled_is_refused_at_once() {
        check_refused("${argument.x}", None, "`${argument.x}` is not known");
        check_refused("${}", None, "is not known");
        check_refused("${arguments.}", None, "is not known");
        check_refused("${JOB_SECRET_KEY}", None, "is not known");
        check_refused("a ${JOB_ID", None, "no closing brace");
    }
}
