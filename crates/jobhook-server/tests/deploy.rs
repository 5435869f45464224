//! What `deploy/` holds is built by people, without a cluster or a container engine here. What can
//! be wrong with it before they try is looked for in this file.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jobhook_server::runner::kube::RIGHTS;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn texts(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_server_is_granted_what_it_does_in_its_namespace_and_nothing_more() {
    let text = fs::read_to_string(root().join("deploy/kubernetes/rbac.yaml")).unwrap();
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let kinds: Vec<&str> = manifests
        .iter()
        .map(|manifest| manifest["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["ServiceAccount", "Role", "RoleBinding"]);
    for manifest in &manifests {
        assert_eq!(manifest["metadata"]["name"], "jobhook");
        // The namespace is said by whoever applies it.
        assert_eq!(manifest["metadata"]["namespace"], Value::Null);
    }
    assert_eq!(manifests[0]["apiVersion"], "v1");
    let rbac = "rbac.authorization.k8s.io";
    assert_eq!(manifests[1]["apiVersion"], format!("{rbac}/v1"));
    assert_eq!(manifests[2]["apiVersion"], format!("{rbac}/v1"));

    let mut granted = BTreeMap::new();
    for rule in manifests[1]["rules"].as_array().unwrap() {
        let fields: Vec<&String> = rule.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["apiGroups", "resources", "verbs"], "{rule}");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]);
                assert_eq!(granted.insert((group.clone(), resource), verbs), None);
            }
        }
    }
    let wanted: BTreeMap<_, BTreeSet<String>> = RIGHTS
        .iter()
        .map(|right| {
            let verbs = right.verbs.iter().map(|verb| (*verb).to_owned()).collect();
            ((right.group.to_owned(), right.resource.to_owned()), verbs)
        })
        .collect();
    assert_eq!(granted, wanted);

    assert_eq!(
        manifests[2]["subjects"],
        json!([{"kind": "ServiceAccount", "name": "jobhook"}])
    );
    assert_eq!(
        manifests[2]["roleRef"],
        json!({"apiGroup": rbac, "kind": "Role", "name": "jobhook"})
    );
}

/// The instructions of a Dockerfile, with continued lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (name, rest) = line.trim().split_once(' ').unwrap();
            (name.to_owned(), rest.trim().to_owned())
        })
        .collect()
}

/// The folder that the head of a Dockerfile says to build it from.
fn context(text: &str) -> String {
    let command: String = text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .skip_while(|line| !line.contains("docker build"))
        .take_while(|line| !line.trim().is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    command.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn each_dockerfile_copies_what_is_there_and_ends_as_somebody_who_is_not_root() {
    let root = root();
    // Filled by recipes; the script that does it names its files.
    let made = fs::read_to_string(root.join("deploy/build-static.sh")).unwrap();
    let mut seen = Vec::new();
    for entry in fs::read_dir(root.join("deploy")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".Dockerfile") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("--file deploy/{name} ")), "{name}");
        let context = context(&text);
        let instructions = instructions(&text);
        assert_eq!(instructions[0].0, "FROM", "{name}");
        for (_, arguments) in instructions.iter().filter(|(name, _)| name == "COPY") {
            if arguments.starts_with("--from=") {
                continue;
            }
            let mut sources: Vec<&str> = arguments
                .split_whitespace()
                .filter(|word| !word.starts_with("--"))
                .collect();
            sources.pop();
            for source in sources {
                let is_there = match context.as_str() {
                    "target/static" => made.contains(&format!("$folder/{source}\"")),
                    folder => root.join(folder).join(source).exists(),
                };
                assert!(is_there, "{name} copies {source} from {context}");
            }
        }
        let last = |wanted: &str| {
            let found = instructions.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, arguments)| arguments.as_str())
        };
        assert_eq!(last("USER"), Some("65532:65532"), "{name}");
        for entry in ["ENTRYPOINT", "CMD"].into_iter().filter_map(last) {
            // No shell stands between: it would be process 1, and hear the signals.
            let words: Vec<String> = serde_json::from_str(entry).unwrap();
            assert!(!words.is_empty(), "{name}");
        }
        assert!(last("ENTRYPOINT").is_some(), "{name}");
        seen.push(name);
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "any-program.Dockerfile",
            "jobhook.Dockerfile",
            "python-action.Dockerfile",
            "rust-action.Dockerfile"
        ]
    );
}
