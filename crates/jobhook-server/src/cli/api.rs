//! The server that a command speaks to, and what its refusals mean for the command's end.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use jobhook::{Error, Launcher};
use jobhook_protocol::Code;

use super::exit::{Exit, Failure};
use crate::config::Surroundings;
use crate::http::is_loopback_name;

const JOBHOOK_URL: &str = "JOBHOOK_URL";

/// Where the server is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServerOptions {
    /// The server's address [env: JOBHOOK_URL] [default: http://127.0.0.1:8088]
    ///
    /// A token, if the server wants one, is read from the variable JOBHOOK_TOKEN.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: Option<String>,
}

/// Speaks to the server that is named by the flag, by `JOBHOOK_URL`, or by nobody.
///
/// # Errors
///
/// [`Exit::Usage`] if an address or a token cannot be one.
pub(crate) fn launcher(
    options: &ServerOptions,
    surroundings: &Surroundings,
) -> Result<Launcher, Failure> {
    let lookup = |name: &str| match &options.url {
        Some(url) if name == JOBHOOK_URL => Some(url.clone()),
        _ => surroundings.get(name).map(str::to_owned),
    };
    Launcher::from_variables(lookup).map_err(|error| match error {
        Error::Setting { name, reason } if name == JOBHOOK_URL && options.url.is_some() => {
            Failure::usage(format_args!("--url is invalid: {reason}"))
        }
        error => error.into(),
    })
}

impl From<Error> for Failure {
    /// For what the management API did not do.
    fn from(error: Error) -> Failure {
        let denied = |status: u16| match status {
            401 | 403 => Exit::Denied,
            _ => Exit::Other,
        };
        // What the server finds wrong in a request was written on the command line.
        let refused = |status: u16| match status {
            400 | 413 | 422 => Exit::Usage,
            _ => denied(status),
        };
        match &error {
            Error::NoAnswer { server, .. } => Failure::new(
                Exit::Unreachable,
                format_args!("{error}\n{}", how_to_reach(server)),
            ),
            Error::Unreachable { .. } => Failure::new(
                Exit::Unreachable,
                format_args!("{error}\nthe action goes on without us"),
            ),
            Error::Refused(problem) if problem.code == Code::Unauthenticated.as_str() => {
                Failure::new(
                    refused(problem.status),
                    format_args!("{error}; the token is read from JOBHOOK_TOKEN"),
                )
            }
            Error::Refused(problem) => Failure::new(refused(problem.status), error),
            Error::Foreign { status, .. } | Error::Redirected { status, .. } => {
                Failure::new(denied(*status), error)
            }
            Error::Setting { .. }
            | Error::FileUnreadable { .. }
            | Error::FileUnwritable { .. }
            | Error::FileExists { .. } => Failure::usage(error),
            _ => Failure::new(Exit::Other, error),
        }
    }
}

fn how_to_reach(server: &str) -> String {
    let address = server.parse::<http::Uri>().ok();
    let host = address.as_ref().and_then(http::Uri::authority);
    if host.is_some_and(|host| is_loopback_name(host.as_str().as_bytes())) {
        "start a server with `jobhook serve`, or name another one in JOBHOOK_URL".to_owned()
    } else {
        format!("see whether it answers at all: `curl -sS {server}/healthz`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_looked_for_where_it_should_be() {
        for here in [
            "http://127.0.0.1:8088",
            "http://localhost/jobs",
            "https://[::1]:1",
        ] {
            assert!(how_to_reach(here).starts_with("start a server"), "{here}");
        }
        assert_eq!(
            how_to_reach("https://jobs.example.org/x"),
            "see whether it answers at all: `curl -sS https://jobs.example.org/x/healthz`"
        );
    }
}
