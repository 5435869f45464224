//! Memory of processes, from `/proc`.

use std::fs;

/// Resident memory that is the process's own, in KiB: what its pages cost, each shared page
/// by its share (`Pss` of `smaps_rollup`).
pub(crate) fn pss_kib(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    Ok(line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .map(str::trim)
        .unwrap_or("0")
        .parse()?)
}

/// Resident memory, in KiB (`VmRSS`).
pub(crate) fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    figure(pid, "VmRSS:")
}

/// The most resident memory that there ever was, in KiB (`VmHWM`).
pub(crate) fn peak_kib(pid: u32) -> anyhow::Result<u64> {
    figure(pid, "VmHWM:")
}

fn figure(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .map(str::trim)
        .unwrap_or("0")
        .parse()?)
}

/// The processes whose command line contains `needle`.
pub(crate) fn processes_with(needle: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| contains(&line, needle.as_bytes()))
        })
        .collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
