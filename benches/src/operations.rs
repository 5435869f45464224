//! (d) How many operations a second go from launch to SUCCESS inside the server, and how soon an
//! idle server starts one.
//!
//! 10,000 operations that do nothing are launched one by one by 32 clients. The smaller of two
//! limits of the same run: five times the single-row commits of SQLite, and a fifth of what an
//! axum handler that answers 201 does under the same generator.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::post;
use jobhook::{Job, Operations};
use serde_json::Value;

use crate::client::Client;
use crate::hook::raw_commits;
use crate::processor;
use crate::server::Server;

/// The same number for each client.
const OPERATIONS: usize = 313 * CLIENTS;
const CLIENTS: usize = 32;
const IDLE_LAUNCHES: usize = 300;
const ROUNDS: usize = 3;
/// The operation that does nothing.
const NOTHING: &str = "Bench.Nothing";
/// The operation that computes and never waits.
const COMPUTE: &str = "Bench.Compute";
const COMPUTES: Duration = Duration::from_secs(8);
/// As many as a ServiceRunner has.
const THREADS: usize = 4;
/// The operation that returns the time, in nanoseconds since the Unix epoch.
pub(crate) const NOW: &str = "Bench.Now";
/// What a commit carries at least.
const GROUP: f64 = 5.0;
/// What a handler that stores nothing may be faster.
const HANDLER: f64 = 5.0;

pub(crate) const CONFIG: &str = "[runners.service]\ntype = \"ServiceRunner\"\nconcurrency = 1000\n";

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("round  operations/s  µs of processor each  handler/s  SQLite commits/s  ratio");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let handler = handler().await?;
        let (jobhook, cost) = throughput().await?;
        let commits = raw_commits()?;
        let ratio = jobhook / (GROUP * commits).min(handler / HANDLER);
        println!(
            "{round:>5}  {jobhook:>12.0}  {:>20.0}  {handler:>9.0}  {commits:>16.0}  {ratio:>5.2}",
            cost.as_secs_f64() * 1e6
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median ratio to min({GROUP} x SQLite commits, handler / {HANDLER}): {:.2}",
        ratios[ROUNDS / 2]
    );
    let syncs = fdatasyncs()?;
    let mut starts = starts().await?;
    starts.sort_unstable();
    println!(
        "idle launch to first instruction: p50 {:.2} ms, p99 {:.2} ms; two fdatasyncs {:.2} ms; ratio {:.2}",
        at(&starts, 0.50),
        at(&starts, 0.99),
        2.0 * syncs * 1e3,
        at(&starts, 0.50) / 1e3 / (2.0 * syncs)
    );
    health().await
}

/// How long `/healthz` takes to answer, idle and beside operations that compute without a pause
/// on all threads that there are for operations.
async fn health() -> anyhow::Result<()> {
    let server = Server::embedded(CONFIG).await?;
    let mut api = Client::connect(&server.url).await?;
    let idle = answers(&mut api).await?;
    for _ in 0..THREADS {
        api.json("POST", "/api/v1/actions", &body(COMPUTE)).await?;
    }
    let beside = answers(&mut api).await?;
    println!(
        "/healthz: idle p50 {:.2} ms, p99 {:.2} ms; beside {THREADS} operations that compute p50 {:.2} ms, p99 {:.2} ms",
        at(&idle, 0.5),
        at(&idle, 0.99),
        at(&beside, 0.5),
        at(&beside, 0.99)
    );
    server.stop().await
}

async fn answers(api: &mut Client) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    let until = Instant::now() + COMPUTES / 2;
    while Instant::now() < until {
        let begin = Instant::now();
        api.json("GET", "/healthz", "").await?;
        took.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took.sort_unstable();
    Ok(took)
}

/// A share of sorted durations is below this, in milliseconds.
pub(crate) fn at(sorted: &[Duration], share: f64) -> f64 {
    sorted[(share * (sorted.len() - 1) as f64) as usize].as_secs_f64() * 1e3
}

/// What launches an operation.
fn body(operation: &str) -> String {
    format!(r#"{{"operationId":"{operation}"}}"#)
}

async fn compute() -> Result<(), jobhook::Failure> {
    let until = Instant::now() + COMPUTES;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok(())
}

/// The server with the operations of this bench, in a process of its own.
pub(crate) fn serve() -> ExitCode {
    jobhook_server::cli::main_with(
        Operations::new()
            .operation(
                NOTHING,
                async |_: Job, (): ()| Ok::<_, jobhook::Failure>(()),
            )
            .operation(COMPUTE, async |_: Job, (): ()| compute().await)
            .operation(NOW, async |_: Job, (): ()| now().await),
    )
}

async fn now() -> Result<u64, jobhook::Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)))
}

/// Operations a second, and what each costs the server.
async fn throughput() -> anyhow::Result<(f64, Duration)> {
    let server = Server::embedded(CONFIG).await?;
    launch(&server.url, CLIENTS).await?;
    let (begin, before) = (Instant::now(), processor::time(server.pid()?)?);
    launch(&server.url, OPERATIONS).await?;
    let mut api = Client::connect(&server.url).await?;
    while unfinished(&mut api).await? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = OPERATIONS as f64 / begin.elapsed().as_secs_f64();
    let took = processor::time(server.pid()?)? - before;
    count_successes(&mut api, CLIENTS + OPERATIONS).await?;
    server.stop().await?;
    Ok((rate, took / OPERATIONS as u32))
}

/// Launches so many, one by one, from all clients at once.
async fn launch(url: &str, count: usize) -> anyhow::Result<()> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let url = url.to_owned();
            tokio::spawn(async move {
                let mut client = Client::connect(&url).await?;
                for _ in 0..count / CLIENTS {
                    let (path, body) = ("/api/v1/actions", body(NOTHING));
                    let (status, answer) = client.send("POST", path, "", &body).await?;
                    ensure!(status == 201, "{status} {answer}");
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(())
}

async fn unfinished(api: &mut Client) -> anyhow::Result<bool> {
    let path = "/api/v1/actions?status=QUEUED,STARTING,RUNNING&limit=1";
    let live = api.json("GET", path, "").await?;
    let live = live["actions"].as_array().context("a list")?;
    Ok(!live.is_empty())
}

/// None lost, none twice: each is there once, as a success of its first attempt.
async fn count_successes(api: &mut Client, wanted: usize) -> anyhow::Result<()> {
    let mut seen = std::collections::HashSet::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/actions?status=SUCCESS&limit=1000{cursor}");
        let page = api.json("GET", &path, "").await?;
        for action in page["actions"].as_array().context("a list")? {
            ensure!(action["attempt"] == 1, "one try each: {action}");
            seen.insert(action["uuid"].as_str().unwrap_or_default().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(
        seen.len() == wanted,
        "{} of {wanted} are SUCCESS",
        seen.len()
    );
    Ok(())
}

/// The same load on a handler that answers 201 and does nothing.
async fn handler() -> anyhow::Result<f64> {
    let binary = std::env::current_exe()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let mut handler = tokio::process::Command::new(binary)
        .args(["created-handler", &port.to_string()])
        .kill_on_drop(true)
        .spawn()?;
    while tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let url = format!("http://127.0.0.1:{port}");
    launch(&url, OPERATIONS).await?;
    let begin = Instant::now();
    launch(&url, 5 * OPERATIONS).await?;
    let rate = (5 * OPERATIONS) as f64 / begin.elapsed().as_secs_f64();
    handler.kill().await?;
    Ok(rate)
}

/// The other end of [`handler`].
pub(crate) async fn serve_created(port: &str) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let created = || async {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (
            StatusCode::CREATED,
            json,
            r#"{"uuid":"0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234"}"#,
        )
    };
    axum::serve(
        listener,
        Router::new().route("/api/v1/actions", post(created)),
    )
    .await?;
    Ok(())
}

/// The median of what it takes to append a page to a file and have it on the disk, in seconds.
fn fdatasyncs() -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("log"))?;
    let page = [0x5a; 4096];
    let mut took = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        took.push(begin.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}

/// From just before the request to the operation's first instruction, one launch at a time.
async fn starts() -> anyhow::Result<Vec<Duration>> {
    let server = Server::embedded(CONFIG).await?;
    let mut api = Client::connect(&server.url).await?;
    let mut starts = Vec::new();
    for _ in 0..IDLE_LAUNCHES {
        let launched_at = SystemTime::now();
        let action = api.json("POST", "/api/v1/actions", &body(NOW)).await?;
        let path = format!(
            "/api/v1/actions/{}",
            action["uuid"].as_str().context("a uuid")?
        );
        let began = loop {
            let action = api.json("GET", &path, "").await?;
            if let (Value::Number(nanos), true) = (&action["results"], action["closed"] == true) {
                break Duration::from_nanos(nanos.as_u64().context("nanoseconds")?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let began_at = UNIX_EPOCH + began;
        starts.push(began_at.duration_since(launched_at).unwrap_or_default());
    }
    server.stop().await?;
    Ok(starts)
}
