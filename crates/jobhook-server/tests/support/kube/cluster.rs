//! The cluster as a test has it: what it holds, and what a test has happen to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::api;
use super::controllers;
use super::delete::{DeleteOptions, delete};
use super::faults::Fault;
use super::http;
use super::kubelet::{self, PodOrder};
use super::node;
use super::objects::Key;
use super::requests::Request;
use super::resource::{NAMESPACES, PODS, named};
use super::state::{Shared, State};
use super::target::Target;

/// Longer than anything takes; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many pods the node has room for, as real ones.
const PODS_ON_A_NODE: usize = 110;

/// A cluster that lives as long as this.
#[derive(Debug)]
pub(crate) struct FakeCluster {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Ends it when it is dropped.
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeCluster {
    /// A cluster with the namespaces `default` and `kube-system`.
    pub(crate) fn start() -> FakeCluster {
        FakeCluster::with_room_for(PODS_ON_A_NODE)
    }

    /// One whose node has room for so many pods.
    pub(crate) fn with_room_for(pods: usize) -> FakeCluster {
        let shared = Arc::new(Shared::new());
        let (end, ended) = oneshot::channel();
        let (sender, receiver) = mpsc::channel();
        let inside = Arc::clone(&shared);
        // Its only thread: containers end with the thread that started them.
        let thread = std::thread::Builder::new()
            .name("cluster".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                    sender.send(listener.local_addr().unwrap()).unwrap();
                    tokio::spawn(controllers::run(Arc::clone(&inside)));
                    tokio::select! {
                        _ = http::serve(inside, listener) => {}
                        _ = ended => {}
                    }
                });
            })
            .unwrap();
        let cluster = FakeCluster {
            shared,
            address: receiver.recv().unwrap(),
            end: Some(end),
            thread: Some(thread),
        };
        cluster.renew_token();
        cluster.with(|state| {
            state.objects.insert(node::key(), node::object(pods));
        });
        for name in ["default", "kube-system"] {
            cluster.create_namespace(name);
        }
        cluster
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.shared.with(act)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token that is good now.
    pub(crate) fn token(&self) -> String {
        self.with(|state| state.access.token.clone())
    }

    /// Has only another token be good from now on, and returns it.
    pub(crate) fn renew_token(&self) -> String {
        let token = format!("token-{}", uuid::Uuid::now_v7());
        self.with(|state| state.access.accept(&token));
        token
    }

    /// Has another token be good, too, and be [the token](Self::token) once it was shown: as a node
    /// renews those of service accounts.
    pub(crate) fn offer_token(&self) -> String {
        let token = format!("token-{}", uuid::Uuid::now_v7());
        self.with(|state| state.access.next = Some(token.clone()));
        token
    }

    /// Has this token be good again, and no other.
    pub(crate) fn accept_token(&self, token: &str) {
        self.with(|state| state.access.accept(token));
    }

    /// A kubeconfig whose only context, `fake`, is in `namespace`.
    pub(crate) fn kubeconfig(&self, namespace: &str) -> String {
        let (url, token) = (self.url(), self.token());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\n\
             clusters:\n- name: fake\n  cluster:\n    server: {url}\n\
             users:\n- name: fake\n  user:\n    token: {token}\n\
             contexts:\n- name: fake\n  context:\n    cluster: fake\n    user: fake\n    namespace: {namespace}\n"
        )
    }

    /// The same in a file `kubeconfig` in `folder`.
    pub(crate) fn kubeconfig_in(&self, folder: &Path, namespace: &str) -> PathBuf {
        let path = folder.join("kubeconfig");
        std::fs::write(&path, self.kubeconfig(namespace)).unwrap();
        path
    }

    pub(crate) fn create_namespace(&self, name: &str) {
        self.create(&NAMESPACES, "", json!({"metadata": {"name": name}}));
    }

    /// Has somebody else create an object.
    pub(crate) fn create_object(&self, resource: &str, namespace: &str, object: Value) -> Value {
        self.create(named(resource), namespace, object)
    }

    fn create(
        &self,
        resource: &'static super::resource::Resource,
        namespace: &str,
        object: Value,
    ) -> Value {
        let target = Target {
            verb: "create",
            resource,
            namespace: namespace.to_owned(),
            name: None,
            subresource: None,
        };
        self.with(|state| api::create(state, &target, object, false))
            .unwrap_or_else(|status| panic!("{}", status.message))
    }

    /// Every object of a resource; of every namespace, if that is empty.
    pub(crate) fn objects(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let resource = named(resource);
        self.with(|state| {
            let all = state.objects.all(resource, namespace);
            all.map(|(_, object)| Value::clone(object)).collect()
        })
    }

    pub(crate) fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = Key::new(named(resource), namespace, name);
        self.with(|state| state.objects.get(&key).map(|object| Value::clone(object)))
    }

    /// Has somebody else change an object.
    pub(crate) fn change_object(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) {
        let key = Key::new(named(resource), namespace, name);
        self.with(|state| state.objects.change(&key, change))
            .unwrap_or_else(|| panic!("no {resource} {name}"));
    }

    /// Has somebody else delete an object, and what it owns with it; with grace for a pod.
    pub(crate) fn delete_object(&self, resource: &str, namespace: &str, name: &str) {
        self.delete_with(resource, namespace, name, &DeleteOptions::background());
    }

    /// The same, without any grace.
    pub(crate) fn force_delete_object(&self, resource: &str, namespace: &str, name: &str) {
        let mut options = DeleteOptions::background();
        options.grace = Some(0);
        self.delete_with(resource, namespace, name, &options);
    }

    fn delete_with(&self, resource: &str, namespace: &str, name: &str, options: &DeleteOptions) {
        let key = Key::new(named(resource), namespace, name);
        let deleted = self.with(|state| delete(&mut state.objects, &key, options).map(drop));
        deleted.unwrap_or_else(|status| panic!("{}", status.message));
    }

    /// Waits, on a thread that may, until the objects of a resource are as wanted.
    #[track_caller]
    pub(crate) fn until<T>(
        &self,
        what: &str,
        resource: &str,
        namespace: &str,
        found: impl Fn(&[Value]) -> Option<T>,
    ) -> T {
        let resource = named(resource);
        let found = self.shared.wait(PATIENCE, |state| {
            let all = state.objects.all(resource, namespace);
            let all: Vec<Value> = all.map(|(_, object)| Value::clone(object)).collect();
            found(&all)
        });
        found.unwrap_or_else(|| panic!("never: {what}"))
    }

    /// Waits until the only pod of a namespace is in `phase`; returns it.
    #[track_caller]
    pub(crate) fn pod_in(&self, namespace: &str, phase: &str) -> Value {
        self.until(&format!("a pod is {phase}"), "pods", namespace, |pods| {
            let found = pods.iter().find(|pod| pod["status"]["phase"] == phase);
            found.cloned()
        })
    }

    /// Waits until the requests so far are as wanted.
    #[track_caller]
    pub(crate) fn until_requests<T>(
        &self,
        what: &str,
        found: impl Fn(&[Request]) -> Option<T>,
    ) -> T {
        self.shared
            .wait(PATIENCE, |state| found(state.requests.all()))
            .unwrap_or_else(|| panic!("never: {what}"))
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.with(|state| state.requests.all().to_vec())
    }

    /// Has the next `times` requests go wrong: `verb` and `resource` as roles name them, or `*`.
    /// A refusal of `create pods` also meets the controller of Jobs.
    pub(crate) fn fail(&self, verb: &str, resource: &str, times: usize, fault: Fault) {
        self.with(|state| state.faults.plan(verb, resource, times, fault));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.with(|state| state.faults.clear());
    }

    /// Forbids a verb on a resource.
    pub(crate) fn deny(&self, verb: &str, resource: &str) {
        self.with(|state| state.access.deny(verb, resource));
    }

    pub(crate) fn allow_all(&self) {
        self.with(|state| state.access.allow_all());
    }

    /// Forgets what happened so far: every watch ends with 410 Gone, and so does one that begins
    /// at an earlier revision.
    pub(crate) fn expire_watches(&self) {
        self.with(|state| state.objects.expire());
    }

    /// Breaks the connection of every watch and every log that is followed.
    pub(crate) fn cut_connections(&self) {
        self.with(|state| state.cuts += 1);
    }

    /// How often a watch that may say how far it is does.
    pub(crate) fn bookmark_every(&self, time: Duration) {
        self.with(|state| state.bookmark_every = time);
    }

    /// The node is not heard of any more; what runs there goes on.
    pub(crate) fn lose_node(&self) {
        self.mark_node(true);
        for pod in self.pods_on_the_node() {
            self.with(|state| {
                state.objects.change(&pod, |pod| {
                    for condition in pod["status"]["conditions"]
                        .as_array_mut()
                        .into_iter()
                        .flatten()
                    {
                        if condition["type"] == "Ready" {
                            condition["status"] = "False".into();
                            condition["lastTransitionTime"] = super::moment::now().into();
                        }
                    }
                });
            });
        }
    }

    /// After five minutes in real life: the pods of the lost node are to be deleted.
    pub(crate) fn taint_lost_pods(&self) {
        for pod in self.pods_on_the_node() {
            self.with(|state| {
                let message = "Taint manager: deleting due to NoExecute taint";
                api::disrupt(state, &pod, "DeletionByTaintManager", message);
                let _ = delete(&mut state.objects, &pod, &DeleteOptions::background());
            });
        }
    }

    /// The node is back, and says what became of its pods.
    pub(crate) fn return_node(&self) {
        self.mark_node(false);
    }

    fn mark_node(&self, lost: bool) {
        self.with(|state| {
            state.node.lost = lost;
            node::mark(&mut state.objects, lost);
        });
    }

    fn pods_on_the_node(&self) -> Vec<Key> {
        self.with(|state| {
            let there = state.objects.all(&PODS, "").filter(|(_, pod)| {
                let phase = pod["status"]["phase"].as_str().unwrap_or_default();
                pod["spec"]["nodeName"].is_string() && !matches!(phase, "Succeeded" | "Failed")
            });
            there.map(|(key, _)| key.clone()).collect()
        })
    }

    /// Has the node throw a pod out.
    pub(crate) fn evict(&self, pod: &Value) {
        let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51Mi. Container main was using 310Mi, request is 0, has larger consumption of memory. ";
        self.order(pod, PodOrder::Evict(message.into()));
    }

    /// Has the kernel kill a container for its memory.
    pub(crate) fn out_of_memory(&self, pod: &Value, container: &str) {
        self.order(pod, PodOrder::OutOfMemory(container.into()));
    }

    fn order(&self, pod: &Value, order: PodOrder) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        self.with(|state| {
            let orders = state.pods.get(uid).expect("the kubelet has the pod");
            let _ = orders.send(order);
        });
    }

    /// Has the node throw away what a container wrote, but for its last `keep` lines.
    pub(crate) fn rotate_log(&self, pod: &Value, container: &str, keep: usize) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        self.with(|state| {
            let place = (uid.to_owned(), container.to_owned());
            let log = state.logs.get(&place).expect("the container has a log");
            log.rotate(keep);
        });
    }

    /// Leaves an empty file where a container works, as a sign for its script.
    pub(crate) fn leave_file(&self, pod: &Value, container: &str, name: &str) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let place = kubelet::dir_of(uid).join(container).join(name);
        std::fs::write(place, "").unwrap();
    }

    /// How many lines a container has written.
    pub(crate) fn lines_written(&self, pod: &Value, container: &str) -> usize {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        self.with(|state| {
            let place = (uid.to_owned(), container.to_owned());
            state.logs.get(&place).map_or(0, |log| log.written())
        })
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
