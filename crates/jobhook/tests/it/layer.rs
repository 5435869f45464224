//! Events of `tracing` become lines.

use jobhook::testing::FakeHook;
use jobhook::{JobLayer, Standing, in_process};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

#[test]
fn events_are_lines_and_the_jobs_own_requests_are_not() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let layer = jobhook::tracing_layer(&job).with_filter(LevelFilter::TRACE);
    // For every thread, also the one that sends: its events would come back as lines.
    tracing_subscriber::registry().with(layer).init();
    tracing::info!(target: "resize", file = "a.png", bytes = 3, "resizing {}", "a");
    job.succeed(&()).unwrap();
    drop(job);
    // The layer does not keep the job open, so the drop above has closed it.
    tracing::warn!("nobody hears this");
    assert_eq!(
        hook.lines(),
        [r#"INFO resize: resizing a file="a.png" bytes=3"#]
    );
}

#[tokio::test]
async fn of_many_jobs_each_has_its_own_events() {
    let hook = FakeHook::start().unwrap();
    let _guard = tracing_subscriber::registry()
        .with(JobLayer::scoped().with_filter(LevelFilter::INFO))
        .set_default();
    let mut desks = Vec::new();
    let mut works = Vec::new();
    for number in 0..3 {
        let (job, desk) = in_process::open(hook.environment(), Standing::new("Any"));
        desks.push(desk);
        works.push(async move {
            let work = job.scope(async {
                for step in 0..3 {
                    tracing::info!(target: "work", "{number}, step {step}");
                    tokio::task::yield_now().await;
                }
            });
            work.await;
            job.scope_sync(|| tracing::warn!(target: "work", "{number}, over"));
        });
    }
    tracing::info!("of nobody");
    futures_util::future::join_all(works).await;
    for (number, desk) in desks.iter_mut().enumerate() {
        let mut lines = Vec::new();
        while let Some(report) = desk.next().await {
            lines.extend(report.logs);
            desk.stored(Ok(()));
        }
        let steps = (0..3).map(|step| format!("INFO work: {number}, step {step}"));
        let over = format!("WARN work: {number}, over");
        assert!(lines.into_iter().eq(steps.chain([over])));
    }
}
