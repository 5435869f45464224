//! Running the binary.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No test waits longer than this for anything.
const BOUND: Duration = Duration::from_secs(60);

/// A command line to run; nothing of our own environment reaches it.
pub(crate) struct Jobhook(Command);

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `jobhook` with these arguments.
pub(crate) fn jobhook(arguments: &[&str]) -> Jobhook {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jobhook"));
    command
        .args(arguments)
        .env_clear()
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Jobhook(command)
}

impl Jobhook {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Jobhook {
        self.0.env(name, value);
        self
    }

    /// The server to talk to.
    pub(crate) fn at(self, url: &str) -> Jobhook {
        self.env("JOBHOOK_URL", url)
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ended {
        ended(self.0.spawn().expect("the binary starts"))
    }

    /// Runs it to its end with something to read.
    pub(crate) fn run_with(mut self, input: &[u8]) -> Ended {
        let mut child = self
            .0
            .stdin(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // Whoever ends early does not read all of it.
            let _ = stdin.write_all(&input);
        });
        let ended = ended(child);
        writer.join().expect("the writer ends");
        ended
    }

    /// Starts it, and leaves the rest to the test.
    pub(crate) fn start(mut self) -> Child {
        self.0.spawn().expect("the binary starts")
    }
}

/// Waits for a child's end.
pub(crate) fn ended(child: Child) -> Ended {
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output: Output = match receiver.recv_timeout(BOUND) {
        Ok(output) => output.expect("the child is ours"),
        Err(_) => {
            let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL);
            panic!("the command did not end within {BOUND:?}");
        }
    };
    Ended {
        code: output.status.code().expect("no signal ended it"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The first line that a running child writes to its standard output; the rest of the pipe
/// is closed.
pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("readable");
    line
}
