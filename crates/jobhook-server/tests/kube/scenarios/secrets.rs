//! Keys are in their Secret and in the environment of their containers, and nowhere else.

use base64::Engine;
use serde_json::Value;

use crate::cluster::{Cluster, Pod};

fn decoded(value: &Value) -> String {
    let text = value.as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn keys_are_in_no_manifest_no_log_and_no_answer() {
    let cluster = Cluster::open();
    let config = cluster.runner(
        "T",
        &Pod::sh("[ -n \"$JOB_SECRET_KEY\" ] && echo it has a key; sleep 2"),
    );
    let server = cluster.serve_with(&config, &[("JOBHOOK_LOG", "trace")]);
    let launched = server.begin(&[]);
    launched.line("it has a key");
    let secrets = cluster.objects("secrets");
    let ours: Vec<&Value> = secrets
        .iter()
        .filter(|secret| secret["metadata"]["labels"]["jobhook.dev/action"] == *launched.id)
        .collect();
    assert_eq!(ours.len(), 1, "{secrets:?}");
    let encoded = &ours[0]["data"]["JOB_SECRET_KEY"];
    let key = decoded(encoded);
    assert!(key.len() >= 32, "it is a key");
    let owners = &ours[0]["metadata"]["ownerReferences"];
    let jobs = cluster.objects("jobs");
    assert_eq!(
        owners[0]["uid"], jobs[0]["metadata"]["uid"],
        "it goes with the Job"
    );

    let pods = cluster.objects("pods");
    assert_eq!((jobs.len(), pods.len()), (1, 1));
    let running = launched.show();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "SUCCESS", "{ended:#?}");
    let said = |args: &[&str]| {
        let ended = server.run(args);
        ended.out + &ended.err
    };
    let id = launched.id.as_str();
    let mut texts = vec![
        ("Job", jobs[0].to_string()),
        ("Pod", pods[0].to_string()),
        ("events", Value::from(cluster.objects("events")).to_string()),
        ("show, while it ran", running.to_string()),
        ("show", said(&["show", id])),
        ("show --json", said(&["show", id, "--json"])),
        ("list", said(&["list", "--json"])),
        ("logs", said(&["logs", id, "--json"])),
        ("the server's log", server.stderr()),
    ];
    if let Some(fake) = cluster.as_fake() {
        for request in fake.requests() {
            if request.resource != "secrets" {
                texts.push(("a request", request.query + &request.body.to_string()));
            }
        }
    }
    for (what, text) in &texts {
        for secret in [key.as_str(), encoded.as_str().unwrap()] {
            let found = text.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{what}");
        }
    }
    let log = server.stderr();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "all of it is looked at"
    );
}
