//! What the state of a pod means for its job, in plain words.
//!
//! ```text
//! Waiting(why) ─▶ Running ─▶ Ended(how)
//! ```
//!
//! Pure: it is given the pod as the API server shows it, and no clock. The main container decides: once
//! it has ended the job has, though a sidecar goes on.

use jobhook_engine::attempt::{Ending, Fault};
use jobhook_engine::clock::Timestamp;
use jobhook_engine::verdict::signal_name;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::disruption::{Disruption, NODE_LOST, disruption, told};

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PodState {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) node: Option<String>,
    pub(super) main: Main,
    /// Whether it is being deleted.
    pub(super) terminating: bool,
    /// Why what runs it is taken away, if it is.
    pub(super) disruption: Option<Disruption>,
    /// The containers that have begun, or ended, and so have a log.
    pub(super) logging: Vec<Logging>,
    /// Whether its node has not told of it for a while.
    pub(super) is_unheard: bool,
    /// Whether nothing of it runs any more.
    pub(super) over: bool,
}

/// A container that has a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logging {
    pub(super) container: String,
    /// Whether it comes before the others: an init container.
    pub(super) is_init: bool,
    /// Whether nothing is added any more.
    pub(super) ended: bool,
}

/// How the main container stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Main {
    /// It has not begun.
    Waiting {
        /// What it waits for, if that is known.
        why: Option<String>,
        /// Whether waiting alone will hardly help: its image cannot be pulled, for example.
        trouble: Option<Trouble>,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It has ended.
    Ended {
        /// How.
        ending: Ending,
        /// When it began, if it did.
        since: Option<Timestamp>,
        /// When it ended.
        at: Option<Timestamp>,
    },
}

/// What keeps a pod from starting until somebody changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its image cannot be pulled.
    Image,
    /// Its container cannot be made: a Secret or a ConfigMap is missing, for example.
    Container,
}

impl PodState {
    /// What `pod` shows, whose main container is `main`; the first one if it has none of that name.
    pub(super) fn of(pod: &Pod, main: &str) -> PodState {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let init = status.init_container_statuses.unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or("Unknown");
        let conditions = status.conditions.unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let disruption = disruption(
            status.reason.as_deref(),
            status.message.as_deref(),
            &conditions,
            node.as_deref(),
        );
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let named = containers.iter().find(|status| status.name == main);
        let limit = memory_limit(pod, main);
        let mut state = match named.and_then(|status| status.state.as_ref()) {
            Some(ContainerState {
                terminated: Some(end),
                ..
            }) => ended(end, limit),
            Some(ContainerState {
                running: Some(running),
                ..
            }) => Main::Running {
                since: running.started_at.as_ref().map(timestamp),
            },
            Some(ContainerState {
                waiting: Some(waiting),
                ..
            }) => {
                let (reason, message) = (waiting.reason.as_deref(), waiting.message.as_deref());
                waits(reason, message)
            }
            _ => Main::Waiting {
                why: unscheduled(&conditions),
                trouble: None,
            },
        };
        if let Main::Waiting { .. } = state
            && let Some(failed) = init.iter().find_map(|status| failed_init(pod, status))
            && phase == "Failed"
        {
            state = failed;
        } else if let Main::Waiting { trouble: None, .. } = state
            && let Some(waits) = init.iter().find_map(init_waits)
        {
            state = waits;
        }
        if let (Main::Waiting { .. } | Main::Running { .. }, "Failed" | "Succeeded") =
            (&state, phase)
        {
            // The pod is over, and nobody said how the container ended.
            state = over(
                phase,
                &disruption,
                status.reason.as_deref(),
                status.message.as_deref(),
            );
        } else if let Main::Ended { ending, .. } = &mut state
            && *ending != (Ending::Exited { code: 0 })
            && !matches!(ending, Ending::OutOfMemory { .. })
            && let Some(disruption) = &disruption
        {
            *ending = disruption.ending();
        }
        // A container is ready as long as its node says so; a pod is not, once nobody hears of its node.
        let is_unheard = named.is_some_and(|status| status.ready)
            && conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "False");
        let has_ended = |status: &ContainerStatus| {
            let state = status.state.as_ref();
            state.is_some_and(|state| state.terminated.is_some())
        };
        let all_ended = !containers.is_empty() && containers.iter().all(has_ended);
        let logging = (init.iter().filter_map(|status| logging(status, true)))
            .chain(
                containers
                    .iter()
                    .filter_map(|status| logging(status, false)),
            )
            .collect();
        PodState {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            node,
            main: state,
            terminating,
            disruption,
            logging,
            is_unheard,
            over: matches!(phase, "Failed" | "Succeeded") || all_ended,
        }
    }

    /// Whether its node does not answer any more, as far as the cluster knows.
    pub(super) fn is_on_lost_node(&self) -> bool {
        self.disruption
            .as_ref()
            .is_some_and(|disruption| disruption.name == NODE_LOST)
            && !matches!(self.main, Main::Ended { .. })
    }
}

fn ended(end: &ContainerStateTerminated, limit: Option<String>) -> Main {
    let mut ending = ended_as(end);
    if let Ending::OutOfMemory {
        limit: of_container,
        ..
    } = &mut ending
    {
        *of_container = limit;
    }
    Main::Ended {
        ending,
        since: end.started_at.as_ref().map(timestamp),
        at: end.finished_at.as_ref().map(timestamp),
    }
}

fn ended_as(end: &ContainerStateTerminated) -> Ending {
    let reason = end.reason.as_deref().unwrap_or_default();
    let message = end.message.as_deref().map(str::trim);
    let message = message.filter(|text| !text.is_empty());
    match (reason, end.signal) {
        ("OOMKilled", _) => Ending::OutOfMemory {
            signal: 9,
            limit: None,
        },
        // It was never run: the command is not there, for example.
        ("StartError" | "ContainerCannotRun" | "RunContainerError" | "CreateContainerError", _) => {
            Ending::NotStarted {
                reason: message.unwrap_or(reason).to_owned(),
            }
        }
        ("ContainerStatusUnknown", _) => Ending::Lost {
            reason: "the node did not say how the container ended".into(),
        },
        (_, Some(signal)) if signal > 0 => Ending::Signalled {
            signal,
            name: signal_name(signal).to_owned(),
            core_dumped: false,
        },
        _ => Ending::Exited {
            code: end.exit_code,
        },
    }
}

fn waits(reason: Option<&str>, message: Option<&str>) -> Main {
    let trouble = match reason {
        Some(
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable",
        ) => Some(Trouble::Image),
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            Some(Trouble::Container)
        }
        _ => None,
    };
    let why = match (trouble, reason) {
        (_, None | Some("ContainerCreating" | "PodInitializing")) => None,
        (Some(Trouble::Image), Some(reason)) => Some(format!(
            "its image cannot be pulled: {}",
            told(reason, message)
        )),
        (Some(Trouble::Container), Some(reason)) => Some(format!(
            "its container cannot be made: {}",
            told(reason, message)
        )),
        (None, Some(reason)) => Some(format!("its container waits: {}", told(reason, message))),
    };
    Main::Waiting { why, trouble }
}

fn init_waits(status: &ContainerStatus) -> Option<Main> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let main = waits(waiting.reason.as_deref(), waiting.message.as_deref());
    matches!(
        main,
        Main::Waiting {
            trouble: Some(_),
            ..
        }
    )
    .then_some(main)
}

/// An init container that failed, and with it the pod.
fn failed_init(pod: &Pod, status: &ContainerStatus) -> Option<Main> {
    let end = status.state.as_ref()?.terminated.as_ref()?;
    if end.exit_code == 0 {
        return None;
    }
    let Main::Ended { ending, at, .. } = ended(end, memory_limit(pod, &status.name)) else {
        return None;
    };
    let how = jobhook_engine::verdict::sentence(&ending);
    Some(Main::Ended {
        ending: Ending::Displaced {
            name: "init_container".into(),
            reason: format!("the init container `{}` failed: {how}", status.name),
            fault: Fault::Code,
        },
        since: None,
        at,
    })
}

fn over(
    phase: &str,
    disruption: &Option<Disruption>,
    reason: Option<&str>,
    message: Option<&str>,
) -> Main {
    let ending = match (phase, disruption) {
        ("Succeeded", _) => Ending::Exited { code: 0 },
        (_, Some(disruption)) => disruption.ending(),
        _ => Ending::Lost {
            reason: format!(
                "the pod failed: {}",
                told(reason.unwrap_or("no reason given"), message)
            ),
        },
    };
    Main::Ended {
        ending,
        since: None,
        at: None,
    }
}

fn unscheduled(conditions: &[PodCondition]) -> Option<String> {
    let scheduled = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let reason = scheduled.reason.as_deref().unwrap_or("Unschedulable");
    let what = match reason {
        "SchedulingGated" => "the pod is held back before it is scheduled",
        _ => "no node can run the pod",
    };
    Some(format!(
        "{what}: {}",
        told(reason, scheduled.message.as_deref())
    ))
}

fn logging(status: &ContainerStatus, is_init: bool) -> Option<Logging> {
    let state = status.state.as_ref()?;
    let ended = state.terminated.is_some();
    let never_ran = state
        .terminated
        .as_ref()
        .is_some_and(|end| matches!(ended_as(end), Ending::NotStarted { .. }));
    let has_log = (ended || state.running.is_some()) && !never_ran;
    has_log.then(|| Logging {
        container: status.name.clone(),
        is_init,
        ended,
    })
}

fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let init = spec.init_containers.iter().flatten();
    let container = spec
        .containers
        .iter()
        .chain(init)
        .find(|candidate| candidate.name == container)?;
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    Some(limits.get("memory")?.0.clone())
}

pub(super) fn timestamp(time: &Time) -> Timestamp {
    Timestamp(time.0.as_millisecond())
}

#[cfg(test)]
mod tests;
