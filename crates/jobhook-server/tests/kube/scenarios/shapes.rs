//! What a runner's template may be.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::server::Folder;

fn container(script: &str) -> Value {
    json!({"name": "job", "image": "${image}", "command": ["sh", "-c", script]})
}

#[test]
fn a_file_that_was_written_for_webda_works_as_it_is() {
    let cluster = Cluster::open();
    let file = "
apiVersion: batch/v1
kind: Job
metadata:
  name: \"${JOB_ID}\"
  labels:
    app: ${serviceName}
spec:
  backoffLimit: 4
  template:
    spec:
      restartPolicy: OnFailure
      containers:
        - name: job
          image: \"${image}\"
          command: [\"sh\", \"-c\", \"echo for $JOB_ID by $JOB_ORCHESTRATOR\"]
          env:
            - name: JOB_ID
              value: \"${JOB_ID}\"
            - name: JOB_HOOK
              value: \"${JOB_HOOK}\"
            - name: JOB_ORCHESTRATOR
              value: \"${JOB_ORCHESTRATOR}\"
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.yaml");
    std::fs::write(&path, cluster.patched_yaml(file)).unwrap();
    let quoted = Value::from(path.display().to_string()).to_string();
    let server = cluster.serve(&cluster.runner_with(&quoted));
    let ended = server.whole(&[]);
    let id = ended.action["uuid"].as_str().unwrap();
    ended.succeeded(&[format!("for {id} by jobhook").as_str()]);
    let jobs = cluster.objects("jobs");
    assert_eq!(
        jobs[0]["spec"]["backoffLimit"], 0,
        "jobhook tries again, not the cluster"
    );
}

#[test]
fn a_cron_job_is_created_and_not_watched() {
    let cluster = Cluster::open();
    let template = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly"},
        "spec": {
            "schedule": "0 3 * * *",
            "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [container("exit")],
            }}}},
        },
    });
    let server = cluster.serve(&cluster.runner_of(template));
    let launched = server.begin(&[]);
    let created = cluster.until("it is there", "cronjobs", |all| all.first().cloned());
    assert_eq!(created["spec"]["schedule"], "0 3 * * *");
    launched.cancel();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "CANCELLED", "{ended:#?}");
}

fn job(containers: Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}},
    })
}

#[test]
fn a_template_without_containers_is_told_by_check_or_refuses_the_launch() {
    let cluster = Cluster::open();
    let config = cluster.runner_of(job(json!([])));
    let checked = Folder::new(&config).run(&["check"]);
    let said = checked.out + &checked.err;
    if checked.code == Some(0) {
        // What is patched into every pod has made a container of nothing, which the cluster refuses.
        let ended = cluster.serve(&config).whole(&[]);
        assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
        let message = ended.action["errorMessage"].as_str().unwrap();
        assert!(message.contains("containers"), "{message}");
    } else {
        assert!(said.contains("containers"), "{said}");
    }
    assert_eq!(cluster.objects("jobs"), [] as [Value; 0]);
}

#[test]
fn a_variable_that_nobody_knows_is_told_by_check_and_refuses_the_launch() {
    let cluster = Cluster::open();
    for name in ["nobody.knows", "JOB_SECRET_KEY"] {
        let script = format!("echo ${{{name}}}");
        let config = cluster.runner_of(job(json!([container(&script)])));
        let checked = Folder::new(&config).run(&["check"]);
        assert_ne!(checked.code, Some(0), "{checked:?}");
        assert!(checked.err.contains(name), "{checked:?}");
        let server = cluster.serve(&config);
        let ended = server.whole(&["--attempts", "3"]);
        assert_eq!(ended.action["status"], "ERROR", "{ended:#?}");
        let message = ended.action["errorMessage"].as_str().unwrap();
        assert!(message.contains(name), "{message}");
        assert_eq!(ended.attempts(), 1, "{ended:#?}");
    }
    assert_eq!(cluster.objects("jobs"), [] as [Value; 0]);
}

#[test]
fn a_key_in_the_template_is_for_who_says_so_and_is_the_right_one() {
    let cluster = Cluster::open();
    let mut job =
        container("[ -n \"$KEY\" ] && [ \"$KEY\" = \"$JOB_SECRET_KEY\" ] && echo the same");
    job["env"] = json!([{"name": "KEY", "value": "${JOB_SECRET_KEY}"}]);
    let template = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [job]}}},
    });
    let config = cluster.runner_of(template);
    let server = cluster.serve(&(config + "plain_env = true\n"));
    server.whole(&[]).succeeded(&["the same"]);
}

#[test]
fn what_comes_before_the_main_container_is_run_first_and_named_if_it_fails() {
    let cluster = Cluster::open();
    let before = |script: &str| {
        let mut before = container(script);
        before["name"] = "before".into();
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "initContainers": [before],
                "containers": [container("echo main")],
            }}},
        })
    };
    let server = cluster.serve(&cluster.runner_of(before("echo before")));
    let ended = server.whole(&[]);
    ended.succeeded(&["[before] before", "main"]);
    drop(server);
    let server = cluster.serve(&cluster.runner_of(before("echo broken; exit 7")));
    let ended = server.whole(&[]);
    ended.check("ERROR", "init_container", "`before`");
    assert_eq!(ended.lines, ["[before] broken"]);
}
