use serde_json::json;

use super::*;

fn config(text: &str) -> KubeRunner {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("[runners.k]\ntype = \"KubeRunner\"\n{text}");
    std::fs::write(directory.path().join("jobhook.toml"), text).unwrap();
    let surroundings = crate::config::Surroundings::new(directory.path(), []);
    let config = crate::config::Config::load(None, &surroundings).unwrap();
    match config.runners.into_iter().next().unwrap().kind {
        crate::config::RunnerKind::Kube(runner) => *runner,
        other => panic!("{other:?}"),
    }
}

fn of_file(text: &str) -> Result<ManifestTemplate, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("job.yaml"), text).unwrap();
    let configured =
        ManifestTemplate::configured(&config("template = \"job.yaml\"\n"), directory.path());
    configured.map_err(|error| error.to_string())
}

#[test]
fn a_template_may_be_json_indented_as_json_may_be() {
    let directory = tempfile::tempdir().unwrap();
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {"template": {"spec": {"containers": [
            {"name": "${serviceName}", "image": "busybox", "args": ["a\tb: \u{e9}\n#", "${arguments.x}"]},
        ]}}},
    });
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, tabs);
    serde::Serialize::serialize(&job, &mut serializer).unwrap();
    std::fs::write(directory.path().join("job.json"), text).unwrap();
    let config = config("jobResources = \"job.json\"\n");
    let template = ManifestTemplate::configured(&config, directory.path()).unwrap();
    let filled = fill(&template, json!({"x": "y"})).unwrap();
    let container = &filled["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["a\tb: \u{e9}\n#", "y"]));
}

#[test]
fn what_is_not_yaml_is_told_with_its_place_and_not_shown() {
    let error = of_file("kind: Job\nenv:\n  password: s3cret: x\n").unwrap_err();
    assert!(error.contains("at line 3, column "), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[track_caller]
fn check_refused(text: &str, what: &str) {
    let error = of_file(text).unwrap_err();
    assert!(error.contains(what), "{error}");
}

fn fill(template: &ManifestTemplate, arguments: Value) -> Result<Value, String> {
    let values = Values {
        arguments: Some(&arguments),
        config_dir: "/etc/jobhook",
        environment: &|name| (name == "REGION").then(|| "eu".to_owned()),
        job_id: "an-id",
        job_attempt: 2,
        work_dir: "",
        given: &|name| (name != "image").then(|| format!("<{name}>")),
    };
    template.fill(&values).map_err(|error| error.to_string())
}

const WEBDA: &str = r#"
apiVersion: batch/v1
kind: Job
metadata:
  name: ${serviceName}-${JOB_ID}
spec:
  template:
    spec:
      containers:
        - image: "busybox"
          name: ${serviceName}
          args: ["${arguments.x}", "${env.REGION}", "${JOB_HOOK}"]
          resources: {}
      restartPolicy: Never
"#;

#[test]
fn a_template_of_webda_is_taken_as_it_is() {
    let template = of_file(WEBDA).unwrap();
    assert_eq!(template.kind(), &Kind::Job);
    let filled = fill(&template, json!({"x": "y"})).unwrap();
    assert_eq!(filled["metadata"]["name"], "<serviceName>-an-id");
    let container = &filled["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["y", "eu", "<JOB_HOOK>"]));
}

#[test]
fn no_value_changes_the_structure() {
    let template = of_file(WEBDA).unwrap();
    for nasty in [
        "\"]\n  evil: true\n#",
        "${JOB_SECRET_KEY}",
        "a: b\n- c",
        "'\"\\",
        "{}",
    ] {
        let filled = fill(&template, json!({"x": nasty})).unwrap();
        let container = &filled["spec"]["template"]["spec"]["containers"][0];
        // What Kubernetes makes of it is what was given.
        assert_eq!(container["args"][0], nasty.replace('$', "$$"));
        assert_eq!(container.as_object().unwrap().len(), 4);
    }
}

#[test]
fn kubernetes_finds_nothing_to_replace_in_a_value() {
    let with_env = WEBDA.replace(
        "resources: {}",
        "env: [{name: A, value: \"$(JOB_ID) ${arguments.x}\"}]\n          \
         volumeMounts: [{subPathExpr: \"${arguments.x}\", subPath: \"${arguments.x}\"}]\n          \
         livenessProbe: {exec: {command: [\"${arguments.x}\"]}}\n          \
         lifecycle: {preStop: {exec: {command: [\"${arguments.x}\"]}}}",
    );
    let filled = fill(
        &of_file(&with_env).unwrap(),
        json!({"x": "$(JOB_SECRET_KEY) $$ ${JOB_ID}"}),
    )
    .unwrap();
    let container = &filled["spec"]["template"]["spec"]["containers"][0];
    let quoted = "$$(JOB_SECRET_KEY) $$$$ $${JOB_ID}";
    assert_eq!(container["args"][0], quoted);
    // What the template itself says is Kubernetes' to replace.
    assert_eq!(container["env"][0]["value"], format!("$(JOB_ID) {quoted}"));
    let mount = &container["volumeMounts"][0];
    assert_eq!(mount["subPathExpr"], quoted);
    assert_eq!(
        mount["subPath"], "$(JOB_SECRET_KEY) $$ ${JOB_ID}",
        "here it replaces nothing"
    );
    for exec in [
        &container["livenessProbe"]["exec"],
        &container["lifecycle"]["preStop"]["exec"],
    ] {
        assert_eq!(exec["command"][0], quoted);
    }
    let label = WEBDA.replace("${serviceName}-${JOB_ID}", "${arguments.x}");
    let filled = fill(&of_file(&label).unwrap(), json!({"x": "$(A)"})).unwrap();
    assert_eq!(filled["metadata"]["name"], "$(A)");
}

#[test]
fn a_missing_value_is_named() {
    let template = of_file(WEBDA).unwrap();
    let error = fill(&template, json!({})).unwrap_err();
    assert!(error.contains("${arguments.x}"), "{error}");
    let image = of_file(&WEBDA.replace("\"busybox\"", "${image}")).unwrap();
    assert!(
        fill(&image, json!({"x": 1}))
            .unwrap_err()
            .contains("${image}")
    );
}

#[test]
fn a_hole_that_nobody_knows_is_told_with_its_place() {
    for (name, said) in [
        (
            "argument.x",
            "template.spec.template.spec.containers[0].args[0]: `${argument.x}` is not known",
        ),
        ("JOB_SECRET_KEY", "plain_env = true"),
    ] {
        let template = of_file(&WEBDA.replace("arguments.x", name)).unwrap();
        assert_eq!(template.bad.len(), 1);
        let told = template.bad[0].to_string();
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn the_key_is_a_hole_for_who_says_so() {
    let config = config(
        "plain_env = true\n[runners.k.template]\napiVersion = \"v1\"\nkind = \"ConfigMap\"\ndata = { key = \"${JOB_SECRET_KEY}\" }\n",
    );
    let template = ManifestTemplate::configured(&config, Path::new("/")).unwrap();
    assert_eq!(
        fill(&template, json!({})).unwrap()["data"]["key"],
        "<JOB_SECRET_KEY>"
    );
}

#[test]
fn what_is_no_job_is_told_apart_or_refused() {
    check_refused("a: [", "not YAML");
    check_refused("- a\n- b\n", "it is not an object");
    check_refused("just text", "it is not an object");
    check_refused("kind: Job\n", "it has no `apiVersion`");
    check_refused(
        "apiVersion: batch/v1\nkind: Job\nspec: {}\n",
        "no containers at spec.template.spec.containers",
    );
    check_refused(
        &WEBDA.replace("batch/v1", "batch/v1beta1"),
        "its apiVersion is batch/v1",
    );
    check_refused(
        &WEBDA.replace("spec:\n  template", "spec:\n  parallelism: 3\n  template"),
        "spec.parallelism must be 1",
    );
    let cron = of_file("apiVersion: batch/v1\nkind: CronJob\nspec: {}\n").unwrap();
    let kind = Kind::Other {
        api_version: "batch/v1".into(),
        kind: "CronJob".into(),
    };
    assert_eq!(cron.kind(), &kind);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ManifestTemplate::configured(&config("template = \"nope.yaml\"\n"), Path::new("/"))
        .unwrap_err();
    assert!(error.to_string().contains("/nope.yaml"), "{error}");
}
