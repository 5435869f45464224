//! What memory a file costs that is larger than any: it goes up with a launch, down into the job,
//! up again as its output, and down to who launched. Each way is one command of `jobhook`.
//!
//! It is the same content each time, and so there once; it is sent, hashed and written each time.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jobhook_protocol::Sha256Digester;
use tokio::process::Command;

use crate::memory::peak_kib;
use crate::server::{Server, beside};

/// The most memory that a server or a client may have, in KiB: 64 MB.
const MOST_KIB: u64 = 64_000_000 / 1024;

/// Moves a file of so many GiB, and fails if somebody needs too much memory for it.
pub(crate) async fn run(gib: &str) -> anyhow::Result<()> {
    let mib = gib.parse::<u64>().context("a number of GiB")? << 10;
    let binary = std::env::current_exe()?.display().to_string();
    let server = Server::start(&format!(
        "[files]\nmin_free = 0\n[runners.carry]\ntype = \"LocalRunner\"\nactions = [\"Carry\"]\n\
         command = {binary:?}\nargs = [\"carry\", \"${{workdir}}\"]\nenv = {{ TMPDIR = {:?} }}\n",
        std::env::temp_dir().display().to_string()
    ))
    .await?;
    let big = server.folder.path().join("big");
    let sha256 = {
        let big = big.clone();
        tokio::task::spawn_blocking(move || write(&big, mib)).await??
    };
    println!("{mib} MiB with the SHA-256 {sha256}");
    println!("way                     MiB/s  peak of the client");
    let at = |args: &[&str]| -> anyhow::Result<Command> {
        let mut command = Command::new(beside("jobhook")?);
        command.args(args).env("JOBHOOK_URL", &server.url);
        Ok(command)
    };
    let path = big.display().to_string();
    let launched = watched(
        "launch --file",
        at(&["launch", "Carry", "--file", &path])?,
        mib,
    )
    .await?;
    let id = launched.trim();
    std::fs::remove_file(&big)?;
    // The job prints its own part.
    let logged = at(&["logs", "--follow", id])?.status().await?;
    ensure!(logged.success(), "the job has failed");
    let out = server.folder.path().join("out");
    let download = ["files", id, "--download", &out.display().to_string()];
    let came = watched("files --download", at(&download)?, mib).await?;
    let came = Path::new(came.trim()).to_owned();
    let found = tokio::task::spawn_blocking(move || sum(&came)).await??;
    ensure!(found == sha256, "what came back has the SHA-256 {found}");
    let peak = peak_kib(server.pid()?)?;
    println!(
        "what came back is what was sent; peak of the server {:.1} MiB",
        mebi(peak)
    );
    ensure!(peak <= MOST_KIB, "the server needed more than 64 MB");
    server.stop().await
}

/// The job: takes the file, and leaves it.
///
/// - `folder`: where it may have it.
pub(crate) async fn carry(folder: &str) -> anyhow::Result<()> {
    let at = |args: &[&str]| -> anyhow::Result<Command> {
        let mut command = Command::new(beside("jobhook")?);
        command.args(args).current_dir(folder);
        Ok(command)
    };
    let path = Path::new(folder).join("big");
    // How many they are is known once they are here.
    let begun = Instant::now();
    let (_, peak) = watch(at(&["download", "0", "--out", "big"])?).await?;
    let mib = path.metadata()?.len() >> 20;
    tell("download, in the job", begun, mib, peak);
    watched("upload, in the job", at(&["upload", "big"])?, mib).await?;
    Ok(())
}

/// Runs a command, tells what it cost, and returns what it printed.
async fn watched(way: &str, command: Command, mib: u64) -> anyhow::Result<String> {
    let begun = Instant::now();
    let (printed, peak) = watch(command).await?;
    tell(way, begun, mib, peak);
    ensure!(peak <= MOST_KIB, "the client needed more than 64 MB");
    Ok(printed)
}

fn tell(way: &str, begun: Instant, mib: u64, peak: u64) {
    let rate = mib as f64 / begun.elapsed().as_secs_f64();
    println!("{way:<22} {rate:>6.0}  {:.1} MiB", mebi(peak));
}

fn mebi(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Runs a command; returns what it printed, a line or two, and its peak memory in KiB.
async fn watch(mut command: Command) -> anyhow::Result<(String, u64)> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let pid = child.id().context("it runs")?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        // One that ends in this moment has no figures any more.
        peak = peak.max(peak_kib(pid).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = child.wait_with_output().await?;
    ensure!(ended.status.success(), "{command:?}: {}", ended.status);
    Ok((String::from_utf8(ended.stdout)?, peak))
}

/// Writes a file that no compression makes smaller; returns its SHA-256.
fn write(path: &Path, mib: u64) -> anyhow::Result<String> {
    let mut file = File::create(path)?;
    let mut sum = Sha256Digester::new();
    let mut piece = vec![0; 1 << 20];
    // xorshift64: Marsaglia, "Xorshift RNGs".
    let mut drawn = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..mib {
        for word in piece.chunks_exact_mut(8) {
            drawn ^= drawn << 13;
            drawn ^= drawn >> 7;
            drawn ^= drawn << 17;
            word.copy_from_slice(&drawn.to_le_bytes());
        }
        sum.update(&piece);
        file.write_all(&piece)?;
    }
    Ok(sum.finish().to_string())
}

fn sum(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path)?;
    let mut sum = Sha256Digester::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sum.finish().to_string()),
            length => sum.update(&piece[..length]),
        }
    }
}
