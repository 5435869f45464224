//! Finds what a job left behind, among the processes that fell to the supervisor.
//!
//! The supervisor is a subreaper: a process whose parent dies becomes its child, wherever below
//! the supervisor it was. So once a leader is dead, whatever lives on of its job hangs below one
//! of the supervisor's own children that is no leader. Such an orphan belongs to a run if it is of
//! the leader's group, or carries id and attempt in its environment; then everything below it
//! does as well.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::message::RunKey;
use super::process::{self, Environment, Process};

/// How long a program may take to replace another, before nobody waits for it any more: it hangs
/// on a file then, maybe for ever.
const REPLACEMENT: Duration = Duration::from_secs(1);

/// Whose an orphan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The run with this serial number.
    Run(u64),
    /// No run that is known.
    Stranger,
    /// Not clear yet, since then.
    Open(Instant),
}

/// The orphans seen so far. Only this process reaps them, so a number stays theirs until then.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    origins: HashMap<i32, Origin>,
}

/// The runs that an orphan could be of.
pub(crate) trait Families {
    /// Whether `pid` leads a job.
    fn is_leader(&self, pid: i32) -> bool;
    /// The run whose process group is `group`.
    fn by_group(&self, group: i32) -> Option<u64>;
    /// The run of `key`.
    fn by_key(&self, key: &RunKey) -> Option<u64>;
}

impl Orphans {
    /// The orphan `pid` has been reaped.
    pub(crate) fn reaped(&mut self, pid: i32) {
        self.origins.remove(&pid);
    }

    /// Kills what is left of the runs for which `is_over` holds.
    ///
    /// Returns those of them that may still have something alive: look again when a child died,
    /// or a little later. `None` stands for any of them.
    pub(crate) fn sweep(
        &mut self,
        families: &impl Families,
        is_over: impl Fn(u64) -> bool,
    ) -> io::Result<Vec<Option<u64>>> {
        let mut unswept = Vec::new();
        let mut roots = Vec::new();
        for pid in process::own_children()? {
            if families.is_leader(pid) {
                continue;
            }
            match self.origin(pid, families) {
                Origin::Run(serial) if is_over(serial) => {
                    roots.push(pid);
                    unswept.push(Some(serial));
                }
                Origin::Run(_) | Origin::Stranger => {}
                Origin::Open(_) => unswept.push(None),
            }
        }
        if !roots.is_empty() {
            for process in process::descendants(&roots)? {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
        }
        Ok(unswept)
    }

    fn origin(&mut self, pid: i32, families: &impl Families) -> Origin {
        let since = match self.origins.get(&pid) {
            Some(Origin::Open(since)) => *since,
            Some(known) => return *known,
            None => Instant::now(),
        };
        let origin = match Process::of(pid) {
            // Dead: what it was parent of falls to us, and must be looked at then.
            None => Origin::Open(since),
            Some(process) if process.is_zombie => Origin::Open(since),
            Some(process) => match families.by_group(process.group) {
                Some(serial) => Origin::Run(serial),
                None => by_environment(pid, since, families),
            },
        };
        self.origins.insert(pid, origin);
        origin
    }
}

fn by_environment(pid: i32, since: Instant, families: &impl Families) -> Origin {
    match process::environment(pid) {
        Environment::Changing if since.elapsed() < REPLACEMENT => Origin::Open(since),
        Environment::Known(environment) => {
            match process::key_in(&environment).and_then(|key| families.by_key(&key)) {
                Some(serial) => Origin::Run(serial),
                None => Origin::Stranger,
            }
        }
        Environment::Changing | Environment::Hidden => Origin::Stranger,
    }
}
