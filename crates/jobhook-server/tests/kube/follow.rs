//! Actions from the outside, by the commands that people use, on clusters that take their time.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::text;
use crate::server::Server;

/// Longer than any action takes, also on a real cluster that pulls an image first.
const PATIENCE: Duration = Duration::from_secs(170);

/// An action that was launched.
pub(crate) struct Launched<'s> {
    server: &'s Server,
    pub(crate) id: String,
}

/// An action after its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) action: Value,
    /// What its program wrote, and what it reported; not what the server said.
    pub(crate) lines: Vec<String>,
    /// What the server said.
    pub(crate) remarks: Vec<String>,
}

impl Server {
    /// Launches an action of the type `T`.
    #[track_caller]
    pub(crate) fn begin(&self, more: &[&str]) -> Launched<'_> {
        self.begin_of("T", more)
    }

    #[track_caller]
    pub(crate) fn begin_of(&self, action_type: &str, more: &[&str]) -> Launched<'_> {
        let ended = self.run(&[&["launch", action_type], more].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        self.known(ended.out.trim())
    }

    /// One that was launched before.
    pub(crate) fn known(&self, id: &str) -> Launched<'_> {
        Launched {
            server: self,
            id: id.to_owned(),
        }
    }

    /// Launches an action of the type `T`, and waits for its end.
    #[track_caller]
    pub(crate) fn whole(&self, more: &[&str]) -> Ended {
        self.begin(more).end()
    }
}

impl Launched<'_> {
    /// As it stands.
    #[track_caller]
    pub(crate) fn show(&self) -> Value {
        let ended = self.server.run(&["show", &self.id, "--json"]);
        serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"))
    }

    #[track_caller]
    pub(crate) fn cancel(&self) {
        let ended = self.server.run(&["cancel", &self.id, "--reason", "enough"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    /// Waits for a line that has `part` in it, whoever wrote it.
    #[track_caller]
    pub(crate) fn line(&self, part: &str) -> String {
        let mut log = Following::of(self);
        let said = |line: &Value| text(line, "text").contains(part);
        match log.find(said) {
            Some(line) => text(&line, "text").to_owned(),
            None => panic!("no line `{part}`: {}", self.show()),
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(&self) -> Ended {
        let log: Vec<Value> = Following::of(self).collect();
        let action = self.show();
        assert_eq!(action["closed"], true, "{action}");
        let texts = |of_server: bool| {
            let lines = log
                .iter()
                .filter(|line| (line["source"] == "server") == of_server);
            lines.map(|line| text(line, "text").to_owned()).collect()
        };
        Ended {
            lines: texts(false),
            remarks: texts(true),
            action,
        }
    }
}

impl Ended {
    /// Checks status and name of the error, and that what the runner saw has `part` in it.
    #[track_caller]
    pub(crate) fn check(&self, status: &str, name: &str, part: &str) {
        let found = (
            text(&self.action, "status"),
            text(&self.action, "errorName"),
        );
        assert_eq!(found, (status, name), "{self:#?}");
        let saw = text(&self.action, "/witness/saw");
        assert!(saw.contains(part), "`{part}` is not in `{saw}`: {self:#?}");
    }

    /// Checks that it is a success that wrote these lines.
    #[track_caller]
    pub(crate) fn succeeded(&self, lines: &[&str]) {
        assert_eq!(self.action["status"], "SUCCESS", "{self:#?}");
        assert_eq!(self.lines, lines, "{self:#?}");
    }

    pub(crate) fn attempts(&self) -> usize {
        self.action["history"].as_array().map_or(0, Vec::len)
    }
}

/// The lines of an action, as they come, until its end.
struct Following {
    command: Child,
    lines: mpsc::Receiver<String>,
    deadline: Instant,
}

impl Following {
    fn of(launched: &Launched<'_>) -> Following {
        let mut command = launched
            .server
            .command(&["logs", "-f", "--json", &launched.id])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(command.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Following {
            command,
            lines,
            deadline: Instant::now() + PATIENCE,
        }
    }
}

impl Iterator for Following {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap()),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the action does not come to its end"),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}
