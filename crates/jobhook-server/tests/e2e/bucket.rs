//! Files in a bucket, as the server keeps them there.

use serde_json::json;

use crate::client::Connection;
use crate::job::{Job, TELLING};
use crate::moto_server::MotoServer;
use crate::server::{Folder, Server};

fn config(address: &str, bucket: &str, more: &str) -> String {
    format!(
        "{TELLING}\n[files]\nbackend = \"s3\"\n[files.s3]\nbucket = \"{bucket}\"\nendpoint = \"{address}\"\n\
         allow_http = true\naccess_key_id = \"id\"\nsecret_access_key = \"s3cret\"\n{more}\n"
    )
}

/// A server for S3 with a bucket named `jobs`.
fn moto() -> MotoServer {
    let moto = MotoServer::start(&[]);
    let address = moto
        .address
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let (status, _) = Connection::open(address)
        .ask(b"PUT /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status, 200);
    moto
}

#[test]
fn what_a_job_leaves_lies_in_the_bucket_and_comes_back() {
    let moto = moto();
    let server = Server::start(&config(&moto.address, "jobs", ""));
    let id = server.launch(&json!({"type": "Tell"}));
    let job = Job::of(&server, &id, 1);
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    job.leave(&bytes);
    let path = format!("/api/v1/actions/{id}/files/outputs/0");
    assert_eq!(Connection::open(server.address()).bytes(&path), bytes);
    let below = server.folder.path("data/files");
    assert!(!below.exists(), "nothing lies in the data directory");
    assert!(!server.stderr().contains("s3cret"));
    job.exit(0);
}

#[test]
fn a_download_may_come_straight_from_the_bucket() {
    let moto = moto();
    let server = Server::start(&config(&moto.address, "jobs", "direct = true"));
    let id = server.launch(&json!({"type": "Tell"}));
    let job = Job::of(&server, &id, 1);
    job.leave(b"<b>not a page</b>");
    let (status, located) = job.ask("GET", &format!("/download/actions/{id}/outputs/0"), "");
    assert_eq!(status, 200, "{located}");
    let there = located["Location"].as_str().unwrap();
    let path = there
        .strip_prefix(&moto.address)
        .expect("an address of the bucket");
    let address = moto
        .address
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(Connection::open(address).bytes(path), b"<b>not a page</b>");
    let (status, _) = server.get(&format!("/api/v1/actions/{id}/files/outputs/0"));
    assert_eq!(status, 307);
    job.exit(0);
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_at_the_start_and_by_check() {
    let moto = moto();
    let folder = Folder::new(&config(&moto.address, "nowhere", ""));
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["check"]] {
        let ended = folder.run(command);
        assert_eq!(ended.code, Some(70), "{ended:?}");
        assert!(
            ended.err.contains("there is no bucket `nowhere`"),
            "{}",
            ended.err
        );
        assert!(!ended.err.contains("s3cret"), "{}", ended.err);
    }
}
