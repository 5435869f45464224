//! Keys and tokens are where they belong, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

use jobhook_protocol::key::hex;
use serde_json::{Value, json};

use crate::command::{JOBHOOK, finish};
use crate::job::{Job, TELLING};
use crate::processes::belonging_to;
use crate::server::Server;

/// A job that reports with our own commands, tells its key, and waits.
fn runners() -> String {
    let report = format!(
        "{JOBHOOK} log told; {JOBHOOK} report --status running --progress 10 --message some\n\
         echo written; echo complained >&2\n"
    );
    TELLING.replace("umask 077\n", &format!("umask 077\n{report}"))
}

fn files_below(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.is_file() {
            files.push(path);
        }
    }
}

fn contains(bytes: &[u8], secret: &[u8]) -> bool {
    bytes.windows(secret.len()).any(|part| part == secret)
}

#[test]
fn keys_and_tokens_are_in_no_log_no_answer_no_argument_and_no_file_but_their_own() {
    let server = Server::start_with(&runners(), &[("JOBHOOK_LOG", "trace")]);
    let created = server
        .folder
        .run(&["token", "create", "t", "--scope", "admin"]);
    let token = created.out.trim_end().to_owned();
    let client = |args: &[&str]| {
        let mut command = server.command(args);
        command.env("JOBHOOK_TOKEN", &token);
        let ended = finish(command, "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out + &ended.err
    };
    let launched = client(&["launch", "Tell", "--json", "--arguments", "{\"a\": 1}"]);
    let id: Value = serde_json::from_str(&launched).unwrap();
    let id = id["uuid"].as_str().unwrap().to_owned();
    let job = Job::of(&server, &id, 1);
    let key_file = server.folder.path(&format!("key-{id}-1"));
    let key = fs::read_to_string(&key_file).unwrap().trim().to_owned();
    fs::remove_file(key_file).unwrap();
    let master = fs::read(server.folder.path("data/master.key")).unwrap();
    let master_hex = hex(&master);
    let secrets: [&[u8]; 4] = [
        key.as_bytes(),
        &master,
        master_hex.as_bytes(),
        token.as_bytes(),
    ];

    // While it runs: arguments of every process, and every file.
    for pid in belonging_to(server.dir()) {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let shown = String::from_utf8_lossy(&arguments).replace('\0', " ");
        for secret in secrets {
            assert!(!contains(&arguments, secret), "{shown}");
        }
        // The supervisor's environment can be read by its jobs.
        if shown.contains("__jobhook-supervisor") {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
            assert!(secrets.iter().all(|secret| !contains(&environment, secret)));
        }
    }
    let mut files = Vec::new();
    files_below(server.dir(), &mut files);
    assert!(
        files
            .iter()
            .any(|file| file.ends_with("exit.json") || file.ends_with("leader"))
    );
    for file in &files {
        let bytes = fs::read(file).unwrap_or_default();
        let is_master = file.ends_with("master.key");
        for secret in secrets {
            if !(is_master && secret == master) {
                assert!(!contains(&bytes, secret), "{}", file.display());
            }
        }
    }

    // Every answer.
    let bearer = format!("Bearer {token}");
    let get = |path: &str| server.get_with(path, &[("Authorization", &bearer)]).1;
    let mut answers = vec![
        job.report(&json!({"status": "SUCCESS", "results": 1})).1,
        job.report_webda(&json!({})).1,
        job.report_webda(&json!({"status": "QUEUED"})).1,
    ];
    job.exit(0);
    client(&["logs", "-f", &id]);
    answers.extend([
        job.report(&json!({})).1,
        get("/api/v1/actions"),
        get(&format!("/api/v1/actions/{id}")),
        get(&format!("/api/v1/actions/{id}/logs")),
        get("/readyz"),
    ]);
    let mut texts: Vec<String> = answers.iter().map(Value::to_string).collect();
    texts.extend([
        launched,
        client(&["show", &id]),
        client(&["list", "--json"]),
        server.folder.run(&["token", "list"]).out,
        server.stderr(),
        fs::read_to_string(server.folder.path("data/supervisor.log")).unwrap_or_default(),
    ]);
    for text in &texts {
        for secret in secrets {
            let found = text.lines().find(|line| contains(line.as_bytes(), secret));
            assert_eq!(found, None);
        }
    }
    assert!(server.stderr().contains("DEBUG"), "all of it is looked at");
}
