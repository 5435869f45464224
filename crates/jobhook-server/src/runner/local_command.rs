//! What a LocalRunner's configuration says about its command, and the command of one start.
//!
//! Pure but for the look-up of a user's home: it reads no clock and starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jobhook_engine::runner::JobStart;
use jobhook_protocol::environment::{
    JOB_ATTEMPT, JOB_HOOK, JOB_ID, JOB_OUTPUT, JOB_SECRET_KEY, OUTPUT_STORED,
};

use super::template::{Holes, MissingValue, Template, TemplateError, Values};
use crate::config;
use crate::supervisor::{Limits, Spec};

/// Variables of the server's environment that its jobs get as well; and all of `LC_*`.
const INHERITED: [&str; 7] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// What only the attempt itself may say.
const RESERVED: [&str; 5] = [JOB_ID, JOB_SECRET_KEY, JOB_HOOK, JOB_ATTEMPT, JOB_OUTPUT];

/// The command of a LocalRunner, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCommand {
    /// A path, or a name that is looked up in the job's `PATH`.
    pub command: String,
    /// Its arguments; may hold `${…}`.
    pub args: Vec<String>,
    /// Variables beside the inherited ones and those of the job; values may hold `${…}`.
    pub env: BTreeMap<String, String>,
    /// Where it starts, relative to `config_dir`; may hold `${…}`. `config_dir` if `None`.
    pub cwd: Option<String>,
    /// Whether it gets the action's arguments as JSON on its standard input.
    pub stdin_arguments: bool,
    /// The user it runs as, by name or number.
    pub run_as: Option<String>,
    /// What the kernel holds it to.
    pub limits: Limits,
    /// What it finds in `JOB_ORCHESTRATOR`; what the engine says if `None`.
    pub orchestrator: Option<String>,
    /// The folder of the configuration file.
    pub config_dir: PathBuf,
}

impl LocalCommand {
    /// The command that `[runners.NAME]` configures in a file that lies in `directory`.
    pub fn configured(config: &config::LocalRunner, directory: &Path) -> LocalCommand {
        LocalCommand {
            command: config.command.clone(),
            args: config.args.clone(),
            env: config.env.clone(),
            cwd: config.cwd.clone(),
            stdin_arguments: config.stdin == config::Stdin::Arguments,
            run_as: config.run_as.clone(),
            limits: Limits {
                cpu: config.limits.cpu_seconds,
                address_space: config.limits.memory,
                open_files: config.limits.open_files,
                core: config.limits.core,
                file_size: config.limits.file_size,
                processes: config.limits.processes,
            },
            orchestrator: Some(config.orchestrator.clone()),
            config_dir: directory.to_owned(),
        }
    }
}

/// Why a command can never be started as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalCommandError {
    /// There is none.
    #[error("`command` is missing or empty")]
    NoCommand,
    /// A `${…}` that means nothing.
    #[error("{field}: {reason}")]
    Hole {
        /// The key in the configuration.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A variable that the job's own would overwrite.
    #[error("env.{0} cannot be configured: every attempt has its own")]
    Reserved(String),
    /// A name that no variable can have.
    #[error("env: `{0}` cannot be the name of a variable")]
    BadName(String),
    /// A path that is not UTF-8.
    #[error("the folder of the configuration, `{}`, is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
}

impl LocalCommand {
    /// Whether it could be started, as far as that can be told without an action.
    ///
    /// # Errors
    ///
    /// [`LocalCommandError`].
    pub fn check(self) -> Result<(), LocalCommandError> {
        Prepared::of(self, std::iter::empty()).map(|_| ())
    }
}

/// A command whose holes are understood.
#[derive(Debug)]
pub(crate) struct Prepared {
    program: String,
    args: Vec<Template>,
    env: BTreeMap<String, Template>,
    cwd: Option<Template>,
    stdin_arguments: bool,
    run_as: Option<String>,
    limits: Limits,
    orchestrator: Option<String>,
    config_dir: String,
    inherited: BTreeMap<String, String>,
}

impl Prepared {
    /// Understands `command`. `environment` is the server's own.
    pub(crate) fn of(
        command: LocalCommand,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Prepared, LocalCommandError> {
        if command.command.is_empty() {
            return Err(LocalCommandError::NoCommand);
        }
        let config_dir = command.config_dir.to_str().map(str::to_owned);
        let config_dir = config_dir.ok_or(LocalCommandError::NotUtf8(command.config_dir))?;
        let mut args = Vec::new();
        for (at, text) in command.args.iter().enumerate() {
            args.push(parse(&format!("args[{at}]"), text)?);
        }
        let mut env = BTreeMap::new();
        for (name, text) in command.env {
            if RESERVED.contains(&name.as_str()) {
                return Err(LocalCommandError::Reserved(name));
            }
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(LocalCommandError::BadName(name));
            }
            let template = parse(&format!("env.{name}"), &text)?;
            env.insert(name, template);
        }
        let cwd = command.cwd.map(|text| parse("cwd", &text)).transpose()?;
        Ok(Prepared {
            program: command.command,
            args,
            env,
            cwd,
            stdin_arguments: command.stdin_arguments,
            run_as: command.run_as,
            limits: command.limits,
            orchestrator: command.orchestrator,
            config_dir,
            inherited: environment.filter(|(name, _)| is_inherited(name)).collect(),
        })
    }

    /// The command of one start. `run_dir` is the run directory of the attempt.
    pub(crate) fn spec(&self, job: &JobStart, run_dir: &Path) -> Result<Spec, MissingValue> {
        let arguments = job.action.arguments.as_ref();
        let value = arguments.map(|json| json.value());
        let work_dir = run_dir.join("work").to_string_lossy().into_owned();
        let values = Values {
            arguments: value.as_ref(),
            config_dir: &self.config_dir,
            environment: &|name| std::env::var(name).ok(),
            job_id: &job.environment.id,
            job_attempt: job.attempt.number,
            work_dir: &work_dir,
            given: &|_| None,
        };
        let mut env = self.inherited.clone();
        env.extend(self.run_as.as_deref().map(home_of).unwrap_or_default());
        let mut of_job = job.environment.clone();
        of_job.orchestrator = self.orchestrator.clone().or(of_job.orchestrator);
        let of_job = of_job.variables();
        env.extend(
            of_job
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        // The supervisor keeps it, whether the program knows of jobhook or not.
        env.insert(JOB_OUTPUT.to_owned(), OUTPUT_STORED.to_owned());
        for (name, template) in &self.env {
            env.insert(name.clone(), template.fill(&values)?);
        }
        let cwd = match &self.cwd {
            Some(template) => Path::new(&self.config_dir).join(template.fill(&values)?),
            None => PathBuf::from(&self.config_dir),
        };
        Ok(Spec {
            program: self.program.clone(),
            args: self
                .args
                .iter()
                .map(|arg| arg.fill(&values))
                .collect::<Result<_, _>>()?,
            env,
            // Made of UTF-8 texts, so nothing is lost.
            cwd: cwd.to_string_lossy().into_owned(),
            stdin: self.stdin_arguments.then(|| {
                // With a line end, for programs that read lines.
                arguments.map_or("null", |json| json.as_str()).to_owned() + "\n"
            }),
            run_as: self.run_as.clone(),
            limits: self.limits,
            workdir: self.wants_work_dir(),
        })
    }

    fn wants_work_dir(&self) -> bool {
        self.args
            .iter()
            .chain(self.env.values())
            .chain(&self.cwd)
            .any(Template::wants_work_dir)
    }
}

fn parse(field: &str, text: &str) -> Result<Template, LocalCommandError> {
    Template::parse(text, Holes::Local).map_err(|reason: TemplateError| LocalCommandError::Hole {
        field: field.to_owned(),
        reason: reason.to_string(),
    })
}

fn is_inherited(name: &str) -> bool {
    INHERITED.contains(&name) || name.starts_with("LC_")
}

/// What a login would set for `user`; nothing if there is no such user, as the start will tell.
fn home_of(user: &str) -> Vec<(String, String)> {
    use nix::unistd::{Uid, User};
    let found = match user.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(user),
    };
    let Ok(Some(found)) = found else {
        return Vec::new();
    };
    vec![
        ("HOME".to_owned(), found.dir.to_string_lossy().into_owned()),
        ("USER".to_owned(), found.name.clone()),
        ("LOGNAME".to_owned(), found.name),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut LocalCommand), expected: &str) {
        let mut command = LocalCommand {
            command: "sh".into(),
            config_dir: "/etc".into(),
            ..LocalCommand::default()
        };
        change(&mut command);
        let error = Prepared::of(command, std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_can_never_start_is_refused_when_it_is_configured() {
        check_refused(|command| command.command.clear(), "`command` is missing");
        check_refused(
            |command| command.args = vec!["x".into(), "${nope}".into()],
            "args[1]: `${nope}`",
        );
        check_refused(|command| command.cwd = Some("${JOB_ID".into()), "cwd: ");
        let env = |name: &str| BTreeMap::from([(name.to_owned(), String::new())]);
        check_refused(
            |command| command.env = env("JOB_SECRET_KEY"),
            "env.JOB_SECRET_KEY",
        );
        check_refused(|command| command.env = env("A=B"), "`A=B`");
    }

    #[test]
    fn secrets_of_the_server_are_not_inherited() {
        let command = LocalCommand {
            command: "sh".into(),
            ..LocalCommand::default()
        };
        let environment = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("JOBHOOK_TOKEN", "jh_x"),
            ("AWS_SECRET", "y"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let prepared = Prepared::of(command, environment.into_iter()).unwrap();
        assert_eq!(
            prepared.inherited.keys().collect::<Vec<_>>(),
            ["LC_ALL", "PATH"]
        );
    }
}
