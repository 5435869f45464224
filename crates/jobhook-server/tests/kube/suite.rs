//! The runner by itself keeps the contract that all runners keep.

use std::sync::Arc;

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::{Clock, SystemClock};
use jobhook_engine::runner::{JobStart, Runner};
use jobhook_engine::testing::factory;
use jobhook_engine::testing::runner_suite::{JobKind, RunnerUnderTest};
use jobhook_protocol::{JobEnvironment, Json, SecretKey};
use jobhook_server::config::{Config, RunnerKind, Signature, Surroundings};
use jobhook_server::runner::{KubeNamespaces, KubeRunner};
use serde_json::json;
use tempfile::TempDir;

use crate::fake_cluster::FakeCluster;

struct Tried {
    runner: Arc<KubeRunner>,
    _cluster: FakeCluster,
    _dir: TempDir,
}

impl RunnerUnderTest for Tried {
    fn runner(&self) -> Arc<dyn Runner> {
        self.runner.clone()
    }

    fn job(&self, kind: JobKind) -> JobStart {
        let (script, image) = match kind {
            JobKind::ThreeLines => ("echo one; echo two; echo three", "busybox"),
            JobKind::Fails => ("exit 3", "busybox"),
            JobKind::Endless => ("exec sleep 1000", "busybox"),
            JobKind::Impossible => ("exit", "missing"),
        };
        let now = SystemClock.now();
        let id = ActionId::draw(now);
        let arguments = json!({"script": script, "image": image}).to_string();
        JobStart {
            attempt: AttemptRef {
                action: id,
                number: 1,
            },
            action: Action {
                id,
                arguments: Json::from_text(arguments).ok(),
                ..factory::taken("Test")
            },
            environment: JobEnvironment {
                id: id.to_string(),
                secret_key: SecretKey::from_text("s3cret").unwrap(),
                hook: "http://127.0.0.1:1/async".into(),
                orchestrator: Some("jobhook".into()),
                attempt: Some(1),
                traceparent: None,
            },
            nonce: "a-nonce".into(),
            claimed_at: now,
            output_offset: 0,
            output_mark: None,
            taken_up: false,
            forbidden: None,
        }
    }
}

async fn open() -> Tried {
    let cluster = FakeCluster::start();
    let dir = tempfile::tempdir().unwrap();
    cluster.kubeconfig_in(dir.path(), "default");
    let text = "
[runners.k]
type = \"KubeRunner\"
config = \"kubeconfig\"
image = \"${arguments.image}\"
command = [\"sh\", \"-c\", \"${arguments.script}\"]
image_pull_deadline = \"1s\"
";
    std::fs::write(dir.path().join("jobhook.toml"), text).unwrap();
    let config = Config::load(None, &Surroundings::new(dir.path(), [])).unwrap();
    let Some(RunnerKind::Kube(kube)) = config.runners.into_iter().next().map(|known| known.kind)
    else {
        panic!("it is a KubeRunner");
    };
    let mut namespaces = KubeNamespaces::default();
    let runner = KubeRunner::configured(
        "k",
        &kube,
        dir.path(),
        "/async",
        Signature::Any,
        "01998f3e5d5e7cc080002f6d6f0a0b0c",
        &mut namespaces,
    );
    Tried {
        runner: Arc::new(runner.await.unwrap()),
        _cluster: cluster,
        _dir: dir,
    }
}

jobhook_engine::runner_suite!(open);
