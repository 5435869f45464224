//! It keeps the contract that all runners keep.

use std::sync::Arc;

use jobhook::{Failure, Job, Operations};
use jobhook_engine::attempt::{AttemptRef, Ending};
use jobhook_engine::clock::Timestamp;
use jobhook_engine::runner::{JobStart, Runner};
use jobhook_engine::testing::factory;
use jobhook_engine::testing::runner_suite::{JobKind, RunnerUnderTest};
use jobhook_protocol::{JobEnvironment, SecretKey};
use jobhook_server::config;
use jobhook_server::operations::Catalogue;
use jobhook_server::runner::ServiceRunner;

struct Tried(Arc<ServiceRunner>);

impl RunnerUnderTest for Tried {
    fn runner(&self) -> Arc<dyn Runner> {
        self.0.clone()
    }

    fn job(&self, kind: JobKind) -> JobStart {
        let name = match kind {
            JobKind::ThreeLines => "Try.lines",
            JobKind::Fails => "Try.fails",
            JobKind::Endless => "Try.endless",
            JobKind::Impossible => "Try.nothing",
        };
        let mut action = factory::taken(name);
        action.operation = true;
        let id = action.id;
        JobStart {
            attempt: AttemptRef {
                action: id,
                number: 1,
            },
            action,
            environment: JobEnvironment {
                id: id.to_string(),
                secret_key: SecretKey::from_text("key").unwrap(),
                hook: "http://127.0.0.1:9/async".into(),
                orchestrator: None,
                attempt: Some(1),
                traceparent: None,
            },
            nonce: "a-nonce".into(),
            claimed_at: Timestamp(0),
            output_offset: 0,
            output_mark: None,
            taken_up: false,
            forbidden: None,
        }
    }

    fn good_end(&self) -> Ending {
        Ending::Returned
    }

    fn bad_end(&self) -> Ending {
        Ending::Returned
    }

    fn keeps_output(&self) -> bool {
        false
    }
}

async fn lines(job: Job, (): ()) -> Result<(), jobhook::Error> {
    for line in ["one", "two", "three"] {
        job.log(line)?;
    }
    Ok(())
}

async fn fails(_: Job, (): ()) -> Result<(), Failure> {
    Err(Failure::new("Three", "it exits with 3, in a way"))
}

async fn endless(job: Job, (): ()) -> Result<(), Failure> {
    job.cancellation().cancelled().await;
    Ok(())
}

async fn open() -> Tried {
    let operations = Operations::new()
        .operation("Try.lines", lines)
        .operation("Try.fails", fails)
        .operation("Try.endless", endless);
    let settings = config::ServiceRunner::default();
    let mut catalogue = Catalogue::default();
    let definitions = operations.definitions().unwrap();
    catalogue.add(definitions, "this test").unwrap();
    let catalogue = Arc::new(catalogue);
    let runner = ServiceRunner::configured("service", &settings, operations, catalogue);
    Tried(Arc::new(runner.unwrap()))
}

jobhook_engine::runner_suite!(open);
