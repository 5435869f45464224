//! Many reporters at once, over connections that break.

use std::sync::Arc;

use crate::server::{Job, NOW, Server};
use crate::wire::Wire;

const REPORTERS: usize = 32;
const LINES: u64 = 500;

/// One report of one line, signed.
fn request(server: &Server, job: &Job, reporter: usize, seq: u64) -> Vec<u8> {
    let body = format!(r#"{{"logs":["{reporter} {seq}"],"reporter":"r-{reporter}","seq":{seq}}}"#);
    let signed = job.v1(NOW, "POST", "/status", &body);
    server.bytes("POST", "/async/status", &signed.headers(), body.as_bytes())
}

async fn report_all(server: &Server, job: &Job, reporter: usize) {
    let mut wire = server.connect().await;
    for seq in 1..=LINES {
        let request = request(server, job, reporter, seq);
        if seq % 3 == 0 {
            // Sent, and cut before the answer: nobody knows whether it landed.
            wire.send(&request).await;
            wire = Wire::connect(server.address).await;
        }
        wire.send(&request).await;
        wire.answer().await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_32_reporters_land_once_and_in_order_though_every_third_request_is_cut() {
    let server = Arc::new(Server::start().await);
    let job = Arc::new(server.job().await);
    let reporters = (0..REPORTERS).map(|reporter| {
        let (server, job) = (Arc::clone(&server), Arc::clone(&job));
        tokio::spawn(async move { report_all(&server, &job, reporter).await })
    });
    for reporter in reporters.collect::<Vec<_>>() {
        reporter.await.unwrap();
    }
    let lines = server.lines(&job.id).await;
    assert_eq!(lines.len(), REPORTERS * usize::try_from(LINES).unwrap());
    let mut next = [1; REPORTERS];
    for line in lines {
        let (reporter, seq) = line.split_once(' ').unwrap();
        let next = &mut next[reporter.parse::<usize>().unwrap()];
        assert_eq!(seq.parse(), Ok(*next), "{line}");
        *next += 1;
    }
}
