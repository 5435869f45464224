//! Runs actions as Kubernetes Jobs.
//!
//! ```text
//! start ─▶ course: launch ─▶ watch ─▶ Ended         forget ─▶ what still runs is deleted
//!             │                 ▲  ▲
//!        Secret, Job        watch  log of each container
//! ```
//!
//! Each attempt has a course of its own (`course.rs`, `watching.rs`), a task that launches the Job, says what is
//! seen of it and ends when it has. All courses in a namespace share one watch (`watch.rs`). What is known of an
//! attempt is in the cluster, by names that follow from it (`names.rs`), and in the mark that the store
//! keeps with its output (`mark.rs`): a server that dies leaves nothing else behind.
//!
//! Kubernetes is known here and nowhere else.

mod access;
mod api_error;
mod cluster;
mod container_logs;
mod course;
mod disruption;
mod job_state;
mod kubeconfig;
mod launch;
mod log_position;
mod logs;
mod manifest;
mod manifest_template;
mod mark;
mod names;
mod pod_state;
mod proxy;
mod rate;
mod removal;
mod waits;
mod watch;
mod watching;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::{Clock, SystemClock};
use jobhook_engine::runner::{
    JobStart, Runner, Sighting, StartError, StopError, Terms, TypeFilter,
};
use tokio::sync::mpsc;

pub use access::{RIGHTS, Right};
use api_error::Failure;
use cluster::Cluster;
pub use cluster::ClusterError;
use course::{Course, Left, Shared};
use manifest::Blueprint;
use manifest_template::Kind;
pub use manifest_template::ManifestError;
use watch::Watch;

use crate::config::{self, Signature};

/// A runner of Kubernetes Jobs.
#[derive(Debug)]
pub struct KubeRunner {
    name: String,
    types: TypeFilter,
    concurrency: usize,
    terms: Terms,
    hook: Option<String>,
    blueprint: Blueprint,
    shared: Arc<Shared>,
    jobs: Arc<Jobs>,
}

/// Why a runner cannot work as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeRunnerError {
    /// There is no cluster to speak to.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// What it is to create is nothing.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The namespaces that the runners of a server have Jobs in: those that have the same share a watch.
#[derive(Debug, Default)]
pub struct KubeNamespaces(Vec<(ClusterKey, Arc<Watch>)>);

/// What makes two runners speak to one cluster, as one user, about one namespace.
#[derive(Debug, PartialEq)]
struct ClusterKey {
    config: Option<config::KubeconfigSource>,
    context: Option<String>,
    namespace: String,
}

impl KubeNamespaces {
    async fn watch_of(
        &mut self,
        config: &config::KubeRunner,
        directory: &Path,
        installation: &str,
    ) -> Result<Arc<Watch>, ClusterError> {
        let cluster = Cluster::configured(config, directory).await?;
        let key = ClusterKey {
            config: config.config.clone(),
            context: config.context.clone(),
            namespace: cluster.namespace.clone(),
        };
        if let Some((_, watch)) = self.0.iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(watch));
        }
        let watch = Watch::new(cluster, installation);
        self.0.push((key, Arc::clone(&watch)));
        Ok(watch)
    }
}

impl KubeRunner {
    /// The runner that `[runners.NAME]` configures.
    ///
    /// - `directory`: the configuration's.
    /// - `hook`: the address that jobs report to, and its path.
    /// - `signature`: what holds where the runner does not say.
    /// - `installation`: the store's, which all that is created shows.
    ///
    /// # Errors
    ///
    /// [`KubeRunnerError`], if it can never work so.
    pub async fn configured(
        name: &str,
        config: &config::KubeRunner,
        directory: &Path,
        hook_path: &str,
        signature: Signature,
        installation: &str,
        namespaces: &mut KubeNamespaces,
    ) -> Result<KubeRunner, KubeRunnerError> {
        let hook = config.hook_address(hook_path);
        let blueprint = Blueprint::of(name, installation, config, directory)?;
        if let Some(reason) = blueprint.refusal() {
            tracing::error!(
                runner = name,
                "Whatever this runner is to launch is refused: {reason}"
            );
        }
        let watch = namespaces.watch_of(config, directory, installation).await?;
        Ok(KubeRunner {
            name: name.to_owned(),
            types: KubeRunner::types_of(config),
            concurrency: usize::try_from(config.concurrency).unwrap_or(usize::MAX),
            terms: Terms {
                auto_status: config.auto_status,
                signature_required: config.signature.unwrap_or(signature) == Signature::V1,
                grace: config.grace,
                linger: config.linger,
            },
            hook,
            blueprint,
            shared: Arc::new(Shared {
                runner: name.to_owned(),
                installation: installation.to_owned(),
                watch,
                rate: rate::Rate::new(config.creation_rate),
                config: config.clone(),
            }),
            jobs: Arc::default(),
        })
    }

    /// What a runner that is configured so takes.
    pub(crate) fn types_of(config: &config::KubeRunner) -> TypeFilter {
        let actions = config.actions.clone();
        actions.map_or_else(TypeFilter::all, TypeFilter::only)
    }

    async fn remove(&self, at: AttemptRef) -> Result<(), Failure> {
        let Shared {
            installation,
            watch,
            ..
        } = &*self.shared;
        let name = names::object_name(installation, at);
        match self.blueprint.kind() {
            Kind::Job => removal::remove(watch.cluster(), installation, &name, None).await,
            Kind::Other { api_version, kind } => {
                let resource = launch::resource_of(api_version, kind);
                removal::remove_other(watch.cluster(), installation, &resource, &name).await
            }
        }
    }

    /// Removes what a server before this one left, unless it has ended and may stay.
    async fn remove_in_vain(&self, at: AttemptRef) -> Result<(), Failure> {
        let name = names::object_name(&self.shared.installation, at);
        let job = self.shared.watch.cluster().jobs().get_opt(&name).await;
        let job = job.map_err(|error| Failure::of(&error))?;
        let now = SystemClock.now();
        if job.is_some_and(|job| removal::may_stay(&job, self.shared.config.ttl, now)) {
            return Ok(());
        }
        self.remove(at).await
    }
}

#[async_trait]
impl Runner for KubeRunner {
    fn name(&self) -> &str {
        &self.name
    }

    fn types(&self) -> &TypeFilter {
        &self.types
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn hook_url(&self) -> Option<&str> {
        self.hook.as_deref()
    }

    async fn start(&self, start: JobStart) -> Result<mpsc::Receiver<Sighting>, StartError> {
        let described = self
            .blueprint
            .describe(&start, &self.shared.watch.cluster().namespace);
        let manifest = match (&start.forbidden, described) {
            (Some(reason), _) => Err(reason.clone()),
            (None, described) => described.map_err(|error| error.to_string()),
        };
        if let (Err(reason), false) = (&manifest, start.taken_up) {
            return Err(StartError::Refused(reason.clone()));
        }
        // One stretch waits while another is stored and a third is read: no more.
        let (sightings, seen) = mpsc::channel(1);
        let (ticket, stop) = self.jobs.begin(start.attempt);
        let name = names::object_name(&self.shared.installation, start.attempt);
        let digest = names::nonce_digest(&start.nonce);
        let course = Course::of(
            Arc::clone(&self.shared),
            &start,
            name,
            digest,
            manifest,
            stop,
            sightings,
        );
        let jobs = Arc::clone(&self.jobs);
        tokio::spawn(async move {
            let left = course.run().await;
            jobs.end(ticket, left.ok());
        });
        Ok(seen)
    }

    async fn stop(&self, at: AttemptRef, grace: Duration) -> Result<(), StopError> {
        if self.jobs.stop(at, grace) {
            return Ok(());
        }
        // Nobody watches it: of a runner that is not configured any more, or never launched.
        self.remove(at)
            .await
            .map_err(|failure| StopError(failure.to_string()))
    }

    async fn forget(&self, at: AttemptRef) {
        let removed = match self.jobs.forget(at) {
            // The cluster keeps it as long as it is to be kept.
            Some(Left::AtRest) => Ok(()),
            Some(Left::Alive) => self.remove(at).await,
            None => self.remove_in_vain(at).await,
        };
        if let Err(failure) = removed {
            tracing::warn!(
                action.id = %at.action, attempt = at.number, runner = %self.name,
                "What is left of a job in the cluster cannot be removed for now: {failure}"
            );
        }
        crate::crash::reached("runner.forgotten");
    }

    async fn holds(&self, at: AttemptRef) -> Result<bool, String> {
        match self.blueprint.kind() {
            Kind::Job => {
                let name = names::object_name(&self.shared.installation, at);
                let job = self.shared.watch.cluster().jobs().get_opt(&name).await;
                let job = job.map_err(|error| Failure::of(&error).to_string())?;
                Ok(job.is_some())
            }
            Kind::Other { .. } => Ok(self.kept().await.contains(&at)),
        }
    }

    async fn kept(&self) -> Vec<AttemptRef> {
        let Shared {
            installation,
            watch,
            config,
            ..
        } = &*self.shared;
        match removal::kept(watch.cluster(), installation, config.ttl, SystemClock.now()).await {
            Ok(kept) => kept,
            Err(failure) => {
                tracing::warn!(runner = %self.name, "What is left in the cluster cannot be listed: {failure}");
                Vec::new()
            }
        }
    }
}

/// The jobs whose courses are under way here, or have ended and are not forgotten yet.
#[derive(Debug, Default)]
struct Jobs(Mutex<HashMap<AttemptRef, Job>>);

#[derive(Debug)]
struct Job {
    /// Tells two courses of one attempt apart.
    serial: Arc<()>,
    state: JobState,
}

#[derive(Debug)]
enum JobState {
    UnderWay(tokio::sync::watch::Sender<Option<Duration>>),
    Over(Left),
}

/// What a course ends with.
struct Ticket {
    at: AttemptRef,
    serial: Arc<()>,
}

impl Jobs {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptRef, Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, at: AttemptRef) -> (Ticket, tokio::sync::watch::Receiver<Option<Duration>>) {
        let (stop, is_stopped) = tokio::sync::watch::channel(None);
        let serial = Arc::new(());
        let job = Job {
            serial: Arc::clone(&serial),
            state: JobState::UnderWay(stop),
        };
        self.lock().insert(at, job);
        (Ticket { at, serial }, is_stopped)
    }

    /// A course has ended; with `None`, because nobody looked any more.
    fn end(&self, ticket: Ticket, left: Option<Left>) {
        let mut jobs = self.lock();
        let Some(job) = jobs.get_mut(&ticket.at) else {
            return;
        };
        if !Arc::ptr_eq(&job.serial, &ticket.serial) {
            return;
        }
        match left {
            Some(left) => job.state = JobState::Over(left),
            None => drop(jobs.remove(&ticket.at)),
        }
    }

    /// Has a course stop its job; `false` if there is none.
    fn stop(&self, at: AttemptRef, grace: Duration) -> bool {
        match self.lock().get(&at).map(|job| &job.state) {
            Some(JobState::UnderWay(stop)) => {
                stop.send_if_modified(|wanted| {
                    let is_new = wanted.is_none();
                    wanted.get_or_insert(grace);
                    is_new
                });
                true
            }
            Some(JobState::Over(_)) => true,
            None => false,
        }
    }

    fn forget(&self, at: AttemptRef) -> Option<Left> {
        match self.lock().remove(&at)?.state {
            JobState::Over(left) => Some(left),
            // It is closed, though nobody saw its end.
            JobState::UnderWay(_) => Some(Left::Alive),
        }
    }
}

/// What `jobhook check` finds of a runner's cluster: what is right, or what is wrong.
///
/// # Errors
///
/// All that is wrong, in one text.
pub(crate) async fn check(
    name: &str,
    config: &config::KubeRunner,
    directory: &Path,
) -> Result<String, String> {
    let blueprint =
        Blueprint::of(name, "check", config, directory).map_err(|error| error.to_string())?;
    if let Some(reason) = blueprint.refusal() {
        return Err(format!("nothing can be launched: {reason}"));
    }
    let cluster = Cluster::configured(config, directory)
        .await
        .map_err(|error| error.to_string())?;
    let (address, namespace) = (&cluster.address, &cluster.namespace);
    let missing = tokio::time::timeout(CHECK_PATIENCE, access::missing(&cluster)).await;
    let missing = match missing {
        Ok(Ok(missing)) => missing,
        Ok(Err(failure)) => return Err(format!("the cluster at {address}: {failure}")),
        Err(_) => return Err(format!("the cluster at {address} does not answer")),
    };
    if missing.is_empty() {
        return Ok(format!(
            "cluster    {name}: {address}, namespace {namespace}"
        ));
    }
    Err(format!(
        "in the namespace `{namespace}` at {address} this server may not {}; deploy/kubernetes/rbac.yaml has what it needs",
        missing.join("; ")
    ))
}

/// How long `check` waits for a cluster.
const CHECK_PATIENCE: Duration = Duration::from_secs(20);
