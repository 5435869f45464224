//! What a job says, all of it, for a check against a foreign server: see
//! `conformance/interop/README.md`.
//!
//! The first argument picks what it does: `work` logs the lines it was launched with and
//! succeeds, `fail` fails with the first of them, `until-stopped` reports until it is stopped.

use std::time::Duration;

use jobhook::{Error, Job, Report};
use serde::Deserialize;
use serde_json::json;

/// No answer is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Arguments {
    lines: Vec<String>,
}

fn main() -> Result<(), Error> {
    let job = Job::from_env()?;
    let Arguments { lines } = job.arguments()?;
    match std::env::args().nth(1).as_deref() {
        Some("fail") => job.fail("Refused", lines.first().map_or("", String::as_str)),
        Some("until-stopped") => {
            let mut said = 0;
            while !job.is_cancelled() {
                said += 1;
                job.report(Report::new().progress(said, None)?)?
                    .wait(LIMIT)?;
            }
            job.fail("Cancelled", "asked to stop")
        }
        _ => {
            job.message("counting")?;
            for (number, line) in lines.iter().enumerate() {
                job.log(line)?;
                job.progress(number + 1, lines.len())?;
            }
            job.succeed(&json!({ "lines": lines.len(), "last": lines.last() }))
        }
    }
}
