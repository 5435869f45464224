//! What a server must be allowed to do in the namespace of a runner, and whether it is.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use super::api_error::Failure;
use super::cluster::Cluster;

/// One right: an API group, a resource of it, and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group; `""` is Kubernetes' first one.
    pub group: &'static str,
    /// The resource, with its subresource if it has one.
    pub resource: &'static str,
    /// What is done with it.
    pub verbs: &'static [&'static str],
}

/// All that a KubeRunner does.
pub const RIGHTS: &[Right] = &[
    Right {
        group: "batch",
        resource: "jobs",
        verbs: &["create", "get", "list", "watch", "delete"],
    },
    Right {
        group: "",
        resource: "secrets",
        verbs: &["create", "get", "list", "patch", "delete"],
    },
    Right {
        group: "",
        resource: "pods",
        verbs: &["get", "list", "watch", "delete"],
    },
    Right {
        group: "",
        resource: "pods/log",
        verbs: &["get"],
    },
    Right {
        group: "",
        resource: "events",
        verbs: &["list"],
    },
];

/// The rights that this server does not have, in plain words.
pub(super) async fn missing(cluster: &Cluster) -> Result<Vec<String>, Failure> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let mut missing = Vec::new();
    for right in RIGHTS {
        let mut verbs = Vec::new();
        for verb in right.verbs {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes(right, verb, &cluster.namespace)),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = reviews.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|error| Failure::of(&error))?;
            if !answer.status.is_some_and(|status| status.allowed) {
                verbs.push(*verb);
            }
        }
        if !verbs.is_empty() {
            let group = if right.group.is_empty() {
                String::new()
            } else {
                format!(".{}", right.group)
            };
            missing.push(format!("{} {}{group}", verbs.join(", "), right.resource));
        }
    }
    Ok(missing)
}

fn attributes(right: &Right, verb: &str, namespace: &str) -> ResourceAttributes {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ResourceAttributes::default()
    }
}
