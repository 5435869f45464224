//! (b) How many jobs a second go from launch to close, and how soon an idle server starts
//! one.
//!
//! Against a bare loop that spawns `/bin/true` and waits for it, on both cores.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::client::Client;
use crate::server::Server;

const JOBS: usize = 3_000;
const IDLE_LAUNCHES: usize = 200;
const ROUNDS: usize = 3;

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("round  jobhook jobs/s  bare spawns/s  ratio");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let bare = tokio::task::spawn_blocking(bare_spawns).await?;
        let jobhook = throughput().await?;
        println!(
            "{round:>5}  {jobhook:>14.0}  {bare:>13.0}  {:>5.2}",
            jobhook / bare
        );
        ratios.push(jobhook / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median ratio to bare spawn and wait: {:.2}",
        ratios[ROUNDS / 2]
    );
    let mut latencies = first_instructions().await?;
    latencies.sort_unstable();
    let at =
        |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    println!(
        "idle launch to first instruction: p50 {:.1} ms, p99 {:.1} ms",
        at(0.50),
        at(0.99)
    );
    Ok(())
}

/// Two threads that spawn and wait, for three seconds.
fn bare_spawns() -> f64 {
    const MEASURED: Duration = Duration::from_secs(3);
    let spawn_all = || {
        let begin = Instant::now();
        let mut count = 0u32;
        while begin.elapsed() < MEASURED {
            // The standard library takes posix_spawn where nothing runs between fork and exec.
            if Command::new("/bin/true")
                .status()
                .is_ok_and(|status| status.success())
            {
                count += 1;
            }
        }
        f64::from(count) / begin.elapsed().as_secs_f64()
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(spawn_all), scope.spawn(spawn_all)];
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .sum()
    })
}

/// Launches many at once and waits until all are closed.
async fn throughput() -> anyhow::Result<f64> {
    let server = Server::start(
        "[runners.true]\ntype = \"LocalRunner\"\nactions = [\"True\"]\ncommand = \"/bin/true\"\n",
    )
    .await?;
    let mut api = Client::connect(&server.url).await?;
    // One first, so that the supervisor is there.
    launch_all(&mut api, 1).await?;
    wait_all(&mut api, 1).await?;
    let begin = Instant::now();
    launch_all(&mut api, JOBS).await?;
    wait_all(&mut api, JOBS + 1).await?;
    let rate = JOBS as f64 / begin.elapsed().as_secs_f64();
    server.stop().await?;
    Ok(rate)
}

async fn launch_all(api: &mut Client, count: usize) -> anyhow::Result<()> {
    let launches = vec![json!({"type": "True"}); count];
    for page in launches.chunks(500) {
        api.json("POST", "/api/v1/actions", &serde_json::to_string(page)?)
            .await?;
    }
    Ok(())
}

/// Waits until nothing is live and the newest `count` are closed successes.
async fn wait_all(api: &mut Client, count: usize) -> anyhow::Result<()> {
    loop {
        let live = api
            .json(
                "GET",
                "/api/v1/actions?status=QUEUED,STARTING,RUNNING&limit=1",
                "",
            )
            .await?;
        if live["actions"].as_array().is_some_and(Vec::is_empty) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let done = api
        .json(
            "GET",
            &format!("/api/v1/actions?status=SUCCESS&limit={}", count.min(1000)),
            "",
        )
        .await?;
    let closed = done["actions"]
        .as_array()
        .context("a list")?
        .iter()
        .filter(|action| action["closed"] == true);
    let closed = closed.count();
    ensure!(
        closed == count.min(1000),
        "{closed} of {count} closed as SUCCESS"
    );
    Ok(())
}

/// From just before the request to the job's first instruction, one launch at a time.
async fn first_instructions() -> anyhow::Result<Vec<Duration>> {
    let binary = std::env::current_exe()?;
    let server = Server::start(&format!(
        "[runners.first]\ntype = \"LocalRunner\"\nactions = [\"First\"]\ncommand = {:?}\nargs = [\"first-instruction\", \"${{arguments.file}}\"]\n",
        binary.display().to_string()
    ))
    .await?;
    let mut api = Client::connect(&server.url).await?;
    let mut latencies = Vec::new();
    for number in 0..=IDLE_LAUNCHES {
        let file = server.folder.path().join(format!("first-{number}"));
        let body = json!({"type": "First", "arguments": {"file": file}}).to_string();
        let launched_at = SystemTime::now();
        let action = api.json("POST", "/api/v1/actions", &body).await?;
        let path = format!(
            "/api/v1/actions/{}",
            action["uuid"].as_str().context("a uuid")?
        );
        while api.json("GET", &path, "").await?["closed"] != true {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let nanos: u64 = std::fs::read_to_string(&file)?.trim().parse()?;
        let began_at = UNIX_EPOCH + Duration::from_nanos(nanos);
        if number > 0 {
            // The first one also starts the supervisor.
            latencies.push(began_at.duration_since(launched_at).unwrap_or_default());
        }
    }
    server.stop().await?;
    Ok(latencies)
}

/// What the job of [`first_instructions`] does: writes the time.
pub(crate) fn note_first_instruction(file: &str) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut file = std::fs::File::create(file)?;
    writeln!(file, "{}", now.as_nanos())?;
    Ok(())
}
