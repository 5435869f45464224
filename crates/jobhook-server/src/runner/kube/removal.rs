//! Takes away what belongs to an attempt: its Job, its pods, its Secret.
//!
//! Only what shows this installation is touched, and of a Job only the very one that was meant: its
//! uid goes along.

use std::time::Duration;

use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Preconditions};
use kube::core::ApiResource;
use kube::core::metadata::PartialObjectMeta;

use super::api_error::Failure;
use super::cluster::Cluster;
use super::job_state::end_of;
use super::manifest::whole_seconds;
use super::names;
use super::pod_state::timestamp;

/// How much longer than its time to live a finished Job may stay before it is removed from here.
const A_WHILE: Duration = Duration::from_secs(3600);

/// Deletes the Job, then asks its pods to end within `grace`. What is gone already is no failure.
///
/// - `uid`: the Job's, where it is known.
pub(super) async fn end(
    cluster: &Cluster,
    name: &str,
    uid: Option<&str>,
    pods: &[&str],
    grace: Duration,
) -> Result<(), Failure> {
    // First, or its controller would make another pod.
    delete_job(cluster, name, uid).await?;
    let within = DeleteParams {
        grace_period_seconds: Some(u32::try_from(whole_seconds(grace)).unwrap_or(u32::MAX)),
        ..DeleteParams::default()
    };
    for pod in pods {
        gone(cluster.pods().delete(pod, &within).await)?;
    }
    Ok(())
}

async fn delete_job(cluster: &Cluster, name: &str, uid: Option<&str>) -> Result<(), Failure> {
    let this = DeleteParams {
        preconditions: uid.map(|uid| Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match gone(cluster.jobs().delete(name, &this).await) {
        // Another one has its name by now: not ours to delete.
        Err(Failure::Conflict(_)) if uid.is_some() => Ok(()),
        other => other,
    }
}

fn gone<T>(deleted: Result<T, kube::Error>) -> Result<(), Failure> {
    match deleted.map_err(|error| Failure::of(&error)) {
        Ok(_) | Err(Failure::NotFound(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Deletes the Job and the Secret of that name, if they are of this installation.
///
/// - `digest`: of the attempt's nonce, if only that very attempt is meant.
pub(super) async fn remove(
    cluster: &Cluster,
    installation: &str,
    name: &str,
    digest: Option<&str>,
) -> Result<(), Failure> {
    let failed = |error: kube::Error| Failure::of(&error);
    let job = cluster
        .jobs()
        .get_metadata_opt(name)
        .await
        .map_err(failed)?;
    if let Some(job) = job.filter(|job| is_of(job, installation, digest)) {
        delete_job(cluster, name, job.metadata.uid.as_deref()).await?;
    }
    let secret = cluster
        .secrets()
        .get_metadata_opt(name)
        .await
        .map_err(failed)?;
    if let Some(secret) = secret.filter(|secret| is_of(secret, installation, digest)) {
        let this = DeleteParams {
            preconditions: secret.metadata.uid.map(|uid| Preconditions {
                uid: Some(uid),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        // With its answer, which is the Secret, unread.
        let request = kube::core::Request::new(secrets_path(cluster))
            .delete(name, &this)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        gone(cluster.client.request_text(request).await)?;
    }
    Ok(())
}

fn secrets_path(cluster: &Cluster) -> String {
    use kube::Resource;
    k8s_openapi::api::core::v1::Secret::url_path(&(), Some(&cluster.namespace))
}

fn is_of<K>(object: &PartialObjectMeta<K>, installation: &str, digest: Option<&str>) -> bool {
    let value = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned()
    };
    let of_installation = value(&object.metadata.labels, names::INSTALLATION)
        .is_some_and(|found| found == names::label_value(installation));
    let of_attempt = digest.is_none_or(|digest| {
        value(&object.metadata.annotations, names::NONCE_DIGEST)
            .is_some_and(|found| found == digest)
    });
    of_installation && of_attempt
}

/// Deletes an object that is not a Job, if it is of this installation, and the Secret of its name.
pub(super) async fn remove_other(
    cluster: &Cluster,
    installation: &str,
    resource: &ApiResource,
    name: &str,
) -> Result<(), Failure> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, resource);
    let found = api
        .get_metadata_opt(name)
        .await
        .map_err(|error| Failure::of(&error))?;
    if let Some(object) = found.filter(|object| is_of(object, installation, None)) {
        let this = DeleteParams {
            preconditions: object.metadata.uid.map(|uid| Preconditions {
                uid: Some(uid),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        gone(api.delete(name, &this).await)?;
    }
    remove(cluster, installation, name, None).await
}

/// Whether a Job has ended, and may stay for now.
///
/// - `ttl`: for how long, if it does not say so itself; another runner may have made it.
pub(super) fn may_stay(job: &Job, ttl: Duration, now: Timestamp) -> bool {
    let status = job.status.as_ref();
    if status.and_then(end_of).is_none() {
        return false;
    }
    // The cluster removes it after its time to live; this is for one that does not.
    let conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let ended = conditions
        .filter_map(|condition| condition.last_transition_time.as_ref())
        .map(timestamp)
        .max();
    let own = job
        .spec
        .as_ref()
        .and_then(|spec| spec.ttl_seconds_after_finished);
    let own = own.and_then(|seconds| u64::try_from(seconds).ok());
    let ttl = own.map_or(ttl, Duration::from_secs);
    ended.is_none_or(|ended| now.since(ended) < ttl + A_WHILE)
}

/// The attempts of which a Job or a Secret of this installation is there in vain, unless they are still
/// open; page by page.
pub(super) async fn kept(
    cluster: &Cluster,
    installation: &str,
    ttl: Duration,
    now: Timestamp,
) -> Result<Vec<AttemptRef>, Failure> {
    let mut kept = Vec::new();
    let selector = names::selector(installation);
    let mut page = ListParams::default().labels(&selector).limit(500);
    loop {
        let list = cluster
            .jobs()
            .list(&page)
            .await
            .map_err(|error| Failure::of(&error))?;
        let in_vain = list.items.iter().filter(|job| !may_stay(job, ttl, now));
        let labels = in_vain.filter_map(|job| job.metadata.labels.as_ref());
        kept.extend(labels.filter_map(names::attempt_of));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => break,
        }
    }
    let mut page = ListParams::default().labels(&selector).limit(500);
    loop {
        let list = cluster
            .secrets()
            .list_metadata(&page)
            .await
            .map_err(|error| Failure::of(&error))?;
        // What has an owner goes with it.
        let alone = list.items.iter().filter(|item| {
            item.metadata
                .owner_references
                .as_ref()
                .is_none_or(Vec::is_empty)
        });
        let labels = alone.filter_map(|item| item.metadata.labels.as_ref());
        kept.extend(labels.filter_map(names::attempt_of));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => break,
        }
    }
    kept.sort_unstable();
    kept.dedup();
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The sweep of a runner deleted the finished Jobs of another whose time to live was longer.
    #[test]
    fn a_finished_job_stays_for_its_own_time_to_live() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let job: Job = serde_json::from_value(json!({
            "spec": {"ttlSecondsAfterFinished": 7 * DAY.as_secs(), "template": {}},
            "status": {"conditions": [
                {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-01T00:00:00Z"},
            ]},
        }))
        .unwrap();
        let ended = Timestamp(1_793_491_200_000);
        assert!(may_stay(&job, DAY, ended.plus(6 * DAY)));
        assert!(!may_stay(&job, DAY, ended.plus(8 * DAY)));
        assert!(!may_stay(&Job::default(), DAY, ended), "it has not ended");
    }
}
