//! The engine at work: MemoryStore, jobs played by hand, a clock that the test moves.

mod cancel;
mod dispatch;
mod idle;
mod judge;
mod proof;
mod restart;
mod schedules;
mod time;

use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::{JobEnvironment, Report, SignedHeaders, Status, sign_v1, sign_webda};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::action::{Action, ActionId, Timeouts};
use crate::attempt::{Fault, Outcome};
use crate::clock::{Clock, Timestamp};
use crate::engine::{Engine, EngineError, Launch, Settings};
use crate::hook::{Disbelief, Proven};
use crate::keyring::{Keyring, MasterKey};
use crate::log::LogLimits;
use crate::memory::MemoryStore;
use crate::runner::{Output, OutputLine, Runner, Sighting, TypeFilter};
use crate::store::Store;
use crate::testing::{HandJob, HandRunner, TestClock};
use crate::write::{Refusal, Reported};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const PATIENCE: Duration = Duration::from_secs(20);

struct Bench {
    engine: Engine,
    clock: Arc<TestClock>,
    store: Arc<MemoryStore>,
}

impl Bench {
    async fn with(runners: Vec<Arc<dyn Runner>>) -> Bench {
        let clock = Arc::new(TestClock::at(NOW));
        let store = Arc::new(MemoryStore::new(LogLimits::default()));
        Bench::on(store, clock, runners).await
    }

    /// A server that starts on what another has left.
    async fn on(
        store: Arc<MemoryStore>,
        clock: Arc<TestClock>,
        runners: Vec<Arc<dyn Runner>>,
    ) -> Bench {
        let settings = Settings::new("here", "http://127.0.0.1:1/async");
        Bench::with_settings(store, clock, runners, settings).await
    }

    async fn with_settings(
        store: Arc<MemoryStore>,
        clock: Arc<TestClock>,
        runners: Vec<Arc<dyn Runner>>,
        settings: Settings,
    ) -> Bench {
        let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
        let engine = Engine::new(store.clone(), runners, keyring, clock.clone(), settings);
        engine.start().await.unwrap();
        Bench {
            engine,
            clock,
            store,
        }
    }

    async fn one_runner(concurrency: usize) -> (Bench, UnboundedReceiver<HandJob>) {
        let (runner, jobs) = HandRunner::new("hand", TypeFilter::all(), concurrency);
        (Bench::with(vec![runner]).await, jobs)
    }

    async fn launch(&self, launch: Launch) -> ActionId {
        self.engine.launch(vec![launch]).await.unwrap()[0].id
    }

    /// Waits until the action is as wanted.
    async fn until(&self, id: ActionId, wanted: impl Fn(&Action) -> bool) -> Action {
        let mut changes = self.engine.changes().follow(id);
        let look = async {
            loop {
                changes.borrow_and_update();
                let action = self.store.action(id).await.unwrap().unwrap();
                if wanted(&action) {
                    return action;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .expect("the action becomes as wanted")
    }

    async fn until_closed(&self, id: ActionId) -> Action {
        self.until(id, |action| action.status.is_final() && !action.open)
            .await
    }

    async fn prove(&self, job: &JobEnvironment, body: &str) -> Result<Proven, Disbelief> {
        let time = self.clock.now().0.to_string();
        let (hash, signature) = sign_v1(
            &job.secret_key,
            &job.id,
            &time,
            "POST",
            "/status",
            body.as_bytes(),
        );
        let headers = headers(&[
            ("X-Job-Id", &job.id),
            ("X-Job-Time", &time),
            ("X-Job-Hash", &hash),
            ("X-Job-Signature", &signature),
        ]);
        self.engine
            .hook()
            .recognise(headers)
            .await?
            .prove("POST", "/status", body.as_bytes())
    }

    async fn report(&self, job: &HandJob, body: &str) -> Result<Reported, EngineError> {
        let proven = self.prove(&job.start.environment, body).await.unwrap();
        self.engine
            .report(proven, Report::read(body.into()).unwrap())
            .await
    }
}

fn headers(sent: &[(&str, &str)]) -> SignedHeaders {
    SignedHeaders::read(|name| {
        sent.iter()
            .filter(move |(sent, _)| *sent == name)
            .map(|(_, value)| value.as_bytes())
            .collect::<Vec<_>>()
    })
    .unwrap()
}

fn of_type(action_type: &str) -> Launch {
    Launch {
        action_type: action_type.into(),
        ..Launch::default()
    }
}

fn with_timeouts(timeouts: Timeouts) -> Launch {
    Launch {
        timeouts,
        ..of_type("Any")
    }
}

async fn next(jobs: &mut UnboundedReceiver<HandJob>) -> HandJob {
    tokio::time::timeout(PATIENCE, jobs.recv())
        .await
        .expect("a job is started")
        .unwrap()
}

async fn next_started(jobs: &mut UnboundedReceiver<HandJob>) -> HandJob {
    let job = next(jobs).await;
    job.began(NOW).await;
    job
}
