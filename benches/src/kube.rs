//! 500 actions launched at once on a KubeRunner: how fast their Jobs are created, how often the
//! cluster is watched, what the server's memory does, and whether every verdict is right.
//!
//! The cluster is the one of the server's tests, in this program: it speaks real HTTP and runs each
//! container as a process of this machine.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::fake_cluster::{FakeCluster, Request};
use crate::memory::{peak_kib, rss_kib};
use crate::server::Server;

const ACTIONS: usize = 500;
/// Before anything is measured: whatever is made once is made by then.
const FIRST: usize = 50;
const ROUNDS: usize = 8;
/// Jobs a second, as the runner is configured.
const RATE: usize = 20;

pub(crate) async fn run() -> anyhow::Result<()> {
    let cluster = FakeCluster::start();
    let folder = tempfile::tempdir()?;
    let kubeconfig = cluster.kubeconfig_in(folder.path(), "default");
    let server = Server::start(&format!(
        "[runners.kube]\ntype = \"KubeRunner\"\nactions = [\"Pod\"]\nconfig = {:?}\nnamespace = \"default\"\n\
         image = \"busybox\"\nconcurrency = {ACTIONS}\ncreation_rate = {RATE}\n\
         command = [\"sh\", \"-c\", \"echo line $0; exit $1\", \"${{arguments.number}}\", \"${{arguments.code}}\"]\n",
        kubeconfig.display().to_string()
    ))
    .await?;
    let mut api = Client::connect(&server.url).await?;
    round(&mut api, FIRST).await?;
    let pid = server.pid()?;
    println!(
        "server after {FIRST} actions: {:.1} MiB resident",
        mib(rss_kib(pid)?)
    );
    println!("round  seconds  most Jobs in a second  open watches  resident MiB  verdicts");
    for number in 1..=ROUNDS {
        let from = cluster.requests().len();
        let begin = Instant::now();
        let right = round(&mut api, ACTIONS).await?;
        let seconds = begin.elapsed().as_secs_f64();
        let requests = cluster.requests();
        let most = most_in_a_second(&requests[from..]);
        let watches = open_watches(&requests);
        println!(
            "{number:>5}  {seconds:>7.1}  {most:>21}  {watches:>12}  {:>12.1}  {right} of {ACTIONS}",
            mib(rss_kib(pid)?)
        );
        ensure!(right == ACTIONS, "every verdict is right");
        // As at the end of their time to live: the cluster of the tests looks at all it has for each
        // change, and would be what is measured.
        for resource in ["jobs", "events"] {
            for object in cluster.objects(resource, "default") {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                cluster.delete_object(resource, "default", name);
            }
        }
    }
    println!("most memory ever: {:.1} MiB", mib(peak_kib(pid)?));
    server.stop().await
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// How an action with this number is to end.
fn code(number: usize) -> usize {
    number % 3
}

/// Launches so many in one request and waits for the end of each; says how many ended rightly.
async fn round(api: &mut Client, count: usize) -> anyhow::Result<usize> {
    let launches: Vec<Value> = (0..count)
        .map(|number| {
            let arguments = json!({"number": number.to_string(), "code": code(number).to_string()});
            json!({"type": "Pod", "arguments": arguments})
        })
        .collect();
    let launched = api
        .json(
            "POST",
            "/api/v1/actions",
            &serde_json::to_string(&launches)?,
        )
        .await?;
    let launched = launched.as_array().or(launched["actions"].as_array());
    let launched = launched.context("a list of what was launched")?;
    ensure!(launched.len() == count, "all of them were launched");
    let mut right = 0;
    for (number, action) in launched.iter().enumerate() {
        let id = action["uuid"].as_str().context("a uuid")?;
        let action = closed(api, id).await?;
        let status = if code(number) == 0 {
            "SUCCESS"
        } else {
            "ERROR"
        };
        let log = api
            .json("GET", &format!("/api/v1/actions/{id}/logs"), "")
            .await?;
        let wrote = |line: &&Value| line["text"] == format!("line {number}");
        let lines = log["lines"].as_array().into_iter().flatten();
        let saw = action["witness"]["saw"].as_str().unwrap_or_default();
        let told = saw.ends_with(&format!("code {}", code(number)));
        if action["status"] == status && told && lines.filter(wrote).count() == 1 {
            right += 1;
        } else {
            println!("wrong: {action}");
        }
    }
    Ok(right)
}

async fn closed(api: &mut Client, id: &str) -> anyhow::Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        let action = api
            .json("GET", &format!("/api/v1/actions/{id}"), "")
            .await?;
        if action["closed"] == true {
            return Ok(action);
        }
        ensure!(Instant::now() < deadline, "it never ends: {action}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The most Jobs that were created within any one second.
fn most_in_a_second(requests: &[Request]) -> usize {
    let created = |request: &&Request| request.verb == "create" && request.resource == "jobs";
    let times: Vec<Instant> = requests
        .iter()
        .filter(created)
        .map(|request| request.at)
        .collect();
    let within = |(index, begin): (usize, &Instant)| {
        times[index..]
            .iter()
            .take_while(|time| **time - *begin < Duration::from_secs(1))
            .count()
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

/// How many watches are under way, as `jobs 1, pods 1`.
fn open_watches(requests: &[Request]) -> String {
    let open = |resource: &str| {
        let watches = requests.iter().filter(|request| {
            request.verb == "watch" && request.open && request.resource == resource
        });
        format!("{resource} {}", watches.count())
    };
    format!("{}, {}", open("jobs"), open("pods"))
}
