//! Starts the server under test as a user does, on a free port and a directory of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running `jobhook serve`.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// Starts it with this configuration.
    pub(crate) async fn start(config: &str) -> anyhow::Result<Server> {
        Server::of(beside("jobhook")?, config).await
    }

    /// Starts the one in this program, which has the operations of the benches.
    pub(crate) async fn embedded(config: &str) -> anyhow::Result<Server> {
        Server::of(std::env::current_exe()?, config).await
    }

    async fn of(binary: PathBuf, config: &str) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("jobhook.toml");
        std::fs::write(&file, config)?;
        ensure!(
            binary.exists(),
            "{} is missing: cargo build --profile dist -p jobhook-server",
            binary.display()
        );
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("a pipe")?;
        let line = BufReader::new(stdout)
            .lines()
            .next_line()
            .await?
            .context("the server said where it listens")?;
        let at = line
            .find("http://")
            .with_context(|| format!("an address in `{line}`"))?;
        Ok(Server {
            url: line[at..].trim().to_owned(),
            folder,
            child,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server is running")
    }

    /// Where its data lies.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop_and_keep().await.map(drop)
    }

    /// Ends it; its files are gone with what is returned.
    pub(crate) async fn stop_and_keep(mut self) -> anyhow::Result<tempfile::TempDir> {
        self.child.kill().await?;
        Ok(self.folder)
    }
}

/// A binary that was built beside this one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?
        .parent()
        .unwrap_or(Path::new("."))
        .join(name))
}
