//! The load: 32 connections, each a reporter that posts signed `v1` reports with a new log
//! line as fast as they are answered.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use jobhook_protocol::{JobEnvironment, sign_v1};

use crate::client::Client;

/// How many connections.
pub(crate) const CONNECTIONS: usize = 32;

const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);

/// Reports with the identity of `job` for a while; returns reports a second.
pub(crate) async fn load(job: &JobEnvironment) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let reporters: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(report(job.clone(), number, begin)))
        .collect();
    let mut counted = 0;
    for reporter in reporters {
        counted += reporter.await??;
    }
    Ok(counted as f64 / MEASURED.as_secs_f64())
}

/// One reporter; returns how many of its reports were answered in the measured time.
async fn report(job: JobEnvironment, number: usize, begin: Instant) -> anyhow::Result<u64> {
    let mut client = Client::connect(&job.hook).await?;
    let (mut seq, mut counted) = (0u64, 0);
    loop {
        let elapsed = begin.elapsed();
        if elapsed >= WARM_UP + MEASURED {
            return Ok(counted);
        }
        seq += 1;
        let body = format!(
            r#"{{"status":"RUNNING","logs":["reporter {number} writes its line {seq}, of an ordinary length"],"reporter":"r{number}","seq":{seq}}}"#
        );
        post(&mut client, &job, &body).await?;
        if elapsed >= WARM_UP {
            counted += 1;
        }
    }
}

/// Posts one signed report, and expects it to be taken.
async fn post(client: &mut Client, job: &JobEnvironment, body: &str) -> anyhow::Result<()> {
    let hook = job.hook.find("/async").map(|at| &job.hook[at..]);
    let path = format!("{}/status", hook.context("a hook under /async")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let time = now.as_millis().to_string();
    let (hash, signature) = sign_v1(
        &job.secret_key,
        &job.id,
        &time,
        "POST",
        "/status",
        body.as_bytes(),
    );
    let headers = format!(
        "X-Job-Id: {}\r\nX-Job-Time: {time}\r\nX-Job-Hash: {hash}\r\nX-Job-Signature: {signature}\r\n",
        job.id
    );
    let (status, answer) = client.send("POST", &path, &headers, body).await?;
    ensure!(status == 200, "{status} {answer}");
    Ok(())
}

/// Runs the load as a job of the server under test, and reports the rate as its results.
pub(crate) async fn run_as_job() -> anyhow::Result<()> {
    let job = JobEnvironment::read(|name| std::env::var(name).ok())?;
    let rate = load(&job).await?;
    let body = format!(r#"{{"status":"SUCCESS","results":{rate},"reporter":"sum","seq":1}}"#);
    post(&mut Client::connect(&job.hook).await?, &job, &body).await
}
