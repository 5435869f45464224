//! A `jobhook serve` on a data directory of its own, that can be killed and started again.
//!
//! Everything that runs because of it has its directory as working directory or in its argument
//! list; whatever does is killed at the end of a test, also of one that fails.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes; only a hang gets there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    dir: TempDir,
    program: PathBuf,
    running: Option<Running>,
}

struct Running {
    process: Child,
    address: SocketAddr,
}

/// One event of a log's stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// How an action ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) action: Value,
    /// The lines of its output, without those of the server.
    pub(crate) lines: Vec<String>,
}

impl Server {
    /// Starts a server whose runners are `runners`, TOML.
    pub(crate) fn start(runners: &str) -> Server {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("jobhook.toml"), runners).unwrap();
        let mut server = Server {
            dir,
            program: env!("CARGO_BIN_EXE_jobhook").into(),
            running: None,
        };
        server.start_again();
        server
    }

    /// The directory of its configuration, in which its jobs start.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it on the data directory that it had before.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let log = self.dir().join("server.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut process = Command::new(&self.program)
            .arg("serve")
            .arg("--config")
            .arg(self.dir().join("jobhook.toml"))
            .arg("--data-dir")
            .arg(self.dir().join("data"))
            .args(["--listen", "127.0.0.1:0"])
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim_end().rsplit_once("http://");
        let address = address.and_then(|(_, address)| address.parse().ok());
        let Some(address) = address else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("it did not start: `{line}`\n{}", self.log());
        };
        self.running = Some(Running { process, address });
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.process.kill().unwrap();
            running.process.wait().unwrap();
        }
    }

    /// Puts a new build in the place of its program; it counts from the next start on.
    pub(crate) fn replace_program(&mut self) {
        let place = self.dir().join("jobhook");
        let new = self.dir().join("jobhook.new");
        std::fs::copy(env!("CARGO_BIN_EXE_jobhook"), &new).unwrap();
        std::fs::rename(&new, &place).unwrap();
        self.program = place;
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir().join("server.log")).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").address
    }

    /// Launches what `launch` asks for, and returns its id.
    pub(crate) fn launch(&self, launch: &Value) -> String {
        let (status, action) = self.post("/api/v1/actions", &[], launch);
        assert_eq!(status, 201, "{action}");
        action["uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn cancel(&self, id: &str) -> (u16, Value) {
        self.post(
            &format!("/api/v1/actions/{id}/cancel"),
            &[],
            &Value::Object(serde_json::Map::new()),
        )
    }

    /// The action as it stands, with its history.
    pub(crate) fn action(&self, id: &str) -> Value {
        let head = format!("GET /api/v1/actions/{id} HTTP/1.1\r\n");
        let (status, action) = exchange(self.address(), &head, &[], b"");
        assert_eq!(status, 200, "{action}");
        action
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
        let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n");
        exchange(self.address(), &head, headers, body.to_string().as_bytes())
    }

    /// What happens to an action from now on, after line `after`.
    pub(crate) fn events(&self, id: &str, after: u64) -> impl Iterator<Item = Event> {
        let head = format!(
            "GET /api/v1/actions/{id}/logs?after={after} HTTP/1.0\r\nHost: localhost\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        let mut stream = connect(self.address());
        stream.write_all(head.as_bytes()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut lines = BufReader::new(stream).lines();
        let mut name = String::new();
        std::iter::from_fn(move || {
            loop {
                assert!(Instant::now() < deadline, "the stream goes on and on");
                let line = lines.next()?.expect("the stream says something in time");
                if let Some(text) = line.strip_prefix("event: ") {
                    text.clone_into(&mut name);
                } else if let Some(text) = line.strip_prefix("data: ") {
                    return Some(Event {
                        name: std::mem::take(&mut name),
                        data: serde_json::from_str(text).unwrap(),
                    });
                }
            }
        })
    }

    /// Waits until the action is final and closed.
    pub(crate) fn end_of(&self, id: &str) -> End {
        let mut lines = Vec::new();
        for event in self.events(id, 0) {
            match event.name.as_str() {
                "log" if event.data["source"] != "server" => {
                    lines.push(event.data["text"].as_str().unwrap().to_owned());
                }
                "end" => {
                    let action = self.action(id);
                    assert_eq!(action["closed"], true, "{action}");
                    return End { action, lines };
                }
                _ => {}
            }
        }
        panic!("the stream of {id} broke off\n{}", self.log());
    }

    /// Waits until a line of the action begins with `prefix`; returns what follows it.
    pub(crate) fn line(&self, id: &str, prefix: &str) -> String {
        for event in self.events(id, 0) {
            assert_ne!(event.name, "end", "no line `{prefix}`: {}", event.data);
            let text = event.data["text"].as_str().unwrap_or_default();
            if let Some(rest) = text.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
        panic!("the stream of {id} broke off\n{}", self.log());
    }

    /// Every process of this server's, itself included.
    fn processes(&self) -> Vec<i32> {
        let dir = self.dir().as_os_str().as_bytes();
        let names_it = |pid: &i32| {
            let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            cmdline.windows(dir.len()).any(|part| part == dir)
                || std::fs::read_link(format!("/proc/{pid}/cwd"))
                    .is_ok_and(|cwd| cwd.starts_with(self.dir()))
        };
        processes().into_iter().filter(names_it).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "The server's log:\n{}", self.log());
        }
        self.kill();
        // A supervisor that dies may be followed by nobody: the server is gone.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::yield_now();
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends one request on a connection of its own.
fn exchange(
    address: SocketAddr,
    head: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Value) {
    let mut request = head.to_owned();
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    request.push_str(&format!(
        "Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn processes() -> Vec<i32> {
    let names = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.file_name()));
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .filter(|pid| is_alive(*pid))
        .collect()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, tail)| !tail.starts_with(['Z', 'X']))
}

/// Every living process that carries the id of an action.
pub(crate) fn carriers(id: &str) -> Vec<i32> {
    let wanted = format!("JOB_ID={id}");
    let carries = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    };
    processes().into_iter().filter(carries).collect()
}

/// Waits until `condition` holds. The kernel tells nobody of such things, so this looks again
/// and again.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}
