//! Processors that do not go to sleep.
//!
//! A virtual processor that has nothing to do is taken from the machine, and it takes some 50 µs
//! until it is there again, at each turn of a report: what is measured then is the host. A process
//! of the class `SCHED_IDLE` for each of them keeps them here; it stands back at once for whoever
//! has something to do.

use std::hint::black_box;
use std::thread::available_parallelism;

use anyhow::{Context, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

/// As long as this is there, none goes to sleep.
pub(crate) struct Awake {
    spinning: Vec<Child>,
}

impl Awake {
    pub(crate) fn begin() -> anyhow::Result<Awake> {
        let binary = std::env::current_exe()?;
        let spin = |_| {
            Command::new("chrt")
                .args(["--idle", "0"])
                .arg(&binary)
                .arg("spin")
                .kill_on_drop(true)
                .spawn()
                .context("chrt is missing: apt-get install util-linux")
        };
        let processors = available_parallelism()?.get();
        Ok(Awake {
            spinning: (0..processors).map(spin).collect::<Result<_, _>>()?,
        })
    }

    /// Whether they were all there until now.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        for spinning in &mut self.spinning {
            let ended = spinning.try_wait()?;
            ensure!(ended.is_none(), "chrt did not keep a processor awake");
        }
        Ok(())
    }
}

/// What each of its processes does, until the bench ends.
pub(crate) fn spin() -> anyhow::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
