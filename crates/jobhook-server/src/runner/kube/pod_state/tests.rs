use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "uid": "u"},
        "spec": {
            "nodeName": "n1",
            "containers": [
                {"name": "main", "resources": {"limits": {"memory": "64Mi"}}},
                {"name": "sidecar"},
            ],
            "initContainers": [{"name": "fetch"}],
        },
        "status": status,
    }))
    .unwrap()
}

fn main_is(state: Value) -> Value {
    json!({"phase": "Running", "containerStatuses": [status_of("main", state)]})
}

fn status_of(name: &str, state: Value) -> Value {
    json!({
        "name": name, "state": state,
        "image": "", "imageID": "", "ready": false, "restartCount": 0,
    })
}

fn terminated(code: i32, reason: &str) -> Value {
    json!({"terminated": {
        "exitCode": code, "reason": reason,
        "startedAt": "2026-11-30T10:00:00Z", "finishedAt": "2026-11-30T10:00:05Z",
    }})
}

fn state_of(status: Value) -> PodState {
    PodState::of(&pod(status), "main")
}

fn ending_of(status: Value) -> Ending {
    match state_of(status).main {
        Main::Ended { ending, .. } => ending,
        other => panic!("{other:?}"),
    }
}

fn failed(reason: &str, message: &str) -> Value {
    json!({
        "phase": "Failed", "reason": reason, "message": message,
        "containerStatuses": [status_of("main", terminated(137, "Error"))],
    })
}

#[track_caller]
fn check_displaced(status: Value, name: &str, fault: Fault, words: &str) {
    match ending_of(status) {
        Ending::Displaced {
            name: found,
            reason,
            fault: whose,
        } => {
            assert_eq!((found.as_str(), whose), (name, fault), "{reason}");
            assert!(reason.contains(words), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_waits(status: Value, trouble: Option<Trouble>, words: Option<&str>) {
    match state_of(status).main {
        Main::Waiting {
            why,
            trouble: found,
        } => {
            assert_eq!(found, trouble);
            match (why.as_deref(), words) {
                (None, None) => {}
                (Some(why), Some(words)) if why.contains(words) => {}
                (why, _) => panic!("{why:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exit_code_is_taken_with_its_times() {
    let state = state_of(main_is(terminated(3, "Error")));
    let Main::Ended { ending, since, at } = state.main else {
        panic!()
    };
    assert_eq!(ending, Ending::Exited { code: 3 });
    assert_eq!(at.unwrap().since(since.unwrap()).as_secs(), 5);
}

#[test]
fn what_ran_out_of_memory_is_told_with_its_limit() {
    let ending = ending_of(main_is(terminated(137, "OOMKilled")));
    assert_eq!(
        ending,
        Ending::OutOfMemory {
            signal: 9,
            limit: Some("64Mi".into())
        }
    );
    let words = jobhook_engine::verdict::sentence(&ending);
    assert!(words.contains("at its limit of 64Mi"), "{words}");
}

#[test]
fn a_signal_that_the_node_tells_is_one() {
    let state = json!({"terminated": {"exitCode": 139, "signal": 11, "reason": "Error"}});
    let ending = ending_of(main_is(state));
    assert!(
        matches!(ending, Ending::Signalled { signal: 11, .. }),
        "{ending:?}"
    );
}

#[test]
fn a_command_that_is_not_there_was_never_run() {
    let state = json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: \"nope\": not found"}});
    let ending = ending_of(main_is(state));
    assert_eq!(
        ending,
        Ending::NotStarted {
            reason: "exec: \"nope\": not found".into()
        }
    );
}

#[test]
fn an_evicted_pod_is_told_apart_by_whose_fault_it_is() {
    let pressure = failed("Evicted", "The node was low on resource: memory.");
    check_displaced(
        pressure,
        "evicted",
        Fault::Infrastructure,
        "on node `n1`: The node was low",
    );
    let own = failed(
        "Evicted",
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
    );
    check_displaced(own, "evicted", Fault::Code, "used more than it may");
}

#[test]
fn what_is_taken_away_is_told_in_plain_words() {
    check_displaced(
        failed("NodeLost", "Node n1 is unresponsive"),
        "node_lost",
        Fault::Infrastructure,
        "`n1` was lost: Node n1",
    );
    check_displaced(
        failed("DeadlineExceeded", ""),
        "deadline_exceeded",
        Fault::Code,
        "activeDeadlineSeconds",
    );
    check_displaced(
        failed("Preempting", ""),
        "preempted",
        Fault::Infrastructure,
        "more important",
    );
    check_displaced(
        failed("NodeShutdown", ""),
        "node_shutdown",
        Fault::Infrastructure,
        "shut down",
    );
    check_displaced(
        failed("OutOfcpu", "not enough"),
        "not_admitted",
        Fault::Infrastructure,
        "not enough (OutOfcpu)",
    );
    let drained = json!({
        "phase": "Failed",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}],
        "containerStatuses": [status_of("main", terminated(143, "Error"))],
    });
    check_displaced(
        drained,
        "evicted",
        Fault::Infrastructure,
        "when a node is drained: drained",
    );
}

#[test]
fn a_good_end_is_one_even_if_the_pod_was_to_go() {
    let status = json!({
        "phase": "Succeeded",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
        "containerStatuses": [status_of("main", terminated(0, "Completed"))],
    });
    assert_eq!(ending_of(status), Ending::Exited { code: 0 });
}

#[test]
fn a_failed_pod_without_an_end_of_its_container_is_lost() {
    let ending = ending_of(json!({"phase": "Failed", "message": "odd"}));
    assert!(
        matches!(&ending, Ending::Lost { reason } if reason.contains("odd")),
        "{ending:?}"
    );
}

#[test]
fn the_main_container_decides() {
    let state = state_of(json!({
        "phase": "Running",
        "containerStatuses": [
            status_of("sidecar", json!({"running": {}})),
            status_of("main", terminated(0, "Completed")),
        ],
    }));
    assert!(matches!(
        state.main,
        Main::Ended {
            ending: Ending::Exited { code: 0 },
            ..
        }
    ));
    assert!(!state.over, "the sidecar goes on");
    let state = state_of(json!({
        "phase": "Running",
        "containerStatuses": [
            status_of("sidecar", terminated(1, "Error")),
            status_of("main", json!({"running": {"startedAt": "2026-11-30T10:00:00Z"}})),
        ],
    }));
    assert!(matches!(state.main, Main::Running { since: Some(_) }));
    assert_eq!(state.logging.len(), 2);
}

#[test]
fn what_a_pod_waits_for_is_told() {
    let pulling = |reason: &str| {
        main_is(json!({"waiting": {"reason": reason, "message": "nope:1 not found"}}))
    };
    check_waits(
        pulling("ErrImagePull"),
        Some(Trouble::Image),
        Some("cannot be pulled: nope:1 not found (ErrImagePull)"),
    );
    check_waits(
        pulling("ImagePullBackOff"),
        Some(Trouble::Image),
        Some("nope:1"),
    );
    check_waits(
        pulling("CreateContainerConfigError"),
        Some(Trouble::Container),
        Some("cannot be made"),
    );
    check_waits(pulling("ContainerCreating"), None, None);
    let unscheduled = json!({
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}],
    });
    check_waits(
        unscheduled,
        None,
        Some("no node can run the pod: 0/3 nodes are available (Unschedulable)"),
    );
}

#[test]
fn an_init_container_that_fails_ends_it() {
    let status = json!({
        "phase": "Failed",
        "initContainerStatuses": [status_of("fetch", terminated(2, "Error"))],
        "containerStatuses": [status_of("main", json!({"waiting": {"reason": "PodInitializing"}}))],
    });
    check_displaced(
        status,
        "init_container",
        Fault::Code,
        "`fetch` failed: the program exited with code 2",
    );
}

#[test]
fn a_pod_whose_node_is_silent_is_told_from_one_that_is_not_ready() {
    let seen = |container: bool, pod: &str| {
        let mut status = status_of("main", json!({"running": {}}));
        status["ready"] = container.into();
        state_of(json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": pod}],
            "containerStatuses": [status],
        }))
        .is_unheard
    };
    assert!(seen(true, "False"));
    assert!(!seen(false, "False"), "it says so itself");
    assert!(!seen(true, "True"));
}

#[test]
fn a_pod_on_a_lost_node_is_known_while_it_lingers() {
    let state = state_of(json!({
        "phase": "Running",
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}],
        "containerStatuses": [status_of("main", json!({"running": {}}))],
    }));
    assert!(state.is_on_lost_node());
    assert!(!state_of(main_is(json!({"running": {}}))).is_on_lost_node());
}
