//! The engine at work: MemoryStore, jobs played by hand, a clock that the test moves.

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
        let keyring = Keyring::new(MasterKey::new(vec![7; 32]).unwrap(), Vec::new());
        let settings = Settings::new("here", "http://127.0.0.1:1/async");
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

#[tokio::test]
async fn a_job_that_says_nothing_ends_as_its_exit_code_says() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    for (code, status) in [(0, Status::Success), (3, Status::Error)] {
        let id = bench.launch(of_type("Any")).await;
        let job = next_started(&mut jobs).await;
        assert_eq!(job.start.environment.attempt, Some(1));
        job.exits(code, NOW).await;
        let action = bench.until_closed(id).await;
        assert_eq!(action.status, status);
        if code == 3 {
            assert_eq!(action.error_name.as_deref(), Some("exit_code"));
            assert_eq!(
                action.error_message.as_deref(),
                Some("the program exited with code 3")
            );
        }
    }
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_the_runner_allows() {
    let (bench, mut jobs) = Bench::one_runner(2).await;
    let ids = bench.engine.launch(vec![of_type("Any"); 5]).await.unwrap();
    let mut running = vec![next_started(&mut jobs).await, next_started(&mut jobs).await];
    for _ in 2..5 {
        assert!(jobs.try_recv().is_err(), "a place is not free yet");
        running.remove(0).exits(0, NOW).await;
        running.push(next_started(&mut jobs).await);
    }
    for job in running {
        job.exits(0, NOW).await;
    }
    for action in ids {
        bench.until_closed(action.id).await;
    }
}

#[tokio::test]
async fn the_first_runner_that_takes_a_type_gets_it() {
    let (special, mut specials) = HandRunner::new("special", TypeFilter::only(["A"]), 1);
    let (general, mut generals) = HandRunner::new("general", TypeFilter::only(["A", "B"]), 1);
    let bench = Bench::with(vec![special, general]).await;
    bench.launch(of_type("A")).await;
    bench.launch(of_type("B")).await;
    assert_eq!(next(&mut specials).await.start.action.action_type, "A");
    assert_eq!(next(&mut generals).await.start.action.action_type, "B");
}

#[tokio::test]
async fn a_type_that_no_runner_takes_is_an_error_that_says_so() {
    let (runner, _jobs) = HandRunner::new("hand", TypeFilter::only(["A", "B"]), 1);
    let bench = Bench::with(vec![runner]).await;
    let id = bench.launch(of_type("C")).await;
    let action = bench.store.action(id).await.unwrap().unwrap();
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Error, Some("no_runner"))
    );
    assert_eq!(
        action.error_message.as_deref(),
        Some(
            "no runner takes the type `C`: the configured runners take `A`, `B`; add it to the `actions` of one"
        )
    );
}

#[tokio::test]
async fn a_refused_start_is_an_error_and_is_not_tried_again() {
    let bench = Bench::with(vec![HandRunner::refusing(
        "no",
        "arguments.path is missing",
    )])
    .await;
    let id = bench
        .launch(Launch {
            attempts: 3,
            ..of_type("Any")
        })
        .await;
    let action = bench.until_closed(id).await;
    assert_eq!((action.status, action.attempt), (Status::Error, 1));
    assert_eq!(
        action.error_message.as_deref(),
        Some("the job could not be started: arguments.path is missing")
    );
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another_with_another_key() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench
        .launch(Launch {
            attempts: 2,
            ..of_type("Any")
        })
        .await;
    let first = next_started(&mut jobs).await;
    bench
        .report(&first, r#"{"status":"RUNNING"}"#)
        .await
        .unwrap();
    bench
        .report(&first, r#"{"status":"ERROR","errorMessage":"once"}"#)
        .await
        .unwrap();
    assert_eq!(bench.until(id, |_| true).await.status, Status::Running);
    // Believed while its attempt is open, and judged when that is over.
    let proven = bench
        .prove(&first.start.environment, r#"{"status":"SUCCESS"}"#)
        .await
        .unwrap();
    first.exits(1, NOW).await;

    let second = next_started(&mut jobs).await;
    assert_eq!(second.start.environment.attempt, Some(2));
    assert_ne!(
        second.start.environment.secret_key,
        first.start.environment.secret_key
    );
    // The zombie changes nothing, whether the hook or the ledger meets it.
    let refused = bench.engine.report(proven, Report::default()).await;
    assert!(matches!(
        refused,
        Err(EngineError::Refused(Refusal::Superseded { current: 2 }))
    ));
    let zombie = bench
        .prove(&first.start.environment, r#"{"status":"SUCCESS"}"#)
        .await;
    assert!(matches!(
        zombie,
        Err(Disbelief::Superseded { own: 1, current: 2 })
    ));
    bench
        .report(&second, r#"{"status":"SUCCESS"}"#)
        .await
        .unwrap();
    second.exits(0, NOW).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
    let attempts = bench.store.attempts(id).await.unwrap();
    let outcomes: Vec<Outcome> = attempts
        .iter()
        .filter_map(|attempt| Some(attempt.closing.as_ref()?.outcome))
        .collect();
    assert_eq!(outcomes, [Outcome::Error, Outcome::Success]);
    assert_eq!(
        attempts[0]
            .closing
            .as_ref()
            .unwrap()
            .failure
            .as_ref()
            .unwrap()
            .message,
        "once"
    );
}

#[tokio::test]
async fn a_cancelled_job_is_stopped_and_never_tried_again() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench
        .launch(Launch {
            attempts: 3,
            ..of_type("Any")
        })
        .await;
    let mut job = next_started(&mut jobs).await;
    bench
        .engine
        .cancel(id, "ann".into(), Some("wrong file".into()))
        .await
        .unwrap();
    assert_eq!(job.stopped().await, Some(Duration::from_secs(10)));
    job.exits(143, NOW).await;
    let action = bench.until_closed(id).await;
    assert_eq!((action.status, action.attempt), (Status::Cancelled, 1));
    assert_eq!(
        action.error_message.as_deref(),
        Some("cancelled by ann: wrong file")
    );
    let again = bench.engine.cancel(id, "ann".into(), None).await;
    assert!(matches!(
        again,
        Err(EngineError::Refused(Refusal::AlreadyFinal(
            Status::Cancelled
        )))
    ));
}

#[tokio::test]
async fn a_job_learns_from_its_answer_that_it_is_cancelled_and_a_success_said_then_stands() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench.engine.cancel(id, "ann".into(), None).await.unwrap();
    assert!(
        bench
            .report(&job, "{}")
            .await
            .unwrap()
            .action
            .cancel
            .is_some()
    );
    job.stopped().await;
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    job.exits(0, NOW).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
}

#[tokio::test]
async fn an_error_said_under_the_cancel_mark_is_a_cancellation() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.engine.cancel(id, "ann".into(), None).await.unwrap();
    let answered = bench
        .report(&job, r#"{"status":"ERROR","errorName":"JobCancelled"}"#)
        .await
        .unwrap();
    assert_eq!(answered.action.status, Status::Cancelled);
}

#[tokio::test]
async fn a_waiting_action_is_cancelled_at_once() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let running = next_started(&mut jobs).await;
    let waiting = bench.launch(of_type("Any")).await;
    assert_eq!(
        bench
            .engine
            .cancel(waiting, "ann".into(), None)
            .await
            .unwrap()
            .status,
        Status::Cancelled
    );
    running.exits(0, NOW).await;
    let last = bench.launch(of_type("Any")).await;
    assert_eq!(
        next(&mut jobs).await.start.attempt.action,
        last,
        "the cancelled one never starts"
    );
}

#[tokio::test]
async fn a_job_that_lingers_after_its_final_word_is_stopped() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench
        .report(&job, r#"{"status":"ERROR","errorMessage":"no"}"#)
        .await
        .unwrap();
    bench.clock.advance(Duration::from_secs(31));
    assert!(job.stopped().await.is_some());
    job.exits(143, bench.clock.now()).await;
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.error_message.as_deref()),
        (Status::Error, Some("no"))
    );
}

#[tokio::test]
async fn a_job_that_runs_too_long_is_stopped_and_timed_out() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench
        .launch(with_timeouts(Timeouts {
            run: Some(Duration::from_secs(60)),
            ..Timeouts::default()
        }))
        .await;
    let mut job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.clock.advance(Duration::from_secs(60));
    assert!(job.stopped().await.is_some());
    job.exits(143, bench.clock.now()).await;
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Timeout, Some("run_timeout"))
    );
    assert_eq!(
        action.error_message.as_deref(),
        Some("its job ran longer than its run timeout of 60 s")
    );
}

#[tokio::test]
async fn silence_beyond_three_announced_heartbeats_is_a_timeout() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench
        .report(&job, r#"{"status":"RUNNING","heartbeat":2}"#)
        .await
        .unwrap();
    for _ in 0..5 {
        bench.clock.advance(Duration::from_secs(5));
        bench.report(&job, "").await.unwrap();
    }
    bench.clock.advance(Duration::from_secs(6));
    assert!(job.stopped().await.is_some());
    job.exits(137, bench.clock.now()).await;
    bench.clock.advance(Duration::from_secs(5));
    let action = bench.until_closed(id).await;
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Timeout, Some("heartbeat_timeout"))
    );
}

#[tokio::test]
async fn without_an_announcement_silence_means_nothing() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"RUNNING"}"#).await.unwrap();
    bench.clock.advance(Duration::from_secs(1_000_000));
    job.show(Sighting::Output(Output {
        from: 0,
        to: 1,
        lines: Vec::new(),
    }))
    .await;
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    job.exits(0, bench.clock.now()).await;
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
    assert_eq!(job.stopped().await, None, "nobody stopped it");
}

#[tokio::test]
async fn a_final_word_on_its_way_is_waited_for_when_the_job_is_gone() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"RUNNING"}"#).await.unwrap();
    job.exits(1, NOW).await;
    // Its place is free meanwhile.
    bench.launch(of_type("Any")).await;
    next_started(&mut jobs).await;
    assert!(bench.store.action(id).await.unwrap().unwrap().open);
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    assert_eq!(bench.until_closed(id).await.status, Status::Success);
    let attempts = bench.store.attempts(id).await.unwrap();
    assert!(
        attempts[0].closing.as_ref().unwrap().disagree,
        "it said SUCCESS and exited with 1"
    );
}

#[tokio::test]
async fn an_action_that_nobody_takes_expires() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let _running = next_started(&mut jobs).await;
    let queue = Timeouts {
        queue: Some(Duration::from_secs(5)),
        ..Timeouts::default()
    };
    let total = Timeouts {
        total: Some(Duration::from_secs(7)),
        ..Timeouts::default()
    };
    let (queue, total) = (
        bench.launch(with_timeouts(queue)).await,
        bench.launch(with_timeouts(total)).await,
    );
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(
        bench.until_closed(queue).await.error_name.as_deref(),
        Some("queue_timeout")
    );
    bench.clock.advance(Duration::from_secs(2));
    let action = bench.until_closed(total).await;
    assert_eq!(
        (action.status, action.error_name.as_deref()),
        (Status::Timeout, Some("total_timeout"))
    );
}

#[tokio::test]
async fn a_scheduled_action_starts_when_it_is_due() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let scheduled = Some(NOW.plus(Duration::from_secs(60)));
    let id = bench
        .launch(Launch {
            scheduled,
            ..of_type("Any")
        })
        .await;
    bench.clock.advance(Duration::from_secs(59));
    assert_eq!(
        bench.store.action(id).await.unwrap().unwrap().status,
        Status::Scheduled
    );
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(next(&mut jobs).await.start.attempt.action, id);
}

#[tokio::test]
async fn a_new_server_takes_up_what_runs_and_goes_on_from_the_stored_output() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let heartbeat = Timeouts {
        heartbeat: Some(Duration::from_secs(10)),
        ..Timeouts::default()
    };
    let id = bench.launch(with_timeouts(heartbeat)).await;
    let job = next_started(&mut jobs).await;
    let line = OutputLine {
        source: jobhook_protocol::LineSource::Stdout,
        time: NOW,
        text: "one".into(),
    };
    job.show(Sighting::Output(Output {
        from: 0,
        to: 11,
        lines: vec![line],
    }))
    .await;
    bench.until(id, |action| action.log.last == 1).await;
    bench.engine.stop().await;

    // An outage is nobody's silence.
    bench.clock.advance(Duration::from_secs(1000));
    let bench = Bench::on(bench.store, bench.clock, vec![runner]).await;
    let mut again = next(&mut jobs).await;
    assert_eq!(
        (again.start.attempt, again.start.output_offset),
        (job.start.attempt, 11)
    );
    assert_eq!(again.start.environment, job.start.environment);
    let waiting = bench.launch(of_type("Any")).await;
    bench
        .until(waiting, |action| action.status == Status::Queued)
        .await;
    assert!(
        jobs.try_recv().is_err(),
        "the job that goes on holds its place"
    );
    bench.clock.advance(Duration::from_secs(10));
    assert!(
        again.stopped().await.is_some(),
        "silence counts from when the server was ready"
    );
}

#[tokio::test]
async fn an_end_seen_before_a_crash_is_judged_after_it() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 1);
    let bench = Bench::with(vec![runner.clone()]).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"RUNNING"}"#).await.unwrap();
    job.exits(3, NOW).await;
    let attempts = |bench: &Bench| bench.store.clone();
    bench.until(id, |_| true).await;
    while attempts(&bench).attempts(id).await.unwrap()[0]
        .saw
        .is_none()
    {
        tokio::task::yield_now().await;
    }
    bench.engine.stop().await;
    let bench = Bench::on(bench.store, bench.clock, vec![runner]).await;
    bench.clock.advance(Duration::from_secs(3));
    assert_eq!(
        bench.until_closed(id).await.error_message.as_deref(),
        Some("the program exited with code 3")
    );
    assert!(jobs.try_recv().is_err(), "nothing was started again");
}

#[tokio::test]
async fn a_job_whose_runner_was_removed_is_stopped_and_lost() {
    let (old, mut jobs) = HandRunner::new("old", TypeFilter::all(), 1);
    let bench = Bench::with(vec![old]).await;
    let id = bench.launch(of_type("Any")).await;
    let _job = next_started(&mut jobs).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    bench.engine.stop().await;
    let (new, _jobs) = HandRunner::new("new", TypeFilter::all(), 1);
    let bench = Bench::on(bench.store, bench.clock, vec![new]).await;
    let action = bench.until_closed(id).await;
    assert_eq!(action.error_name.as_deref(), Some("lost"));
    let attempts = bench.store.attempts(id).await.unwrap();
    assert_eq!(
        attempts[0].closing.as_ref().unwrap().fault,
        Some(Fault::Infrastructure)
    );
}

#[tokio::test]
async fn what_is_left_of_a_closed_attempt_is_forgotten_by_the_next_server() {
    let (runner, mut jobs) = HandRunner::new("hand", TypeFilter::all(), 2);
    let bench = Bench::with(vec![runner.clone()]).await;
    let closed = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    bench.engine.stop().await;
    // Closed by a server that has no such runner, so that nobody forgets it.
    let bench = Bench::on(bench.store, bench.clock, Vec::new()).await;
    bench.until_closed(closed).await;
    bench.engine.stop().await;

    let bench = Bench::on(bench.store, bench.clock, vec![runner.clone()]).await;
    assert_eq!(job.stopped().await, None, "the runner has let go of it");
    bench.launch(of_type("Any")).await;
    let open = next_started(&mut jobs).await.start.attempt;
    bench.engine.stop().await;
    let _bench = Bench::on(bench.store, bench.clock, vec![runner.clone()]).await;
    next_started(&mut jobs).await;
    assert_eq!(runner.kept().await, [open]);
}

#[tokio::test]
async fn only_a_final_action_is_run_again_and_as_a_new_one() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    assert!(matches!(
        bench.engine.retry(id).await,
        Err(EngineError::NotFinal(_))
    ));
    job.exits(1, NOW).await;
    bench.until_closed(id).await;
    let again = bench.engine.retry(id).await.unwrap();
    assert_eq!((again.retry_of, again.attempt), (Some(id), 1));
    assert_eq!(next(&mut jobs).await.start.attempt.action, again.id);
}

#[tokio::test]
async fn a_sender_is_believed_only_in_its_window_and_with_its_own_key() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await.start.environment;
    let at = |ms: i64, hash: Option<&str>| {
        let time = (NOW.0 + ms).to_string();
        let right = sign_webda(&job.secret_key, &time);
        headers(&[
            ("X-Job-Id", &job.id),
            ("X-Job-Time", &time),
            ("X-Job-Hash", hash.unwrap_or(&right)),
        ])
    };
    let hook = bench.engine.hook();
    for ms in [-300_000, 0, 300_000] {
        assert!(hook.recognise(at(ms, None)).await.is_ok(), "{ms}");
    }
    for ms in [-301_000, -300_001, 300_001, 301_000] {
        assert!(
            matches!(hook.recognise(at(ms, None)).await, Err(Disbelief::ClockSkew { off_ms, .. }) if off_ms == ms),
            "{ms}"
        );
    }
    let wrong = "0".repeat(64);
    assert!(matches!(
        hook.recognise(at(-301_000, Some(&wrong))).await,
        Err(Disbelief::BadSignature)
    ));
    let stranger = headers(&[
        ("X-Job-Id", "constructor"),
        ("X-Job-Time", "1"),
        ("X-Job-Hash", &wrong),
    ]);
    assert!(matches!(
        hook.recognise(stranger).await,
        Err(Disbelief::BadSignature)
    ));
}

#[tokio::test]
async fn the_job_of_a_closed_attempt_is_told_so_before_its_body_is_read() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let job = next_started(&mut jobs).await;
    bench.report(&job, r#"{"status":"SUCCESS"}"#).await.unwrap();
    job.exits(0, NOW).await;
    bench.until(id, |action| !action.open).await;
    // The driver is done as well then.
    bench.engine.stop().await;
    let late = bench.prove(&job.start.environment, "{}").await;
    assert!(
        matches!(late, Err(Disbelief::Closed { own: 1 })),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_cancel_whose_sender_has_gone_still_reaches_the_job() {
    let (bench, mut jobs) = Bench::one_runner(1).await;
    let id = bench.launch(of_type("Any")).await;
    let mut job = next_started(&mut jobs).await;
    job.began(NOW).await;
    bench
        .until(id, |action| action.status == Status::Running)
        .await;
    let mut cancel = Box::pin(bench.engine.cancel(id, "local".into(), None));
    // Once polled it is in the queue; then its sender hangs up.
    assert!(futures_util::poll!(cancel.as_mut()).is_pending());
    drop(cancel);
    assert!(job.stopped().await.is_some());
}
