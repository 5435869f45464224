//! Who is believed at the hook.

use super::*;

#[tokio::test]
async fn a_sender_is_believed_only_in_its_window_and_with_its_own_key() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await.start.environment;
    let at = |ms: i64, hash: Option<&str>| {
        let time = (NOW.0 + ms).to_string();
        let right = sign_webda(&job.secret_key, &time);
        headers(&[
            ("X-Job-Id", &job.id),
            ("X-Job-Time", &time),
            ("X-Job-Hash", hash.unwrap_or(&right)),
        ])
    };
    let hook = bench.engine.hook();
    for ms in [-300_000, 0, 300_000] {
        assert!(hook.recognise(at(ms, None)).await.is_ok(), "{ms}");
    }
    for ms in [-301_000, -300_001, 300_001, 301_000] {
        assert!(
            matches!(hook.recognise(at(ms, None)).await, Err(Disbelief::ClockSkew { off_ms, .. }) if off_ms == ms),
            "{ms}"
        );
    }
    let wrong = "0".repeat(64);
    assert!(matches!(
        hook.recognise(at(-301_000, Some(&wrong))).await,
        Err(Disbelief::BadSignature)
    ));
    let stranger = headers(&[
        ("X-Job-Id", "constructor"),
        ("X-Job-Time", "1"),
        ("X-Job-Hash", &wrong),
    ]);
    assert!(matches!(
        hook.recognise(stranger).await,
        Err(Disbelief::BadSignature)
    ));
}

#[tokio::test]
async fn the_job_of_a_closed_attempt_is_told_so_before_its_body_is_read() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    job.exits(0, NOW).await;
    bench.until(id, |action| !action.open).await;
    // The driver is done as well then.
    bench.engine.stop().await;
    let late = bench.prove(&job.start.environment, "{}").await;
    assert!(
        matches!(late, Err(Disbelief::Closed { own: 1 })),
        "{late:?}"
    );
}
