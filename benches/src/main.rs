//! What jobhook costs, each figure as a ratio against a limit measured in the same run.
//!
//! ```text
//! jobhook-benches hook        reports a second, against a handler that stores nothing
//! jobhook-benches launch      jobs a second, against a bare spawn-and-wait loop
//! jobhook-benches children    memory of a running child
//! jobhook-benches files       small files a second; a big one down, against nginx
//! jobhook-benches big-file    memory of server and clients that move a file of 4 GiB
//! jobhook-benches kube        500 actions at once on a Kubernetes cluster
//! jobhook-benches operations  operations a second inside the server
//! jobhook-benches scheduled   what a million scheduled actions cost
//! ```
//!
//! What the Python wheel costs is measured by `benches/python`, which starts this program for the
//! other end of the wire.
//!
//! Methods and figures are in `benches/README.md`. The server under test is built as it is shipped: the
//! binary `jobhook` beside this one, as a user starts it.

mod bare_handler;
mod big_file;
mod children;
mod client;
#[path = "../../crates/jobhook-server/tests/support/kube/mod.rs"]
mod fake_cluster;
mod files;
mod hook;
mod kube;
mod launch;
mod memory;
mod operations;
mod processor;
mod reporters;
mod scheduled;
mod server;
mod sink;

use std::process::ExitCode;

use anyhow::{Context, bail};
use mimalloc::MiMalloc;

/// The same as the server's, also for the handlers that it is compared with.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    // This program is a server, too, for the bench of operations.
    jobhook_server::supervisor::enter();
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return Ok(operations::serve());
    }
    bench()?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn bench() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("hook") => hook::run().await,
        Some("launch") => launch::run().await,
        Some("children") => children::run().await,
        Some("files") => files::run().await,
        Some("big-file") => big_file::run(&arguments.next().unwrap_or("4".to_owned())).await,
        Some("kube") => kube::run().await,
        Some("operations") => operations::run().await,
        Some("scheduled") => scheduled::run().await,
        // The parts that run as processes of their own.
        Some("reporters") => reporters::run_as_job().await,
        Some("sums") => files::print_sums(),
        Some("leave-files") => files::leave_as_job().await,
        Some("carry") => big_file::carry(&arguments.next().context("a folder")?).await,
        Some("load") => hook::print_load().await,
        Some("bare-handler") => bare_handler::serve().await,
        Some("created-handler") => {
            operations::serve_created(&arguments.next().context("a port")?).await
        }
        Some("sink") => sink::serve().await,
        Some("first-instruction") => {
            launch::note_first_instruction(&arguments.next().context("a file")?)
        }
        _ => bail!(
            "usage: jobhook-benches hook | launch | children | files | big-file | kube | operations | scheduled"
        ),
    }
}
