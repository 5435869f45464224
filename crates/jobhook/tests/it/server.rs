//! The SDK against the server's own engine and router: what one says, the other understands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jobhook::{Job, Json, Launch, Launcher, ListQuery, Operations, Report, Seen, Status};
use jobhook_engine::clock::{Clock, SystemClock};
use jobhook_engine::keyring::{Keyring, MasterKey};
use jobhook_engine::log::LogLimits;
use jobhook_engine::memory::MemoryStore;
use jobhook_engine::runner::TypeFilter;
use jobhook_engine::testing::{HandJob, HandRunner};
use jobhook_engine::{Engine, Settings};
use jobhook_server::http::{Access, HookPath, HttpLimits, Surface, router, serve};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, lines};

struct Server {
    engine: Engine,
    address: SocketAddr,
    closing: CancellationToken,
    jobs: mpsc::UnboundedReceiver<HandJob>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (runner, jobs) =
            HandRunner::new("hand", TypeFilter::only(["Any", "Number.double"]), 100);
        let engine = Engine::new(
            Arc::new(MemoryStore::new(LogLimits::default())),
            vec![runner],
            Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new()),
            Arc::new(SystemClock),
            Settings::new("here", format!("http://{address}/async")),
        );
        engine.start().await.unwrap();
        let closing = CancellationToken::new();
        let limits = HttpLimits::default();
        let surface = Surface {
            engine: engine.clone(),
            hook: HookPath::default(),
            access: Access::default(),
            catalogue: Arc::default(),
            resolution: Duration::from_secs(1),
            limits,
            closing: closing.clone(),
        };
        let serving = serve(listener, router(surface), limits, closing.clone(), PATIENCE);
        tokio::spawn(serving);
        Server {
            engine,
            address,
            closing,
            jobs,
        }
    }

    fn launcher(&self) -> Launcher {
        Launcher::new(&format!("http://{}", self.address)).unwrap()
    }

    /// The next job that is started: what the test plays, and what it sees from inside.
    async fn job(&mut self) -> (HandJob, Job) {
        let hand = self.jobs.recv().await.unwrap();
        let environment = hand.start.environment.clone();
        let job = Job::builder().environment(environment).build().unwrap();
        (hand, job)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_launched_run_followed_and_listed() {
    let mut server = Server::start().await;
    let launcher = server.launcher();
    let launch = Launch::new("Any").arguments(&[1, 2]).unwrap();
    let launched = launcher.launch(&launch).await.unwrap();
    let mut follower = launcher.follow(&launched.uuid).unwrap();

    let (hand, job) = server.job().await;
    assert_eq!(job.id(), launched.uuid);
    assert_eq!(job.arguments_async::<Vec<u8>>().await.unwrap(), [1, 2]);
    let wanted = lines(5_000);
    for line in &wanted {
        job.log(line).unwrap();
    }
    job.progress(1, 2).unwrap();
    job.succeed_async(&"done").await.unwrap();
    job.close_async().await.unwrap();
    hand.exits(0, SystemClock.now()).await;

    let mut seen = Vec::new();
    let mut end = None;
    while let Some(next) = follower.next().await.unwrap() {
        match next {
            Seen::Line(line) => seen.push(line.body.text),
            Seen::End(action) => end = Some(action),
            _ => {}
        }
    }
    assert_eq!(seen, wanted);
    let end = end.unwrap();
    assert_eq!((end.status, end.closed), (Status::Success, true));
    assert_eq!(end.body.results.unwrap().as_str(), "\"done\"");

    assert_eq!(
        launcher.wait(&launched.uuid).await.unwrap().status,
        Status::Success
    );
    let shown = launcher.show(&launched.uuid).await.unwrap();
    assert_eq!(shown.history.len(), 1);
    let page = launcher.lines(&launched.uuid, 4_990, 100).await.unwrap();
    assert_eq!(page.lines.len(), 10);
    let query = ListQuery {
        statuses: vec![Status::Success, Status::Error],
        limit: Some(10),
        ..ListQuery::default()
    };
    assert_eq!(launcher.list(&query).await.unwrap().actions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_finds_its_input_and_returns_its_results() {
    async fn double(job: Job, n: u32) -> anyhow::Result<u32> {
        job.log("doubling")?;
        job.progress(1, 1)?;
        Ok(n * 2)
    }
    let operations = Operations::new().operation("Number.double", double);
    let mut server = Server::start().await;
    for (input, status, results) in [
        ("21", Status::Success, Some("42")),
        ("[]", Status::Error, None),
    ] {
        let launch = jobhook_engine::Launch {
            action_type: "Number.double".to_owned(),
            operation: true,
            arguments: Some(Json::from_text(input.to_owned()).unwrap()),
            attempts: 1,
            ..jobhook_engine::Launch::default()
        };
        let launched = server.engine.launch(vec![launch]).await.unwrap();
        let (hand, job) = server.job().await;
        let outcome = operations.run_job(job).await;
        let code = i32::from(outcome.is_err());
        hand.exits(code, SystemClock.now()).await;
        let id = launched[0].id.to_string();
        let end = server.launcher().wait(&id).await.unwrap();
        assert_eq!(end.status, status);
        assert_eq!(end.operation_id.as_deref(), Some("Number.double"));
        assert_eq!(end.results.as_ref().map(Json::as_str), results);
        let name = outcome.err().map(|failure| failure.name);
        assert_eq!(end.error_name, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_reaches_the_job_and_retrying_launches_another() {
    let mut server = Server::start().await;
    let launcher = server.launcher();
    let launched = launcher.launch(&Launch::new("Any")).await.unwrap();
    let hand = server.jobs.recv().await.unwrap();
    let job = Job::builder()
        .environment(hand.start.environment.clone())
        .heartbeat(Duration::from_millis(300))
        .build()
        .unwrap();
    launcher
        .cancel(&launched.uuid, Some("enough"))
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, job.cancellation().cancelled())
        .await
        .unwrap();
    job.fail_async("Cancelled", "asked to stop").await.unwrap();
    job.close_async().await.unwrap();
    hand.exits(1, SystemClock.now()).await;
    let end = launcher.wait(&launched.uuid).await.unwrap();
    assert_eq!(end.status, Status::Cancelled);
    assert_eq!(end.body.cancel.unwrap().reason.as_deref(), Some("enough"));
    let again = launcher.retry(&launched.uuid).await.unwrap();
    assert_eq!(again.body.retry_of, Some(launched.body.uuid));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_launched_at_once_and_refusals_have_the_servers_codes() {
    let server = Server::start().await;
    let launcher = server.launcher();
    let many = vec![Launch::new("Any"); 3];
    assert_eq!(launcher.launch_many(&many).await.unwrap().len(), 3);
    let missing = "00000000-0000-7000-8000-000000000000";
    let codes = [
        launcher.show(missing).await.unwrap_err(),
        launcher.cancel(missing, None).await.unwrap_err(),
        launcher
            .launch(&Launch::new("Any").attempts(0))
            .await
            .unwrap_err(),
        launcher.show("..").await.unwrap_err(),
    ];
    let codes: Vec<&str> = codes.iter().map(jobhook::Error::code).collect();
    assert_eq!(
        codes,
        [
            "action_not_found",
            "action_not_found",
            "invalid_field",
            "invalid_setting"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_attempt_stops_its_job() {
    let mut server = Server::start().await;
    let launcher = server.launcher();
    let launched = launcher.launch(&Launch::new("Any")).await.unwrap();
    let (hand, job) = server.job().await;
    hand.exits(3, SystemClock.now()).await;
    launcher.wait(&launched.uuid).await.unwrap();
    let receipt = job.report(Report::running()).unwrap();
    let error = receipt.wait_async(PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), "attempt_closed");
    assert!(job.is_cancelled());
    assert_eq!(
        job.close_async().await.unwrap_err().code(),
        "attempt_closed"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_the_cause() {
    let launcher = Launcher::new("http://127.0.0.1:1").unwrap();
    let error = launcher.wait("a").await.unwrap_err();
    assert_eq!(error.code(), "no_answer");
    assert!(
        error
            .to_string()
            .contains("cannot reach http://127.0.0.1:1"),
        "{error}"
    );
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_after_a_launch_is_waited_for() {
    let server = Server::start().await;
    let launcher = server.launcher();
    let id = launcher
        .launch(&Launch::new("Any"))
        .await
        .unwrap()
        .body
        .uuid;
    server.closing.cancel();
    for mut follower in [
        launcher.follow(&id).unwrap(),
        launcher.follow_end(&id).unwrap(),
    ] {
        // Connections that were open may still be served.
        loop {
            match follower.next().await.unwrap().unwrap() {
                Seen::Action(_) => {}
                Seen::Lost(error) => break assert_eq!(error.code(), "no_answer"),
                seen => panic!("{seen:?}"),
            }
        }
    }
    let stranger = server.launcher().wait(&id).await.unwrap_err();
    assert_eq!(stranger.code(), "no_answer");
}
