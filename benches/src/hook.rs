//! (a) How many signed reports a second the server takes, each with a new log line, durable.
//!
//! Against the smaller of two limits of the same run: the [bare handler](crate::bare_handler)
//! under the same load, and sixteen times the rate of single-row commits of SQLite.

use std::time::{Duration, Instant};

use anyhow::Context;
use jobhook_protocol::{JobEnvironment, SecretKey};
use rusqlite::Connection;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::client::Client;
use crate::reporters;
use crate::server::Server;

/// How many reports one commit of the server should carry at least.
const GROUP: f64 = 16.0;

const ROUNDS: usize = 3;

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("round  jobhook/s  bare handler/s  SQLite commits/s  ratio");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let bare = bare_handler().await?;
        let jobhook = jobhook().await?;
        let commits = raw_commits()?;
        let ratio = jobhook / bare.min(GROUP * commits);
        println!("{round:>5}  {jobhook:>9.0}  {bare:>14.0}  {commits:>16.0}  {ratio:>5.2}");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "median ratio to min(bare handler, {GROUP} x SQLite commits): {:.2}",
        ratios[ROUNDS / 2]
    );
    Ok(())
}

/// The server under load from a job of its own.
async fn jobhook() -> anyhow::Result<f64> {
    let binary = std::env::current_exe()?;
    let server = Server::start(&format!(
        "[runners.load]\ntype = \"LocalRunner\"\nactions = [\"Reporters\"]\ncommand = {:?}\nargs = [\"reporters\"]\n",
        binary.display().to_string()
    ))
    .await?;
    let mut api = Client::connect(&server.url).await?;
    let launched = api
        .json(
            "POST",
            "/api/v1/actions",
            r#"{"type":"Reporters","arguments":{}}"#,
        )
        .await?;
    let path = format!(
        "/api/v1/actions/{}",
        launched["uuid"].as_str().context("a uuid")?
    );
    let action = loop {
        let action = api.json("GET", &path, "").await?;
        if action["closed"] == true {
            break action;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    server.stop().await?;
    action["results"]
        .as_f64()
        .with_context(|| format!("a rate in {action}"))
}

/// The same load on a handler that stores nothing.
async fn bare_handler() -> anyhow::Result<f64> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let job = JobEnvironment {
        id: "0192f0c1-2d3e-7f4a-8b5c-6d7e8f901234".into(),
        secret_key: SecretKey::from_text("bench")?,
        hook: format!("http://127.0.0.1:{port}/async"),
        orchestrator: None,
        attempt: Some(1),
        traceparent: None,
    };
    let binary = std::env::current_exe()?;
    let mut handler = Command::new(&binary)
        .arg("bare-handler")
        .envs(job.variables())
        .kill_on_drop(true)
        .spawn()?;
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The load is a process of its own here too, and of the class that jobs have.
    let rate = Command::new("chrt")
        .args(["--batch", "0"])
        .arg(&binary)
        .arg("load")
        .envs(job.variables())
        .output()
        .await
        .context("chrt is missing: apt-get install util-linux")?;
    handler.kill().await?;
    let text = String::from_utf8(rate.stdout)?;
    text.trim().parse().with_context(|| {
        format!(
            "a rate, not `{text}` {}",
            String::from_utf8_lossy(&rate.stderr)
        )
    })
}

/// How many single-row transactions a second SQLite commits here with `synchronous=FULL`.
pub(crate) fn raw_commits() -> anyhow::Result<f64> {
    const MEASURED: Duration = Duration::from_secs(3);
    let folder = tempfile::tempdir()?;
    let connection = Connection::open(folder.path().join("raw.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE lines (number INTEGER PRIMARY KEY, text TEXT);",
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO lines (text) VALUES ('a line of an ordinary length, as a job writes it')",
    )?;
    let begin = Instant::now();
    let mut commits = 0u32;
    while begin.elapsed() < MEASURED {
        insert.execute([])?;
        commits += 1;
    }
    Ok(f64::from(commits) / begin.elapsed().as_secs_f64())
}

/// Prints the rate of the load on the hook in the environment.
pub(crate) async fn print_load() -> anyhow::Result<()> {
    let job = JobEnvironment::read(|name| std::env::var(name).ok())?;
    println!("{}", reporters::load(&job).await?);
    Ok(())
}
