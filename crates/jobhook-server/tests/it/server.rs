//! The server under test, and the jobs that report to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::AttemptRef;
use jobhook_engine::clock::{Clock, Timestamp};
use jobhook_engine::files::{FileSettings, SMALL};
use jobhook_engine::keyring::{Keyring, MasterKey};
use jobhook_engine::log::LogLimits;
use jobhook_engine::memory::MemoryStore;
use jobhook_engine::runner::{
    JobStart, Runner, Sighting, StartError, StopError, Terms, TypeFilter,
};
use jobhook_engine::store::Store;
use jobhook_engine::testing::{HandJob, HandRunner, TestClock};
use jobhook_engine::{Engine, Launch, Settings};
use jobhook_protocol::{SecretKey, sign_v1, sign_webda};
use jobhook_server::http::{Access, HookPath, HttpLimits, Surface, router, serve};
use jobhook_server::operations::{Catalogue, EVERY_OPERATION};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::wire::{Answer, Events, PATIENCE, Wire};

/// The server's time when a test begins.
pub(crate) const NOW: i64 = 1_764_000_000_000;

/// What a server is told.
pub(crate) struct Setup {
    pub(crate) limits: HttpLimits,
    pub(crate) log: LogLimits,
    pub(crate) access: Access,
    pub(crate) catalogue: Catalogue,
    pub(crate) resolution: Duration,
    pub(crate) hook: HookPath,
    pub(crate) max_clock_skew: Option<Duration>,
    pub(crate) files: FileSettings,
    /// The runner's jobs must sign.
    pub(crate) strict: bool,
    pub(crate) started: bool,
    /// Another store than one in memory.
    pub(crate) store: Option<Arc<dyn Store>>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            limits: HttpLimits::default(),
            log: LogLimits::default(),
            access: Access::default(),
            catalogue: Catalogue::default(),
            resolution: Duration::from_secs(1),
            hook: HookPath::default(),
            max_clock_skew: Some(Duration::from_secs(300)),
            files: FileSettings {
                small: SMALL,
                ..FileSettings::default()
            },
            strict: false,
            started: true,
            store: None,
        }
    }
}

impl Setup {
    /// A server whose streams are never silent for long, and ask as often whether they may go on.
    pub(crate) fn impatient() -> Setup {
        let limits = HttpLimits {
            comment: Duration::from_millis(20),
            ..HttpLimits::default()
        };
        Setup {
            limits,
            ..Setup::default()
        }
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) closing: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) store: Arc<dyn Store>,
    jobs: Mutex<mpsc::UnboundedReceiver<HandJob>>,
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Server {
        let clock = Arc::new(TestClock::at(Timestamp(NOW)));
        let in_memory = || Arc::new(MemoryStore::new(setup.log)) as Arc<dyn Store>;
        let store = setup.store.unwrap_or_else(in_memory);
        let mut types = vec!["Any".to_owned(), EVERY_OPERATION.to_owned()];
        setup.catalogue.expand(&mut types);
        let only = TypeFilter::only(types);
        let (hand, jobs) = HandRunner::new("hand", only, 100);
        let runner: Arc<dyn Runner> = if setup.strict {
            Arc::new(Strict(hand))
        } else {
            hand
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
        let settings = Settings {
            max_clock_skew: setup.max_clock_skew,
            files: setup.files,
            ..Settings::new("here", format!("http://{address}{}", setup.hook.as_str()))
        };
        let engine = Engine::new(
            store.clone(),
            vec![runner],
            keyring,
            clock.clone(),
            settings,
        );
        if setup.started {
            engine.start().await.unwrap();
        }
        let closing = CancellationToken::new();
        let surface = Surface {
            engine: engine.clone(),
            hook: setup.hook,
            access: setup.access,
            catalogue: Arc::new(setup.catalogue),
            resolution: setup.resolution,
            limits: setup.limits,
            closing: closing.clone(),
        };
        let grace = Duration::from_secs(5);
        let serving = serve(
            listener,
            router(surface),
            setup.limits,
            closing.clone(),
            grace,
        );
        Server {
            address,
            engine,
            clock,
            closing,
            serving: tokio::spawn(serving),
            store,
            jobs: Mutex::new(jobs),
        }
    }

    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut wire = self.connect().await;
        wire.send(self.bytes(method, path, headers, body.as_bytes()))
            .await;
        wire.answer().await
    }

    /// The bytes of a request.
    pub(crate) fn bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        [text.as_bytes(), body].concat()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], "").await
    }

    /// Posts JSON to the management API.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, &[("Content-Type", "application/json")], body)
            .await
    }

    /// Asks for the stream of an action's log.
    pub(crate) async fn follow(&self, id: &str, more: &[(&str, &str)]) -> Events {
        let mut wire = self.connect().await;
        let headers = [&[("Accept", "text/event-stream")], more].concat();
        let path = format!("/api/v1/actions/{id}/logs");
        wire.send(self.bytes("GET", &path, &headers, b"")).await;
        Events::of(wire).await
    }

    /// Launches an action whose job the test plays, and takes its job.
    pub(crate) async fn job(&self) -> Job {
        self.job_of(1).await
    }

    /// The same with tries.
    pub(crate) async fn job_of(&self, attempts: u32) -> Job {
        let launch = Launch {
            action_type: "Any".into(),
            attempts,
            ..Launch::default()
        };
        self.engine.launch(vec![launch]).await.unwrap();
        self.next_job().await
    }

    /// The next job that is started.
    pub(crate) async fn next_job(&self) -> Job {
        let next = async { self.jobs.lock().await.recv().await };
        let hand = tokio::time::timeout(PATIENCE, next).await;
        let hand = hand.expect("a job is started").unwrap();
        Job {
            id: hand.start.environment.id.clone(),
            key: hand.start.environment.secret_key.clone(),
            hand,
        }
    }

    /// Waits until an action is as wanted.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Action) -> bool) -> Action {
        let id: ActionId = id.parse().unwrap();
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
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.expect("the action becomes as wanted")
    }

    pub(crate) async fn until_closed(&self, id: &str) -> Action {
        self.until(id, |action| action.status.is_final() && !action.open)
            .await
    }

    /// The texts of an action's log.
    pub(crate) async fn lines(&self, id: &str) -> Vec<String> {
        let lines = self
            .store
            .lines(id.parse().unwrap(), 0, usize::MAX)
            .await
            .unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }

    /// The bytes of all contents that are stored.
    pub(crate) async fn stored_bytes(&self) -> u64 {
        self.store.stored().await.unwrap().bytes
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    /// Sends a request to the hook, signed for `webda`.
    pub(crate) async fn ask_webda(
        &self,
        job: &Job,
        method: &str,
        target: &str,
        body: &str,
    ) -> Answer {
        let signed = job.webda(self.now());
        let path = format!("/async{target}");
        self.request(method, &path, &signed.headers(), body).await
    }

    /// Sends a request to the hook, signed for `v1`.
    pub(crate) async fn ask_v1(&self, job: &Job, method: &str, target: &str, body: &str) -> Answer {
        let signed = job.v1(self.now(), method, target, body);
        let path = format!("/async{target}");
        self.request(method, &path, &signed.headers(), body).await
    }

    /// Sends a report signed for `webda`.
    pub(crate) async fn webda(&self, job: &Job, body: &str) -> Answer {
        self.ask_webda(job, "POST", "/status", body).await
    }

    /// Sends a report signed for `v1`.
    pub(crate) async fn v1(&self, job: &Job, body: &str) -> Answer {
        self.ask_v1(job, "POST", "/status", body).await
    }
}

/// A job, and the key it signs with.
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) key: SecretKey,
    pub(crate) hand: HandJob,
}

impl Job {
    pub(crate) fn webda(&self, time: i64) -> Signed {
        let time = time.to_string();
        Signed {
            id: self.id.clone(),
            hash: sign_webda(&self.key, &time),
            signature: None,
            time,
        }
    }

    pub(crate) fn v1(&self, time: i64, method: &str, target: &str, body: &str) -> Signed {
        let time = time.to_string();
        let (hash, signature) =
            sign_v1(&self.key, &self.id, &time, method, target, body.as_bytes());
        Signed {
            id: self.id.clone(),
            hash,
            signature: Some(signature),
            time,
        }
    }

    pub(crate) async fn exits(&self, code: i32) {
        self.hand.exits(code, Timestamp(NOW)).await;
    }
}

/// The headers of a signed request.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) id: String,
    pub(crate) time: String,
    pub(crate) hash: String,
    pub(crate) signature: Option<String>,
}

impl Signed {
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![
            ("X-Job-Id", self.id.as_str()),
            ("X-Job-Time", &self.time),
            ("X-Job-Hash", &self.hash),
        ];
        if let Some(signature) = &self.signature {
            headers.push(("X-Job-Signature", signature));
        }
        headers
    }
}

/// A runner whose jobs must sign what they send.
#[derive(Debug)]
struct Strict(Arc<HandRunner>);

#[async_trait]
impl Runner for Strict {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn types(&self) -> &TypeFilter {
        self.0.types()
    }

    fn concurrency(&self) -> usize {
        self.0.concurrency()
    }

    fn terms(&self) -> Terms {
        Terms {
            signature_required: true,
            ..self.0.terms()
        }
    }

    async fn start(&self, job: JobStart) -> Result<mpsc::Receiver<Sighting>, StartError> {
        self.0.start(job).await
    }

    async fn stop(&self, job: AttemptRef, grace: Duration) -> Result<(), StopError> {
        self.0.stop(job, grace).await
    }

    async fn forget(&self, job: AttemptRef) {
        self.0.forget(job).await;
    }
}
