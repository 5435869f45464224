//! A job that says nothing is alive all the same.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jobhook::testing::FakeHook;

#[test]
fn a_loop_that_never_touches_the_job_stays_alive() {
    let hook = FakeHook::start().unwrap();
    let beat = Duration::from_millis(300);
    let job = hook.job().heartbeat(beat).build().unwrap();
    let began = Instant::now();
    let mut sum = 0_u64;
    while began.elapsed() < beat * 5 {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
    let reports = hook.reports();
    assert_eq!(reports[0].report.heartbeat, Some(0.3));
    assert!(
        reports[1..]
            .iter()
            .all(|received| received.report.is_silent())
    );
    let times: Vec<i64> = reports
        .iter()
        .map(|received| received.signed_at_ms)
        .collect();
    let longest = times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!(
        longest <= 600,
        "silent for {longest} ms of 900 that are allowed"
    );
    assert!(reports.len() >= 8, "{} reports", reports.len());
    drop(job);
}

#[test]
fn a_job_that_speaks_needs_no_heartbeats() {
    let hook = FakeHook::start().unwrap();
    let job = hook
        .job()
        .listen_every(Duration::from_secs(3_600))
        .build()
        .unwrap();
    job.log("a").unwrap();
    job.close().unwrap();
    assert_eq!(hook.requests(), 1);
}
