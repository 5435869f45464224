//! Which resources the cluster has.

/// One kind of object, as clients address it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Empty for the core.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    /// Its name in paths; no two here have the same.
    pub(crate) plural: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

const fn core(plural: &'static str, kind: &'static str, namespaced: bool) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        kind,
        namespaced,
    }
}

const fn in_group(group: &'static str, plural: &'static str, kind: &'static str) -> Resource {
    Resource {
        group,
        version: "v1",
        plural,
        kind,
        namespaced: true,
    }
}

pub(crate) static NAMESPACES: Resource = core("namespaces", "Namespace", false);
pub(crate) static NODES: Resource = core("nodes", "Node", false);
pub(crate) static PODS: Resource = core("pods", "Pod", true);
pub(crate) static SECRETS: Resource = core("secrets", "Secret", true);
pub(crate) static EVENTS: Resource = core("events", "Event", true);
pub(crate) static SERVICE_ACCOUNTS: Resource = core("serviceaccounts", "ServiceAccount", true);
pub(crate) static JOBS: Resource = in_group("batch", "jobs", "Job");
static CONFIG_MAPS: Resource = core("configmaps", "ConfigMap", true);
static SERVICES: Resource = core("services", "Service", true);
static CRON_JOBS: Resource = in_group("batch", "cronjobs", "CronJob");
static DEPLOYMENTS: Resource = in_group("apps", "deployments", "Deployment");
/// It is answered, never stored.
pub(crate) static ACCESS_REVIEWS: Resource = Resource {
    group: "authorization.k8s.io",
    version: "v1",
    plural: "selfsubjectaccessreviews",
    kind: "SelfSubjectAccessReview",
    namespaced: false,
};

/// Every resource.
pub(crate) static ALL: [&Resource; 12] = [
    &NAMESPACES,
    &NODES,
    &PODS,
    &SECRETS,
    &EVENTS,
    &SERVICE_ACCOUNTS,
    &CONFIG_MAPS,
    &SERVICES,
    &JOBS,
    &CRON_JOBS,
    &DEPLOYMENTS,
    &ACCESS_REVIEWS,
];

/// The resource named so.
#[track_caller]
pub(crate) fn named(plural: &str) -> &'static Resource {
    let found = ALL.into_iter().find(|resource| resource.plural == plural);
    found.unwrap_or_else(|| panic!("the cluster has no `{plural}`"))
}

/// The resource that an owner reference or an event means.
pub(crate) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    ALL.into_iter()
        .find(|resource| resource.kind == kind && resource.api_version() == api_version)
}

impl Resource {
    /// As objects say it: `v1`, `batch/v1`.
    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// As messages name it: `pods`, `jobs.batch`.
    pub(crate) fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// As messages name one of it: `Pod`, `Job.batch`.
    pub(crate) fn qualified_kind(&self) -> String {
        match self.group {
            "" => self.kind.to_owned(),
            group => format!("{}.{group}", self.kind),
        }
    }
}
