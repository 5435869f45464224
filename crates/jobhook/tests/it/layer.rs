//! Events of `tracing` become lines.

use jobhook::testing::FakeHook;
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
