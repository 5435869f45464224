use serde_json::json;

use super::*;

fn status(conditions: serde_json::Value) -> JobStatus {
    serde_json::from_value(json!({"conditions": conditions})).unwrap()
}

fn condition(kind: &str, reason: &str) -> serde_json::Value {
    json!({"type": kind, "status": "True", "reason": reason, "message": ""})
}

fn pod(terminating: bool) -> PodState {
    PodState {
        name: "p".into(),
        uid: "u".into(),
        node: None,
        main: super::super::pod_state::Main::Running { since: None },
        terminating,
        disruption: None,
        logging: Vec::new(),
        is_unheard: false,
        over: false,
    }
}

fn name_of(ending: &Ending) -> &str {
    match ending {
        Ending::Displaced { name, .. } => name,
        other => panic!("{other:?}"),
    }
}

/// A pod that the deadline had killed was told to have been deleted by somebody.
#[test]
fn what_the_controller_has_decided_is_known_before_the_end() {
    let of = |kind, reason| decided_of(&status(json!([condition(kind, reason)])));
    assert_eq!(
        of("FailureTarget", "DeadlineExceeded"),
        Some(JobEnd::Deadline)
    );
    assert_eq!(of("SuccessCriteriaMet", ""), Some(JobEnd::Complete));
    assert_eq!(of("Failed", "DeadlineExceeded"), Some(JobEnd::Deadline));
    assert_eq!(of("Suspended", ""), None);
}

#[test]
fn the_main_container_is_the_one_that_is_named_or_the_first() {
    let pod = |annotation: Option<&str>| -> Pod {
        let annotations = annotation.map(|name| json!({names::MAIN: name}));
        serde_json::from_value(json!({
            "metadata": {"annotations": annotations},
            "spec": {"containers": [{"name": "one"}, {"name": "two"}]},
        }))
        .unwrap()
    };
    let main = |annotation, named| main_of(&pod(annotation), named).unwrap();
    assert_eq!(main(None, None), "one");
    assert_eq!(main(Some("two"), None), "two");
    assert_eq!(main(Some("two"), Some("one")), "one");
    // It kept the action from ever ending.
    assert_eq!(main(Some("three"), None), "one");
    assert_eq!(main(None, Some("three")), "one");
}

#[test]
fn a_target_is_no_end_yet() {
    assert_eq!(
        end_of(&status(json!([condition(
            "FailureTarget",
            "BackoffLimitExceeded"
        )]))),
        None
    );
    assert_eq!(
        end_of(&status(json!([condition("SuccessCriteriaMet", "")]))),
        None
    );
    assert_eq!(
        end_of(&status(json!([condition("Complete", "")]))),
        Some(JobEnd::Complete)
    );
    assert_eq!(
        end_of(&status(json!([condition("Failed", "DeadlineExceeded")]))),
        Some(JobEnd::Deadline)
    );
    let failed = end_of(&status(json!([condition(
        "Failed",
        "BackoffLimitExceeded"
    )])));
    assert_eq!(failed, Some(JobEnd::Failed("BackoffLimitExceeded".into())));
}

#[test]
fn a_pod_that_somebody_deleted_is_no_fault_of_its_program() {
    let killed = Ending::Exited { code: 143 };
    let ending_of =
        |terminating, stopping| ending(killed.clone(), &pod(terminating), None, stopping);
    assert_eq!(name_of(&ending_of(true, false)), "deleted");
    assert_eq!(ending_of(false, false), killed);
    assert_eq!(ending_of(true, true), killed, "this server did that");
    let good = Ending::Exited { code: 0 };
    assert_eq!(ending(good.clone(), &pod(true), None, false), good);
}

#[test]
fn the_deadline_of_a_job_is_told_as_such() {
    let killed = Ending::Exited { code: 143 };
    assert_eq!(
        name_of(&ending(killed, &pod(true), Some(&JobEnd::Deadline), false)),
        "deadline_exceeded"
    );
    assert_eq!(
        name_of(&vanished(&pod(true), Some(&JobEnd::Deadline), false)),
        "deadline_exceeded"
    );
}

#[test]
fn what_vanished_is_told_by_who_did_it() {
    assert_eq!(name_of(&vanished(&pod(false), None, false)), "deleted");
    assert_eq!(name_of(&vanished(&pod(false), None, true)), "removed");
    assert_eq!(
        vanished(&pod(false), Some(&JobEnd::Complete), false),
        Ending::Exited { code: 0 }
    );
    assert_eq!(name_of(&job_vanished("j", false)), "deleted");
}
