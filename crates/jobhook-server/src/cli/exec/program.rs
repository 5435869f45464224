//! The program's process: its start, the signals to it, its end, and what it leaves behind.
//!
//! It leads a process group of its own, so that what asks it to end reaches what it started too. Its end is the
//! end of all of it, as under a LocalRunner: the rest of its group is killed, and what had left the group
//! falls to this process and is killed as well. What it writes is read elsewhere.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use jobhook_engine::attempt::Ending;
use jobhook_protocol::environment::{JOB_OUTPUT, JOB_SECRET_KEY, OUTPUT_STORED};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::supervisor::{End, OomCounter, descendants, failed_exec, next_dead, own_children, reap};

/// How often what it left is looked for: each time there may be what fell to us meanwhile.
const SWEEPS: usize = 100;

/// What is to be started, and how.
#[derive(Debug)]
pub(super) struct Start<'a> {
    /// The program and its arguments; never empty.
    pub(super) command: &'a [OsString],
    /// Where it starts.
    pub(super) directory: &'a Path,
    /// Whether its outputs are to be read here.
    pub(super) reports_lines: bool,
    /// Whether it is to be without the key.
    pub(super) withholds_key: bool,
}

/// The outputs that are to be read here.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

/// Why there is no program.
#[derive(Debug)]
pub(super) struct NotStarted {
    /// The exit code, as shells have it.
    pub(super) code: u8,
    /// What is wrong, as a lower-case fragment.
    pub(super) reason: String,
}

/// A program that was started.
#[derive(Debug)]
pub(super) struct Program {
    leader: Pid,
    oom: OomCounter,
    is_killed: bool,
}

impl Program {
    pub(super) fn start(start: Start<'_>) -> Result<(Program, Pipes), NotStarted> {
        // What it leaves behind falls to us. As process 1 it does anyway; elsewhere the kernel may
        // be too old, and then it falls to somebody else.
        let _ = prctl::set_child_subreaper(true);
        let (name, arguments) = start.command.split_first().ok_or_else(|| NotStarted {
            code: 127,
            reason: "no program was named".to_owned(),
        })?;
        let mut command = Command::new(name);
        command.args(arguments).process_group(0);
        if io::stdin().is_terminal() {
            // A group in the background that reads from its terminal is stopped, for ever.
            command.stdin(Stdio::null());
        }
        if start.reports_lines {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            // Of what it starts in turn nobody needs to report the output again.
            command.env(JOB_OUTPUT, OUTPUT_STORED);
        }
        if start.withholds_key {
            command.env_remove(JOB_SECRET_KEY);
            // It stays in the environment of this process, which others of the same user may
            // read unless the kernel keeps them from it.
            let _ = prctl::set_dumpable(false);
        }
        let oom = OomCounter::open();
        match command.spawn() {
            Ok(mut child) => {
                let pipes = Pipes {
                    stdout: child.stdout.take(),
                    stderr: child.stderr.take(),
                };
                let program = Program {
                    leader: Pid::from_raw(child.id().cast_signed()),
                    oom,
                    is_killed: false,
                };
                Ok((program, pipes))
            }
            Err(error) => Err(why_not(name, start.directory, &error)),
        }
    }

    /// Asks the whole group to end.
    pub(super) fn end(&self, signal: Signal) {
        // It may have ended a moment ago.
        let _ = killpg(self.leader, signal);
    }

    /// Tells the program something. What it started would mostly end of it.
    pub(super) fn tell(&self, signal: Signal) {
        let _ = kill(self.leader, signal);
    }

    /// Ends the whole group.
    pub(super) fn kill(&mut self) {
        self.is_killed = true;
        self.end(Signal::SIGKILL);
    }

    /// Takes the dead off the kernel's list: whatever fell to this process, and the program, whose
    /// end is told.
    pub(super) fn reap(&mut self) -> Option<Ending> {
        let mut ending = None;
        while let Some(dead) = next_dead() {
            if dead == self.leader {
                // Before it is reaped: until then the number of its group cannot be anybody else's.
                self.end(Signal::SIGKILL);
            }
            let Some(reaped) = reap(dead) else { break };
            if dead == self.leader {
                ending = Some(self.ending(reaped.end.map_err(|by| (by.number, by.core))));
            }
        }
        ending
    }

    fn ending(&mut self, end: Result<i32, (i32, bool)>) -> Ending {
        Ending::from(match end {
            Ok(code) => End::Code(code),
            Err((number, core)) => {
                let is_kill = number == Signal::SIGKILL as i32 && !self.is_killed;
                let oom = is_kill && self.oom.explains_a_kill();
                End::Signal { number, core, oom }
            }
        })
    }

    /// Kills what the program left behind. Called once it has ended, on the thread that started it.
    pub(super) fn end_leftovers(&self) {
        for _ in 0..SWEEPS {
            let children = own_children().unwrap_or_default();
            if children.is_empty() {
                return;
            }
            for process in descendants(&children).unwrap_or_default() {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            while next_dead().and_then(reap).is_some() {}
            std::thread::yield_now();
        }
    }
}

fn why_not(program: &OsString, directory: &Path, error: &io::Error) -> NotStarted {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let program = program.to_string_lossy();
    let is_there = program.contains('/') && directory.join(&*program).exists();
    let code = match errno {
        Errno::ENOENT if !is_there => 127,
        _ => 126,
    };
    let reason = match errno {
        Errno::EAGAIN | Errno::ENOMEM => {
            format!("`{program}` could not be started: no room for another process")
        }
        Errno::EMFILE | Errno::ENFILE => {
            format!("`{program}` could not be started: too many open files")
        }
        errno => failed_exec(&program, &directory.to_string_lossy(), errno, error),
    };
    NotStarted { code, reason }
}
