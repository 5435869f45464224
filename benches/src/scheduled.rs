//! (e) What a million actions that wait for their time cost: an idle server's processor time, and
//! how late those that are due begin. The same without them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::client::Client;
use crate::operations::{CONFIG, NOW, at};
use crate::processor;
use crate::server::Server;

const WAITING: usize = 1_000_000;
const DUE: usize = 500;
/// Stored in one request.
const PAGE: usize = 1_000;
const IDLE: Duration = Duration::from_secs(20);
/// From now to when the due ones are due.
const AHEAD: Duration = Duration::from_secs(3);

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("  waiting  idle CPU  begun late: p50      p99  last of {DUE}");
    for waiting in [0, WAITING] {
        let server = Server::embedded(CONFIG).await?;
        let mut api = Client::connect(&server.url).await?;
        let in_a_year = since_epoch()? + Duration::from_secs(365 * 86_400);
        launch(&mut api, waiting, in_a_year).await?;
        let cpu = idle_cpu(&server).await?;
        let mut late = lateness(&mut api).await?;
        late.sort_unstable();
        println!(
            "{waiting:>9}  {:>7.2}%  {:>13.1} ms  {:>4.1} ms  {:>8.1} ms",
            cpu * 100.0,
            at(&late, 0.5),
            at(&late, 0.99),
            at(&late, 1.0)
        );
        server.stop().await?;
    }
    Ok(())
}

/// Launches so many for one time.
async fn launch(api: &mut Client, count: usize, time: Duration) -> anyhow::Result<()> {
    let at_ms = u64::try_from(time.as_millis())?;
    let mut left = count;
    while left > 0 {
        let page = vec![json!({"operationId": NOW, "scheduled": at_ms}); left.min(PAGE)];
        api.json("POST", "/api/v1/actions", &serde_json::to_string(&page)?)
            .await?;
        left -= page.len();
    }
    Ok(())
}

/// The share of one processor that the server takes while nothing is due.
async fn idle_cpu(server: &Server) -> anyhow::Result<f64> {
    // What the launches left to do is done by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = processor::time(server.pid()?)?;
    tokio::time::sleep(IDLE).await;
    let took = processor::time(server.pid()?)? - before;
    Ok(took.as_secs_f64() / IDLE.as_secs_f64())
}

/// How long after their time the due ones began.
async fn lateness(api: &mut Client) -> anyhow::Result<Vec<Duration>> {
    // To a second, since the server rounds down.
    let due = Duration::from_secs((since_epoch()? + AHEAD).as_secs());
    launch(api, DUE, due).await?;
    loop {
        let path = format!("/api/v1/actions?status=SUCCESS&limit={DUE}");
        let done = api.json("GET", &path, "").await?;
        let done = done["actions"].as_array().context("a list")?;
        if done.len() == DUE {
            return done
                .iter()
                .map(|action| {
                    let began = action["results"].as_u64().context("nanoseconds")?;
                    let began = Duration::from_nanos(began);
                    ensure!(began >= due, "nothing begins before its time: {action}");
                    Ok(began - due)
                })
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn since_epoch() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}
