//! A bucket for tests.

use crate::config::{Config, FilesBackend, S3Files, Surroundings};

#[path = "../../../tests/support/moto.rs"]
mod moto_server;

use moto_server::MotoServer;

/// A server with a bucket named `jobs`.
pub(super) struct Moto(MotoServer);

impl Moto {
    pub(super) async fn start() -> Moto {
        Moto::start_with(&[]).await
    }

    pub(super) async fn start_with(variables: &[(&str, &str)]) -> Moto {
        let moto = Moto(MotoServer::start(variables));
        // The server's client does not make buckets.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = reqwest::Client::new()
            .put(format!("{}/jobs", moto.address()))
            .send()
            .await
            .unwrap();
        assert!(made.status().is_success(), "{made:?}");
        moto
    }

    pub(super) fn address(&self) -> &str {
        &self.0.address
    }

    /// How a server is configured for it.
    pub(super) fn settings(&self, prefix: &str) -> S3Files {
        settings(self.address(), "jobs", prefix)
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
