//! Jobs that may not start, and silence that is no success.

use async_trait::async_trait;

use super::*;
use crate::attempt::Ending;
use crate::judge::Judge;

/// Lets no job start that is called so, and takes nothing for a success that has no results.
#[derive(Debug)]
struct Strict(&'static str);

#[async_trait]
impl Judge for Strict {
    async fn may_start(&self, action: &Action) -> Result<(), String> {
        match action.action_type == self.0 {
            true => Err(format!("`{}` is not wanted", self.0)),
            false => Ok(()),
        }
    }

    fn needs_results(&self, _: &Action) -> bool {
        true
    }
}

fn strict() -> Settings {
    Settings {
        judge: Arc::new(Strict("Bad")),
        ..Settings::new("here", "http://127.0.0.1:1/async")
    }
}

async fn bench(runner: Arc<HandRunner>) -> Bench {
    let clock = Arc::new(TestClock::at(NOW));
    let store = Arc::new(MemoryStore::new(LogLimits::default()));
    Bench::with_settings(store, clock, vec![runner], strict()).await
}

#[tokio::test]
async fn a_job_that_may_not_start_does_not_and_says_why() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = bench(runner).await;
    let id = bench.launch(of_type("Bad")).await;
    let action = bench.until_closed(id).await;
    assert_eq!(action.error_name.as_deref(), Some("not_started"));
    let message = action.error_message.unwrap();
    assert!(message.ends_with("`Bad` is not wanted"), "{message}");
    assert!(jobs.try_recv().is_err(), "it was started");
}

#[tokio::test]
async fn exit_code_0_is_no_success_where_results_are_needed() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = bench(runner).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    job.exits(0, NOW).await;
    let action = bench.until_closed(id).await;
    assert_eq!(action.error_name.as_deref(), Some("invalid_output"));
    let attempts = bench.store.attempts(id).await.unwrap();
    let saw = attempts[0].saw.as_ref().unwrap();
    assert_eq!(saw.ending, Ending::Exited { code: 0 });
}

#[tokio::test]
async fn of_an_attempt_that_is_taken_up_the_runner_is_told_that_it_may_not_start_any_more() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let id = bench.launch(of_type("Bad")).await;
    let first = next_started(&mut jobs).await;
    assert_eq!(first.start.forbidden, None);
    bench.engine.stop().await;
    let bench = Bench::with_settings(bench.store, bench.clock, vec![runner], strict()).await;
    let found = next_started(&mut jobs).await;
    assert_eq!(
        found.start.forbidden.as_deref(),
        Some("`Bad` is not wanted")
    );
    // It runs, so it goes on.
    found.exits(3, NOW).await;
    let action = bench.until_closed(id).await;
    assert_eq!(action.error_name.as_deref(), Some("exit_code"));
}
