//! The controller of Jobs: one pod for each, and what its end means.
//!
//! With `backoffLimit` 0 and one completion, as here alone: a second pod is never made.

use std::time::Duration;

use serde_json::{Value, json};

use super::delete::{DeleteOptions, delete, release};
use super::events::{self, Source};
use super::faults::Fault;
use super::moment;
use super::objects::Key;
use super::resource::{JOBS, PODS};
use super::state::State;
use super::status::Status;
use super::target::Target;

/// What pods of Jobs hold until they are counted.
const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// How a Job ends.
struct End {
    /// The condition that comes first, and the one that is the end.
    conditions: [&'static str; 2],
    reason: &'static str,
    message: &'static str,
}

const COMPLETE: End = End {
    conditions: ["SuccessCriteriaMet", "Complete"],
    reason: "CompletionsReached",
    message: "Reached expected number of succeeded pods",
};
const BACKOFF: End = End {
    conditions: ["FailureTarget", "Failed"],
    reason: "BackoffLimitExceeded",
    message: "Job has reached the specified backoff limit",
};
const DEADLINE: End = End {
    conditions: ["FailureTarget", "Failed"],
    reason: "DeadlineExceeded",
    message: "Job was active longer than specified deadline",
};

/// What a new Job gets.
pub(crate) fn complete(job: &mut Value, uid: &str) {
    let name = job["metadata"]["name"].clone();
    let spec = &mut job["spec"];
    for (field, value) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        if spec[field].is_null() {
            spec[field] = value;
        }
    }
    spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    let labels = &mut spec["template"]["metadata"]["labels"];
    labels["batch.kubernetes.io/controller-uid"] = uid.into();
    labels["controller-uid"] = uid.into();
    labels["batch.kubernetes.io/job-name"] = name.clone();
    labels["job-name"] = name;
    pod_defaults(&mut spec["template"]["spec"]);
}

/// What a new pod's specification gets.
pub(crate) fn pod_defaults(spec: &mut Value) {
    for (field, value) in [
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        if spec[field].is_null() {
            spec[field] = value;
        }
    }
    if let Some(account) = spec["serviceAccountName"].as_str() {
        spec["serviceAccount"] = account.to_owned().into();
    }
    let containers = spec["containers"].as_array_mut();
    for container in containers.into_iter().flatten() {
        container["terminationMessagePath"] = "/dev/termination-log".into();
        container["terminationMessagePolicy"] = "File".into();
        if container["resources"].is_null() {
            container["resources"] = json!({});
        }
    }
}

/// Which Job a pod belongs to.
pub(crate) fn of_pod(key: &Key, pod: &Value) -> Option<Key> {
    let owners = pod["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["kind"] == "Job")?;
    Some(Key::new(&JOBS, &key.namespace, owner["name"].as_str()?))
}

fn pods(state: &State, job: &Value, namespace: &str) -> Vec<(Key, Value)> {
    let uid = &job["metadata"]["uid"];
    let owned = |pod: &Value| {
        pod["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
    };
    state
        .objects
        .all(&PODS, namespace)
        .filter(|(_, pod)| owned(pod))
        .map(|(key, pod)| (key.clone(), Value::clone(pod)))
        .collect()
}

fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|known| known["type"] == kind))
}

fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or_default()
}

fn over(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

fn goes(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Lets go of a pod that has no Job any more.
pub(crate) fn orphan(state: &mut State, pod: &Key) {
    let Some(object) = state.objects.get(pod) else {
        return;
    };
    let owner = of_pod(pod, object).and_then(|job| state.objects.get(&job));
    let owned = owner.is_some_and(|job| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|all| {
            all.iter()
                .any(|owner| owner["uid"] == job["metadata"]["uid"])
        })
    });
    if !owned {
        release(&mut state.objects, pod, TRACKING);
    }
}

/// Brings a Job on, as far as it goes now.
pub(crate) fn reconcile(state: &mut State, key: &Key) {
    let Some(job) = state.objects.get(key).cloned() else {
        return;
    };
    let pods = pods(state, &job, &key.namespace);
    let ended = has_condition(&job, "Complete") || has_condition(&job, "Failed");
    if ended || goes(&job) {
        for (pod, object) in &pods {
            if over(object) || goes(object) || goes(&job) {
                release(&mut state.objects, pod, TRACKING);
            }
        }
        if ended {
            expire(state, key, &job);
        }
        return;
    }
    let suspended = job["spec"]["suspend"] == true;
    let started = job["status"]["startTime"].as_str();
    let (mut succeeded, mut failed) = (count(&job, "succeeded"), count(&job, "failed"));
    let mut released = Vec::new();
    for (pod, object) in &pods {
        let counted = !holds(object);
        // One that is being deleted counts as failed, for it may never get there.
        if (over(object) || goes(object)) && !counted {
            match phase(object) {
                "Succeeded" => succeeded += 1,
                _ => failed += 1,
            }
            released.push(pod.clone());
        }
    }
    let active = pods
        .iter()
        .filter(|(_, pod)| !over(pod) && !goes(pod))
        .count();
    let terminating = pods
        .iter()
        .filter(|(_, pod)| !over(pod) && goes(pod))
        .count();
    let ready = pods
        .iter()
        .filter(|(_, pod)| phase(pod) == "Running" && !goes(pod))
        .count();
    let started_now = started.is_none() && !suspended;
    state.objects.change(key, |job| {
        let status = &mut job["status"];
        if started_now {
            status["startTime"] = moment::now().into();
        }
        for (field, count) in [
            ("active", active as u64),
            ("ready", ready as u64),
            ("terminating", terminating as u64),
            ("succeeded", succeeded),
            ("failed", failed),
        ] {
            if count > 0 || field == "ready" || field == "terminating" {
                status[field] = count.into();
            } else if let Some(status) = status.as_object_mut() {
                status.remove(field);
            }
        }
        status["uncountedTerminatedPods"] = json!({});
    });
    for pod in &released {
        release(&mut state.objects, pod, TRACKING);
    }
    let deadline = job["spec"]["activeDeadlineSeconds"].as_u64();
    let left = match (started, deadline) {
        (Some(started), Some(deadline)) => Some(moment::until(started, deadline)),
        _ => None,
    };
    if succeeded > 0 {
        end(state, key, &COMPLETE, &pods);
    } else if failed > 0 {
        end(state, key, &BACKOFF, &pods);
    } else if left == Some(0) {
        end(state, key, &DEADLINE, &pods);
    } else {
        if let Some(left) = left {
            state.look_again(key, Duration::from_millis(left));
        }
        if !suspended && pods.is_empty() && !has_condition(&job, "FailureTarget") {
            create_pod(state, key, &job);
        }
    }
}

fn count(job: &Value, field: &str) -> u64 {
    job["status"][field].as_u64().unwrap_or_default()
}

fn holds(pod: &Value) -> bool {
    let held = pod["metadata"]["finalizers"].as_array();
    held.is_some_and(|held| held.iter().any(|held| held == TRACKING))
}

fn create_pod(state: &mut State, key: &Key, job: &Value) {
    let metadata = &job["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let template = &job["spec"]["template"];
    let mut pod = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": template["metadata"],
        "spec": template["spec"],
    });
    pod["metadata"]["generateName"] = format!("{name}-").into();
    pod["metadata"]["finalizers"] = json!([TRACKING]);
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name,
        "uid": metadata["uid"],
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let target = Target {
        verb: "create",
        resource: &PODS,
        namespace: key.namespace.clone(),
        name: None,
        subresource: None,
    };
    let created = match state.faults.take(&target) {
        Some(Fault::Refuse(status)) => Err(status),
        _ => super::api::create(state, &target, pod, false),
    };
    match created {
        Ok(pod) => {
            let message = format!("Created pod: {}", text(&pod, "name"));
            let objects = &mut state.objects;
            let said = ("Normal", "SuccessfulCreate");
            events::tell(objects, (&JOBS, job), Source::JobController, said, &message);
        }
        Err(Status { message, .. }) => {
            let message = format!("Error creating: {message}");
            let objects = &mut state.objects;
            let said = ("Warning", "FailedCreate");
            events::tell(objects, (&JOBS, job), Source::JobController, said, &message);
            state.look_again(key, Duration::from_secs(1));
        }
    }
}

fn text<'o>(object: &'o Value, field: &str) -> &'o str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// Says how it ends; that it has ended, only once no pod is left that runs.
fn end(state: &mut State, key: &Key, end: &End, pods: &[(Key, Value)]) {
    let [first, last] = end.conditions;
    let condition = |kind: &str| {
        json!({
            "type": kind,
            "status": "True",
            "reason": end.reason,
            "message": end.message,
            "lastProbeTime": moment::now(),
            "lastTransitionTime": moment::now(),
        })
    };
    let said = state
        .objects
        .get(key)
        .is_some_and(|job| has_condition(job, first));
    if !said {
        state.objects.change(key, |job| {
            job["status"]["conditions"] = json!([condition(first)]);
        });
    }
    let running: Vec<&(Key, Value)> = pods.iter().filter(|(_, pod)| !over(pod)).collect();
    for (pod, object) in &running {
        if !goes(object) {
            let _ = delete(&mut state.objects, pod, &DeleteOptions::background());
        }
        release(&mut state.objects, pod, TRACKING);
    }
    if running
        .iter()
        .any(|(pod, _)| state.objects.get(pod).is_some())
    {
        return;
    }
    let ended = state.objects.change(key, |job| {
        let status = &mut job["status"];
        if let Some(conditions) = status["conditions"].as_array_mut() {
            conditions.push(condition(last));
        }
        if last == "Complete" {
            status["completionTime"] = moment::now().into();
        }
        status["terminating"] = 0.into();
        status["ready"] = 0.into();
        if let Some(status) = status.as_object_mut() {
            status.remove("active");
        }
    });
    let Some(job) = ended else {
        return;
    };
    let (said, message) = match last {
        "Complete" => (("Normal", "Completed"), "Job completed"),
        _ => (("Warning", end.reason), end.message),
    };
    events::tell(
        &mut state.objects,
        (&JOBS, &job),
        Source::JobController,
        said,
        message,
    );
}

/// Deletes a Job whose time after its end is over.
fn expire(state: &mut State, key: &Key, job: &Value) {
    let Some(ttl) = job["spec"]["ttlSecondsAfterFinished"].as_u64() else {
        return;
    };
    let conditions = job["status"]["conditions"].as_array();
    let ended = conditions
        .and_then(|all| all.last())
        .and_then(|last| last["lastTransitionTime"].as_str());
    match ended.map(|ended| moment::until(ended, ttl)) {
        Some(0) => {
            let mut options = DeleteOptions::background();
            options.propagation = Some(super::delete::Propagation::Foreground);
            let _ = delete(&mut state.objects, key, &options);
        }
        Some(left) => state.look_again(key, Duration::from_millis(left)),
        None => {}
    }
}
