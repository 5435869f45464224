//! Processor time of processes, from `/proc`.

use std::time::Duration;

use anyhow::Context;

/// What a process has used, in user and system mode, to 10 ms.
pub(crate) fn time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, and ends with the last parenthesis.
    let fields = stat.rsplit(") ").next().context("fields")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // A tick is 10 ms on Linux, whatever the kernel's own clock.
    Ok(Duration::from_millis(10 * ticks))
}
