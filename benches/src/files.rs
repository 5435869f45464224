//! What files cost: small ones a second, and a gigabyte down to curl.
//!
//! Small files go up by the handshake (two requests each), from a job of the server;
//! against as many threads that create, write, `fsync` and rename files, and `fsync` their
//! directory, on the same file system. A gigabyte comes down by curl, from the server and from
//! nginx. What the wheel costs is measured in `benches/python`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use jobhook_protocol::{Digester, JobEnvironment, Sha256Digester, sign_v1};
use md5::{Digest, Md5};
use tempfile::TempDir;
use tokio::process::Command;

use crate::client::Client;
use crate::server::Server;

const ROUNDS: usize = 3;

/// How many connections send small files, and how many threads write them.
const CONNECTIONS: usize = 16;

/// How many bytes a small file has.
const SMALL: usize = 4096;

const MEASURED: Duration = Duration::from_secs(5);

/// How many bytes a big file has.
const BIG: usize = 1 << 30;

const MIB: f64 = (1 << 20) as f64;

pub(crate) async fn run() -> anyhow::Result<()> {
    println!("round  files/s  written files/s  ratio");
    let mut ratios = Vec::new();
    // What is deleted between the rounds would slow down the next: ext4 without a journal looks
    // past every inode that was freed within the last minute, each time it needs one.
    let mut kept = Vec::new();
    for round in 1..=ROUNDS {
        let (jobhook, folder) = small_files().await?;
        kept.push(folder);
        let (written, folder) = tokio::task::spawn_blocking(written_files).await??;
        kept.push(folder);
        let ratio = jobhook / written;
        println!("{round:>5}  {jobhook:>7.0}  {written:>15.0}  {ratio:>5.2}");
        ratios.push(ratio);
    }
    println!(
        "median ratio to create, fsync and rename: {:.2}",
        median(ratios)
    );
    drop(kept);

    let (md5, sha256) = tokio::task::spawn_blocking(sums).await?;
    println!("one stream of MD5 {md5:.0} MiB/s, of SHA-256 {sha256:.0} MiB/s");
    println!("round  curl from jobhook MiB/s  curl from nginx MiB/s  ratio");
    let (server, path, folder) = with_a_big_file().await?;
    let nginx = Nginx::start(folder.path()).await?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let jobhook = curl(&format!("{}{path}", server.url)).await?;
        let other = curl(&nginx.url).await?;
        let ratio = jobhook / other;
        println!("{round:>5}  {jobhook:>23.0}  {other:>21.0}  {ratio:>5.2}");
        ratios.push(ratio);
    }
    println!("median ratio to nginx: {:.2}", median(ratios));
    let peak = crate::memory::peak_kib(server.pid()?)?;
    println!("the server had {:.1} MiB at its peak", peak as f64 / 1024.0);
    drop(nginx);
    server.stop().await
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Small files a second, from a job of the server; and where they lie.
async fn small_files() -> anyhow::Result<(f64, TempDir)> {
    let binary = std::env::current_exe()?;
    let server = Server::start(&format!(
        "[files]\nobject_files = 1000000\nmin_free = 0\n\
         [runners.load]\ntype = \"LocalRunner\"\nactions = [\"Leave\"]\ncommand = {:?}\nargs = [\"leave-files\"]\n",
        binary.display().to_string()
    ))
    .await?;
    let mut api = Client::connect(&server.url).await?;
    let launched = api
        .json("POST", "/api/v1/actions", r#"{"type":"Leave"}"#)
        .await?;
    let uuid = launched["uuid"].as_str().context("a uuid")?;
    let path = format!("/api/v1/actions/{uuid}");
    let action = loop {
        let action = api.json("GET", &path, "").await?;
        if action["closed"] == true {
            break action;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let folder = server.stop_and_keep().await?;
    let rate = action["results"].as_f64();
    let rate = rate.with_context(|| format!("a rate in {action}"))?;
    Ok((rate, folder))
}

/// The job: leaves small files for a while, and reports how many a second.
pub(crate) async fn leave_as_job() -> anyhow::Result<()> {
    let job = JobEnvironment::read(|name| std::env::var(name).ok())?;
    let begin = Instant::now();
    let leavers: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(leave(job.clone(), number, begin)))
        .collect();
    let mut left = 0;
    for leaver in leavers {
        left += leaver.await??;
    }
    let rate = left as f64 / begin.elapsed().as_secs_f64();
    let body = format!(r#"{{"status":"SUCCESS","results":{rate}}}"#);
    let mut client = Client::connect(&job.hook).await?;
    ask(&mut client, &job, "POST", "/status", &body).await?;
    Ok(())
}

async fn leave(job: JobEnvironment, number: usize, begin: Instant) -> anyhow::Result<u64> {
    let mut client = Client::connect(&job.hook).await?;
    let target = format!("/upload/actions/{}/outputs", job.id);
    let mut left = 0;
    while begin.elapsed() < MEASURED {
        let bytes = small(number, left);
        let digests = Digester::of(bytes.as_bytes());
        let body = format!(
            r#"{{"hash":"{}","challenge":"{}","size":{SMALL}}}"#,
            digests.md5, digests.challenge
        );
        let answer = ask(&mut client, &job, "PUT", &target, &body).await?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let url = answer["url"].as_str().context("an address")?;
        let path = &url[url.find("/async").context("a hook under /async")?..];
        let (status, answer) = client.send("PUT", path, "", &bytes).await?;
        ensure!(status == 204, "{status} {answer}");
        left += 1;
    }
    Ok(left)
}

/// The bytes of a file that nobody else has.
fn small(number: usize, at: u64) -> String {
    let mut text = format!("file {at} of connection {number} ");
    text.push_str(&"x".repeat(SMALL - text.len()));
    text
}

/// Sends a signed request, and expects it to be taken.
async fn ask(
    client: &mut Client,
    job: &JobEnvironment,
    method: &str,
    target: &str,
    body: &str,
) -> anyhow::Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let time = now.as_millis().to_string();
    let (hash, signature) = sign_v1(
        &job.secret_key,
        &job.id,
        &time,
        method,
        target,
        body.as_bytes(),
    );
    let headers = format!(
        "X-Job-Id: {}\r\nX-Job-Time: {time}\r\nX-Job-Hash: {hash}\r\nX-Job-Signature: {signature}\r\n",
        job.id
    );
    let hook = job.hook.find("/async").map(|at| &job.hook[at..]);
    let path = format!("{}{target}", hook.context("a hook under /async")?);
    let (status, answer) = client.send(method, &path, &headers, body).await?;
    ensure!(status == 200, "{status} {answer}");
    Ok(answer)
}

/// Files a second that threads write: created, synchronised, renamed, their directory
/// synchronised; and where they lie.
fn written_files() -> anyhow::Result<(f64, TempDir)> {
    let folder = tempfile::tempdir()?;
    let begin = Instant::now();
    let threads: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let directory = folder.path().to_owned();
            std::thread::spawn(move || write_for_a_while(&directory, number, begin))
        })
        .collect();
    let mut written = 0;
    for thread in threads {
        written += thread.join().ok().context("a thread that ends")??;
    }
    Ok((written as f64 / begin.elapsed().as_secs_f64(), folder))
}

fn write_for_a_while(directory: &Path, number: usize, begin: Instant) -> anyhow::Result<u64> {
    let parent = File::open(directory)?;
    let mut written = 0;
    while begin.elapsed() < MEASURED {
        let temporary = directory.join(format!("{number}.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(small(number, written).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, directory.join(format!("{number}.{written}")))?;
        parent.sync_all()?;
        written += 1;
    }
    Ok(written)
}

/// MiB a second of one stream of MD5, of the crate `md-5`, and of SHA-256.
fn sums() -> (f64, f64) {
    let piece: Vec<u8> = (0..1_u32 << 20).map(|n| (n ^ (n >> 8)) as u8).collect();
    let rate = |update: &mut dyn FnMut(&[u8])| {
        let begin = Instant::now();
        for _ in 0..1024 {
            update(&piece);
        }
        1024.0 / begin.elapsed().as_secs_f64()
    };
    let mut md5 = Md5::new();
    let mut sha256 = Sha256Digester::new();
    let rates = (
        rate(&mut |piece| md5.update(piece)),
        rate(&mut |piece| sha256.update(piece)),
    );
    // Or nothing would have to be computed.
    std::hint::black_box((md5.finalize(), sha256.finish()));
    rates
}

/// Prints them, for the bench of the wheel.
pub(crate) fn print_sums() -> anyhow::Result<()> {
    let (md5, sha256) = sums();
    println!("{md5} {sha256}");
    Ok(())
}

/// A server that has a big file, the path of it, and a folder that has the same.
async fn with_a_big_file() -> anyhow::Result<(Server, String, TempDir)> {
    let folder = tempfile::tempdir()?;
    let big = folder.path().join("big");
    let mut file = File::create(&big)?;
    let piece: Vec<u8> = (0..1_u32 << 20).map(|n| (n ^ (n >> 8)) as u8).collect();
    for _ in 0..BIG >> 20 {
        file.write_all(&piece)?;
    }
    drop(file);
    let server =
        Server::start("[files]\nmin_free = 0\n[stores.bench]\nproperties = [\"files\"]\n").await?;
    let staged = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--request", "POST"])
        .args([
            "--header",
            "Content-Type: application/octet-stream",
            "--upload-file",
        ])
        .arg(&big)
        .arg(format!("{}/api/v1/files", server.url))
        .output()
        .await
        .context("curl is missing")?;
    ensure!(
        staged.status.success(),
        "{}",
        String::from_utf8_lossy(&staged.stderr)
    );
    let staged: serde_json::Value = serde_json::from_slice(&staged.stdout)?;
    let mut api = Client::connect(&server.url).await?;
    let attach = format!(r#"{{"receipt":{}}}"#, staged["receipt"]);
    api.json("POST", "/api/v1/stores/bench/big/files", &attach)
        .await?;
    Ok((
        server,
        "/api/v1/stores/bench/big/files/0".to_owned(),
        folder,
    ))
}

/// MiB a second at which curl fetches a big file into nothing.
async fn curl(url: &str) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let fetched = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{size_download}", url])
        .output()
        .await?;
    let seconds = begin.elapsed().as_secs_f64();
    let size = String::from_utf8_lossy(&fetched.stdout).into_owned();
    ensure!(
        size == BIG.to_string(),
        "{size} bytes: {}",
        String::from_utf8_lossy(&fetched.stderr)
    );
    Ok(BIG as f64 / MIB / seconds)
}

/// An nginx that serves a folder, as its documentation has it for that.
struct Nginx {
    url: String,
    _process: tokio::process::Child,
}

impl Nginx {
    async fn start(folder: &Path) -> anyhow::Result<Nginx> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let folder = folder.display();
        let text = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/body;\n\
             proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
        );
        let file = format!("{folder}/nginx.conf");
        std::fs::write(&file, text)?;
        let process = Command::new("nginx")
            .args(["-c", &file])
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(process) = process else {
            bail!("nginx is missing: apt-get install nginx-light");
        };
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Nginx {
            url: format!("http://127.0.0.1:{port}/big"),
            _process: process,
        })
    }
}
