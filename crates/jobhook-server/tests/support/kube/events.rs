//! What the parts of a cluster tell people, as `Event` objects.

use serde_json::{Value, json};

use super::moment;
use super::objects::{Key, Objects};
use super::resource::{EVENTS, Resource};

/// Who says it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    JobController,
    Scheduler,
    Kubelet,
}

impl Source {
    fn component(self) -> &'static str {
        match self {
            Source::JobController => "job-controller",
            Source::Scheduler => "default-scheduler",
            Source::Kubelet => "kubelet",
        }
    }
}

/// Says something of an object, or once more.
pub(crate) fn tell(
    objects: &mut Objects,
    about: (&Resource, &Value),
    source: Source,
    (kind, reason): (&str, &str),
    message: &str,
) {
    let (resource, object) = about;
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let name = format!("{}.", metadata["name"].as_str().unwrap_or_default());
    let said = objects
        .named_like(&EVENTS, namespace, &name)
        .find(|(_, event)| {
            event["involvedObject"]["uid"] == metadata["uid"]
                && event["reason"] == reason
                && event["message"] == message
        });
    if let Some(key) = said.map(|(key, _)| key.clone()) {
        objects.change(&key, |event| {
            event["count"] = (event["count"].as_u64().unwrap_or(1) + 1).into();
            event["lastTimestamp"] = moment::now().into();
        });
        return;
    }
    let name = format!("{name}{:016x}", objects.revision());
    let event = json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "kind": resource.kind,
            "apiVersion": resource.api_version(),
            "name": metadata["name"],
            "namespace": namespace,
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": source.component()},
        "reportingComponent": source.component(),
        "reportingInstance": "",
        "eventTime": null,
        "firstTimestamp": moment::now(),
        "lastTimestamp": moment::now(),
        "count": 1,
    });
    objects.insert(Key::new(&EVENTS, namespace, &name), event);
}
