//! A data directory with a supervisor of its own, and jobs to give it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use jobhook_server::supervisor::{
    Exit, Limits, Line, RunKey, Spec, State, SupervisorOptions, Supervisors, Told,
};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};

/// Longer than anything here takes; only a hang gets there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Fixture {
    dir: TempDir,
    pub(crate) supervisors: Supervisors,
    pub(crate) told: Mutex<mpsc::UnboundedReceiver<Told>>,
    pid: AtomicI32,
}

impl Fixture {
    pub(crate) async fn open() -> Fixture {
        Fixture::open_with(options()).await
    }

    pub(crate) async fn open_with(options: SupervisorOptions) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let (supervisors, told) = Supervisors::open(dir.path(), options).await.unwrap();
        Fixture {
            dir,
            supervisors,
            told: Mutex::new(told),
            pid: AtomicI32::new(0),
        }
    }

    /// The server goes, and another one comes.
    pub(crate) async fn reopen(self, options: SupervisorOptions) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let mut old = self;
        let dir = std::mem::replace(&mut old.dir, dir);
        old.pid.store(0, Ordering::Relaxed);
        drop(old);
        let (supervisors, told) = Supervisors::open(dir.path(), options).await.unwrap();
        Fixture {
            dir,
            supervisors,
            told: Mutex::new(told),
            pid: AtomicI32::new(0),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The supervisor's process; ended with this fixture.
    pub(crate) async fn pid(&self) -> i32 {
        let pid = self.supervisors.own_pid().await.unwrap();
        self.pid.store(pid, Ordering::Relaxed);
        pid
    }

    pub(crate) async fn start(&self, key: &RunKey, spec: &Spec) -> State {
        self.pid().await;
        self.supervisors.start(key, spec).await.unwrap()
    }

    /// Starts `script` and waits for its end.
    pub(crate) async fn run(&self, spec: &Spec) -> (RunKey, Exit) {
        let key = new_key();
        self.start(&key, spec).await;
        let exit = self.end_of(&key).await;
        (key, exit)
    }

    /// Waits for the end of `key`; asks first, for it may be over.
    pub(crate) async fn end_of(&self, key: &RunKey) -> Exit {
        loop {
            if let State::Ended(exit) = self.supervisors.state(key).await.unwrap() {
                return exit;
            }
            self.hear().await;
        }
    }

    /// The next thing that a supervisor tells.
    pub(crate) async fn hear(&self) -> Told {
        let mut told = self.told.lock().await;
        tokio::time::timeout(PATIENCE, told.recv())
            .await
            .expect("something is told")
            .unwrap()
    }

    /// All lines that `key` has written by now, and how many were dropped.
    pub(crate) fn lines(&self, key: &RunKey) -> (Vec<Line>, u64) {
        let mut reader = self.supervisors.output(key, 0);
        let (mut lines, mut lost) = (Vec::new(), 0);
        loop {
            let chunk = reader.read(1 << 20).unwrap();
            if chunk.lines.is_empty() {
                return (lines, lost);
            }
            lost += chunk.lost;
            lines.extend(chunk.lines);
        }
    }

    pub(crate) fn texts(&self, key: &RunKey) -> Vec<String> {
        self.lines(key)
            .0
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    /// Waits until `key` has written `wanted` as a line; returns all lines up to it.
    pub(crate) async fn wait_for_line(&self, key: &RunKey, wanted: &str) -> Vec<String> {
        let mut reader = self.supervisors.output(key, 0);
        let mut texts = Vec::new();
        loop {
            let chunk = reader.read(1 << 20).unwrap();
            texts.extend(chunk.lines.into_iter().map(|line| line.text));
            if texts.iter().any(|text| text == wanted) {
                return texts;
            }
            self.supervisors.read_up_to(key, reader.position()).await;
            self.hear().await;
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let pid = self.pid.load(Ordering::Relaxed);
        if pid > 0 {
            end(pid);
            end_groups(self.dir());
        }
    }
}

pub(crate) fn options() -> SupervisorOptions {
    SupervisorOptions {
        idle: Duration::from_millis(200),
        ..SupervisorOptions::of_program(program())
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_jobhook")
}

/// A copy of the program: another build.
pub(crate) fn other_build(dir: &Path) -> PathBuf {
    let copy = dir.join("jobhook-copy");
    std::fs::copy(program(), &copy).unwrap();
    copy
}

pub(crate) fn new_key() -> RunKey {
    RunKey::new(uuid::Uuid::now_v7().to_string(), 1)
}

/// A job that runs `script`; its environment carries the attempt only after [`for_key`].
pub(crate) fn sh(script: &str) -> Spec {
    Spec {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::from([("PATH".into(), std::env::var("PATH").unwrap())]),
        cwd: "/".into(),
        stdin: None,
        run_as: None,
        limits: Limits::default(),
        workdir: false,
    }
}

/// `spec` with id and attempt in its environment, as a server sends it.
pub(crate) fn for_key(mut spec: Spec, key: &RunKey) -> Spec {
    spec.env.insert("JOB_ID".into(), key.id.clone());
    spec.env
        .insert("JOB_ATTEMPT".into(), key.attempt.to_string());
    spec
}

/// What the next supervisor would do, for a directory that will have none.
pub(crate) fn end_groups(data_dir: &Path) {
    for entry in std::fs::read_dir(data_dir.join("runs"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let leader = std::fs::read_to_string(entry.path().join("leader")).unwrap_or_default();
        let pid = leader.split(' ').next().and_then(|pid| pid.parse().ok());
        if let (Some(pid), false) = (pid, entry.path().join("exit.json").exists()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

pub(crate) fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, tail)| !tail.starts_with(['Z', 'X']))
}

/// Waits until `condition` holds. The kernel tells nobody of such things, so this looks again
/// and again.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn until_dead(pid: i32) {
    until("the process is gone", || !is_alive(pid)).await;
}

/// Every living process that carries the id of `key`.
pub(crate) fn carriers(key: &RunKey) -> Vec<i32> {
    let wanted = format!("JOB_ID={}", key.id);
    let carries = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    };
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    pids.filter_map(|name| name.to_str()?.parse().ok())
        .filter(carries)
        .filter(|pid| is_alive(*pid))
        .collect()
}

/// Resident memory of a process, bytes.
pub(crate) fn resident_bytes(pid: i32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
