//! What operations say with `tracing` is in the logs of their own jobs.

use std::sync::Arc;

use jobhook::{Failure, Job, JobLayer, Operations};
use serde_json::json;
use tokio::sync::Barrier;
use tracing_subscriber::prelude::*;

use crate::fixture::Place;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_a_line_of_its_own_job_and_of_no_other() {
    // Set once for the process; another test that set it would have set the same.
    let _ = tracing_subscriber::registry()
        .with(JobLayer::scoped())
        .try_init();
    let both = Arc::new(Barrier::new(2));
    let together = both.clone();
    let says = move |_: Job, name: String| {
        let together = together.clone();
        async move {
            for number in 0..20 {
                together.wait().await;
                tracing::info!(number, "{name} speaks");
            }
            Ok::<_, Failure>(())
        }
    };
    let counts = |_: Job, (): ()| {
        tracing::warn!("on a thread of its own");
        Ok::<_, Failure>(())
    };
    let place = Place::new(
        Operations::new()
            .operation("Try.says", says)
            .blocking_operation("Try.counts", counts),
    )
    .await;
    let anna = place.launch("Try.says", json!("anna")).await;
    let bert = place.launch("Try.says", json!("bert")).await;
    tracing::info!("the server itself speaks");
    for (id, name) in [(anna, "anna"), (bert, "bert")] {
        let lines = place.ended(id).await.lines;
        let wanted: Vec<String> = (0..20)
            .map(|number| format!("INFO service::lines: {name} speaks number={number}"))
            .collect();
        assert_eq!(lines, wanted);
    }
    let lines = place.run("Try.counts", json!(null)).await.lines;
    assert_eq!(lines, ["WARN service::lines: on a thread of its own"]);
}
