//! The scheduler: which pods the node has room for.

use serde_json::{Value, json};

use super::events::{self, Source};
use super::moment;
use super::node;
use super::objects::{Key, Objects};
use super::resource::PODS;
use super::validation::quantity;

/// Binds every pod that waits and fits.
pub(crate) fn schedule(objects: &mut Objects) {
    let waits = |pod: &Value| {
        pod["spec"]["nodeName"].is_null() && !pod["metadata"]["deletionTimestamp"].is_string()
    };
    let waiting: Vec<Key> = objects
        .all(&PODS, "")
        .filter(|(_, pod)| waits(pod))
        .map(|(key, _)| key.clone())
        .collect();
    if waiting.is_empty() {
        return;
    }
    let Some(node) = objects.get(&node::key()).cloned() else {
        return;
    };
    let running = |pod: &Value| {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        pod["spec"]["nodeName"].is_string() && !matches!(phase, "Succeeded" | "Failed")
    };
    let mut used = objects
        .all(&PODS, "")
        .filter(|(_, pod)| running(pod))
        .count();
    for key in waiting {
        let Some(pod) = objects.get(&key).cloned() else {
            continue;
        };
        match obstacle(&pod, &node, used) {
            None => {
                used += 1;
                bind(objects, &key);
            }
            Some(why) => wait(objects, &key, &why),
        }
    }
}

/// Why the pod cannot run on the node.
fn obstacle(pod: &Value, node: &Value, used: usize) -> Option<String> {
    let lost = node["spec"]["taints"]
        .as_array()
        .is_some_and(|taints| !taints.is_empty());
    let no_victims = "No preemption victims found for incoming pod.";
    let unhelpful = "Preemption is not helpful for scheduling.";
    let (why, preemption) = if lost {
        let why = "node(s) had untolerated taint {node.kubernetes.io/unreachable: }";
        (why.to_owned(), unhelpful)
    } else if let Some(why) = selects_other(pod, node) {
        (why, unhelpful)
    } else if let Some(resource) = too_much(pod, node) {
        (format!("Insufficient {resource}"), no_victims)
    } else if used >= room(node, "pods") as usize {
        ("Too many pods".to_owned(), no_victims)
    } else {
        return None;
    };
    Some(format!(
        "0/1 nodes are available: 1 {why}. preemption: 0/1 nodes are available: 1 {preemption}"
    ))
}

fn selects_other(pod: &Value, node: &Value) -> Option<String> {
    let wanted = pod["spec"]["nodeSelector"].as_object()?;
    let labels = &node["metadata"]["labels"];
    let fits = wanted.iter().all(|(name, value)| labels[name] == *value);
    let why = "node(s) didn't match Pod's node affinity/selector";
    (!fits).then(|| why.to_owned())
}

fn too_much<'p>(pod: &'p Value, node: &Value) -> Option<&'p str> {
    let containers = pod["spec"]["containers"].as_array()?;
    let requests = containers.iter().flat_map(|container| {
        // What is limited and not requested is requested.
        ["requests", "limits"]
            .into_iter()
            .filter_map(|list| container["resources"][list].as_object())
            .flatten()
    });
    for (resource, amount) in requests {
        if quantity(amount).is_some_and(|amount| amount > room(node, resource)) {
            return Some(resource);
        }
    }
    None
}

fn room(node: &Value, resource: &str) -> f64 {
    quantity(&node["status"]["allocatable"][resource]).unwrap_or_default()
}

fn bind(objects: &mut Objects, key: &Key) {
    let bound = objects.change(key, |pod| {
        pod["spec"]["nodeName"] = node::NAME.into();
        pod["status"]["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "True",
            "lastTransitionTime": moment::now(),
        }]);
    });
    if let Some(pod) = bound {
        let message = format!(
            "Successfully assigned {}/{} to {}",
            key.namespace,
            key.name,
            node::NAME
        );
        events::tell(
            objects,
            (&PODS, &pod),
            Source::Scheduler,
            ("Normal", "Scheduled"),
            &message,
        );
    }
}

fn wait(objects: &mut Objects, key: &Key, why: &str) {
    let said = objects
        .get(key)
        .is_some_and(|pod| pod["status"]["conditions"][0]["message"] == why);
    if said {
        return;
    }
    let waiting = objects.change(key, |pod| {
        pod["status"]["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": why,
            "lastTransitionTime": moment::now(),
        }]);
    });
    if let Some(pod) = waiting {
        events::tell(
            objects,
            (&PODS, &pod),
            Source::Scheduler,
            ("Warning", "FailedScheduling"),
            why,
        );
    }
}
