//! A `jobhook serve` with a folder of its own, and the commands that talk to it.
//!
//! The folder is in the arguments or the environment (`TMPDIR`) of all that it starts, so that
//! whatever is left at the end of a test is found there and killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes; only a hang gets there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The token that every client here sends; a server that has none does not look at it.
const TOKEN: &str = "jh_test";
/// Its SHA-256, for a configuration.
pub(crate) const TOKEN_SHA256: &str =
    "443084cfeb94e6b9165d7f552ff6918683bf64b914ea1e8254ecc6b6429d5acc";

/// The program under test.
pub(crate) const JOBHOOK: &str = env!("CARGO_BIN_EXE_jobhook");

/// A temporary folder with a configuration; on its end, nothing that carries it lives on.
pub(crate) struct Folder(TempDir);

/// A server that listens.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
    /// Last, so that the server goes first.
    pub(crate) folder: Folder,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    /// A folder with `config` as its `jobhook.toml`, in which `@` stands for the folder.
    pub(crate) fn new(config: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        let config = config.replace('@', &folder.path("").to_string_lossy());
        fs::write(folder.path("jobhook.toml"), config).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `jobhook ARGS` in this folder, with nothing of our own environment but `PATH`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(JOBHOOK);
        command
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TMPDIR", self.0.path())
            .env("JOBHOOK_DATA_DIR", self.path("data"))
            .stdin(Stdio::null());
        command
    }

    /// The processes that carry this folder.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let name = self.0.path().as_os_str().as_encoded_bytes();
        let carries = |file: PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            bytes.windows(name.len()).any(|part| part == name)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().parse::<i32>();
            let Ok(pid) = pid else { continue };
            let path = entry.path();
            if carries(path.join("cmdline")) || carries(path.join("environ")) {
                found.push(Pid::from_raw(pid));
            }
        }
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // One that is killed may have started another before it died; a zombie carries nothing.
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(pid, Signal::SIGKILL);
            }
            std::thread::yield_now();
        }
    }
}

impl Server {
    /// Starts a server with `runners` in its configuration.
    pub(crate) fn start(runners: &str) -> Server {
        Server::start_with(runners, &[])
    }

    /// Starts one with more `variables` in its environment.
    pub(crate) fn start_with(runners: &str, variables: &[(&str, &str)]) -> Server {
        Server::start_in(
            Folder::new(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{runners}")),
            variables,
        )
    }

    fn start_in(folder: Folder, variables: &[(&str, &str)]) -> Server {
        let stderr = File::create(folder.path("stderr")).unwrap();
        let mut process = folder
            .command(&["serve"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
        });
        let mut server = Server {
            process,
            url: String::new(),
            folder,
        };
        let line = receiver
            .recv_timeout(PATIENCE)
            .expect("the server says that it listens");
        let Some(url) = line.trim().strip_prefix("jobhook is listening on ") else {
            panic!("it said {line:?} and {}", server.folder.read("stderr"));
        };
        server.url = url.to_owned();
        server
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// `jobhook ARGS` as a client of this server.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.folder.command(args);
        command
            .env("JOBHOOK_TOKEN", TOKEN)
            .env("JOBHOOK_URL", &self.url);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(args), "")
    }

    /// Launches an action of `action_type`, waits for its end, and returns it.
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
        lines
            .iter()
            .map(|line| text(line, "text").to_owned())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path("stderr")).unwrap_or_default();
            let from = log.len().saturating_sub(4000);
            let tail = log.get(from..).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "the server's log ends with:\n{tail}");
        }
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
    let pid = Pid::from_raw(child.id().cast_signed());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        let _ = kill(pid, Signal::SIGKILL);
        panic!("{command:?} does not end");
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

/// A figure of a process's memory in KiB, such as `VmHWM`.
pub(crate) fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with(figure))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
