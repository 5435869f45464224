//! Counts the words of a file, as `wc -w` does, and reports on the way.
//!
//! You see: the progress, a log line for every 200 lines read, then the results
//! `{"path": ..., "lines": ..., "words": ...}`. A file that is not there is an ERROR that names
//! it. If you cancel it, it says how far it came.
//!
//! The point: an action is a function that returns a `Result`. Its arguments and its results are
//! types of yours, and `main` turns the two cases into SUCCESS and ERROR.
//!
//! ```text
//! cargo build -p jobhook-server -p rust-word-count && export PATH="$PWD/target/debug:$PATH"
//! jobhook serve --config examples/jobhook.toml
//! jobhook launch WordCountRust --arguments '{"path": "/etc/services"}' --follow
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, bail};
use jobhook::{CancellationToken, Job};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: PathBuf,
}

#[derive(Serialize)]
struct Results {
    path: PathBuf,
    lines: u64,
    words: usize,
}

fn main() -> anyhow::Result<()> {
    let job = Job::from_env()?;
    cancel_on_sigterm(job.cancellation())?;
    match count(&job) {
        Ok(results) => job.succeed(&results)?,
        Err(error) => {
            let name = if job.is_cancelled() {
                "Cancelled"
            } else {
                "CannotCount"
            };
            job.fail(name, format!("{error:#}"))?;
            return Err(error);
        }
    }
    Ok(())
}

fn count(job: &Job) -> anyhow::Result<Results> {
    let Arguments { path } = job.arguments()?;
    let unreadable = || format!("cannot read {}", path.display());
    let file = File::open(&path).with_context(unreadable)?;
    let size_bytes = file.metadata().with_context(unreadable)?.len();
    let meter = job.meter(Some(size_bytes), Some("counting".to_owned()))?;

    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut lines, mut words) = (0, 0);
    while reader
        .read_until(b'\n', &mut line)
        .with_context(unreadable)?
        > 0
    {
        if job.is_cancelled() {
            bail!("asked to stop after {lines} lines");
        }
        lines += 1;
        words += String::from_utf8_lossy(&line).split_whitespace().count();
        meter.add(line.len() as u64);
        if lines % 200 == 0 {
            job.log(format!("{words} words in the first {lines} lines"))?;
        }
        line.clear();
    }
    meter.finish()?;
    Ok(Results { path, lines, words })
}

/// Takes SIGTERM as the wish to stop. A LocalRunner sends it when the action is cancelled, and it
/// would end the program at once, in the middle of a line.
fn cancel_on_sigterm(cancellation: CancellationToken) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut sigterm = signal(SignalKind::terminate())?;
    drop(entered);
    thread::spawn(move || {
        runtime.block_on(sigterm.recv());
        cancellation.cancel();
    });
    Ok(())
}
