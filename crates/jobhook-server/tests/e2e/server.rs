//! A `jobhook serve` on a data directory of its own, that can be killed and started again.
//!
//! Everything that runs because of it has its folder in its arguments or its environment
//! (`TMPDIR`), or works there; whatever does is killed at the end of a test, also of one that
//! fails.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::command::{Ended, JOBHOOK, finish};
use crate::processes::{PATIENCE, belonging_to, end, until};

/// A temporary folder with a configuration; on its end, nothing that belongs to it lives on.
pub(crate) struct Folder(TempDir);

pub(crate) struct Server {
    running: Option<Running>,
    program: PathBuf,
    /// Where it listens; the same after every start, so that jobs find it again.
    listen: SocketAddr,
    /// Last, so that the server goes first.
    pub(crate) folder: Folder,
}

struct Running {
    process: Child,
    address: SocketAddr,
}

impl Folder {
    /// A folder with `config` as its `jobhook.toml`.
    pub(crate) fn new(config: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        fs::write(folder.path("jobhook.toml"), config).unwrap();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `program ARGS` in this folder, with nothing of our own environment but `PATH`.
    pub(crate) fn command(&self, program: impl AsRef<Path>, args: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
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

    /// `jobhook ARGS`, run to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        finish(self.command(JOBHOOK, args), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // One that is killed may have started another before it died.
        for _ in 0..1000 {
            let left = belonging_to(self.0.path());
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(end);
            std::thread::yield_now();
        }
    }
}

impl Server {
    /// Starts a server whose configuration is `config`, TOML.
    pub(crate) fn start(config: &str) -> Server {
        Server::start_with(config, &[])
    }

    /// Starts one with more `variables` in its environment; they are not there when it is
    /// started again.
    pub(crate) fn start_with(config: &str, variables: &[(&str, &str)]) -> Server {
        Server::start_at(([127, 0, 0, 1], 0).into(), config, variables)
    }

    /// Starts one that listens at `listen`.
    pub(crate) fn start_at(listen: SocketAddr, config: &str, variables: &[(&str, &str)]) -> Server {
        let mut server = Server {
            running: None,
            program: JOBHOOK.into(),
            listen,
            folder: Folder::new(config),
        };
        server.start_again_with(variables);
        server
    }

    /// Starts `program`, which becomes a server, in a folder that is there.
    pub(crate) fn start_in(folder: Folder, program: PathBuf) -> Server {
        let mut server = Server {
            running: None,
            program,
            listen: ([127, 0, 0, 1], 0).into(),
            folder,
        };
        server.start_again();
        server
    }

    /// The directory of its configuration, in which its jobs start.
    pub(crate) fn dir(&self) -> &Path {
        self.folder.0.path()
    }

    /// Where it listens from the next start on.
    pub(crate) fn listen_at(&mut self, address: SocketAddr) {
        self.listen = address;
    }

    /// Starts it on the data directory and the address that it had before.
    pub(crate) fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    pub(crate) fn start_again_with(&mut self, variables: &[(&str, &str)]) {
        assert!(self.running.is_none(), "it runs already");
        until("its address is free", || {
            let started = self.try_start(variables);
            // Somebody may have it for a moment, as the near end of a connection.
            if let Err(log) = &started {
                assert!(
                    log.contains("another program listens there"),
                    "it did not start:\n{log}"
                );
            }
            started.is_ok()
        });
    }

    /// Starts it; if it ends instead of listening, returns what it said.
    fn try_start(&mut self, variables: &[(&str, &str)]) -> Result<(), String> {
        let log = self.folder.path("server.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let before = self.stderr().len();
        let listen = self.listen.to_string();
        let mut process = self
            .folder
            .command(&self.program, &["serve", "--listen", &listen])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.recv_timeout(PATIENCE).unwrap_or_default();
        let address = line.trim_end().rsplit_once("http://");
        let Some(address) = address.and_then(|(_, address)| address.parse().ok()) else {
            let _ = process.kill();
            let _ = process.wait();
            return Err(self.stderr()[before..].to_owned());
        };
        self.listen = address;
        self.running = Some(Running { process, address });
        Ok(())
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.process.kill();
            running.process.wait().unwrap();
        }
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.pid().cast_signed());
        kill(pid, Signal::SIGTERM).unwrap();
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let mut ended = None;
        until("the server ends", || {
            ended = running.process.try_wait().unwrap();
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    /// Puts a new build in the place of its program; it counts from the next start on.
    pub(crate) fn replace_program(&mut self) {
        let place = self.folder.path("jobhook");
        let new = self.folder.path("jobhook.new");
        fs::copy(JOBHOOK, &new).unwrap();
        fs::rename(&new, &place).unwrap();
        self.program = place;
    }

    /// All that it has written to standard error, since its first start.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path("server.log")).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().expect("it runs").address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.stderr();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let _ = writeln!(std::io::stderr(), "The server's log ends with:");
            for line in tail.iter().rev() {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
    }
}
