//! (c) What a running child costs in memory, in supervisor and server together; and an idle
//! server.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::client::Client;
use crate::memory::{processes_with, pss_kib, rss_kib};
use crate::server::Server;

const CHILDREN: usize = 2_000;

pub(crate) async fn run() -> anyhow::Result<()> {
    let server = Server::start(
        "[runners.sleep]\ntype = \"LocalRunner\"\nactions = [\"Sleep\"]\ncommand = \"sleep\"\nargs = [\"3600\"]\nconcurrency = 4000\ngrace = \"1s\"\n\n[runners.true]\ntype = \"LocalRunner\"\nactions = [\"True\"]\ncommand = \"/bin/true\"\n",
    )
    .await?;
    let mut api = Client::connect(&server.url).await?;
    println!(
        "idle server: {:.1} MiB resident",
        rss_kib(server.pid()?)? as f64 / 1024.0
    );
    // One job, so that the supervisor is there and everything has run once.
    launch(&mut api, "True", 1).await?;
    wait(&mut api, "SUCCESS", 1).await?;
    let before = total_kib(&server)?;

    launch(&mut api, "Sleep", CHILDREN).await?;
    wait(&mut api, "RUNNING", CHILDREN).await?;
    let after = total_kib(&server)?;
    let each = after.saturating_sub(before) as f64 / CHILDREN as f64;
    println!("supervisor and server: {before} KiB without children, {after} KiB with {CHILDREN}");
    println!("each running child: {each:.1} KiB");

    for action in list(&mut api, "RUNNING").await? {
        api.json("POST", &format!("/api/v1/actions/{action}/cancel"), "{}")
            .await?;
    }
    wait(&mut api, "CANCELLED", CHILDREN).await?;
    server.stop().await?;
    Ok(())
}

async fn launch(api: &mut Client, action_type: &str, count: usize) -> anyhow::Result<()> {
    for page in vec![json!({"type": action_type}); count].chunks(500) {
        api.json("POST", "/api/v1/actions", &serde_json::to_string(page)?)
            .await?;
    }
    Ok(())
}

async fn list(api: &mut Client, status: &str) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api
            .json(
                "GET",
                &format!("/api/v1/actions?status={status}&limit=1000{cursor}"),
                "",
            )
            .await?;
        for action in page["actions"].as_array().into_iter().flatten() {
            ids.extend(action["uuid"].as_str().map(str::to_owned));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}

async fn wait(api: &mut Client, status: &str, count: usize) -> anyhow::Result<()> {
    // Ten minutes: only a hang gets there.
    for _ in 0..3_000 {
        if list(api, status).await?.len() >= count {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(false, "{count} actions did not become {status}");
    Ok(())
}

/// Memory of the server and of every supervisor on its data directory.
fn total_kib(server: &Server) -> anyhow::Result<u64> {
    let data_dir = server.data_dir().canonicalize()?.display().to_string();
    let mut total = pss_kib(server.pid()?)?;
    let supervisors = processes_with(&data_dir);
    ensure!(supervisors.len() > 1, "a supervisor is running");
    for pid in supervisors {
        if pid != server.pid()? {
            total += pss_kib(pid)?;
        }
    }
    Ok(total)
}
