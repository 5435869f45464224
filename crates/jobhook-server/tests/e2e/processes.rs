//! What runs on this machine, as the kernel tells it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes; only a hang gets there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Every living process.
pub(crate) fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| is_alive(*pid))
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, tail)| !tail.starts_with(['Z', 'X']))
}

/// Every living process that carries the id of an action.
pub(crate) fn carriers(id: &str) -> Vec<i32> {
    let wanted = format!("JOB_ID={id}");
    let carries = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
    };
    processes().filter(carries).collect()
}

/// Every living process that has `dir` in its arguments or environment, or works below it.
pub(crate) fn belonging_to(dir: &Path) -> BTreeSet<i32> {
    let name = dir.as_os_str().as_encoded_bytes();
    let says = |pid: i32, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(name.len()).any(|part| part == name)
    };
    let works_there =
        |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
    processes()
        .filter(|pid| says(*pid, "cmdline") || says(*pid, "environ") || works_there(*pid))
        .collect()
}

/// Sends SIGKILL.
pub(crate) fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Waits until `condition` holds. The kernel tells nobody of such things, so this looks again
/// and again.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// A figure of a process's memory in KiB, such as `VmHWM`.
pub(crate) fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}
