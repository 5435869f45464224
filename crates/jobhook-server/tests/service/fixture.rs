//! An engine with operations inside it.

use std::sync::Arc;
use std::time::Duration;

use jobhook::Operations;
use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::Attempt;
use jobhook_engine::clock::SystemClock;
use jobhook_engine::keyring::{Keyring, MasterKey};
use jobhook_engine::log::LogLimits;
use jobhook_engine::memory::MemoryStore;
use jobhook_engine::store::Store;
use jobhook_engine::{Engine, Launch, Settings};
use jobhook_protocol::Json;
use jobhook_server::config;
use jobhook_server::judge::OperationJudge;
use jobhook_server::operations::Catalogue;
use jobhook_server::runner::ServiceRunner;
use serde_json::Value;

/// Longer than anything here takes; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine on a store in memory.
pub(crate) struct Place {
    pub(crate) engine: Engine,
}

/// An action after its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) action: Action,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) lines: Vec<String>,
}

impl Place {
    pub(crate) async fn new(operations: Operations) -> Place {
        let store = Arc::new(MemoryStore::new(LogLimits::default()));
        Place::on(store, operations, config::ServiceRunner::default()).await
    }

    pub(crate) async fn on(
        store: Arc<dyn Store>,
        operations: Operations,
        settings: config::ServiceRunner,
    ) -> Place {
        let mut catalogue = Catalogue::default();
        let definitions = operations.definitions().unwrap();
        catalogue.add(definitions, "this test").unwrap();
        let catalogue = Arc::new(catalogue);
        let judge = Arc::new(OperationJudge::new(Arc::clone(&catalogue)));
        let runner =
            ServiceRunner::configured("service", &settings, operations, catalogue).unwrap();
        let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
        let engine = Engine::new(
            store,
            vec![Arc::new(runner)],
            keyring,
            Arc::new(SystemClock),
            Settings {
                judge,
                ..Settings::new("here", "http://127.0.0.1:9/async")
            },
        );
        engine.start().await.unwrap();
        Place { engine }
    }

    pub(crate) async fn launch(&self, id: &str, input: Value) -> ActionId {
        self.launch_as(Launch {
            action_type: id.to_owned(),
            operation: true,
            arguments: Json::from_text(input.to_string()).ok(),
            ..Launch::default()
        })
        .await
    }

    pub(crate) async fn launch_as(&self, launch: Launch) -> ActionId {
        self.engine.launch(vec![launch]).await.unwrap()[0].id
    }

    /// Waits until the action is closed.
    pub(crate) async fn ended(&self, id: ActionId) -> Ended {
        let action = self
            .until(id, |action| action.status.is_final() && !action.open)
            .await;
        let store = self.engine.store();
        let lines = store.lines(id, 0, usize::MAX).await.unwrap();
        Ended {
            action,
            attempts: store.attempts(id).await.unwrap(),
            lines: lines.into_iter().map(|line| line.text).collect(),
        }
    }

    /// Waits until the action is as wanted.
    pub(crate) async fn until(&self, id: ActionId, wanted: impl Fn(&Action) -> bool) -> Action {
        let mut changes = self.engine.changes().follow(id);
        let waiting = async {
            loop {
                changes.borrow_and_update();
                let action = self.engine.store().action(id).await.unwrap().unwrap();
                if wanted(&action) {
                    return action;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("the action gets there in time")
    }

    pub(crate) async fn run(&self, id: &str, input: Value) -> Ended {
        let action = self.launch(id, input).await;
        self.ended(action).await
    }
}
