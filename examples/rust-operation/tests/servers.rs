//! The same function inside a server and as its child: two records that differ in nothing but
//! who ran it, and when.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jobhook::{ActionBody, Launch, Launcher, LogLineBody, Status};
use serde_json::{Value, json};

const ID: &str = "Report.Generate";

/// A server with the operations in it, which ends with the test.
struct Server {
    process: Child,
    launcher: Launcher,
    folder: tempfile::TempDir,
}

impl Server {
    /// - `config`: what comes beside the operations.
    fn start(config: &str) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("jobhook.toml");
        std::fs::write(&file, config).expect("a file");
        let mut process = Command::new(env!("CARGO_BIN_EXE_reports-server"))
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the server says where it listens");
        let url = &line[line.find("http://").expect("an address")..];
        let launcher = Launcher::new(url.trim()).expect("an address");
        Server {
            process,
            launcher,
            folder,
        }
    }

    /// Runs the operation to its end; gives its record and its log.
    async fn run(&self, input: &Value) -> (ActionBody, Vec<LogLineBody>) {
        let launch = Launch::operation(ID, input).expect("JSON");
        let launched = self.launcher.launch(&launch).await.expect("a launch");
        let id = launched.body.uuid;
        self.launcher.wait(&id).await.expect("an end");
        let action = self.launcher.show(&id).await.expect("the record").body;
        let lines = self.launcher.lines(&id, 0, 1000).await.expect("the log");
        let lines = lines.lines.into_iter().map(|line| line.body);
        (action, lines.collect())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its supervisor goes with the folder: it looks for it.
        let _ = self.process.kill().and_then(|()| self.process.wait());
        let _ = self.folder.path();
    }
}

fn as_child() -> Server {
    let program = Path::new(env!("CARGO_BIN_EXE_rust-operation"));
    let program = program.display().to_string();
    Server::start(&format!(
        "[runners.child]\ntype = \"LocalRunner\"\nactions = [{ID:?}]\ncommand = {program:?}\n"
    ))
}

/// What is not the operation's doing: who ran it, when, and under which id.
fn without_circumstances(action: &ActionBody) -> Value {
    let mut action = serde_json::to_value(action).expect("JSON");
    let fields = action.as_object_mut().expect("an object");
    for gone in ["uuid", "createdAt", "startedAt", "finishedAt"] {
        assert!(fields.remove(gone).is_some(), "{gone}");
    }
    let saw = fields["witness"].as_object_mut().expect("an object");
    assert!(saw.remove("saw").is_some());
    for attempt in fields["history"].as_array_mut().expect("a list") {
        let attempt = attempt.as_object_mut().expect("an object");
        for gone in ["runner", "claimedAt", "startedAt", "closedAt"] {
            assert!(attempt.remove(gone).is_some(), "{gone}");
        }
        let saw = attempt["witness"].as_object_mut().expect("an object");
        assert!(saw.remove("saw").is_some());
    }
    action
}

fn told(lines: &[LogLineBody]) -> Vec<(u64, u32, &str, &str)> {
    lines
        .iter()
        .map(|line| (line.number, line.attempt, line.source.as_str(), &*line.text))
        .collect()
}

#[tokio::test]
async fn inside_the_server_and_as_a_child_it_leaves_the_same_record_field_by_field() {
    let over_http = "[runners.here]\ntype = \"ServiceRunner\"\nonly_http_hook = true\n";
    let (inside, child) = (Server::start(""), as_child());
    let signed = Server::start(over_http);
    let good = json!({"sales": [
        {"region": "north", "cents": 250},
        {"region": "south", "cents": 100},
    ]});
    let bad = json!({"sales": [{"region": "west", "cents": -1}]});
    for (input, status) in [(good, Status::Success), (bad, Status::Error)] {
        let (here, here_lines) = inside.run(&input).await;
        assert_eq!(here.status, status, "{here:?}");
        assert!(!here_lines.is_empty());
        for server in [&child, &signed] {
            let (there, there_lines) = server.run(&input).await;
            assert_eq!(without_circumstances(&here), without_circumstances(&there));
            assert_eq!(told(&here_lines), told(&there_lines));
            assert_ne!(here.history[0].runner, there.history[0].runner);
        }
    }
}
