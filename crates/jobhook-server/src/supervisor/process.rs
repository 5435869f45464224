//! What the kernel says about processes: `/proc`, and nothing that changes anything.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use super::message::RunKey;

/// A process as its `/proc/{pid}/stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// Clock ticks since boot. With the pid it names a process for as long as the machine runs.
    pub started: u64,
    /// Dead, and waiting for its parent to notice.
    pub is_zombie: bool,
}

impl Process {
    /// The living or dead process `pid`, if there is one.
    pub(crate) fn of(pid: i32) -> Option<Process> {
        Process::parse(&String::from_utf8_lossy(
            &fs::read(format!("/proc/{pid}/stat")).ok()?,
        ))
    }

    /// Reads a line of `/proc/{pid}/stat`.
    pub(crate) fn parse(stat: &str) -> Option<Process> {
        // The name is in parentheses and may itself hold some, so count from the last one.
        let (head, tail) = stat.rsplit_once(") ")?;
        let pid = head.split_once(' ')?.0.parse().ok()?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        Some(Process {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
        })
    }

    /// Every process that `/proc` shows.
    pub(crate) fn all() -> io::Result<Vec<Process>> {
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok());
            processes.extend(pid.and_then(Process::of));
        }
        Ok(processes)
    }
}

/// How often a process is looked at whose programs follow each other while it is.
const LOOKS: usize = 100;

/// What is known of a process's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// What it was started with, entries ended by NUL.
    Known(Vec<u8>),
    /// Its program is just being replaced: it will have one in a moment.
    Changing,
    /// It may not be read, or the process has none any more.
    Hidden,
}

/// The environment that process `pid` was started with.
pub(crate) fn environment(pid: i32) -> Environment {
    for _ in 0..LOOKS {
        match fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) if environment.is_empty() => {}
            Ok(environment) => return Environment::Known(environment),
            Err(_) => return Environment::Hidden,
        }
        // Looked at afterwards, so that a program that has begun in between is read again.
        let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        match environment_place(&String::from_utf8_lossy(&stat)) {
            None => return Environment::Hidden,
            Some((0, 0)) => return Environment::Changing,
            Some((start, end)) if start >= end => return Environment::Known(Vec::new()),
            Some(_) => {}
        }
    }
    Environment::Changing
}

/// Where a line of `/proc/{pid}/stat` says that the environment lies in memory: nowhere while a
/// program is being replaced (proc(5), `env_start` and `env_end`). `None` for what has no memory:
/// the dead, and the kernel's own.
fn environment_place(stat: &str) -> Option<(u64, u64)> {
    let (_, tail) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let size = field(20)?;
    (size > 0).then_some((field(47)?, field(48)?))
}

/// The attempt that `environment` names, if it names one.
pub(crate) fn key_in(environment: &[u8]) -> Option<RunKey> {
    let value = |name: &str| {
        environment.split(|byte| *byte == 0).find_map(|entry| {
            std::str::from_utf8(entry)
                .ok()?
                .strip_prefix(name)?
                .strip_prefix('=')
        })
    };
    Some(RunKey::new(
        value("JOB_ID")?,
        value("JOB_ATTEMPT")?.parse().ok()?,
    ))
}

/// The children of this process; called on its only thread.
pub(crate) fn own_children() -> io::Result<Vec<i32>> {
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => Ok(list
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()),
        // Not every kernel is built with this file; the long way always works.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let own = std::process::id() as i32;
            Ok(Process::all()?
                .iter()
                .filter(|process| process.parent == own)
                .map(|p| p.pid)
                .collect())
        }
        Err(error) => Err(error),
    }
}

/// `roots` and all that descend from them.
pub(crate) fn descendants(roots: &[i32]) -> io::Result<Vec<Process>> {
    let all = Process::all()?;
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in &all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<Process> = all
        .iter()
        .filter(|process| roots.contains(&process.pid))
        .copied()
        .collect();
    let mut seen: HashSet<i32> = found.iter().map(|process| process.pid).collect();
    let mut at = 0;
    while at < found.len() {
        for child in children.get(&found[at].pid).into_iter().flatten() {
            if seen.insert(child.pid) {
                found.push(**child);
            }
        }
        at += 1;
    }
    Ok(found)
}

/// Which boot and which process numbering this process lives in.
pub(crate) fn boot() -> io::Result<String> {
    let boot = boot_id()?;
    let numbering = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{boot} {}", numbering.display()))
}

/// Another one each time the machine starts.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let stat = "42 (a) S (b) R 1 40 30 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        let process = Process::parse(stat).unwrap();
        assert_eq!(
            (process.pid, process.parent, process.group, process.session),
            (42, 1, 40, 30)
        );
        assert_eq!((process.started, process.is_zombie), (987_654, false));
        assert_eq!(Process::parse("42 (a"), None);
    }

    #[test]
    fn this_process_is_found() {
        let own = std::process::id() as i32;
        assert!(
            Process::all()
                .unwrap()
                .iter()
                .any(|process| process.pid == own)
        );
        assert_eq!(Process::of(own), Some(Process::of(own).unwrap()));
        assert!(!boot().unwrap().is_empty());
    }

    #[test]
    fn an_environment_is_known_changing_or_hidden() {
        let own = std::process::id() as i32;
        assert!(matches!(environment(own), Environment::Known(entries) if !entries.is_empty()));
        let mut bare = std::process::Command::new("sleep")
            .arg("1000")
            .env_clear()
            .spawn()
            .unwrap();
        let pid = bare.id() as i32;
        // Until its own program runs it has that of this test, or is being replaced.
        while environment(pid) != Environment::Known(Vec::new()) {
            std::thread::yield_now();
        }
        bare.kill().unwrap();
        bare.wait().unwrap();
        assert_eq!(environment(pid), Environment::Hidden);
        let stat = |size: u64, start: u64, end: u64| {
            let mut fields = vec!["0".to_owned(); 50];
            fields[20] = size.to_string();
            fields[47] = start.to_string();
            fields[48] = end.to_string();
            format!("42 (a) b) S {}", fields[1..].join(" "))
        };
        assert_eq!(environment_place(&stat(0, 0, 0)), None);
        assert_eq!(environment_place(&stat(4096, 0, 0)), Some((0, 0)));
        assert_eq!(environment_place(&stat(4096, 7, 9)), Some((7, 9)));
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        let (start, end) = environment_place(&own).unwrap();
        assert!(start > 0 && end > start);
    }

    #[test]
    fn an_environment_names_an_attempt_by_id_and_number() {
        let environment = b"PATH=/bin\0JOB_IDS=x\0JOB_ID=a\0\xFF=\xFF\0JOB_ATTEMPT=11\0";
        assert_eq!(key_in(environment), Some(RunKey::new("a", 11)));
        assert_eq!(key_in(b"JOB_ID=a\0"), None);
        assert_eq!(key_in(b"JOB_ID=a\0JOB_ATTEMPT=x\0"), None);
        assert_eq!(key_in(b""), None);
    }
}
