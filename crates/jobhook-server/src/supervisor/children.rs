//! The jobs of this supervisor, from their start to their recorded end.
//!
//! ```text
//! start ─claim─▶ spawn ─▶ alive ─leader dies─▶ over ─pipes drained, leftovers killed─▶ recorded
//!          │        └──────────────▶ recorded: it could not be started      (2 s at most)
//!          └─ there is a run directory already: its state is the answer
//! ```
//!
//! The leader's end is the end of the run: what it left behind is killed, and who still holds its
//! pipes is not waited for. Only here are signals sent. Nothing here knows of sockets.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::clock::now_ms;
use super::journal::Journal;
use super::message::{Answer, End, Exit, Notice, Run, RunKey, Spec, State};
use super::oom::OomCounter;
use super::orphans::{Families, Orphans};
use super::output::Stream;
use super::pipes::{Pipes, Scratch};
use super::poller::Poller;
use super::recovery;
use super::run_dir::{Owner, Runs, create_dir};
use super::spawn::{Inherited, Reaped, reap, spawn};

/// How long a run may take from its leader's death to its recorded end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// When to look for leftovers again if no signal says so.
const SWEEP_AGAIN: Duration = Duration::from_millis(5);
/// When to try again to record ends that the disk refused.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// A job whose end is not recorded.
#[derive(Debug)]
struct Child {
    key: RunKey,
    pid: Pid,
    started_ms: u64,
    pipes: Pipes,
    /// The server has been told of output and has not read it yet.
    is_told: bool,
    is_stopped: bool,
    is_killed: bool,
    kill_at: Option<Instant>,
    over: Option<Over>,
}

/// A leader that is dead.
#[derive(Debug)]
struct Over {
    end: End,
    reaped: Reaped,
    ended_ms: u64,
    deadline: Instant,
    is_swept: bool,
}

/// Where and as whom the jobs run.
#[derive(Debug)]
pub(crate) struct Home {
    pub data_dir: PathBuf,
    /// The owner of every run that begins here, but for the time.
    pub owner: Owner,
    pub inherited: Inherited,
}

/// All jobs of this supervisor.
#[derive(Debug)]
pub(crate) struct Children {
    home: Home,
    runs: Runs,
    poller: Rc<Poller>,
    journal: Journal,
    oom: OomCounter,
    scratch: Scratch,
    next_serial: u64,
    alive: Alive,
    orphans: Orphans,
    deadlines: BTreeSet<(Instant, u64)>,
    sweep_at: Option<Instant>,
    /// Ends that are not on disk yet; empty but while the disk refuses.
    unrecorded: Vec<(RunKey, Exit)>,
    record_at: Option<Instant>,
    notices: Vec<Notice>,
    /// Whether a server listens, which stores what it is told.
    is_heard: bool,
    /// Why no job may start any more, and all are to end.
    ending: Option<&'static str>,
}

/// The jobs by their names.
#[derive(Debug, Default)]
struct Alive {
    by_serial: HashMap<u64, Child>,
    by_key: HashMap<RunKey, u64>,
    /// Leaders that are not reaped.
    by_leader: HashMap<i32, u64>,
    by_group: HashMap<i32, u64>,
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
    fn find(&mut self, key: &RunKey) -> Option<&mut Child> {
        self.by_serial.get_mut(self.by_key.get(key)?)
    }
}

impl Children {
    pub(crate) fn new(home: Home, runs: Runs, poller: Rc<Poller>, journal: Journal) -> Children {
        Children {
            home,
            runs,
            poller,
            journal,
            oom: OomCounter::open(),
            scratch: Scratch::new(),
            next_serial: 0,
            alive: Alive::default(),
            orphans: Orphans::default(),
            deadlines: BTreeSet::new(),
            sweep_at: None,
            unrecorded: Vec::new(),
            record_at: None,
            notices: Vec::new(),
            is_heard: false,
            ending: None,
        }
    }

    /// Whether no job lives and no end waits to be recorded.
    pub(crate) fn is_empty(&self) -> bool {
        self.alive.by_serial.is_empty() && self.unrecorded.is_empty()
    }

    /// Whether [`Children::end_all`] was called, and has come true.
    pub(crate) fn has_ended(&self) -> bool {
        self.ending.is_some() && self.alive.by_serial.is_empty()
    }

    /// What happened since the last call.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Starts `key`, unless it was started before.
    pub(crate) fn start(&mut self, key: RunKey, spec: Spec) -> Answer {
        if let Some(reason) = self.ending {
            return Answer::Failed(reason.to_owned());
        }
        let owner = Owner {
            claimed_ms: now_ms(),
            ..self.home.owner.clone()
        };
        match self.runs.claim(&key, &owner) {
            Ok(true) => {}
            Ok(false) => return self.state(&key),
            Err(error) => {
                return Answer::Failed(format!("no run directory could be made: {error}"));
            }
        }
        // From here on this attempt is started, whatever becomes of it.
        crate::crash::reached("supervisor.claimed");
        match self.begin(&key, spec) {
            Ok(state) => {
                crate::crash::reached("supervisor.spawned");
                Answer::State(state)
            }
            Err(end) => {
                let ended_ms = now_ms();
                let exit = Exit {
                    end,
                    started_ms: None,
                    ended_ms,
                    usage: None,
                    stopped: false,
                    lines: 0,
                };
                self.unrecorded.push((key, exit.clone()));
                self.record();
                Answer::State(State::Ended(exit))
            }
        }
    }

    fn begin(&mut self, key: &RunKey, mut spec: Spec) -> Result<State, End> {
        let dir = self.runs.dir(key);
        let lost =
            |error: io::Error| End::Lost(format!("its run directory could not be used: {error}"));
        let leader = self.runs.create_leader(key).map_err(lost)?;
        let work = spec.workdir.then(|| dir.join("work"));
        if let Some(work) = &work {
            create_dir(work).map_err(lost)?;
        }
        let started_ms = now_ms();
        let mut process = spawn(&spec, leader, work.as_deref(), self.home.inherited)?;
        let pid = Pid::from_raw(process.id() as i32);
        let serial = self.next_serial;
        self.next_serial += 1;
        let pipes = Pipes::new(&mut process, spec.stdin.take(), serial, &self.poller);
        let pipes = pipes.map_err(|error| {
            // It must not run unwatched. The group is its own since before its program began.
            let _ = killpg(pid, Signal::SIGKILL);
            End::Lost(format!("its output could not be watched: {error}"))
        })?;
        let child = Child {
            key: key.clone(),
            pid,
            started_ms,
            pipes,
            is_told: false,
            is_stopped: false,
            is_killed: false,
            kill_at: None,
            over: None,
        };
        self.alive.by_serial.insert(serial, child);
        self.alive.by_key.insert(key.clone(), serial);
        self.alive.by_leader.insert(pid.as_raw(), serial);
        self.alive.by_group.insert(pid.as_raw(), serial);
        self.notices.push(Notice::Started {
            key: key.clone(),
            pid: pid.as_raw(),
            started_ms,
        });
        Ok(State::Running {
            pid: pid.as_raw(),
            started_ms,
            lines: 0,
        })
    }

    /// Asks `key` to end, and sees to it after `grace`. Succeeds if it is gone already.
    pub(crate) fn stop(&mut self, key: &RunKey, grace: Duration) -> Answer {
        if let Some(serial) = self.alive.by_key.get(key).copied() {
            self.stop_child(serial, grace);
        }
        self.state(key)
    }

    fn stop_child(&mut self, serial: u64, grace: Duration) {
        let Some(child) = self.alive.by_serial.get_mut(&serial) else {
            return;
        };
        if child.over.is_some() {
            return;
        }
        let kill_at = Instant::now() + grace;
        if !child.is_stopped {
            child.is_stopped = true;
            if !grace.is_zero() {
                // The leader is not reaped, so the number of its group is still its own.
                let _ = killpg(child.pid, Signal::SIGTERM);
                // A job that was put to sleep could not hear it.
                let _ = killpg(child.pid, Signal::SIGCONT);
            }
        }
        if child.kill_at.is_none_or(|earlier| kill_at < earlier) {
            child.kill_at = Some(kill_at);
            self.deadlines.insert((kill_at, serial));
        }
    }

    /// Ends every job and refuses new ones; `reason` is why, for people.
    pub(crate) fn end_all(&mut self, reason: &'static str, grace: Duration) {
        self.ending = Some(reason);
        let serials: Vec<u64> = self.alive.by_serial.keys().copied().collect();
        for serial in serials {
            self.stop_child(serial, grace);
        }
    }

    /// How `key` stands.
    pub(crate) fn state(&mut self, key: &RunKey) -> Answer {
        match self.find_state(key) {
            Ok(state) => Answer::State(state),
            Err(error) => Answer::Failed(format!(
                "the run directory of {key} cannot be read: {error}"
            )),
        }
    }

    fn find_state(&mut self, key: &RunKey) -> io::Result<State> {
        if let Some(child) = self.alive.find(key) {
            return Ok(State::Running {
                pid: child.pid.as_raw(),
                started_ms: child.started_ms,
                lines: child.pipes.lines(),
            });
        }
        if let Some((_, exit)) = self
            .unrecorded
            .iter()
            .find(|(unrecorded, _)| unrecorded == key)
        {
            return Ok(State::Ended(exit.clone()));
        }
        if let Some(exit) = self.runs.exit(key)? {
            return Ok(State::Ended(exit));
        }
        let Some(owner) = self.runs.owner(key)? else {
            return Ok(State::Unknown);
        };
        let build = owner.build.clone();
        if build == self.home.owner.build {
            recovery::record_lost(&self.runs, std::slice::from_ref(key), "its record is gone")?;
        } else {
            let boot = &self.home.owner.boot;
            if !recovery::recover_one(&self.home.data_dir, &self.runs, key, owner, boot)? {
                return Ok(State::Elsewhere { build });
            }
        }
        Ok(self.runs.exit(key)?.map_or(State::Unknown, State::Ended))
    }

    /// Every run directory, and how it stands.
    pub(crate) fn list(&mut self) -> Answer {
        let keys = match self.runs.keys() {
            Ok(keys) => keys,
            Err(error) => {
                return Answer::Failed(format!("the run directories cannot be read: {error}"));
            }
        };
        let mut runs = Vec::with_capacity(keys.len());
        for key in keys {
            match self.find_state(&key) {
                // Forgotten between the two looks.
                Ok(State::Unknown) => {}
                Ok(state) => runs.push(Run { key, state }),
                Err(error) => self
                    .journal
                    .note(&format!("cannot read the run directory of {key}: {error}")),
            }
        }
        Answer::Runs(runs)
    }

    /// Discards the run directory of `key`, whose end the server has stored.
    pub(crate) fn forget(&mut self, key: &RunKey) -> Answer {
        match self.find_state(key) {
            Ok(State::Ended(_)) => {}
            Ok(State::Unknown) => return Answer::Forgotten { trash: None },
            Ok(_) => return Answer::Failed(format!("{key} has not ended")),
            Err(error) => return Answer::Failed(error.to_string()),
        }
        self.unrecorded.retain(|(unrecorded, _)| unrecorded != key);
        match self.runs.discard(key, &self.home.owner.build) {
            Ok(trash) => Answer::Forgotten { trash },
            Err(error) => Answer::Failed(format!("{key} could not be discarded: {error}")),
        }
    }

    /// The server has read the output of `key` up to line `position`.
    pub(crate) fn read_up_to(&mut self, key: &RunKey, position: u64) {
        let Some(child) = self.alive.find(key) else {
            return;
        };
        let lines = child.pipes.lines();
        child.is_told = position < lines;
        if child.is_told {
            self.notices.push(Notice::Output {
                key: key.clone(),
                lines,
            });
        }
    }

    /// Another server listens now; it knows of no output.
    pub(crate) fn forget_who_was_told(&mut self) {
        for child in self.alive.by_serial.values_mut() {
            child.is_told = false;
        }
    }

    /// The input pipe `serial` has room.
    pub(crate) fn on_stdin(&mut self, serial: u64) {
        if let Some(child) = self.alive.by_serial.get_mut(&serial) {
            child.pipes.feed(&self.poller);
        }
    }

    /// The output pipe `serial` has something to read, or is closed.
    pub(crate) fn on_output(&mut self, serial: u64, stream: Stream) {
        let Some(child) = self.alive.by_serial.get_mut(&serial) else {
            return;
        };
        let dir = self.runs.dir(&child.key);
        let before = child.pipes.lines();
        if let Err(error) = child
            .pipes
            .drain(stream, &dir, &mut self.scratch, &self.poller)
        {
            self.journal
                .note(&format!("output of {} is lost: {error}", child.key));
        }
        let lines = child.pipes.lines();
        if lines > before && !child.is_told {
            child.is_told = true;
            self.notices.push(Notice::Output {
                key: child.key.clone(),
                lines,
            });
        }
    }

    /// A child died: a leader, or an orphan that fell to this process.
    pub(crate) fn on_death(&mut self) {
        loop {
            let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let pid = match waitid(Id::All, peek) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => pid,
                _ => break,
            };
            match self.alive.by_leader.remove(&pid.as_raw()) {
                Some(serial) => self.on_leader_death(serial, pid),
                None => {
                    self.orphans.reaped(pid.as_raw());
                    reap(pid);
                }
            }
            self.sweep_at = Some(Instant::now());
        }
    }

    fn on_leader_death(&mut self, serial: u64, pid: Pid) {
        // Before it is reaped: until then the number of its group cannot be anybody else's.
        let _ = killpg(pid, Signal::SIGKILL);
        let Some(reaped) = reap(pid) else { return };
        let Some(child) = self.alive.by_serial.get_mut(&serial) else {
            return;
        };
        let end = match reaped.end {
            Ok(code) => End::Code(code),
            Err(by) => {
                let is_kill = by.number == Signal::SIGKILL as i32;
                let oom = is_kill && !child.is_killed && self.oom.explains_a_kill();
                End::Signal {
                    number: by.number,
                    core: by.core,
                    oom,
                }
            }
        };
        let end = self
            .ending
            .map_or(end, |reason| End::Lost(reason.to_owned()));
        let deadline = Instant::now() + LAST_WORDS;
        child.over = Some(Over {
            end,
            reaped,
            ended_ms: now_ms(),
            deadline,
            is_swept: false,
        });
        self.deadlines.insert((deadline, serial));
        crate::crash::reached("supervisor.reaped");
    }

    /// When [`Children::turn`] must be called, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let first = self.deadlines.first().map(|(at, _)| *at);
        [first, self.sweep_at, self.record_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due, and records the ends that are complete. `is_heard` says whether a server
    /// listens to the notices that come of it.
    pub(crate) fn turn(&mut self, is_heard: bool) {
        self.is_heard = is_heard;
        let now = Instant::now();
        while let Some((at, serial)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            self.on_deadline(serial, now);
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep();
        }
        self.conclude();
        if self.record_at.is_some_and(|at| at <= now) {
            self.record();
        }
    }

    fn on_deadline(&mut self, serial: u64, now: Instant) {
        let Some(child) = self.alive.by_serial.get_mut(&serial) else {
            return;
        };
        match &mut child.over {
            None => {
                if child.kill_at.is_some_and(|at| at <= now) {
                    child.is_killed = true;
                    let _ = killpg(child.pid, Signal::SIGKILL);
                }
            }
            Some(over) if over.deadline <= now => {
                over.is_swept = true;
                let dir = self.runs.dir(&child.key);
                if let Err(error) = child.pipes.close_all(&dir, &mut self.scratch, &self.poller) {
                    self.journal
                        .note(&format!("output of {} is lost: {error}", child.key));
                }
            }
            Some(_) => {}
        }
    }

    fn sweep(&mut self) {
        self.sweep_at = None;
        let is_waiting = |child: &Child| child.over.as_ref().is_some_and(|over| !over.is_swept);
        if !self.alive.by_serial.values().any(is_waiting) {
            return;
        }
        let alive = &self.alive;
        let is_over = |serial| {
            alive
                .by_serial
                .get(&serial)
                .is_some_and(|child| child.over.is_some())
        };
        let unswept = match self.orphans.sweep(alive, is_over) {
            Ok(unswept) => unswept,
            Err(error) => {
                self.journal
                    .note(&format!("cannot look for what jobs left behind: {error}"));
                vec![None]
            }
        };
        for (serial, child) in &mut self.alive.by_serial {
            let is_open = unswept
                .iter()
                .any(|left| left.is_none_or(|left| left == *serial));
            if let (Some(over), false) = (&mut child.over, is_open) {
                over.is_swept = true;
            }
        }
        if !unswept.is_empty() {
            self.sweep_at = Some(Instant::now() + SWEEP_AGAIN);
        }
    }

    fn conclude(&mut self) {
        let is_complete = |child: &Child| {
            child.pipes.are_drained() && child.over.as_ref().is_some_and(|over| over.is_swept)
        };
        let complete: Vec<u64> = (self.alive.by_serial.iter())
            .filter(|(_, child)| is_complete(child))
            .map(|(serial, _)| *serial)
            .collect();
        if complete.is_empty() {
            return;
        }
        for serial in complete {
            let Some(mut child) = self.alive.by_serial.remove(&serial) else {
                continue;
            };
            let dir = self.runs.dir(&child.key);
            // Only its input can still be open.
            let _ = child.pipes.close_all(&dir, &mut self.scratch, &self.poller);
            self.alive.by_key.remove(&child.key);
            // A later leader may have been given the number already.
            if self.alive.by_group.get(&child.pid.as_raw()) == Some(&serial) {
                self.alive.by_group.remove(&child.pid.as_raw());
            }
            let Some(over) = child.over else { continue };
            self.deadlines.remove(&(over.deadline, serial));
            if let Some(kill_at) = child.kill_at {
                self.deadlines.remove(&(kill_at, serial));
            }
            let exit = Exit {
                end: over.end,
                started_ms: Some(child.started_ms),
                ended_ms: over.ended_ms,
                usage: Some(over.reaped.usage),
                stopped: child.is_stopped,
                lines: child.pipes.lines(),
            };
            self.unrecorded.push((child.key, exit));
        }
        self.record();
    }

    fn record(&mut self) {
        if let Err(error) = self.runs.record_exits(&self.unrecorded, !self.is_heard) {
            // Of a run whose directory somebody removed, nobody can be told.
            let runs = &self.runs;
            self.unrecorded.retain(|(key, _)| runs.dir(key).exists());
            self.journal
                .note(&format!("cannot record how jobs ended: {error}"));
            self.record_at = Some(Instant::now() + RECORD_AGAIN);
            return;
        }
        crate::crash::reached("supervisor.recorded");
        self.record_at = None;
        for (key, exit) in self.unrecorded.drain(..) {
            self.notices.push(Notice::Exited { key, exit });
        }
    }
}
