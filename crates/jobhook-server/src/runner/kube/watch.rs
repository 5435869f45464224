//! One watch of Jobs and one of pods for all attempts in a namespace, however many there are.
//!
//! What somebody follows is kept, distilled; the rest is let go at once, so that memory does not grow
//! with what is finished. After a loss the watch lists again. What was not in a list is doubted,
//! and only an answer for that one object says that it is gone.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::cluster::Cluster;
use super::names;

/// How long one watch call lasts; a connection that died is noticed soon after.
const CALL_SECONDS: u32 = 120;

/// How often a Job is asked for at once, because something was shown of it meanwhile.
const ASKED_AGAIN: usize = 5;

/// What is known of one Job and its pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The Job, as it was last seen.
    pub(super) job: Option<JobSeen>,
    /// Its pods, by uid, as they were last seen; one as a rule.
    pub(super) pods: HashMap<String, PodSeen>,
    /// How often something was not in a list, or was said to be deleted.
    pub(super) doubts: u64,
    /// How often something was shown of it.
    pub(super) notes: u64,
    /// Whether it was asked for: then a Job that is not here is nowhere.
    pub(super) asked: bool,
}

#[derive(Clone, Debug)]
pub(super) struct JobSeen {
    pub(super) uid: String,
    pub(super) status: JobStatus,
    /// The containers that it asks for; not what others add to its pods.
    pub(super) containers: Vec<String>,
    /// The main one of them.
    pub(super) main: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct PodSeen {
    pub(super) pod: Arc<Pod>,
    /// Whether it was deleted; it is shown as it was last.
    pub(super) deleted: bool,
}

/// The watch of a namespace.
pub(super) struct Watch {
    cluster: Cluster,
    selector: String,
    followed: Mutex<HashMap<String, Weak<watch::Sender<Seen>>>>,
    begun: OnceLock<()>,
}

/// Follows one Job; what is kept of it goes when this goes.
pub(super) struct Followed {
    name: String,
    watch: Arc<Watch>,
    sender: Arc<watch::Sender<Seen>>,
    pub(super) seen: watch::Receiver<Seen>,
}

impl Watch {
    pub(super) fn new(cluster: Cluster, installation: &str) -> Arc<Watch> {
        Arc::new(Watch {
            cluster,
            selector: names::selector(installation),
            followed: Mutex::default(),
            begun: OnceLock::new(),
        })
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Follows the Job of that name. What happened before is not told: who follows asks for it.
    pub(super) fn follow(self: &Arc<Watch>, name: &str) -> Followed {
        self.begun.get_or_init(|| self.begin());
        let mut followed = self.followed();
        let known = followed.get(name).and_then(Weak::upgrade);
        let sender = known.unwrap_or_else(|| {
            let sender = Arc::new(watch::Sender::new(Seen::default()));
            followed.insert(name.to_owned(), Arc::downgrade(&sender));
            sender
        });
        let seen = sender.subscribe();
        Followed {
            name: name.to_owned(),
            watch: Arc::clone(self),
            sender,
            seen,
        }
    }

    fn followed(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<watch::Sender<Seen>>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: &str) -> Option<Arc<watch::Sender<Seen>>> {
        self.followed().get(name)?.upgrade()
    }

    /// Watches as long as somebody may follow.
    fn begin(self: &Arc<Watch>) {
        tokio::spawn(run(
            Arc::downgrade(self),
            self.cluster.jobs(),
            self.selector.clone(),
        ));
        tokio::spawn(run(
            Arc::downgrade(self),
            self.cluster.pods(),
            self.selector.clone(),
        ));
    }
}

/// What the watch can keep of a kind of object.
trait Watched:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static
{
    const WHAT: &'static str;

    /// The name of the Job that it is, or is of.
    fn job_name(&self) -> Option<&str>;

    /// Writes down what is seen.
    fn note(self, seen: &mut Seen, deleted: bool);

    /// Whether what is kept of it contradicts a list that has these uids.
    fn is_missing(seen: &Seen, listed: &HashSet<String>) -> bool;
}

impl Watched for Job {
    const WHAT: &'static str = "jobs";

    fn job_name(&self) -> Option<&str> {
        self.metadata.name.as_deref()
    }

    fn note(self, seen: &mut Seen, deleted: bool) {
        if deleted {
            seen.doubts += 1;
            return;
        }
        let template = self.spec.map(|spec| spec.template);
        let named = template
            .as_ref()
            .and_then(|template| template.metadata.as_ref());
        let named = named.and_then(|metadata| metadata.annotations.as_ref());
        let named = named.and_then(|annotations| annotations.get(names::MAIN).cloned());
        let pod = template
            .and_then(|template| template.spec)
            .unwrap_or_default();
        let init = pod.init_containers.into_iter().flatten();
        let mut containers: Vec<String> = pod
            .containers
            .into_iter()
            .map(|container| container.name)
            .collect();
        let main = named
            .filter(|named| containers.contains(named))
            .or_else(|| containers.first().cloned());
        containers.extend(init.map(|container| container.name));
        seen.job = Some(JobSeen {
            uid: self.metadata.uid.unwrap_or_default(),
            status: self.status.unwrap_or_default(),
            main,
            containers,
        });
    }

    fn is_missing(seen: &Seen, listed: &HashSet<String>) -> bool {
        // One that was never seen may have come and gone while nobody watched.
        seen.job
            .as_ref()
            .is_none_or(|job| !listed.contains(&job.uid))
    }
}

impl Watched for Pod {
    const WHAT: &'static str = "pods";

    fn job_name(&self) -> Option<&str> {
        let labels = self.metadata.labels.as_ref()?;
        let name = labels
            .get("batch.kubernetes.io/job-name")
            .or_else(|| labels.get("job-name"))?;
        Some(name)
    }

    fn note(mut self, seen: &mut Seen, deleted: bool) {
        // Neither is looked at, and they are most of what a pod weighs.
        self.metadata.managed_fields = None;
        if let Some(spec) = &mut self.spec {
            spec.volumes = None;
            for container in spec
                .containers
                .iter_mut()
                .chain(spec.init_containers.iter_mut().flatten())
            {
                container.env = None;
                container.volume_mounts = None;
            }
        }
        let uid = self.metadata.uid.clone().unwrap_or_default();
        seen.pods.insert(
            uid,
            PodSeen {
                pod: Arc::new(self),
                deleted,
            },
        );
    }

    fn is_missing(seen: &Seen, listed: &HashSet<String>) -> bool {
        let mut there = seen.pods.iter().filter(|(_, pod)| !pod.deleted);
        there.any(|(uid, _)| !listed.contains(uid))
    }
}

async fn run<K: Watched>(watch: Weak<Watch>, api: Api<K>, selector: String) {
    let settings = watcher::Config::default()
        .labels(&selector)
        .timeout(CALL_SECONDS);
    let mut events = std::pin::pin!(watcher(api, settings).default_backoff());
    let mut listed: HashSet<String> = HashSet::new();
    let mut failing = false;
    loop {
        let event = match tokio::time::timeout(Duration::from_secs(60), events.next()).await {
            Ok(Some(event)) => Some(event),
            Ok(None) => return,
            Err(_) => None,
        };
        let Some(watch) = watch.upgrade() else { return };
        let Some(event) = event else { continue };
        match event {
            Ok(event) => {
                if failing {
                    failing = false;
                    tracing::info!(
                        cluster = watch.cluster.address,
                        namespace = watch.cluster.namespace,
                        "The {} of a cluster are watched again",
                        K::WHAT
                    );
                }
                watch.take(event, &mut listed);
            }
            // It begins again by itself, after a while.
            Err(error) if is_expired(&error) => {
                tracing::debug!(
                    cluster = watch.cluster.address,
                    "The {} of a cluster are listed again",
                    K::WHAT
                );
            }
            Err(error) => {
                if !failing {
                    failing = true;
                    let error = super::cluster::chain(&error);
                    tracing::warn!(cluster = watch.cluster.address, namespace = watch.cluster.namespace, %error, "The {} of a cluster cannot be watched for now: {error}", K::WHAT);
                }
            }
        }
    }
}

/// Whether the watch only fell too far behind.
fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

impl Watch {
    fn take<K: Watched>(&self, event: Event<K>, listed: &mut HashSet<String>) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.extend(object.meta().uid.clone());
                self.note(object, false);
            }
            Event::InitDone => self.doubt::<K>(&std::mem::take(listed)),
            Event::Apply(object) => self.note(object, false),
            Event::Delete(object) => self.note(object, true),
        }
    }

    fn note<K: Watched>(&self, object: K, deleted: bool) {
        let Some(sender) = object.job_name().and_then(|name| self.of(name)) else {
            return;
        };
        sender.send_modify(|seen| {
            seen.notes += 1;
            object.note(seen, deleted);
        });
    }

    /// What is kept and was not listed may be gone.
    fn doubt<K: Watched>(&self, listed: &HashSet<String>) {
        let followed: Vec<_> = self.followed().values().filter_map(Weak::upgrade).collect();
        for sender in followed {
            sender.send_if_modified(|seen| {
                let missing = K::is_missing(seen, listed);
                seen.doubts += u64::from(missing);
                missing
            });
        }
    }
}

impl Followed {
    /// Asks for the Job and its pods, and writes down what is there. What was known before, and is not
    /// there any more, is gone.
    ///
    /// # Errors
    ///
    /// [`kube::Error`]; nothing is written down then.
    pub(super) async fn ask(&self) -> Result<(), kube::Error> {
        for _ in 0..ASKED_AGAIN {
            if self.ask_once(false).await? {
                return Ok(());
            }
        }
        self.ask_once(true).await.map(|_| ())
    }

    /// Writes nothing down, and says so, if the watch showed something meanwhile, which may be newer
    /// than the answer and would not be shown again.
    async fn ask_once(&self, whatever: bool) -> Result<bool, kube::Error> {
        let notes = self.sender.borrow().notes;
        let before: Vec<String> = self.sender.borrow().pods.keys().cloned().collect();
        let cluster = &self.watch.cluster;
        let job = cluster.jobs().get_opt(&self.name).await?;
        let of_job =
            ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", self.name));
        let pods = cluster.pods().list(&of_job).await?.items;
        let there: HashSet<_> = pods
            .iter()
            .filter_map(|pod| pod.metadata.uid.clone())
            .collect();
        let mut is_written = false;
        self.sender.send_if_modified(|seen| {
            is_written = whatever || seen.notes == notes;
            if !is_written {
                return false;
            }
            seen.asked = true;
            for uid in before.iter().filter(|uid| !there.contains(*uid)) {
                if let Some(pod) = seen.pods.get_mut(uid) {
                    pod.deleted = true;
                }
            }
            for pod in pods {
                pod.note(seen, false);
            }
            match job {
                Some(job) => job.note(seen, false),
                None => seen.job = None,
            }
            true
        });
        Ok(is_written)
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut followed = self.watch.followed();
        // Who follows the same Job besides keeps it.
        if Arc::strong_count(&self.sender) == 1 {
            followed.remove(&self.name);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}
