//! An S3 server for tests: moto, from PyPI, one for each test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::super::config::{Config, FilesBackend, S3Files, Surroundings};

/// Runs a program until somebody lets go of its standard input, however that comes about.
const UNTIL_LET_GO: &str = "\"$0\" \"$@\" & read -r _; kill $!";

/// A server that runs as long as this lives, and no longer than the test.
pub(super) struct Moto {
    child: Child,
    pub(super) address: String,
}

fn program() -> PathBuf {
    match std::env::var_os("JOBHOOK_TEST_MOTO") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/python/bin/moto_server"),
    }
}

impl Moto {
    /// Starts one with a bucket named `jobs`.
    pub(super) async fn start() -> Moto {
        Moto::start_with(&[]).await
    }

    pub(super) async fn start_with(variables: &[(&str, &str)]) -> Moto {
        let program = program();
        assert!(
            program.exists(),
            "there is no {}; `./just s3-server` installs it",
            program.display()
        );
        let mut child = Command::new("sh")
            .args(["-c", UNTIL_LET_GO])
            .arg(&program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .find_map(|line| {
                let line = line.unwrap();
                let (_, address) = line.split_once("Running on ")?;
                Some(address.trim().to_owned())
            })
            .expect("moto_server says where it listens");
        // What else it says has somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        let moto = Moto { child, address };
        // The server's client does not make buckets.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = reqwest::Client::new()
            .put(format!("{}/jobs", moto.address))
            .send()
            .await
            .unwrap();
        assert!(made.status().is_success(), "{made:?}");
        moto
    }

    /// How a server is configured for it.
    pub(super) fn settings(&self, prefix: &str) -> S3Files {
        settings(&self.address, "jobs", prefix)
    }
}

/// Reads `[files.s3]`, as a server does.
pub(super) fn settings(address: &str, bucket: &str, prefix: &str) -> S3Files {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "[files]\nbackend = \"s3\"\n[files.s3]\nbucket = \"{bucket}\"\nregion = \"us-east-1\"\n\
         endpoint = \"{address}\"\nprefix = \"{prefix}\"\nallow_http = true\ndirect = true\n\
         access_key_id = \"id\"\nsecret_access_key = \"key\"\n"
    );
    std::fs::write(directory.path().join("jobhook.toml"), text).unwrap();
    let config = Config::load(None, &Surroundings::new(directory.path(), [])).unwrap();
    match config.files.backend {
        FilesBackend::S3(settings) => *settings,
        FilesBackend::Directory => panic!("a bucket is configured"),
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
