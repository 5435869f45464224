//! The one node.

use serde_json::{Value, json};

use super::moment;
use super::objects::{Key, Objects};
use super::resource::NODES;

pub(crate) const NAME: &str = "node-1";

/// What a test may do to it.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Nobody hears of its kubelet any more.
    pub(crate) lost: bool,
}

pub(crate) fn key() -> Key {
    Key::new(&NODES, "", NAME)
}

/// The object, with room for `pods`.
pub(crate) fn object(pods: usize) -> Value {
    let room = json!({"cpu": "8", "memory": "16Gi", "pods": pods.to_string()});
    json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": NAME,
            "labels": {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux"},
        },
        "spec": {},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [ready("True", "KubeletReady", "kubelet is posting ready status")],
        },
    })
}

fn ready(status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": moment::now(),
    })
}

/// Says of the node that it is lost, or is back, as the node controller does.
pub(crate) fn mark(objects: &mut Objects, lost: bool) {
    let condition = if lost {
        let message = "Kubelet stopped posting node status.";
        ready("Unknown", "NodeStatusUnknown", message)
    } else {
        ready("True", "KubeletReady", "kubelet is posting ready status")
    };
    objects.change(&key(), |node| {
        node["status"]["conditions"] = json!([condition]);
        node["spec"]["taints"] = if lost {
            json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": moment::now()}])
        } else {
            json!([])
        };
    });
}
