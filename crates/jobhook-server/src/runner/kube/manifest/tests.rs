use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::testing::factory;
use jobhook_protocol::{Json, SecretKey};

use super::*;
use crate::config::{Config, RunnerKind, Surroundings};

const KEY: &str = "5ecre7-key";

fn blueprint(text: &str) -> Blueprint {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[runners.words]\ntype = \"KubeRunner\"\n{text}");
    std::fs::write(directory.path().join("jobhook.toml"), text).unwrap();
    let surroundings = Surroundings::new(directory.path(), []);
    let config = Config::load(None, &surroundings).unwrap();
    let RunnerKind::Kube(runner) = &config.runners[0].kind else {
        panic!()
    };
    Blueprint::of("words", "inst4llation", runner, directory.path()).unwrap()
}

fn start(arguments: Option<&str>) -> JobStart {
    let mut action = factory::taken("WordCount");
    action.arguments = arguments.map(|text| Json::from_text(text.to_owned()).unwrap());
    JobStart {
        attempt: AttemptRef {
            action: action.id,
            number: 1,
        },
        environment: JobEnvironment {
            id: action.id.to_string(),
            secret_key: SecretKey::from_text(KEY).unwrap(),
            hook: "http://jobhook:8088/async".into(),
            orchestrator: Some("other".into()),
            attempt: Some(1),
            traceparent: None,
        },
        action,
        nonce: "the-nonce".into(),
        claimed_at: Timestamp(0),
        output_offset: 0,
        output_mark: None,
        taken_up: false,
        forbidden: None,
    }
}

fn describe(text: &str) -> Manifest {
    blueprint(text).describe(&start(None), "jobs").unwrap()
}

fn container(manifest: &Manifest, at: usize) -> &Value {
    &manifest.job["spec"]["template"]["spec"]["containers"][at]
}

fn variable<'m>(container: &'m Value, name: &str) -> &'m Value {
    let env = container["env"].as_array().unwrap();
    let mut found = env.iter().filter(|entry| entry["name"] == name);
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "{name} is there once");
    one
}

#[test]
fn an_image_makes_a_job_that_the_server_can_rely_on() {
    let manifest = describe("image = \"busybox:1\"\nargs = [\"-c\", \"x\"]\n");
    assert_eq!(manifest.job["kind"], "Job");
    assert_eq!(manifest.job["metadata"]["name"], manifest.name.as_str());
    let spec = &manifest.job["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]),
        (&json!(0), &json!(86_400))
    );
    assert_eq!(
        spec["activeDeadlineSeconds"],
        Value::Null,
        "it has no timeout"
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(
        (&pod["restartPolicy"], &pod["terminationGracePeriodSeconds"]),
        (&json!("Never"), &json!(10))
    );
    let main = container(&manifest, 0);
    assert_eq!(
        (&main["image"], &main["args"]),
        (&json!("busybox:1"), &json!(["-c", "x"]))
    );
    for object in [&manifest.job, manifest.secret.as_ref().unwrap()] {
        assert_eq!(
            object["metadata"]["labels"][names::INSTALLATION],
            "inst4llation"
        );
        assert_eq!(object["metadata"]["annotations"][names::TYPE], "WordCount");
    }
    assert_eq!(spec["template"]["metadata"]["labels"][names::ATTEMPT], "1");
}

/// A Job with a failure policy gets another pod for one that was evicted.
#[test]
fn what_would_give_a_job_another_pod_is_left_out() {
    let manifest = describe(
        "[runners.words.template]\napiVersion = \"batch/v1\"\nkind = \"Job\"\n\
         spec.podFailurePolicy.rules = [{ action = \"Ignore\" }]\nspec.suspend = true\n\
         spec.template.spec.containers = [{ name = \"m\", image = \"a\" }]\n",
    );
    let spec = &manifest.job["spec"];
    assert_eq!(spec["suspend"], true, "a queue may want it so");
    for field in ONE_POD {
        assert_eq!(spec[field], Value::Null, "{field}");
    }
}

#[test]
fn the_key_is_in_the_secret_alone() {
    let manifest = describe("image = \"a\"\n");
    assert!(!manifest.job.to_string().contains(KEY));
    assert!(!manifest.job.to_string().contains("the-nonce"));
    assert!(!format!("{manifest:?}").contains(KEY));
    let secret = manifest.secret.as_ref().unwrap();
    assert_eq!(secret["stringData"][JOB_SECRET_KEY], KEY);
    let reference = &variable(container(&manifest, 0), JOB_SECRET_KEY)["valueFrom"]["secretKeyRef"];
    assert_eq!(
        reference,
        &json!({"name": manifest.name, "key": JOB_SECRET_KEY})
    );
}

#[test]
fn who_says_so_has_the_key_in_the_job() {
    let manifest = describe("image = \"a\"\nplain_env = true\n");
    assert!(manifest.secret.is_none());
    assert_eq!(
        variable(container(&manifest, 0), JOB_SECRET_KEY)["value"],
        KEY
    );
}

#[test]
fn every_container_finds_the_variables_of_the_job() {
    let manifest = describe(
        "env = { MINE = \"${JOB_ID}\" }\n[runners.words.template]\napiVersion = \"batch/v1\"\nkind = \"Job\"\n\
         spec.template.spec.initContainers = [{ name = \"i\", image = \"a\" }]\n\
         spec.template.spec.containers = [{ name = \"m\", image = \"a\", env = [{ name = \"JOB_ID\", value = \"x\" }, { name = \"OWN\", value = \"y\" }] }, { name = \"s\", image = \"b\" }]\n",
    );
    let pod = &manifest.job["spec"]["template"]["spec"];
    for container in [
        &pod["containers"][0],
        &pod["containers"][1],
        &pod["initContainers"][0],
    ] {
        let id = &variable(container, "JOB_ID")["value"];
        assert_ne!(id, "x");
        assert_eq!(&variable(container, "MINE")["value"], id);
        assert_eq!(
            variable(container, "JOB_HOOK")["value"],
            "http://jobhook:8088/async"
        );
        assert_eq!(variable(container, "JOB_ORCHESTRATOR")["value"], "jobhook");
    }
    assert_eq!(variable(&pod["containers"][0], "OWN")["value"], "y");
}

#[test]
fn a_timeout_leaves_a_backstop_in_the_cluster() {
    let mut start = start(None);
    start.action.timeouts.run = Some(Duration::from_millis(60_500));
    let manifest = blueprint("image = \"a\"\n")
        .describe(&start, "jobs")
        .unwrap();
    assert_eq!(manifest.job["spec"]["activeDeadlineSeconds"], 61 + 10 + 600);
}

#[test]
fn the_keys_of_the_runner_are_laid_over_the_template() {
    let manifest = describe(
        "image = \"a\"\nservice_account = \"sa\"\nimage_pull_secrets = [\"pull\"]\nqueue_name = \"q\"\nttl = \"2d\"\n\
         resources = { limits = { memory = \"1Gi\" } }\nnode_selector = { disk = \"ssd\" }\ntolerations = [{ key = \"k\" }]\n",
    );
    let pod = &manifest.job["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "sa");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(
        (&pod["nodeSelector"]["disk"], &pod["tolerations"][0]["key"]),
        (&json!("ssd"), &json!("k"))
    );
    assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(manifest.job["metadata"]["labels"][names::QUEUE], "q");
    assert_eq!(manifest.job["spec"]["ttlSecondsAfterFinished"], 172_800);
}

#[test]
fn what_cannot_be_described_says_why() {
    let refused = |text: &str, arguments: Option<&str>| {
        let described = blueprint(text).describe(&start(arguments), "jobs");
        described.unwrap_err().to_string()
    };
    assert!(refused("image = \"${arguments.image}\"\n", Some("{}")).contains("${arguments.image}"));
    assert!(
        refused("image = \"${arguments.image}\"\n", Some(r#"{"image":" "}"#))
            .contains("the image is empty")
    );
    let elsewhere = "[runners.words.template]\napiVersion = \"batch/v1\"\nkind = \"Job\"\nmetadata.namespace = \"other\"\n\
                     spec.template.spec.containers = [{ name = \"m\", image = \"a\" }]\n";
    assert!(refused(elsewhere, None).contains("the namespace `other`"));
}

#[test]
fn arguments_stay_within_their_text() {
    let nasty = r#"{"x":"\"]\n - evil: {}"}"#;
    let manifest = blueprint("image = \"a\"\nargs = [\"${arguments.x}\"]\n")
        .describe(&start(Some(nasty)), "jobs")
        .unwrap();
    assert_eq!(container(&manifest, 0)["args"], json!(["\"]\n - evil: {}"]));
}

#[test]
fn another_kind_gets_its_variables_where_it_has_containers() {
    let manifest = describe(
        "[runners.words.template]\napiVersion = \"batch/v1\"\nkind = \"CronJob\"\n\
         spec.jobTemplate.spec.template.spec.containers = [{ name = \"m\", image = \"a\" }]\n",
    );
    let pod = &manifest.job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    variable(&pod["containers"][0], "JOB_ID");
    assert_eq!(manifest.job["spec"]["backoffLimit"], Value::Null);
    let bare = describe("[runners.words.template]\napiVersion = \"v1\"\nkind = \"ConfigMap\"\n");
    assert!(bare.secret.is_none(), "nothing refers to it");
}

#[test]
fn the_main_container_is_the_first_or_the_one_that_is_named() {
    let mut job =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}});
    assert_eq!(main_container(&job), Some("a"));
    job["spec"]["template"]["metadata"] = json!({"annotations": {names::MAIN: "b"}});
    assert_eq!(main_container(&job), Some("b"));
}
