//! Why the cluster takes a pod away, in plain words, and whose fault that is.
//!
//! Kubernetes says it in two places: the reason of a pod's status (from its node), and the condition
//! `DisruptionTarget` (from whoever asked for it).

use jobhook_engine::attempt::{Ending, Fault};
use k8s_openapi::api::core::v1::PodCondition;

/// Why a pod is taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disruption {
    /// The name that an error has for it.
    pub(super) name: &'static str,
    /// As a fragment.
    pub(super) words: String,
    pub(super) fault: Fault,
}

pub(super) const NODE_LOST: &str = "node_lost";

impl Disruption {
    pub(super) fn ending(&self) -> Ending {
        Ending::Displaced {
            name: self.name.to_owned(),
            reason: self.words.clone(),
            fault: self.fault,
        }
    }
}

/// Why a pod is taken away, or was, if the cluster says so.
pub(super) fn disruption(
    reason: Option<&str>,
    message: Option<&str>,
    conditions: &[PodCondition],
    node: Option<&str>,
) -> Option<Disruption> {
    let on_node = node
        .map(|node| format!(" on node `{node}`"))
        .unwrap_or_default();
    let infrastructure = |name, words| {
        Some(Disruption {
            name,
            words,
            fault: Fault::Infrastructure,
        })
    };
    let target = conditions
        .iter()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    let target_reason = target.and_then(|condition| condition.reason.as_deref());
    let message = message
        .or(target.and_then(|condition| condition.message.as_deref()))
        .unwrap_or_default();
    let message = message.trim();
    let because = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    match (reason, target_reason) {
        (Some("Evicted"), _) if is_own_excess(message) => Some(Disruption {
            name: "evicted",
            words: format!(
                "the pod was evicted{on_node} because it used more than it may{because}"
            ),
            fault: Fault::Code,
        }),
        (Some("Evicted"), _) => {
            infrastructure("evicted", format!("the pod was evicted{on_node}{because}"))
        }
        (Some("DeadlineExceeded"), _) => Some(Disruption {
            name: "deadline_exceeded",
            words: format!("the pod ran longer than its activeDeadlineSeconds allow{because}"),
            fault: Fault::Code,
        }),
        (Some("NodeLost"), _) | (_, Some("DeletionByTaintManager" | "DeletionByPodGC")) => {
            infrastructure(
                NODE_LOST,
                format!("the node of the pod{on_node} was lost{because}")
                    .replace("of the pod on node", "of the pod,"),
            )
        }
        (Some("Shutdown" | "NodeShutdown" | "Terminated"), _) => infrastructure(
            "node_shutdown",
            format!("the node of the pod was shut down{on_node}{because}"),
        ),
        (Some("Preempting" | "Preempted"), _) | (_, Some("PreemptionByScheduler")) => {
            infrastructure(
                "preempted",
                format!("the pod had to make room for a more important one{because}"),
            )
        }
        (_, Some("EvictionByEvictionAPI")) => infrastructure(
            "evicted",
            format!("the pod was evicted{on_node} on request, as when a node is drained{because}"),
        ),
        (_, Some("TerminationByKubelet")) => infrastructure(
            "evicted",
            format!("the node ended the pod{on_node}{because}"),
        ),
        (
            Some(
                admission @ ("UnexpectedAdmissionError"
                | "NodeAffinity"
                | "OutOfcpu"
                | "OutOfmemory"
                | "OutOfpods"
                | "OutOfephemeral-storage"),
            ),
            _,
        ) => infrastructure(
            "not_admitted",
            format!(
                "the node did not take the pod{on_node}: {}",
                told(admission, Some(message))
            ),
        ),
        (_, Some(other)) => infrastructure(
            "disrupted",
            format!(
                "the pod was taken away{on_node}: {}",
                told(other, Some(message))
            ),
        ),
        _ => None,
    }
}

/// Whether a pod was evicted for what it used itself, beyond its own limits.
fn is_own_excess(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "exceeds the total limit",
        "exceeded its local ephemeral storage limit",
        "usage of emptydir volume",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}

/// A message, or the reason where there is none.
pub(super) fn told(reason: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) if message.contains(reason) => message.to_owned(),
        Some(message) => format!("{message} ({reason})"),
        None => reason.to_owned(),
    }
}
