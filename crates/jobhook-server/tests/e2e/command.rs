//! The program's own commands, run to their end.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use serde_json::Value;

use crate::processes::{PATIENCE, end};
use crate::server::Server;

/// The program under test.
pub(crate) const JOBHOOK: &str = env!("CARGO_BIN_EXE_jobhook");

/// The token that every client here sends; a server that has none does not look at it.
const TOKEN: &str = "jh_test";
/// Its SHA-256, for a configuration.
pub(crate) const TOKEN_SHA256: &str =
    "443084cfeb94e6b9165d7f552ff6918683bf64b914ea1e8254ecc6b6429d5acc";

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Server {
    /// `jobhook ARGS` as a client of this server.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.folder.command(JOBHOOK, args);
        command
            .env("JOBHOOK_TOKEN", TOKEN)
            .env("JOBHOOK_URL", format!("http://{}", self.address()));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args), "")
    }

    /// Launches an action of `action_type`, waits for its end, and returns it.
    #[track_caller]
    pub(crate) fn outcome(&self, action_type: &str, more: &[&str]) -> Value {
        let mut args = vec!["launch", action_type, "--wait", "--json"];
        args.extend(more);
        let ended = self.run(&args);
        serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("no action: {ended:?}"))
    }

    /// All that is stored of an action's log, as the API gives it.
    pub(crate) fn log(&self, action: &Value) -> Vec<Value> {
        let ended = self.run(&["logs", text(action, "uuid"), "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let lines = ended.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The texts of an action's log.
    pub(crate) fn texts(&self, action: &Value) -> Vec<String> {
        let lines = self.log(action);
        let texts = lines.iter().map(|line| text(line, "text").to_owned());
        texts.collect()
    }
}

/// Runs `command` to its end, with `input` to read.
pub(crate) fn finish(mut command: Command, input: &str) -> Ended {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).unwrap();
    }
    ended(child)
}

/// Waits for the end of a command that was started with its output in pipes.
pub(crate) fn ended(child: Child) -> Ended {
    let pid = child.id().cast_signed();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        end(pid);
        panic!("process {pid} does not end");
    };
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap();
    Ended {
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// A runner that gives actions of the type `name` to a shell script.
pub(crate) fn shell(name: &str, script: &str, more: &str) -> String {
    assert!(!script.contains("'''"));
    format!(
        "[runners.{name}]\ntype = \"LocalRunner\"\nactions = [\"{name}\"]\ncommand = \"sh\"\n\
         args = [\"-c\", '''{script}''']\n{more}\n"
    )
}

/// A text inside `value`, by JSON pointer or name; empty if there is none.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    let found = if at.starts_with('/') {
        value.pointer(at)
    } else {
        value.get(at)
    };
    found.and_then(Value::as_str).unwrap_or_default()
}
