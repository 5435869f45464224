//! The steps of a start, and of an end, with a SIGKILL at each.
//!
//! Whatever dies where: the job runs at most once, nothing of it lives on unwatched, and the
//! answer is the same however often it is asked for.

use std::process::{Command, Stdio};

use jobhook_server::supervisor::{End, Exit, RunKey, State, Supervisors};

use crate::fixture::{Fixture, for_key, is_alive, new_key, options, sh, until_dead};

/// Starts a short job with a supervisor that dies at `step`. Returns how often the job ran, and
/// its end.
async fn crash_at(step: &str) -> (usize, Exit) {
    let mut crashing = options();
    crashing.crash_at = Some(step.into());
    let fixture = Fixture::open_with(crashing).await;
    let key = new_key();
    let trace = fixture.dir().join("trace");
    let script = format!(
        "echo $$ >> {0}; (setsid sleep 1000 & echo $! >> {0}.left)",
        trace.display()
    );
    let spec = for_key(sh(&script), &key);
    fixture.start(&key, &spec).await;
    let exit = fixture.end_of(&key).await;

    // Asked again, by the same server and by the next one, it is the same.
    assert_eq!(
        fixture.start(&key, &spec).await,
        State::Ended(exit.clone()),
        "{step}"
    );
    let fixture = fixture.reopen(options()).await;
    assert_eq!(
        fixture.start(&key, &spec).await,
        State::Ended(exit.clone()),
        "{step}"
    );

    let read = |suffix: &str| {
        let path = format!("{}{suffix}", trace.display());
        std::fs::read_to_string(path).unwrap_or_default()
    };
    for pid in (read("") + &read(".left"))
        .lines()
        .filter_map(|pid| pid.parse().ok())
    {
        until_dead(pid).await;
    }
    (read("").lines().count(), exit)
}

#[track_caller]
fn check_lost(step: &str, exit: &Exit) {
    assert!(matches!(exit.end, End::Lost(_)), "{step}: {exit:?}");
}

#[tokio::test]
async fn before_the_run_directory_is_there_nothing_has_happened() {
    let (runs, exit) = crash_at("supervisor.staged").await;
    assert_eq!((runs, exit.end), (1, End::Code(0)));
}

#[tokio::test]
async fn from_the_run_directory_to_the_program_nothing_runs_and_the_run_is_lost() {
    for step in ["supervisor.claimed", "supervisor.forked", "supervisor.led"] {
        let (runs, exit) = crash_at(step).await;
        assert_eq!(runs, 0, "{step}");
        check_lost(step, &exit);
    }
}

#[tokio::test]
async fn a_job_that_has_begun_is_lost_and_not_begun_again() {
    for step in [
        "supervisor.spawned",
        "supervisor.reaped",
        "supervisor.exit_unnamed",
    ] {
        let (runs, exit) = crash_at(step).await;
        assert!(runs <= 1, "{step}: {runs}");
        check_lost(step, &exit);
    }
}

#[tokio::test]
async fn a_recorded_end_stands() {
    let (runs, exit) = crash_at("supervisor.recorded").await;
    assert_eq!((runs, exit.end), (1, End::Code(0)));
}

#[tokio::test]
async fn a_supervisor_that_dies_while_it_cleans_up_is_cleaned_up_after() {
    for step in ["supervisor.remains_killed", "supervisor.recovered"] {
        let fixture = Fixture::open().await;
        let key = new_key();
        let spec = for_key(
            sh("echo $$; setsid sleep 1000 & echo $!; echo ready; wait"),
            &key,
        );
        fixture.start(&key, &spec).await;
        let texts = fixture.wait_for_line(&key, "ready").await;
        let old = fixture.pid().await;
        let mut crashing = options();
        crashing.crash_at = Some(step.into());
        let fixture = fixture.reopen(crashing).await;
        crate::fixture::end(old);
        until_dead(old).await;
        // The first attempt at a new one fails; that it was so is an answer as well.
        while fixture.supervisors.state(&key).await.is_err() {}
        check_lost(step, &fixture.end_of(&key).await);
        for pid in texts.iter().filter_map(|text| text.parse().ok()) {
            assert!(!is_alive(pid), "{step}: {pid}");
        }
        fixture.pid().await;
    }
}

/// What a server does that is killed while it starts a job; run as a process by
/// [`a_killed_server_has_started_its_job_at_most_once`].
#[tokio::test]
#[ignore = "only makes sense as the process that another test kills"]
async fn a_server_that_starts_a_job() {
    let dir = std::env::var("TEST_DATA_DIR").unwrap();
    let key = RunKey::new(std::env::var("TEST_ID").unwrap(), 1);
    let (supervisors, _told) = Supervisors::open(dir.as_ref(), options()).await.unwrap();
    supervisors.start(&key, &traced(&dir, &key)).await.unwrap();
}

fn traced(dir: &str, key: &RunKey) -> jobhook_server::supervisor::Spec {
    for_key(sh(&format!("echo ran >> {dir}/trace; exit 3")), key)
}

#[tokio::test]
async fn a_killed_server_has_started_its_job_at_most_once() {
    for step in [
        "link.start_sending",
        "link.start_sent",
        "link.start_answered",
    ] {
        let fixture = Fixture::open().await;
        let dir = fixture.dir().to_str().unwrap();
        let key = new_key();
        let mut server = Command::new(std::env::current_exe().unwrap());
        server
            .args([
                "--exact",
                "crashes::a_server_that_starts_a_job",
                "--ignored",
            ])
            .env("JOBHOOK_CRASH_AT", step)
            .env("TEST_DATA_DIR", dir)
            .env("TEST_ID", &key.id)
            .stdout(Stdio::null());
        let ended = tokio::task::spawn_blocking(move || server.status())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&ended),
            Some(9),
            "{step}"
        );

        // The next server does not know whether its start got through, and says it again.
        fixture.start(&key, &traced(dir, &key)).await;
        assert_eq!(fixture.end_of(&key).await.end, End::Code(3), "{step}");
        let trace = std::fs::read_to_string(fixture.dir().join("trace")).unwrap();
        assert_eq!(trace, "ran\n", "{step}");
    }
}
