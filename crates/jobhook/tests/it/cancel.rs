//! STOP reaches the job.

use std::time::{Duration, Instant};

use jobhook::testing::FakeHook;

use crate::support::PATIENCE;

#[test]
fn stop_reaches_a_loop_within_one_heartbeat() {
    let hook = FakeHook::start().unwrap();
    let beat = Duration::from_secs(1);
    let job = hook.job().heartbeat(beat).build().unwrap();
    assert!(hook.wait_until(|reports| !reports.is_empty()));
    assert!(!job.is_cancelled());
    hook.stop();
    let asked = Instant::now();
    while !job.is_cancelled() {
        assert!(asked.elapsed() < beat, "one heartbeat has passed");
        std::thread::yield_now();
    }
    // Last reports may still be sent.
    job.fail("Cancelled", "asked to stop").unwrap();
}

#[test]
fn stop_comes_with_the_answer_to_any_report() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    hook.stop();
    job.log("a").unwrap();
    job.flush(PATIENCE).unwrap();
    assert!(job.is_cancelled());
}

#[tokio::test]
async fn stop_fires_the_token_of_a_job_that_waits() {
    let hook = FakeHook::start().unwrap();
    let listen = Duration::from_millis(50);
    let job = hook.job().listen_every(listen).build().unwrap();
    hook.stop();
    tokio::time::timeout(PATIENCE, job.cancellation().cancelled())
        .await
        .unwrap();
    job.close_async().await.unwrap();
}
