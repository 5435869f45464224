//! The LocalRunner: what configuration and arguments make of a command, and what is seen.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobhook_engine::action::{Action, ActionId};
use jobhook_engine::attempt::{AttemptRef, Ending, Saw};
use jobhook_engine::clock::{Clock, SystemClock, Timestamp};
use jobhook_engine::runner::{
    JobStart, OutputLine, Runner, Sighting, StartError, Terms, TypeFilter,
};
use jobhook_engine::runner_suite;
use jobhook_engine::testing::{JobKind, RunnerUnderTest, factory};
use jobhook_protocol::{JobEnvironment, Json, LineSource, SecretKey};
use jobhook_server::runner::{LocalCommand, LocalJobs, LocalRunner};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::fixture::{PATIENCE, end, end_groups, options, resident_bytes, until_dead};

/// A data directory whose supervisor ends with it.
struct Site {
    dir: TempDir,
    jobs: LocalJobs,
    pid: i32,
}

impl Site {
    async fn open() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let jobs = LocalJobs::open(dir.path(), options()).await.unwrap();
        let pid = jobs.supervisors().own_pid().await.unwrap();
        Site { dir, jobs, pid }
    }

    /// What a server that starts anew has.
    async fn restart(&mut self) {
        self.jobs = LocalJobs::open(self.dir.path(), options()).await.unwrap();
    }

    fn runner(&self, command: LocalCommand) -> LocalRunner {
        let terms = Terms {
            auto_status: true,
            signature_required: false,
            grace: Duration::from_secs(5),
            linger: Duration::from_secs(30),
        };
        LocalRunner::new(
            "local",
            TypeFilter::all(),
            100,
            terms,
            command,
            self.jobs.clone(),
        )
        .unwrap()
    }

    fn sh(&self, script: &str) -> LocalCommand {
        LocalCommand {
            command: "sh".into(),
            args: vec!["-c".into(), script.into(), "sh".into()],
            config_dir: self.dir.path().to_owned(),
            ..LocalCommand::default()
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        end(self.pid);
        end_groups(self.dir.path());
    }
}

fn job(arguments: Option<&str>) -> JobStart {
    let now = SystemClock.now();
    let id = ActionId::draw(now);
    JobStart {
        attempt: AttemptRef {
            action: id,
            number: 1,
        },
        action: Action {
            id,
            arguments: arguments.map(|text| Json::from_text(text.to_owned()).unwrap()),
            // What was taken before the machine started is not started after it.
            updated_at: now,
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
        claimed_at: Timestamp(0),
        output_offset: 0,
        output_mark: None,
        taken_up: false,
        forbidden: None,
    }
}

async fn see(seen: &mut mpsc::Receiver<Sighting>) -> Sighting {
    tokio::time::timeout(PATIENCE, seen.recv())
        .await
        .unwrap()
        .unwrap()
}

/// Everything up to the end.
async fn see_all(seen: &mut mpsc::Receiver<Sighting>) -> (Vec<OutputLine>, Saw) {
    let mut lines = Vec::new();
    loop {
        match see(seen).await {
            Sighting::Started { .. } | Sighting::Said(_) => {}
            Sighting::Output(output) => lines.extend(output.lines),
            Sighting::Ended(saw) => return (lines, saw),
        }
    }
}

fn texts(lines: &[OutputLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

async fn run(runner: &LocalRunner, job: JobStart) -> (Vec<OutputLine>, Saw) {
    see_all(&mut runner.start(job).await.unwrap()).await
}

mod suite {
    use super::*;

    struct UnderTest {
        _site: Site,
        runner: Arc<LocalRunner>,
    }

    impl RunnerUnderTest for UnderTest {
        fn runner(&self) -> Arc<dyn Runner> {
            Arc::clone(&self.runner) as _
        }

        fn job(&self, kind: JobKind) -> JobStart {
            job(Some(match kind {
                JobKind::ThreeLines => r#"{"script": "echo one; echo two; echo three"}"#,
                JobKind::Fails => r#"{"script": "exit 3"}"#,
                JobKind::Endless => r#"{"script": "while :; do sleep 1; done"}"#,
                JobKind::Impossible => "{}",
            }))
        }
    }

    async fn open() -> UnderTest {
        let site = Site::open().await;
        let runner = Arc::new(site.runner(site.sh(r#"eval "$1""#).with_arg("${arguments.script}")));
        UnderTest {
            _site: site,
            runner,
        }
    }

    runner_suite!(open);
}

#[tokio::test]
async fn a_job_that_is_forbidden_by_now_does_not_start_and_goes_on_if_it_had() {
    let site = Site::open().await;
    let runner = site.runner(site.sh("echo ran; read line"));
    let forbidden = |job: &JobStart| JobStart {
        taken_up: true,
        forbidden: Some("not any more".into()),
        ..job.clone()
    };
    let new = job(None);
    let refused = runner.start(forbidden(&new)).await.unwrap_err();
    assert!(matches!(refused, StartError::Refused(reason) if reason == "not any more"));
    let begun = job(None);
    let mut seen = runner.start(begun.clone()).await.unwrap();
    while !matches!(see(&mut seen).await, Sighting::Output(_)) {}
    let (lines, saw) = see_all(&mut runner.start(forbidden(&begun)).await.unwrap()).await;
    assert_eq!((texts(&lines), saw.stopped), (vec!["ran"], false));
}

trait WithArg {
    fn with_arg(self, arg: &str) -> Self;
}

impl WithArg for LocalCommand {
    fn with_arg(mut self, arg: &str) -> LocalCommand {
        self.args.push(arg.into());
        self
    }
}

#[tokio::test]
async fn arguments_reach_the_command_as_values() {
    let site = Site::open().await;
    let command = site.sh(r#"printf '%s\n' "$@"; env | grep -E '^(MINE|JOB_)' | sort; pwd"#);
    let mut command = command
        .with_arg("${arguments.text}")
        .with_arg("n=${arguments.list.1}")
        .with_arg("${config_dir}")
        .with_arg("${JOB_ID}/${JOB_ATTEMPT}")
        .with_arg("$${arguments.text}");
    command.env = BTreeMap::from([("MINE".into(), "<${arguments.text}>".into())]);
    command.cwd = Some("sub".into());
    std::fs::create_dir(site.dir.path().join("sub")).unwrap();
    let start = job(Some(
        r#"{"text": "a  b; echo \"$HOME\" `id` ${JOB_ID}", "list": [1, 2.5]}"#,
    ));
    let id = start.environment.id.clone();
    let (lines, saw) = run(&site.runner(command), start).await;
    let text = r#"a  b; echo "$HOME" `id` ${JOB_ID}"#;
    let dir = site.dir.path().to_str().unwrap();
    let expected = [
        text,
        "n=2.5",
        dir,
        &format!("{id}/1"),
        "${arguments.text}",
        "JOB_ATTEMPT=1",
        "JOB_HOOK=http://127.0.0.1:1/async",
        &format!("JOB_ID={id}"),
        "JOB_ORCHESTRATOR=jobhook",
        "JOB_OUTPUT=stored",
        "JOB_SECRET_KEY=s3cret",
        &format!("MINE=<{text}>"),
        &format!("{dir}/sub"),
    ];
    assert_eq!(texts(&lines), expected);
    assert_eq!(saw.ending, Ending::Exited { code: 0 });
}

#[tokio::test]
async fn arguments_can_come_on_standard_input() {
    let site = Site::open().await;
    let mut command = site.sh("cat");
    command.stdin_arguments = true;
    let runner = site.runner(command);
    let (lines, _) = run(&runner, job(Some(r#"{"a":  [1, 2]}"#))).await;
    assert_eq!(texts(&lines), [r#"{"a":  [1, 2]}"#]);
    let (lines, _) = run(&runner, job(None)).await;
    assert_eq!(texts(&lines), ["null"]);
}

#[tokio::test]
async fn a_missing_value_refuses_the_start_and_is_named() {
    let site = Site::open().await;
    let runner = site.runner(site.sh("true").with_arg("${arguments.path}"));
    for arguments in [None, Some("{}"), Some("[1]"), Some(r#"{"path": null}"#)] {
        match runner.start(job(arguments)).await {
            Err(StartError::Refused(reason)) => {
                assert!(reason.contains("${arguments.path}"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_job_that_was_started_goes_on_when_the_configuration_changes() {
    let site = Site::open().await;
    let start = job(None);
    let mut seen = site
        .runner(site.sh("read x; exit 3"))
        .start(start.clone())
        .await
        .unwrap();
    see_all(&mut seen).await;
    let (_, saw) = run(
        &site.runner(site.sh("true").with_arg("${arguments.path}")),
        start,
    )
    .await;
    assert!(matches!(saw.ending, Ending::Exited { .. }), "{saw:?}");
}

#[tokio::test]
async fn a_missing_command_is_an_end_with_a_sentence() {
    let site = Site::open().await;
    let mut command = site.sh("");
    command.command = "no-such-command".into();
    let (lines, saw) = run(&site.runner(command), job(None)).await;
    assert_eq!(lines, []);
    let reason = "there is no program `no-such-command` in its PATH".to_owned();
    assert_eq!(saw.ending, Ending::NotStarted { reason });
}

#[tokio::test]
async fn a_work_folder_is_made_for_who_asks_and_goes_when_it_is_forgotten() {
    let site = Site::open().await;
    std::fs::set_permissions(site.dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = site.sh("echo hello > file; pwd");
    command.cwd = Some("${workdir}".into());
    let runner = site.runner(command);
    let start = job(None);
    let (lines, saw) = run(&runner, start.clone()).await;
    assert_eq!(saw.ending, Ending::Exited { code: 0 }, "{lines:?}");
    let work = Path::new(&lines[0].text);
    assert_eq!(
        std::fs::read_to_string(work.join("file")).unwrap(),
        "hello\n"
    );
    runner.forget(start.attempt).await;
    assert!(!work.exists());
}

/// The issue's promise: kill the server again and again while jobs write; every line is there
/// once. Here a stretch counts as stored once it is received, as the engine's transaction has it.
#[tokio::test]
async fn every_line_is_seen_once_while_servers_come_and_go() {
    let mut site = Site::open().await;
    let script = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; exit 4";
    let mut starts: Vec<(JobStart, Vec<String>, Option<Saw>)> =
        (0..10).map(|_| (job(None), Vec::new(), None)).collect();
    for round in 0.. {
        let runner = site.runner(site.sh(script));
        for (start, stored, ended) in &mut starts {
            let mut seen = runner.start(start.clone()).await.unwrap();
            // Each server lives for a few stretches of each job.
            let mut stretches = 0;
            while ended.is_none() && (stretches < 2 || round > 5) {
                match see(&mut seen).await {
                    Sighting::Started { .. } | Sighting::Said(_) => {}
                    Sighting::Output(output) => {
                        assert_eq!(output.from, start.output_offset);
                        stored.extend(output.lines.into_iter().map(|line| line.text));
                        start.output_offset = output.to;
                        stretches += 1;
                    }
                    Sighting::Ended(saw) => *ended = Some(saw),
                }
            }
        }
        if starts.iter().all(|(_, _, ended)| ended.is_some()) {
            break;
        }
        site.restart().await;
    }
    let expected: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    for (_, stored, ended) in starts {
        assert_eq!(stored, expected);
        assert_eq!(ended.unwrap().ending, Ending::Exited { code: 4 });
    }
}

#[tokio::test]
async fn a_killed_supervisor_is_an_infrastructure_failure_of_each_of_its_jobs() {
    let mut site = Site::open().await;
    let runner = site.runner(site.sh("echo $$; while :; do sleep 1; done"));
    let mut jobs = Vec::new();
    for _ in 0..5 {
        let mut seen = runner.start(job(None)).await.unwrap();
        let pid: i32 = loop {
            if let Sighting::Output(output) = see(&mut seen).await {
                break output.lines[0].text.parse().unwrap();
            }
        };
        jobs.push((seen, pid));
    }
    end(site.pid);
    for (mut seen, pid) in jobs {
        let (_, saw) = see_all(&mut seen).await;
        assert!(
            matches!(&saw.ending, Ending::Lost { reason } if reason.contains("supervisor")),
            "{saw:?}"
        );
        until_dead(pid).await;
    }
    // The next job finds a new supervisor.
    site.pid = site.jobs.supervisors().own_pid().await.unwrap();
    let (_, saw) = run(&site.runner(site.sh("exit 2")), job(None)).await;
    assert_eq!(saw.ending, Ending::Exited { code: 2 });
}

#[tokio::test]
async fn a_flood_costs_the_server_little_and_a_gap_is_told() {
    let site = Site::open().await;
    let runner =
        site.runner(site.sh("yes 'twenty-one characters' | head -c 50000000; echo; echo end"));
    let before = resident_bytes(std::process::id() as i32);
    let mut seen = runner.start(job(None)).await.unwrap();
    let (mut lines, mut gaps, mut last) = (0, 0, String::new());
    let mut peak = 0;
    loop {
        match see(&mut seen).await {
            Sighting::Started { .. } | Sighting::Said(_) => {}
            Sighting::Output(output) => {
                for line in output.lines {
                    if line.source == LineSource::Server {
                        gaps += line.text.split(' ').next().unwrap().parse::<u64>().unwrap();
                    } else {
                        lines += 1;
                        last = line.text;
                    }
                }
                assert_eq!(lines + gaps, output.to);
                peak = peak.max(resident_bytes(std::process::id() as i32));
            }
            Sighting::Ended(_) => break,
        }
    }
    assert_eq!(last, "end");
    assert_eq!(lines + gaps, 50_000_000u64.div_ceil(22) + 1);
    assert!(peak < before + 16_000_000, "{before} → {peak}");
}

/// A power cut can take a run directory that was just made. What was taken before it is not
/// started on the suspicion that it never was.
#[tokio::test]
async fn what_was_taken_before_the_machine_restarted_is_not_started_after_it() {
    let site = Site::open().await;
    let runner = site.runner(site.sh("echo ran >> trace"));
    let mut start = job(None);
    start.action.updated_at.0 -= 10_000;
    let (_, saw) = run(&runner, start).await;
    assert!(
        matches!(&saw.ending, Ending::Lost { reason } if reason.contains("machine restarted")),
        "{saw:?}"
    );
    run(&runner, job(None)).await;
    let trace = std::fs::read_to_string(site.dir.path().join("trace")).unwrap();
    assert_eq!(trace, "ran\n");
}
