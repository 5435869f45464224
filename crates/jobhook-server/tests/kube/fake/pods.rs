//! Jobs and their pods: how they run, end, and are taken away.

use serde_json::{Value, json};

use super::api::{Api, JOBS, PODS, SECRETS, job, name, secret};

#[tokio::test]
async fn a_job_runs_its_pod_to_the_end_and_its_log_is_there() {
    let api = Api::new();
    let script = "echo one; echo two; echo key is $KEY; echo $(hostname >/dev/null; echo $NAME)";
    let mut wanted = job("good", script);
    wanted["spec"]["template"]["spec"]["containers"][0]["env"] = json!([
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "held", "key": "KEY"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    let (status, _) = api.post(JOBS, &wanted).await;
    assert_eq!(status, 201);
    let waits = api
        .cluster
        .until("it waits for the secret", "pods", "default", |pods| {
            let state = &pods.first()?["status"]["containerStatuses"][0]["state"]["waiting"];
            (state["reason"] == "CreateContainerConfigError").then(|| state.clone())
        });
    assert_eq!(waits["message"], "secret \"held\" not found");
    let (status, _) = api.post(SECRETS, &secret("held")).await;
    assert_eq!(status, 201);
    let pod = api.pod_of("good", "Succeeded");
    let lines = api.log(&pod, "follow=true").await.rest().await;
    assert_eq!(lines, ["one", "two", "key is value", name(&pod)]);
    let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&state["exitCode"], &state["reason"]),
        (&json!(0), &json!("Completed"))
    );
    assert_eq!(api.condition("good", "Complete")["status"], "True");
}

#[tokio::test]
async fn a_pod_that_fails_is_the_end_of_its_job() {
    let api = Api::new();
    api.job("bad", "exit 3").await;
    let pod = api.pod_of("bad", "Failed");
    let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&state["exitCode"], &state["reason"]),
        (&json!(3), &json!("Error"))
    );
    let condition = api.condition("bad", "Failed");
    assert_eq!(condition["reason"], "BackoffLimitExceeded");
}

#[tokio::test]
async fn a_job_that_is_deleted_leaves_its_pods_alone_unless_it_is_told_otherwise() {
    let api = Api::new();
    api.job("a", "sleep 1000").await;
    let pod = api.pod_of("a", "Running");
    let (status, _) = api.delete(&format!("{JOBS}/a"), &json!({})).await;
    assert_eq!(status, 200);
    api.until_gone("jobs");
    let path = format!("{PODS}/{}", name(&pod));
    let left = api
        .cluster
        .until("it has no owner", "pods", "default", |pods| {
            let owners = pods.first()?["metadata"]["ownerReferences"].as_array()?;
            owners.is_empty().then(|| pods[0].clone())
        });
    assert_eq!(left["status"]["phase"], "Running");
    api.delete(&path, &json!({})).await;
    api.until_gone("pods");

    for policy in ["Background", "Foreground"] {
        api.job("b", "sleep 1000").await;
        api.pod_of("b", "Running");
        api.delete(&format!("{JOBS}/b"), &json!({"propagationPolicy": policy}))
            .await;
        api.until_gone("jobs");
        api.until_gone("pods");
    }
}

#[tokio::test]
async fn a_pod_that_is_deleted_has_its_grace() {
    let api = Api::new();
    api.job(
        "deaf",
        "trap '' TERM; echo deaf; while :; do sleep 0.1; done",
    )
    .await;
    let pod = api.pod_of("deaf", "Running");
    let mut log = api.log(&pod, "follow=true").await;
    assert_eq!(log.next().await.unwrap().as_deref(), Some("deaf"));
    let path = format!("{PODS}/{}", name(&pod));
    let wrong = json!({"preconditions": {"uid": "another"}});
    assert_eq!(api.delete(&path, &wrong).await.0, 409);
    let (status, going) = api.delete(&path, &json!({"gracePeriodSeconds": 1})).await;
    assert_eq!(status, 200);
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 1);
    let mut watch = api.watch(&format!("{PODS}?resourceVersion=0")).await;
    let ended = loop {
        let (kind, _, pod) = watch.event().await;
        let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        if state.is_object() {
            break state["exitCode"].clone();
        }
        assert_ne!(kind, "DELETED", "it is said how it ended first");
    };
    assert_eq!(ended, 137);
    api.until_gone("pods");
    assert_eq!(log.rest().await, [] as [&str; 0]);
    // A pod that was deleted has failed, as far as its Job is concerned.
    assert_eq!(
        api.condition("deaf", "Failed")["reason"],
        "BackoffLimitExceeded"
    );
}

#[tokio::test]
async fn a_log_is_read_by_times_and_amounts_and_ends_where_it_was_rotated() {
    let api = Api::new();
    api.job("talks", "echo one; echo two; echo three; sleep 1000")
        .await;
    let pod = api.pod_of("talks", "Running");
    let mut follower = api.log(&pod, "follow=true&timestamps=true").await;
    let first = follower.next().await.unwrap().unwrap();
    let (time, text) = first.split_once(' ').unwrap();
    assert_eq!(
        (time.len(), text),
        ("2026-11-30T00:00:00.000000000Z".len(), "one")
    );
    for _ in 0..2 {
        follower.next().await.unwrap();
    }
    // A part of a second is not looked at.
    let second = &time[..19];
    let since = format!("sinceTime={second}.999999999Z");
    assert_eq!(api.log(&pod, &since).await.rest().await.len(), 3);
    assert_eq!(api.log(&pod, "tailLines=1").await.rest().await, ["three"]);
    assert_eq!(
        api.log(&pod, "limitBytes=5").await.rest().await,
        ["one", "t"]
    );
    api.cluster.rotate_log(&pod, "main", 1);
    assert_eq!(
        api.log(&pod, "container=main").await.rest().await,
        ["three"]
    );
    let path = format!("{PODS}/{}/log?container=other", name(&pod));
    assert_eq!(api.get(&path).await.0, 400);
    api.cluster.cut_connections();
    assert!(follower.next().await.is_err());
}

#[tokio::test]
async fn a_pod_says_why_it_does_not_run() {
    let api = Api::new();
    let mut missing = job("missing", "exit");
    missing["spec"]["template"]["spec"]["containers"][0]["image"] = "missing:1".into();
    api.post(JOBS, &missing).await;
    let mut elsewhere = job("elsewhere", "exit");
    elsewhere["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "none"});
    api.post(JOBS, &elsewhere).await;
    let mut greedy = job("greedy", "exit");
    greedy["spec"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "1000"}});
    api.post(JOBS, &greedy).await;
    let mut unknown = job("unknown", "exit");
    unknown["spec"]["template"]["spec"]["serviceAccountName"] = "nobody".into();
    api.post(JOBS, &unknown).await;
    let event = |of: &str, reason: &str, part: &str| {
        api.cluster
            .until(&format!("{reason} {part}"), "events", "default", |events| {
                let said = |event: &&Value| {
                    let object = event["involvedObject"]["name"].as_str().unwrap_or_default();
                    let message = event["message"].as_str().unwrap_or_default();
                    object.starts_with(of) && event["reason"] == *reason && message.contains(part)
                };
                events.iter().find(said).map(drop)
            });
    };
    event("missing-", "Failed", "not found");
    event(
        "missing-",
        "BackOff",
        "Back-off pulling image \"missing:1\"",
    );
    event(
        "elsewhere-",
        "FailedScheduling",
        "didn't match Pod's node affinity/selector",
    );
    event("greedy-", "FailedScheduling", "Insufficient cpu");
    event(
        "unknown",
        "FailedCreate",
        "serviceaccount \"nobody\" not found",
    );
    let pod = api.pod_of("missing", "Pending");
    let path = format!("{PODS}/{}/log", name(&pod));
    let (status, answer) = api.get(&path).await;
    let message = answer["message"].as_str().unwrap();
    assert!(
        status == 400 && message.contains("is waiting to start"),
        "{message}"
    );
    let unscheduled = api.pod_of("elsewhere", "Pending");
    let path = format!("{PODS}/{}/log", name(&unscheduled));
    assert_eq!(api.get(&path).await.0, 204);
}

#[tokio::test]
async fn what_happens_to_pods_is_said_as_the_kubelet_says_it() {
    let api = Api::new();
    for name in ["hungry", "unlucky", "far"] {
        api.job(name, "sleep 1000").await;
    }
    let hungry = api.pod_of("hungry", "Running");
    api.cluster.out_of_memory(&hungry, "main");
    let state = api.pod_of("hungry", "Failed")["status"]["containerStatuses"][0]["state"].clone();
    assert_eq!(
        (
            &state["terminated"]["exitCode"],
            &state["terminated"]["reason"]
        ),
        (&json!(137), &json!("OOMKilled"))
    );
    let unlucky = api.pod_of("unlucky", "Running");
    api.cluster.evict(&unlucky);
    assert_eq!(
        api.pod_of("unlucky", "Failed")["status"]["reason"],
        "Evicted"
    );

    api.pod_of("far", "Running");
    api.cluster.lose_node();
    api.cluster.taint_lost_pods();
    let far = api.pod_of("far", "Running");
    assert!(far["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(api.get(&format!("{PODS}/{}/log", name(&far))).await.0, 500);
    api.cluster.return_node();
    api.cluster
        .until("it has gone in the end", "pods", "default", |pods| {
            let left = |pod: &&Value| pod["metadata"]["uid"] == far["metadata"]["uid"];
            pods.iter().find(left).is_none().then_some(())
        });
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let api = Api::new();
    api.cluster.create_namespace("short-lived");
    let jobs = "/apis/batch/v1/namespaces/short-lived/jobs";
    api.post(jobs, &job("a", "sleep 1000")).await;
    api.pod_of("a", "Running");
    api.cluster.lose_node();
    let (status, namespace) = api
        .delete("/api/v1/namespaces/short-lived", &json!({}))
        .await;
    assert_eq!(
        (status, &namespace["status"]["phase"]),
        (200, &json!("Terminating"))
    );
    let (status, answer) = api.post(jobs, &job("b", "exit")).await;
    let message = answer["message"].as_str().unwrap();
    assert!(
        status == 403 && message.contains("is being terminated"),
        "{message}"
    );
    api.cluster.return_node();
    api.cluster.until("it is gone", "namespaces", "", |all| {
        (!all.iter().any(|known| name(known) == "short-lived")).then_some(())
    });
    assert_eq!(api.cluster.objects("pods", "short-lived"), [] as [Value; 0]);
}
