//! What the state of a Job adds to what its pod shows: how it ended if its pod is gone, and why it has none.

use jobhook_engine::attempt::{Ending, Fault};
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

use super::cluster::Cluster;
use super::names;
use super::pod_state::{PodState, Trouble};

/// How a Job ended, as its controller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    Complete,
    Deadline,
    Failed(String),
}

/// How a Job ended, if it did.
pub(super) fn end_of(status: &JobStatus) -> Option<JobEnd> {
    end_by(status, "Complete", "Failed")
}

/// How a Job ends: decided by its controller, which then ends its pods, and is the end only after that.
pub(super) fn decided_of(status: &JobStatus) -> Option<JobEnd> {
    end_of(status).or_else(|| end_by(status, "SuccessCriteriaMet", "FailureTarget"))
}

fn end_by(status: &JobStatus, well: &str, badly: &str) -> Option<JobEnd> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let of = |kind: &str| {
        conditions
            .iter()
            .find(|condition| condition.type_ == kind && condition.status == "True")
    };
    if of(well).is_some() {
        return Some(JobEnd::Complete);
    }
    let failed = of(badly)?;
    let reason = failed.reason.as_deref().unwrap_or_default();
    if reason == "DeadlineExceeded" {
        return Some(JobEnd::Deadline);
    }
    let message = failed
        .message
        .as_deref()
        .filter(|message| !message.is_empty());
    Some(JobEnd::Failed(message.unwrap_or(reason).to_owned()))
}

impl JobEnd {
    /// How it ended, as far as that is known without its pod.
    pub(super) fn without_pod(self) -> Ending {
        match self {
            JobEnd::Complete => Ending::Exited { code: 0 },
            JobEnd::Deadline => deadline(),
            JobEnd::Failed(words) => Ending::Lost {
                reason: format!(
                    "the pod is gone, and nobody saw how it ended; its Job says: {words}"
                ),
            },
        }
    }
}

fn deadline() -> Ending {
    Ending::Displaced {
        name: "deadline_exceeded".into(),
        reason:
            "the cluster ended the Job because it ran longer than its activeDeadlineSeconds allow"
                .into(),
        fault: Fault::Code,
    }
}

fn deleted(what: &str) -> Ending {
    Ending::Displaced {
        name: "deleted".into(),
        reason: format!("{what} was deleted, by something other than this server"),
        fault: Fault::Infrastructure,
    }
}

/// How a container ended, in view of what its pod and its Job say.
///
/// - `stopping`: whether it was to be stopped.
pub(super) fn ending(
    ending: Ending,
    pod: &PodState,
    job: Option<&JobEnd>,
    stopping: bool,
) -> Ending {
    let went_well = matches!(ending, Ending::Exited { code: 0 });
    let is_told = matches!(
        ending,
        Ending::Displaced { .. } | Ending::OutOfMemory { .. } | Ending::NotStarted { .. }
    );
    if went_well || is_told || stopping {
        return ending;
    }
    if job == Some(&JobEnd::Deadline) {
        return deadline();
    }
    if pod.terminating {
        return deleted("the pod");
    }
    ending
}

/// How a pod ended that is gone before its end was seen.
pub(super) fn vanished(pod: &PodState, job: Option<&JobEnd>, stopping: bool) -> Ending {
    match (job, &pod.disruption) {
        (Some(JobEnd::Complete), _) => Ending::Exited { code: 0 },
        (Some(JobEnd::Deadline), _) => deadline(),
        _ if stopping => removed(),
        (_, Some(disruption)) => disruption.ending(),
        _ => deleted("the pod"),
    }
}

/// How a Job ended that is gone, and of which no pod is known.
pub(super) fn job_vanished(name: &str, stopping: bool) -> Ending {
    if stopping {
        removed()
    } else {
        deleted(&format!("the Job `{name}`"))
    }
}

fn removed() -> Ending {
    Ending::Displaced {
        name: "removed".into(),
        reason: "the pod was removed before it said how it ended".into(),
        fault: Fault::Infrastructure,
    }
}

/// How a pod ends that has been in trouble for too long.
pub(super) fn never_began(why: Option<&str>, trouble: Option<Trouble>) -> Ending {
    let name = match trouble {
        Some(Trouble::Image) | None => "image_pull",
        Some(Trouble::Container) => "container_config",
    };
    Ending::Displaced {
        name: name.into(),
        reason: format!(
            "the pod did not begin in time: {}",
            why.unwrap_or("its image cannot be pulled")
        ),
        fault: Fault::Infrastructure,
    }
}

/// The main container of a pod: the one that is named, if the pod has it, or the first.
pub(super) fn main_of(pod: &Pod, named: Option<&str>) -> Option<String> {
    let annotations = pod.metadata.annotations.as_ref();
    let annotated = annotations.and_then(|annotations| annotations.get(names::MAIN));
    let named = named.or(annotated.map(String::as_str));
    let containers = &pod.spec.as_ref()?.containers;
    let found = containers
        .iter()
        .find(|container| Some(container.name.as_str()) == named);
    let main = found.or_else(|| containers.first())?;
    Some(main.name.clone())
}

/// What nobody tells the reason of, but in events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mute {
    /// A Job of this name has no pod.
    Job(String),
    /// A pod of this name does not begin.
    Pod(String),
}

/// Why nothing goes on, as events tell; `None` if they do not, or may not be read.
pub(super) async fn why(cluster: &Cluster, mute: &Mute) -> Option<String> {
    let (kind, name, what) = match mute {
        Mute::Job(name) => ("Job", name, "no pod can be made"),
        Mute::Pod(name) => ("Pod", name, "its pod cannot begin"),
    };
    let about = ListParams::default().fields(&format!(
        "involvedObject.kind={kind},involvedObject.name={name}"
    ));
    let events = cluster.events().list(&about).await.ok()?;
    let failed = events
        .items
        .into_iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"));
    let last = failed.max_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0))?;
    let message = last.message.filter(|message| !message.is_empty());
    Some(format!("{what}: {}", message.or(last.reason)?))
}

#[cfg(test)]
mod tests;
