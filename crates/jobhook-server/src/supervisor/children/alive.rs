//! The jobs whose end is not recorded, and by which names they are found.

use std::collections::HashMap;
use std::time::Instant;

use nix::unistd::Pid;

use crate::supervisor::message::{End, RunKey};
use crate::supervisor::orphans::Families;
use crate::supervisor::pipes::Pipes;
use crate::supervisor::spawn::Reaped;

/// A job whose end is not recorded.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) key: RunKey,
    pub(super) pid: Pid,
    pub(super) started_ms: u64,
    pub(super) pipes: Pipes,
    /// The server has been told of output and has not read it yet.
    pub(super) is_told: bool,
    pub(super) is_stopped: bool,
    pub(super) is_killed: bool,
    pub(super) kill_at: Option<Instant>,
    pub(super) over: Option<Over>,
}

/// A leader that is dead.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) end: End,
    pub(super) reaped: Reaped,
    pub(super) ended_ms: u64,
    pub(super) deadline: Instant,
    pub(super) is_swept: bool,
}

/// The jobs by their names.
#[derive(Debug, Default)]
pub(super) struct Alive {
    pub(super) by_serial: HashMap<u64, Child>,
    pub(super) by_key: HashMap<RunKey, u64>,
    /// Leaders that are not reaped.
    pub(super) by_leader: HashMap<i32, u64>,
    pub(super) by_group: HashMap<i32, u64>,
}

impl Families for Alive {
    fn is_leader(&self, pid: i32) -> bool {
        self.by_leader.contains_key(&pid)
    }

    fn by_group(&self, group: i32) -> Option<u64> {
        self.by_group.get(&group).copied()
    }

    fn by_key(&self, key: &RunKey) -> Option<u64> {
        self.by_key.get(key).copied()
    }
}

impl Alive {
    /// The job of `key`, if its end is not recorded.
    pub(super) fn find(&mut self, key: &RunKey) -> Option<&mut Child> {
        self.by_serial.get_mut(self.by_key.get(key)?)
    }
}
