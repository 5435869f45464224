//! The kubelet: takes pods that are bound to its node, runs their containers, and says how they are.
//!
//! A pod whose node is lost goes on, and nobody hears of it until the node is back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::container::{Container, Ended, Order, Told, never_ran};
use super::events::{self, Source};
use super::moment;
use super::node;
use super::objects::{Change, Key, Kind};
use super::resource::named;
use super::state::{Shared, State};

/// How the kubelet is told what to do with a pod.
pub(crate) type Orders = mpsc::UnboundedSender<PodOrder>;

#[derive(Clone, Debug)]
pub(crate) enum PodOrder {
    /// End it, within so many seconds.
    Terminate(u64),
    /// It is not there any more.
    Gone,
    /// One of its containers takes too much memory.
    OutOfMemory(String),
    /// The node needs the room; the message says for what.
    Evict(String),
}

/// Looks at what follows from a change of a pod.
pub(crate) fn see(shared: &Arc<Shared>, state: &mut State, change: &Change) {
    let pod = &change.object;
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    if change.kind == Kind::Deleted {
        if let Some(orders) = state.pods.remove(uid) {
            let _ = orders.send(PodOrder::Gone);
        }
        state.logs.retain(|(of, _), _| of != uid);
        return;
    }
    let Some(orders) = state.pods.get(uid) else {
        // Since then it may have gone.
        let there = state.objects.get(&change.key);
        let there = there.is_some_and(|known| known["metadata"]["uid"] == *uid);
        if there && pod["spec"]["nodeName"] == node::NAME {
            let (sender, receiver) = mpsc::unbounded_channel();
            if pod["metadata"]["deletionTimestamp"].is_string() {
                let _ = sender.send(PodOrder::Terminate(0));
            }
            state.pods.insert(uid.to_owned(), sender);
            let pod = Pod::new(shared, &change.key, Arc::clone(pod));
            tokio::spawn(pod.run(receiver));
        }
        return;
    };
    if pod["metadata"]["deletionTimestamp"].is_string() {
        let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
        let _ = orders.send(PodOrder::Terminate(grace.unwrap_or_default()));
    }
}

/// A container of a pod, as far as it has come.
struct Unit {
    spec: Value,
    /// Whether it comes before the main ones.
    early: bool,
    /// Whether it comes before, and stays beside them.
    sidecar: bool,
    orders: Option<mpsc::UnboundedSender<Order>>,
    told: Option<Told>,
}

/// A pod that runs.
struct Pod {
    shared: Arc<Shared>,
    key: Key,
    object: Arc<Value>,
    started: Timestamp,
    units: Vec<Unit>,
    /// Where its containers work; empty when it is gone.
    dir: PathBuf,
    terminating: bool,
    /// Why it failed, if not by its containers.
    evicted: Option<String>,
}

impl Unit {
    fn ended(&self) -> Option<&Ended> {
        match &self.told {
            Some(Told::Ended(ended)) => Some(ended),
            _ => None,
        }
    }

    fn status(&self) -> Value {
        let name = &self.spec["name"];
        let state = match &self.told {
            None => {
                json!({"waiting": {"reason": if self.early { "PodInitializing" } else { "ContainerCreating" }}})
            }
            Some(Told::Waiting { reason, message }) => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
            Some(Told::Started(at)) => json!({"running": {"startedAt": moment::seconds(*at)}}),
            Some(Told::Ended(ended)) => {
                let mut state = json!({
                    "exitCode": ended.code,
                    "reason": ended.reason,
                    "startedAt": ended.started.map(moment::seconds),
                    "finishedAt": ended.started.map(|_| moment::seconds(ended.at)),
                });
                if !ended.message.is_empty() {
                    state["message"] = ended.message.clone().into();
                }
                json!({"terminated": state})
            }
        };
        let runs = matches!(self.told, Some(Told::Started(_)));
        json!({
            "name": name,
            "image": self.spec["image"],
            "imageID": if self.orders.is_some() { "sha256:0000" } else { "" },
            "ready": runs,
            "started": runs,
            "restartCount": 0,
            "state": state,
            "lastState": {},
        })
    }
}

impl Pod {
    fn new(shared: &Arc<Shared>, key: &Key, object: Arc<Value>) -> Pod {
        let units = ["initContainers", "containers"]
            .into_iter()
            .flat_map(|list| {
                let specs = object["spec"][list].as_array().into_iter().flatten();
                specs.map(move |spec| Unit {
                    early: list == "initContainers",
                    sidecar: list == "initContainers" && spec["restartPolicy"] == "Always",
                    spec: spec.clone(),
                    orders: None,
                    told: None,
                })
            })
            .collect();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        Pod {
            shared: Arc::clone(shared),
            key: key.clone(),
            started: Timestamp::now(),
            units,
            dir: dir_of(uid),
            object,
            terminating: false,
            evicted: None,
        }
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<PodOrder>) {
        let (teller, mut told) = mpsc::unbounded_channel();
        self.mount(&mut orders).await;
        loop {
            if !self.terminating {
                self.start_next(&teller);
            }
            if self.is_over() {
                break;
            }
            self.node_is_there().await;
            self.publish("");
            tokio::select! {
                said = told.recv() => {
                    if let Some((index, said)) = said {
                        let unit: &mut Unit = &mut self.units[index];
                        unit.told = Some(said);
                    }
                }
                order = orders.recv() => self.obey(order).await,
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
        self.node_is_there().await;
        let mains = self.units.iter().filter(|unit| !unit.sidecar);
        let well = mains
            .map(|unit| unit.ended().map(|ended| ended.code))
            .all(|code| code == Some(0));
        let well = well && self.evicted.is_none();
        self.publish(if well { "Succeeded" } else { "Failed" });
    }

    /// Waits until what its volumes are made of is there, or it is to end.
    async fn mount(&mut self, orders: &mut mpsc::UnboundedReceiver<PodOrder>) {
        let volumes = self.object["spec"]["volumes"].as_array().cloned();
        let secrets: Vec<(Value, Key)> = volumes
            .into_iter()
            .flatten()
            .filter_map(|volume| {
                let secret = volume["secret"]["secretName"].as_str()?;
                let key = Key::new(named("secrets"), &self.key.namespace, secret);
                Some((volume["name"].clone(), key))
            })
            .collect();
        let mut moved = self.shared.moved();
        let mut told = false;
        while !self.terminating {
            moved.mark_unchanged();
            let missing = self.shared.with(|state| {
                let is_missing = |(_, key): &&(Value, Key)| state.objects.get(key).is_none();
                secrets.iter().find(is_missing).cloned()
            });
            let Some((volume, key)) = missing else { return };
            if !std::mem::replace(&mut told, true) {
                self.publish("");
                let message = format!(
                    "MountVolume.SetUp failed for volume {volume} : secret \"{}\" not found",
                    key.name
                );
                self.shared.with(|state| {
                    let about = (named("pods"), &*self.object);
                    let said = ("Warning", "FailedMount");
                    events::tell(&mut state.objects, about, Source::Kubelet, said, &message);
                });
            }
            tokio::select! {
                _ = moved.changed() => {}
                order = orders.recv() => self.obey(order).await,
            }
        }
    }

    /// Starts the containers whose turn it is.
    fn start_next(&mut self, teller: &mpsc::UnboundedSender<(usize, Told)>) {
        for index in 0..self.units.len() {
            let unit = &self.units[index];
            let waits_for_it = unit.early && !unit.sidecar;
            if unit.orders.is_none() {
                self.start(index, teller);
            }
            if waits_for_it
                && self.units[index]
                    .ended()
                    .is_none_or(|ended| ended.code != 0)
            {
                return;
            }
        }
    }

    fn start(&mut self, index: usize, teller: &mpsc::UnboundedSender<(usize, Told)>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let spec = self.units[index].spec.clone();
        let name = spec["name"].as_str().unwrap_or_default().to_owned();
        let container = Container {
            shared: Arc::clone(&self.shared),
            pod: Arc::clone(&self.object),
            spec,
            dir: self.dir.join(name),
        };
        let teller = teller.clone();
        tokio::spawn(container.run(receiver, move |told| {
            let _ = teller.send((index, told));
        }));
        self.units[index].orders = Some(sender);
    }

    /// Whether nothing of it runs or will; ends what stayed beside the main containers.
    fn is_over(&mut self) -> bool {
        let failed_early = self.units.iter().any(|unit| {
            unit.early && !unit.sidecar && unit.ended().is_some_and(|ended| ended.code != 0)
        });
        let mut mains = self.units.iter().filter(|unit| !unit.early);
        let over = self.terminating || failed_early || mains.all(|unit| unit.ended().is_some());
        if !over {
            return false;
        }
        let runs = |unit: &&Unit| unit.orders.is_some() && unit.ended().is_none();
        for unit in self.units.iter().filter(|unit| unit.sidecar).filter(runs) {
            tell(unit, Order::Terminate(Duration::from_secs(30)));
        }
        self.units.iter().find(runs).is_none()
    }

    async fn obey(&mut self, order: Option<PodOrder>) {
        // A kubelet that hears nobody is told nothing either.
        self.node_is_there().await;
        let to_all = match order {
            Some(PodOrder::OutOfMemory(container)) => {
                let hit = self
                    .units
                    .iter()
                    .filter(|unit| unit.spec["name"] == *container);
                hit.for_each(|unit| tell(unit, Order::Kill("OOMKilled")));
                return;
            }
            Some(PodOrder::Terminate(seconds)) => Order::Terminate(Duration::from_secs(seconds)),
            Some(PodOrder::Gone) | None => Order::Kill("Error"),
            Some(PodOrder::Evict(message)) => {
                self.evicted = Some(message);
                Order::Kill("Error")
            }
        };
        self.terminating = true;
        for unit in &mut self.units {
            tell(unit, to_all);
            if unit.orders.is_none() {
                unit.told = Some(Told::Ended(never_ran()));
            }
        }
    }

    async fn node_is_there(&self) {
        let mut moved = self.shared.moved();
        while self.shared.with(|state| state.node.lost) {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells the API server how it is; `phase` is empty until the end.
    fn publish(&self, phase: &str) {
        let waits = |unit: &Unit| matches!(unit.told, None | Some(Told::Waiting { .. }));
        let mains: Vec<&Unit> = self.units.iter().filter(|unit| !unit.early).collect();
        let phase = match phase {
            "" if mains.iter().any(|unit| waits(unit)) => "Pending",
            "" => "Running",
            phase => phase,
        };
        let over = matches!(phase, "Succeeded" | "Failed");
        let ready = mains
            .iter()
            .all(|unit| matches!(unit.told, Some(Told::Started(_))));
        let initialized = self
            .units
            .iter()
            .filter(|unit| unit.early)
            .all(|unit| unit.sidecar || unit.ended().is_some_and(|ended| ended.code == 0));
        let unready = match phase {
            "Succeeded" => Some("PodCompleted"),
            "Failed" => Some("PodFailed"),
            _ => Some("ContainersNotReady"),
        };
        let unready = unready.filter(|_| !ready);
        let statuses = |early: bool| {
            let units = self.units.iter().filter(|unit| unit.early == early);
            units.map(Unit::status).collect::<Vec<Value>>()
        };
        let (main, early) = (statuses(false), statuses(true));
        self.shared.with(|state| {
            state.objects.change(&self.key, |pod| {
                if pod["metadata"]["uid"] != self.object["metadata"]["uid"] {
                    return;
                }
                let status = &mut pod["status"];
                status["phase"] = phase.into();
                status["hostIP"] = "127.0.0.1".into();
                status["podIP"] = "127.0.0.1".into();
                status["startTime"] = moment::seconds(self.started).into();
                status["containerStatuses"] = main.into();
                if !early.is_empty() {
                    status["initContainerStatuses"] = early.into();
                }
                condition(status, "PodReadyToStartContainers", !over, None);
                condition(status, "Initialized", initialized, None);
                condition(status, "Ready", ready, unready);
                condition(status, "ContainersReady", ready, unready);
                if let Some(message) = &self.evicted
                    && over
                {
                    status["reason"] = "Evicted".into();
                    status["message"] = message.clone().into();
                    condition(
                        status,
                        "DisruptionTarget",
                        true,
                        Some("TerminationByKubelet"),
                    );
                }
                // Now nothing of it is left on the node.
                if over && pod["metadata"]["deletionTimestamp"].is_string() {
                    pod["metadata"]["deletionGracePeriodSeconds"] = 0.into();
                }
            });
        });
    }
}

/// Where the containers of a pod work.
pub(crate) fn dir_of(uid: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pod-{uid}"))
}

fn tell(unit: &Unit, order: Order) {
    if let Some(orders) = &unit.orders {
        let _ = orders.send(order);
    }
}

/// Sets a condition; its time is that of its last change.
fn condition(status: &mut Value, kind: &str, holds: bool, reason: Option<&str>) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else {
        return;
    };
    let holds = if holds { "True" } else { "False" };
    let mut condition = json!({
        "type": kind,
        "status": holds,
        "lastProbeTime": null,
        "lastTransitionTime": moment::now(),
    });
    if let Some(reason) = reason {
        condition["reason"] = reason.into();
    }
    match conditions.iter_mut().find(|known| known["type"] == kind) {
        Some(known) if known["status"] == holds && known["reason"] == condition["reason"] => {}
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}
