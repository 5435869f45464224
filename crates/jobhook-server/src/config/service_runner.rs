//! `type = "ServiceRunner"`: operations that run inside the server.

use std::time::Duration;

use serde::Deserialize;

use super::measure::read_a_duration;
use super::read::{Fault, read};
use super::runner::{hundred, read_actions, starts_something, ten_seconds};
use super::tree::Node;

/// `type = "ServiceRunner"`: each job is a call of an operation that is compiled into the server.
/// The plain server has none; a program that embeds it brings them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRunner {
    /// The operations it takes. Default: all that are in this server.
    #[serde(default, deserialize_with = "read_actions")]
    pub actions: Option<Vec<String>>,
    /// How many of its jobs may run at once. Webda's name is `concurrencyLimit`.
    /// Default: 100.
    #[serde(default = "hundred", alias = "concurrencyLimit")]
    pub concurrency: u32,
    /// How long an operation that is asked to end has before it is ended where it waits.
    /// Default: `"10s"`.
    #[serde(default = "ten_seconds", deserialize_with = "read_a_duration")]
    pub grace: Duration,
    /// The threads that async operations share; one that computes without a pause keeps a
    /// thread for itself. Default: 4.
    #[serde(default = "four")]
    pub threads: u16,
    /// Whether operations report through the hook, like all other jobs, and not straight to the
    /// store. Webda's name is `onlyHttpHook`. Default: `false`.
    #[serde(default, alias = "onlyHttpHook")]
    pub only_http_hook: bool,
}

impl Default for ServiceRunner {
    fn default() -> ServiceRunner {
        ServiceRunner {
            actions: None,
            concurrency: hundred(),
            grace: ten_seconds(),
            threads: four(),
            only_http_hook: false,
        }
    }
}

impl ServiceRunner {
    pub(super) fn read(node: &Node) -> Result<ServiceRunner, Fault> {
        let runner: ServiceRunner = read(&node.without(&["type"]))?;
        starts_something(node, runner.actions.as_deref(), runner.concurrency)?;
        if runner.threads == 0 {
            return Err(super::runner::fault(
                node,
                "threads",
                "0 would never run an operation; 1 is the least",
            ));
        }
        Ok(runner)
    }
}

fn four() -> u16 {
    4
}

#[cfg(test)]
mod tests {
    use super::super::RunnerKind;
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn a_runner_of_operations_has_keys_of_its_own() {
        let config = load(
            "[runners.ops]\ntype = \"Webda/ServiceRunner\"\nactions = [\"A.b\"]\nconcurrencyLimit = 7\n\
         grace = \"1s\"\nthreads = 2\nonlyHttpHook = true\n",
            &[],
        );
        let kind = config.unwrap().runners.remove(0).kind;
        let wanted = ServiceRunner {
            actions: Some(vec!["A.b".into()]),
            concurrency: 7,
            grace: Duration::from_secs(1),
            threads: 2,
            only_http_hook: true,
        };
        assert_eq!(kind, RunnerKind::Service(wanted));
        refused(
            "[runners.ops]\ntype = \"ServiceRunner\"\nthreads = 0\n",
            "jobhook.toml:3:11: runners.ops.threads: 0 would never run an operation; 1 is the least",
        );
        refused(
            "[runners.ops]\ntype = \"ServiceRunner\"\ncommand = \"sh\"\n",
            "jobhook.toml:3:1: unknown key `command` in [runners.ops]",
        );
    }
}
