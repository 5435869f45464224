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

mod alive;
mod answers;
mod endings;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use self::alive::{Alive, Child};
use super::clock::now_ms;
use super::journal::Journal;
use super::message::{Answer, End, Exit, Notice, RunKey, Spec, State};
use super::oom::OomCounter;
use super::orphans::Orphans;
use super::output::Stream;
use super::pipes::{Pipes, Scratch};
use super::poller::Poller;
use super::run_dir::{Owner, Runs, create_dir};
use super::spawn::{Inherited, spawn};

/// How long a run may take from its leader's death to its recorded end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// When to look for leftovers again if no signal says so.
const SWEEP_AGAIN: Duration = Duration::from_millis(5);
/// When to try again to record ends that the disk refused.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

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
    /// Those of the jobs whose leader is dead.
    dying: BTreeSet<u64>,
    deadlines: BTreeSet<(Instant, u64)>,
    sweep_at: Option<Instant>,
    /// Ends that are not on disk yet; empty but while the disk refuses.
    unrecorded: Vec<(RunKey, Exit)>,
    /// Whose end this process wrote down and nobody forgot yet: known without reading it again.
    recorded: HashSet<RunKey>,
    record_at: Option<Instant>,
    notices: Vec<Notice>,
    /// Whether a server listens, which stores what it is told.
    is_heard: bool,
    /// Why no job may start any more, and all are to end.
    ending: Option<&'static str>,
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
            dying: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            sweep_at: None,
            unrecorded: Vec::new(),
            recorded: HashSet::new(),
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
}
