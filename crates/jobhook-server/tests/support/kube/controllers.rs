//! The loop behind the API server: every change is shown to the controllers it concerns.

use std::sync::Arc;
use std::time::Duration;

use super::delete::{DeleteOptions, delete};
use super::garbage;
use super::jobs;
use super::kubelet;
use super::objects::{Change, Key, Kind};
use super::resource::{NAMESPACES, named};
use super::scheduler;
use super::state::{Shared, State};

/// Runs until the cluster ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut moved = shared.moved();
    loop {
        moved.mark_unchanged();
        let next = shared.with(|state| settle(&shared, state));
        let next = next.unwrap_or(Duration::from_secs(60));
        tokio::select! {
            _ = moved.changed() => {}
            // Time itself is the event: a grace, a deadline or a time to live of Kubernetes is over.
            () = tokio::time::sleep(next) => {}
        }
    }
}

/// Lets every controller act until none has anything to do; says when one has again.
fn settle(shared: &Arc<Shared>, state: &mut State) -> Option<Duration> {
    loop {
        let (due, next) = state.take_due();
        let changes = state.objects.take_unseen();
        if due.is_empty() && changes.is_empty() {
            return next;
        }
        for key in due {
            jobs::reconcile(state, &key);
        }
        let mut jobs: Vec<Key> = Vec::new();
        let mut schedules = false;
        for change in &changes {
            match change.key.plural {
                "jobs" => jobs.push(change.key.clone()),
                "pods" => {
                    schedules = true;
                    jobs.extend(jobs::of_pod(&change.key, &change.object));
                    jobs::orphan(state, &change.key);
                    kubelet::see(shared, state, change);
                }
                "nodes" => schedules = true,
                // Nothing follows from it, and there are many.
                "events" => continue,
                _ => {}
            }
            garbage::see(&mut state.objects, change);
            namespaces(state, change);
            if change.kind == Kind::Deleted && change.key.plural == "jobs" {
                let namespace = change.key.namespace.clone();
                let pods: Vec<Key> = state
                    .objects
                    .all(named("pods"), &namespace)
                    .map(|(key, _)| key.clone())
                    .collect();
                for pod in pods {
                    jobs::orphan(state, &pod);
                }
            }
        }
        jobs.sort();
        jobs.dedup();
        for key in jobs {
            jobs::reconcile(state, &key);
        }
        if schedules {
            scheduler::schedule(&mut state.objects);
        }
    }
}

/// Empties a namespace that is to go, and lets it go once it is empty.
fn namespaces(state: &mut State, change: &Change) {
    let name = match change.key.plural {
        "namespaces" => &change.key.name,
        _ => &change.key.namespace,
    };
    let key = Key::new(&NAMESPACES, "", name);
    let goes = |state: &State| {
        state
            .objects
            .get(&key)
            .is_some_and(|object| object["metadata"]["deletionTimestamp"].is_string())
    };
    if name.is_empty() || !goes(state) {
        return;
    }
    let inside = |state: &State| -> Vec<Key> {
        let all = state.objects.everything();
        all.filter(|(key, _)| key.namespace == *name)
            .map(|(key, _)| key.clone())
            .collect()
    };
    for object in inside(state) {
        let _ = delete(&mut state.objects, &object, &DeleteOptions::background());
    }
    if inside(state).is_empty() {
        state.objects.change(&key, |namespace| {
            namespace["spec"]["finalizers"] = serde_json::json!([]);
        });
    }
}
