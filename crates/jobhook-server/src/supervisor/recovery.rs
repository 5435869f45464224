//! Cleans up after a supervisor that died: what is left of its jobs is killed, then the runs are
//! recorded as lost. Nothing is ever started again from here.
//!
//! A run has an owner, the supervisor of some build; it is abandoned once that build's lock can
//! be taken. Its direct children died with it (PDEATHSIG); what may be left are descendants: those
//! of the job's process group, and those that left the group but carry id and attempt in their
//! environment.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::build::Build;
use super::clock::now_ms;
use super::lock::Lock;
use super::message::{End, Exit, RunKey};
use super::output::count_lines;
use super::process::{self, Environment, Process};
use super::run_dir::{Owner, Runs};
use super::socket;

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// Recovers every abandoned run in `data_dir`. `own` is the caller's build, whose lock it holds;
/// `boot` is where it lives.
pub(crate) fn recover_all(data_dir: &Path, runs: &Runs, own: &Build, boot: &str) -> io::Result<()> {
    recover_build(runs, own, boot)?;
    let mut others: BTreeSet<Build> = Build::found_in(data_dir)?.into_iter().collect();
    for key in runs.keys()? {
        if runs.exit(&key)?.is_some() {
            continue;
        }
        match runs.owner(&key) {
            Ok(owner) => others.extend(owner.map(|owner| owner.build)),
            // No crash of ours leaves this; a lost disk block may. Nobody can own it.
            Err(error) => {
                record_lost(
                    runs,
                    &[key],
                    &format!("its run directory is damaged: {error}"),
                )?;
            }
        }
    }
    others.remove(own);
    for build in others {
        if let Some(lock) = Lock::take(data_dir, &build)? {
            recover_build(runs, &build, boot)?;
            socket::remove(data_dir, &build);
            lock.remove();
        }
    }
    Ok(())
}

/// Recovers the unfinished runs of `build`, whose lock is held: none can end or begin meanwhile.
fn recover_build(runs: &Runs, build: &Build, boot: &str) -> io::Result<()> {
    let mut abandoned = Vec::new();
    for key in runs.keys()? {
        if runs.exit(&key)?.is_none()
            && let Ok(Some(owner)) = runs.owner(&key)
            && owner.build == *build
        {
            abandoned.push((key, owner));
        }
    }
    recover(runs, &abandoned, boot)?;
    runs.clear_staging(build)
}

/// Recovers one unfinished run of another build, if that build's supervisor is dead. Returns
/// whether it is.
pub(crate) fn recover_one(
    data_dir: &Path,
    runs: &Runs,
    key: &RunKey,
    owner: Owner,
    boot: &str,
) -> io::Result<bool> {
    let build = owner.build.clone();
    let Some(lock) = Lock::take(data_dir, &build)? else {
        return Ok(false);
    };
    // It may have ended, or been recovered, before the lock was ours.
    if runs.exit(key)?.is_none() && runs.owner(key)?.is_some() {
        recover(runs, &[(key.clone(), owner)], boot)?;
    }
    socket::remove(data_dir, &build);
    lock.remove();
    Ok(true)
}

fn recover(runs: &Runs, abandoned: &[(RunKey, Owner)], boot: &str) -> io::Result<()> {
    let mut left_behind = Vec::new();
    for (key, owner) in abandoned {
        if owner.boot == boot {
            left_behind.push((key, Process::parse(&runs.leader(key)?)));
        }
    }
    let deadline = Instant::now() + PATIENCE;
    // Again and again: a process may fork while its signal is on the way.
    while kill_remains(&left_behind)? && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    crate::crash::reached("supervisor.remains_killed");
    let keys: Vec<RunKey> = abandoned.iter().map(|(key, _)| key.clone()).collect();
    record_lost(
        runs,
        &keys,
        "the supervisor that watched it died, and took it along",
    )
}

/// Sends KILL to whatever is left of these runs; `false` if surely nothing is.
fn kill_remains(left_behind: &[(&RunKey, Option<Process>)]) -> io::Result<bool> {
    if left_behind.is_empty() {
        return Ok(false);
    }
    let own = std::process::id() as i32;
    let all: Vec<Process> = Process::all()?
        .into_iter()
        .filter(|process| !process.is_zombie && process.pid != own && process.pid != 1)
        .collect();
    let mut is_any_left = false;
    for process in &all {
        let named = match process::environment(process.pid) {
            Environment::Known(environment) => process::key_in(&environment),
            // It may be one of theirs that has just left their group, so it is looked at again.
            Environment::Changing => {
                is_any_left = true;
                None
            }
            Environment::Hidden => None,
        };
        let belongs = left_behind.iter().any(|(key, leader)| {
            leader.is_some_and(|leader| is_of_group(process, &leader, &all))
                || named.as_ref() == Some(*key)
        });
        if belongs {
            is_any_left = true;
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }
    Ok(is_any_left)
}

/// Whether `process` is of the group that `leader` once led. The number alone is no proof: if
/// all of the group were gone it may have been given to somebody else.
fn is_of_group(process: &Process, leader: &Process, all: &[Process]) -> bool {
    process.group == leader.pid
        && process.session == leader.session
        && process.started >= leader.started
        && all
            .iter()
            .all(|other| other.pid != leader.pid || other.started == leader.started)
}

pub(crate) fn record_lost(runs: &Runs, keys: &[RunKey], why: &str) -> io::Result<()> {
    let mut exits = Vec::new();
    for key in keys {
        exits.push((
            key.clone(),
            Exit {
                end: End::Lost(why.to_owned()),
                started_ms: None,
                ended_ms: now_ms(),
                usage: None,
                stopped: false,
                lines: count_lines(&runs.dir(key)).unwrap_or(0),
            },
        ));
    }
    // A server waits for just this, and stores it.
    runs.record_exits(&exits, false)
}
