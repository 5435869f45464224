//! How a run ends: its leader dies, what it left behind is killed, its pipes run dry, and it is
//! written down.

use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::alive::{Child, Over};
use super::{Children, LAST_WORDS, RECORD_AGAIN, SWEEP_AGAIN};
use crate::supervisor::clock::now_ms;
use crate::supervisor::message::{End, Exit, Notice};
use crate::supervisor::spawn::{next_dead, reap};

impl Children {
    /// A child died: a leader, or an orphan that fell to this process.
    pub(crate) fn on_death(&mut self) {
        while let Some(pid) = next_dead() {
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
        self.dying.insert(serial);
        self.deadlines.insert((deadline, serial));
        crate::crash::reached("supervisor.reaped");
    }

    pub(super) fn on_deadline(&mut self, serial: u64, now: Instant) {
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

    pub(super) fn sweep(&mut self) {
        self.sweep_at = None;
        if self.dying.is_empty() {
            return;
        }
        let dying = &self.dying;
        let unswept = match self
            .orphans
            .sweep(&self.alive, |serial| dying.contains(&serial))
        {
            Ok(unswept) => unswept,
            Err(error) => {
                self.journal
                    .note(&format!("cannot look for what jobs left behind: {error}"));
                vec![None]
            }
        };
        for serial in &self.dying {
            let is_open = unswept
                .iter()
                .any(|left| left.is_none_or(|left| left == *serial));
            let over = self
                .alive
                .by_serial
                .get_mut(serial)
                .and_then(|child| child.over.as_mut());
            if let (Some(over), false) = (over, is_open) {
                over.is_swept = true;
            }
        }
        if !unswept.is_empty() {
            self.sweep_at = Some(Instant::now() + SWEEP_AGAIN);
        }
    }

    pub(super) fn conclude(&mut self) {
        let is_complete = |child: &Child| {
            child.pipes.are_drained() && child.over.as_ref().is_some_and(|over| over.is_swept)
        };
        let by_serial = &self.alive.by_serial;
        let complete: Vec<u64> = (self.dying.iter().copied())
            .filter(|serial| by_serial.get(serial).is_none_or(is_complete))
            .collect();
        if complete.is_empty() {
            return;
        }
        for serial in complete {
            self.dying.remove(&serial);
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

    pub(super) fn record(&mut self) {
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
            self.recorded.insert(key.clone());
            self.notices.push(Notice::Exited { key, exit });
        }
    }
}
