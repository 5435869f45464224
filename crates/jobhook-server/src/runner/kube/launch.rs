//! Creates the objects of an attempt, so that doing it again changes nothing:
//!
//! ```text
//! Secret ─▶ Job ─▶ the Job owns the Secret ─▶ (the course records the Job's uid in the store)
//! ```
//!
//! A Job whose name is taken counts as this attempt's only if it shows the same installation and the
//! digest of the same nonce, and is not on its way out.
//!
//! **What existed is not created again.** Once a Job's uid is recorded, a Job that is not there is
//! lost. Before that, a server that died may have created it: the Secret tells. One that a Job owned
//! shows that there was a Job; one without an owner, or none, that the launch had not come so far, as
//! the time to live of a finished Job, which would take both away, is a day at least: an older attempt
//! without record is lost, too. What is left open is that somebody deletes a Job by hand, while the
//! server is down, that it created in the moment before it died.

use std::time::Duration;

use jobhook_engine::attempt::Ending;
use jobhook_engine::clock::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{Api, DynamicObject, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Request, TypeMeta};
use serde_json::{Value, json};

use super::api_error::Failure;
use super::cluster::Cluster;
use super::job_state::job_vanished;
use super::manifest::Manifest;
use super::manifest_template::Kind;
use super::names;

/// What became of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Launched {
    /// Its Job is there.
    Job {
        /// The Job's uid.
        uid: String,
        /// Whether it was there already.
        found: bool,
    },
    /// An object that is not watched is there.
    Unwatched,
    /// A Job was there, and is not any more.
    Gone(Ending),
}

/// What is known of an attempt before it is launched.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The uid of its Job, if one was recorded.
    pub(super) uid: Option<String>,
    /// Whether an earlier server may have begun.
    pub(super) taken_up: bool,
    pub(super) claimed_at: Timestamp,
    /// For how long a finished Job is kept.
    pub(super) ttl: Duration,
}

/// What of an attempt is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its Job, with this uid.
    Job(String),
    /// Nothing that shows that it ever had one.
    Nothing,
    /// Signs that it had one.
    Gone(Ending),
}

/// Looks for the Job of an attempt.
pub(super) async fn find(
    cluster: &Cluster,
    installation: &str,
    name: &str,
    digest: &str,
    known: &Known,
    now: Timestamp,
) -> Result<Found, Failure> {
    let job = cluster
        .jobs()
        .get_metadata_opt(name)
        .await
        .map_err(|error| Failure::of(&error))?;
    if let Some(job) = job {
        let uid = job.metadata.uid.clone().unwrap_or_default();
        if known.uid.as_ref().is_some_and(|recorded| *recorded != uid) {
            return Ok(Found::Gone(lost(format!(
                "its Job `{name}` was replaced by another of the same name"
            ))));
        }
        return match is_ours(&job.metadata, installation, digest) {
            Ok(()) => Ok(Found::Job(uid)),
            Err(Stranger::Terminating) => Ok(Found::Gone(job_vanished(name, false))),
            Err(Stranger::Other) => Err(taken(name)),
        };
    }
    if known.uid.is_some() {
        return Ok(Found::Gone(job_vanished(name, false)));
    }
    if !known.taken_up {
        return Ok(Found::Nothing);
    }
    let secret = cluster
        .secrets()
        .get_metadata_opt(name)
        .await
        .map_err(|error| Failure::of(&error))?;
    let owned = secret.is_some_and(|secret| {
        secret
            .metadata
            .owner_references
            .is_some_and(|owners| !owners.is_empty())
    });
    if owned {
        return Ok(Found::Gone(job_vanished(name, false)));
    }
    if now.since(known.claimed_at) >= known.ttl {
        return Ok(Found::Gone(lost(format!(
            "nobody knows whether its Job `{name}` ran: the attempt is older than finished Jobs are kept"
        ))));
    }
    Ok(Found::Nothing)
}

/// Creates what is missing of an attempt.
pub(super) async fn launch(
    cluster: &Cluster,
    installation: &str,
    manifest: &Manifest,
) -> Result<Launched, Failure> {
    if let Some(secret) = &manifest.secret {
        crate::crash::reached("kube.before-secret");
        create_secret(cluster, installation, manifest, secret).await?;
        crate::crash::reached("kube.after-secret");
    }
    let (uid, found) = match &manifest.kind {
        Kind::Job => match create_job(cluster, installation, manifest).await? {
            Ok(job) => job,
            Err(gone) => return Ok(Launched::Gone(gone)),
        },
        Kind::Other { api_version, kind } => {
            let resource = resource_of(api_version, kind);
            let api: Api<DynamicObject> =
                Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
            return create_other(cluster, &api, &resource, installation, manifest).await;
        }
    };
    crate::crash::reached("kube.after-job");
    if manifest.secret.is_some() {
        let owner = json!({
            "apiVersion": Job::api_version(&()), "kind": Job::kind(&()), "name": manifest.name, "uid": uid,
        });
        own_secret(cluster, &manifest.name, &owner).await?;
        crate::crash::reached("kube.after-owner");
    }
    Ok(Launched::Job { uid, found })
}

async fn create_secret(
    cluster: &Cluster,
    installation: &str,
    manifest: &Manifest,
    secret: &Value,
) -> Result<(), Failure> {
    match post(cluster, &secrets_path(cluster), secret).await {
        Ok(_) => Ok(()),
        // A quota that is used up is told before it is looked who has the name: maybe this attempt.
        Err(failure @ (Failure::Conflict(_) | Failure::Refused(_))) => {
            let found = cluster.secrets().get_metadata(&manifest.name).await;
            let found = found.map_err(|error| refused_first(failure, &error))?;
            is_ours(&found.metadata, installation, &manifest.digest)
                .map_err(|stranger| stranger.failure(&manifest.name))
        }
        Err(failure) => Err(no_namespace(failure)),
    }
}

/// Creates a Job, or finds it; the inner error says how it was found to be gone.
async fn create_job(
    cluster: &Cluster,
    installation: &str,
    manifest: &Manifest,
) -> Result<Result<(String, bool), Ending>, Failure> {
    let path = Job::url_path(&(), Some(&cluster.namespace));
    match post(cluster, &path, &manifest.job).await {
        Ok(created) => Ok(Ok((uid_of(&created), false))),
        Err(failure @ (Failure::Conflict(_) | Failure::Refused(_))) => {
            let found = cluster.jobs().get_metadata(&manifest.name).await;
            let found = found.map_err(|error| refused_first(failure, &error))?;
            match is_ours(&found.metadata, installation, &manifest.digest) {
                Ok(()) => Ok(Ok((found.metadata.uid.unwrap_or_default(), true))),
                Err(Stranger::Terminating) => Ok(Err(job_vanished(&manifest.name, false))),
                Err(Stranger::Other) => Err(taken(&manifest.name)),
            }
        }
        Err(failure) => Err(no_namespace(failure)),
    }
}

/// What a creation that was refused means where nothing of that name can be found: the refusal
/// itself. Where it only met something, what the search says.
fn refused_first(creation: Failure, search: &kube::Error) -> Failure {
    match (creation, Failure::of(search)) {
        (refused @ Failure::Refused(_), Failure::NotFound(_) | Failure::Refused(_)) => {
            no_namespace(refused)
        }
        (_, search) => search,
    }
}

async fn create_other(
    cluster: &Cluster,
    api: &Api<DynamicObject>,
    resource: &ApiResource,
    installation: &str,
    manifest: &Manifest,
) -> Result<Launched, Failure> {
    let path = DynamicObject::url_path(resource, Some(&cluster.namespace));
    let uid = match post(cluster, &path, &manifest.job).await {
        Ok(created) => uid_of(&created),
        Err(Failure::Conflict(_)) => {
            let found = api
                .get_metadata(&manifest.name)
                .await
                .map_err(|error| Failure::of(&error))?;
            is_ours(&found.metadata, installation, &manifest.digest)
                .map_err(|stranger| stranger.failure(&manifest.name))?;
            found.metadata.uid.unwrap_or_default()
        }
        Err(failure) => return Err(no_namespace(failure)),
    };
    if manifest.secret.is_some() {
        let owner = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "name": manifest.name, "uid": uid,
        });
        own_secret(cluster, &manifest.name, &owner).await?;
    }
    Ok(Launched::Unwatched)
}

/// The resource of a kind, as Kubernetes' own kinds are called.
pub(super) fn resource_of(api_version: &str, kind: &str) -> ApiResource {
    let types = TypeMeta {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    };
    let gvk = GroupVersionKind::try_from(&types)
        .unwrap_or_else(|_| GroupVersionKind::gvk("", api_version, kind));
    ApiResource::from_gvk(&gvk)
}

/// The Secret goes with the object that needs it.
async fn own_secret(cluster: &Cluster, name: &str, owner: &Value) -> Result<(), Failure> {
    let patch = json!({"metadata": {"ownerReferences": [owner]}});
    let request = Request::new(secrets_path(cluster))
        .patch(
            name,
            &PatchParams::default(),
            &kube::api::Patch::Merge(patch),
        )
        .map_err(|error| Failure::Refused(error.to_string()))?;
    // Its answer is the Secret, which nothing should read or log.
    match cluster.client.request_text(request).await {
        Ok(_) => Ok(()),
        Err(error) => match Failure::of(&error) {
            // It was collected already, or taken away: the Job shows whether that matters.
            Failure::NotFound(_) => Ok(()),
            failure => Err(failure),
        },
    }
}

fn secrets_path(cluster: &Cluster) -> String {
    k8s_openapi::api::core::v1::Secret::url_path(&(), Some(&cluster.namespace))
}

/// Creates an object. What is answered is read here and not by the client, which logs what it
/// cannot read, keys and all.
async fn post(cluster: &Cluster, path: &str, object: &Value) -> Result<Value, Failure> {
    let body = serde_json::to_vec(object).map_err(|error| Failure::Refused(error.to_string()))?;
    let request = Request::new(path)
        .create(&PostParams::default(), body)
        .map_err(|error| Failure::Refused(error.to_string()))?;
    let answer = cluster
        .client
        .request_text(request)
        .await
        .map_err(|error| Failure::of(&error))?;
    serde_json::from_str(&answer)
        .map_err(|_| Failure::unavailable("the API server's answer cannot be read"))
}

fn uid_of(created: &Value) -> String {
    created["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// What has the name of an attempt's object and is not it.
enum Stranger {
    Terminating,
    Other,
}

impl Stranger {
    fn failure(self, name: &str) -> Failure {
        match self {
            Stranger::Other => taken(name),
            // It may be gone soon; then its place is free.
            Stranger::Terminating => {
                Failure::unavailable(format!("an older `{name}` is still being deleted"))
            }
        }
    }
}

fn lost(reason: String) -> Ending {
    Ending::Lost { reason }
}

fn taken(name: &str) -> Failure {
    Failure::Refused(format!(
        "`{name}` is there already, and not of this attempt; delete it if nobody needs it"
    ))
}

fn is_ours(metadata: &ObjectMeta, installation: &str, digest: &str) -> Result<(), Stranger> {
    let has = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str, value: &str| {
        map.as_ref()
            .and_then(|map| map.get(key))
            .is_some_and(|found| found == value)
    };
    let ours = has(
        &metadata.labels,
        names::INSTALLATION,
        &names::label_value(installation),
    ) && has(&metadata.annotations, names::NONCE_DIGEST, digest);
    match (ours, &metadata.deletion_timestamp) {
        (false, _) => Err(Stranger::Other),
        (true, Some(_)) => Err(Stranger::Terminating),
        (true, None) => Ok(()),
    }
}

/// A name that is not found where something is created is the namespace's, or the kind's.
fn no_namespace(failure: Failure) -> Failure {
    match failure {
        Failure::NotFound(words) => {
            Failure::Refused(format!("the API server refused it (404): {words}"))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(installation: &str, digest: &str) -> ObjectMeta {
        ObjectMeta {
            labels: Some([(names::INSTALLATION.to_owned(), installation.to_owned())].into()),
            annotations: Some([(names::NONCE_DIGEST.to_owned(), digest.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_the_same_installation_and_nonce_make_a_job_ours() {
        assert!(is_ours(&metadata("inst", "d"), "inst", "d").is_ok());
        assert!(is_ours(&metadata("other", "d"), "inst", "d").is_err());
        assert!(is_ours(&metadata("inst", "e"), "inst", "d").is_err());
        assert!(is_ours(&ObjectMeta::default(), "inst", "d").is_err());
    }

    #[test]
    fn kinds_find_their_resources() {
        let cron = resource_of("batch/v1", "CronJob");
        assert_eq!(
            (
                cron.group.as_str(),
                cron.version.as_str(),
                cron.plural.as_str()
            ),
            ("batch", "v1", "cronjobs")
        );
        let map = resource_of("v1", "ConfigMap");
        assert_eq!(
            (map.group.as_str(), map.plural.as_str()),
            ("", "configmaps")
        );
    }
}
