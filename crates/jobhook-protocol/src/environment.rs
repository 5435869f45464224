//! What a job finds in its environment (clauses `ENV-*`).
//!
//! Reading takes a lookup instead of the process environment, so that it is a pure
//! function; the caller passes `|name| std::env::var(name).ok()`.

use std::fmt;

use crate::key::{KeyError, SecretKey};
use crate::signature::is_id;

/// The action's id.
pub const JOB_ID: &str = "JOB_ID";
/// The attempt's key.
pub const JOB_SECRET_KEY: &str = "JOB_SECRET_KEY";
/// The address to report to.
pub const JOB_HOOK: &str = "JOB_HOOK";
/// What started the job.
pub const JOB_ORCHESTRATOR: &str = "JOB_ORCHESTRATOR";
/// The attempt's number, from 1. Its presence means that the server speaks `v1`.
pub const JOB_ATTEMPT: &str = "JOB_ATTEMPT";
/// What becomes of what the program writes to its outputs; see [`OUTPUT_STORED`].
pub const JOB_OUTPUT: &str = "JOB_OUTPUT";
/// The value of [`JOB_OUTPUT`] where whoever started the program stores what it writes as lines of
/// the action's log, so that nobody needs to report it.
pub const OUTPUT_STORED: &str = "stored";
/// W3C Trace Context.
pub const TRACEPARENT: &str = "TRACEPARENT";

/// The environment of a job, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct JobEnvironment {
    /// The action's id.
    pub id: String,
    /// The attempt's key.
    pub secret_key: SecretKey,
    /// The address to report to, without a slash at its end.
    pub hook: String,
    /// What started the job, for example `jobhook`.
    pub orchestrator: Option<String>,
    /// The attempt's number; `None` under a server that speaks only profile `webda`.
    pub attempt: Option<u32>,
    /// W3C Trace Context of the launch.
    pub traceparent: Option<String>,
}

/// Why an environment is not a job's. Names the variable, never its value if it is the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Not set, or empty.
    #[error(
        "{0} is not set: this program must be started as a job, which gives it JOB_ID, JOB_SECRET_KEY and JOB_HOOK"
    )]
    Missing(&'static str),
    /// Set to something it cannot be.
    #[error("{name} is invalid: {reason}")]
    Invalid {
        /// Which variable.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl JobEnvironment {
    /// Reads the variables through `lookup`.
    ///
    /// # Errors
    ///
    /// [`EnvironmentError`] for the first of `JOB_ID`, `JOB_SECRET_KEY`, `JOB_HOOK`,
    /// `JOB_ATTEMPT` that is missing or wrong.
    pub fn read(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<JobEnvironment, EnvironmentError> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let required = |name| set(name).ok_or(EnvironmentError::Missing(name));

        let id = required(JOB_ID)?;
        if !is_id(id.as_bytes()) {
            return Err(invalid(JOB_ID, "an id is 1 to 64 of A-Z a-z 0-9 . _ -"));
        }
        let secret_key =
            SecretKey::from_text(&required(JOB_SECRET_KEY)?).map_err(|error| match error {
                KeyError::Empty => EnvironmentError::Missing(JOB_SECRET_KEY),
                other => invalid(JOB_SECRET_KEY, other),
            })?;
        let hook = read_hook(&required(JOB_HOOK)?)?;
        let attempt = set(JOB_ATTEMPT)
            .map(|text| read_attempt(&text))
            .transpose()?;

        Ok(JobEnvironment {
            id,
            secret_key,
            hook,
            orchestrator: set(JOB_ORCHESTRATOR),
            attempt,
            traceparent: set(TRACEPARENT),
        })
    }

    /// The variables to start a job with. Holds the key: for an environment only, never for
    /// a log or an argument list.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            (JOB_ID, self.id.clone()),
            (JOB_SECRET_KEY, self.secret_key.reveal()),
            (JOB_HOOK, self.hook.clone()),
        ];
        variables.extend(
            self.orchestrator
                .clone()
                .map(|value| (JOB_ORCHESTRATOR, value)),
        );
        variables.extend(
            self.attempt
                .map(|attempt| (JOB_ATTEMPT, attempt.to_string())),
        );
        variables.extend(self.traceparent.clone().map(|value| (TRACEPARENT, value)));
        variables
    }
}

impl fmt::Debug for JobEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobEnvironment")
            .field("id", &self.id)
            .field("hook", &shown(&self.hook))
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The hook without a name and password that may stand before its host (RFC 3986 §3.2.1).
fn shown(hook: &str) -> String {
    let Some((scheme, rest)) = hook.split_once("://") else {
        return String::new();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let from = authority.rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[from..])
}

fn read_hook(text: &str) -> Result<String, EnvironmentError> {
    if text == "store" {
        return Err(invalid(
            JOB_HOOK,
            "`store` means that the job runs inside its server; a program of its own needs an http or https address",
        ));
    }
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest.filter(|rest| !rest.contains(char::is_whitespace)) else {
        return Err(invalid(JOB_HOOK, "it must be an http or https address"));
    };
    if rest.contains(['?', '#']) {
        return Err(invalid(
            JOB_HOOK,
            "it must have no query and no fragment, since paths are appended to it",
        ));
    }
    if !is_authority(rest.split('/').next().unwrap_or_default()) {
        return Err(invalid(
            JOB_HOOK,
            "it must name a host, and a port from 1 to 65535 if any",
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A host with an optional port; brackets hold an IPv6 address.
fn is_authority(authority: &str) -> bool {
    let host_end = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[host_end..].rfind(':') {
        Some(colon) => (
            &authority[..host_end + colon],
            Some(&authority[host_end + colon + 1..]),
        ),
        None => (authority, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    !host.is_empty() && port.is_none_or(is_port)
}

fn read_attempt(text: &str) -> Result<u32, EnvironmentError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if plain && number >= 1 => Ok(number),
        _ => Err(invalid(JOB_ATTEMPT, "it must be a whole number from 1")),
    }
}

fn invalid(name: &'static str, reason: impl fmt::Display) -> EnvironmentError {
    EnvironmentError::Invalid {
        name,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_hook_is_not_shown() {
        for (hook, wanted) in [
            ("http://u:p@s@h:1/async?x=@y", "http://h:1/async?x=@y"),
            ("http://h/a@b", "http://h/a@b"),
        ] {
            assert_eq!(shown(hook), wanted);
        }
    }
}
