//! How jobs are ended, and what they leave behind.

use std::time::{Duration, Instant};

use jobhook_server::supervisor::{End, Exit, Notice, RunKey, State, Told};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::{Fixture, carriers, end, for_key, is_alive, new_key, sh, until_dead};

const GRACE: Duration = Duration::from_millis(300);

/// Starts `script`, which must print numbers of processes and then `ready`, and returns those.
async fn start(fixture: &Fixture, script: &str) -> (RunKey, Vec<i32>) {
    let key = new_key();
    fixture.start(&key, &for_key(sh(script), &key)).await;
    let texts = fixture.wait_for_line(&key, "ready").await;
    (
        key,
        texts.iter().filter_map(|text| text.parse().ok()).collect(),
    )
}

async fn stop(fixture: &Fixture, key: &RunKey, grace: Duration) -> (Exit, Duration) {
    let asked = Instant::now();
    fixture.supervisors.stop(key, grace).await.unwrap();
    let exit = fixture.end_of(key).await;
    (exit, asked.elapsed())
}

#[tokio::test]
async fn a_job_that_is_asked_to_stop_may_say_farewell() {
    let fixture = Fixture::open().await;
    let (key, _) = start(
        &fixture,
        "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
    )
    .await;
    let (exit, _) = stop(&fixture, &key, Duration::from_secs(30)).await;
    assert_eq!((exit.end, exit.stopped), (End::Code(5), true));
    assert!(fixture.texts(&key).contains(&"bye".to_owned()));
}

/// The supervisor waits for its own signals blocked, and a mask is inherited over exec. A shell
/// clears it by itself sooner or later; most programs do not.
#[tokio::test]
async fn a_job_begins_with_no_signal_blocked_and_ends_when_it_is_asked() {
    let fixture = Fixture::open().await;
    let (key, _) = start(
        &fixture,
        "grep ^SigBlk /proc/self/status; echo ready; exec sleep 1000",
    )
    .await;
    let (exit, _) = stop(&fixture, &key, Duration::from_secs(30)).await;
    assert!(
        matches!(exit.end, End::Signal { number: 15, .. }),
        "{exit:?}"
    );
    let texts = fixture.texts(&key);
    assert!(
        texts.contains(&"SigBlk:\t0000000000000000".to_owned()),
        "{texts:?}"
    );
}

#[tokio::test]
async fn a_job_that_ignores_it_is_killed_with_all_it_started() {
    let fixture = Fixture::open().await;
    let script = "trap '' TERM; sleep 1000 & echo $!; setsid sleep 1001 & echo $!
        setsid sh -c 'setsid sleep 1002 & echo $!; wait' & echo ready; while :; do sleep 1; done";
    let (key, left) = start(&fixture, script).await;
    let (exit, took) = stop(&fixture, &key, GRACE).await;
    assert!(
        matches!(
            exit.end,
            End::Signal {
                number: 9,
                oom: false,
                ..
            }
        ),
        "{exit:?}"
    );
    assert!(exit.stopped);
    assert!(
        took >= GRACE && took < GRACE + Duration::from_secs(1),
        "{took:?}"
    );
    for pid in left {
        assert!(!is_alive(pid), "{pid} lives on");
    }
}

#[tokio::test]
async fn a_job_that_sleeps_under_a_stop_signal_hears_the_end() {
    let fixture = Fixture::open().await;
    let (key, left) = start(
        &fixture,
        "trap 'exit 6' TERM; echo $$; echo ready; while :; do sleep 0.05; done",
    )
    .await;
    kill(Pid::from_raw(left[0]), Signal::SIGSTOP).unwrap();
    let (exit, _) = stop(&fixture, &key, Duration::from_secs(30)).await;
    assert_eq!(exit.end, End::Code(6));
}

#[tokio::test]
async fn a_second_stop_can_only_hurry() {
    let fixture = Fixture::open().await;
    let (key, _) = start(
        &fixture,
        "trap '' TERM; echo ready; while :; do sleep 1; done",
    )
    .await;
    fixture
        .supervisors
        .stop(&key, Duration::from_secs(1000))
        .await
        .unwrap();
    fixture
        .supervisors
        .stop(&key, Duration::from_secs(2000))
        .await
        .unwrap();
    let (exit, _) = stop(&fixture, &key, Duration::ZERO).await;
    assert!(
        matches!(exit.end, End::Signal { number: 9, .. }),
        "{exit:?}"
    );
}

#[tokio::test]
async fn stopping_what_is_gone_succeeds() {
    let fixture = Fixture::open().await;
    let (key, exit) = fixture.run(&sh("exit 3")).await;
    assert_eq!(
        fixture.supervisors.stop(&key, GRACE).await.unwrap(),
        State::Ended(exit)
    );
    assert_eq!(
        fixture.supervisors.stop(&new_key(), GRACE).await.unwrap(),
        State::Unknown
    );
}

#[tokio::test]
async fn what_a_job_leaves_behind_goes_with_it() {
    let fixture = Fixture::open().await;
    let script = "sleep 1000 & echo $!; setsid sleep 1001 & echo $!
        (setsid sh -c 'sleep 1002 & echo $!; wait' &) ; sleep 0.2; echo ready; exit 0";
    let key = new_key();
    fixture.start(&key, &for_key(sh(script), &key)).await;
    let exit = fixture.end_of(&key).await;
    assert_eq!(exit.end, End::Code(0));
    let texts = fixture.texts(&key);
    let left: Vec<i32> = texts.iter().filter_map(|text| text.parse().ok()).collect();
    assert_eq!(left.len(), 3, "{texts:?}");
    for pid in left {
        assert!(!is_alive(pid), "{pid} lives on");
    }
}

/// A process that is being forked while the signal is on its way must not slip through.
#[tokio::test]
async fn forks_in_flight_do_not_escape() {
    let fixture = Fixture::open().await;
    for round in 0..10 {
        let script = "trap '' TERM; i=0; while [ $i -lt 300 ]; do
            setsid sh -c 'setsid sleep 1000 & setsid sleep 1001 & wait' & i=$((i+1))
            [ $i -eq 5 ] && echo ready; done; wait";
        let (key, _) = start(&fixture, script).await;
        let grace = Duration::from_millis(round * 3);
        let (exit, _) = stop(&fixture, &key, grace).await;
        assert!(exit.stopped);
        assert_eq!(carriers(&key), Vec::<i32>::new(), "round {round}");
    }
}

#[tokio::test]
async fn a_stranger_that_holds_the_pipe_is_not_waited_for() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let script = "env -i setsid sleep 1000 & echo $!; sleep 0.3; printf last; exit 4";
    fixture.start(&key, &for_key(sh(script), &key)).await;
    let exit = fixture.end_of(&key).await;
    assert_eq!((exit.end, exit.lines), (End::Code(4), 2));
    let texts = fixture.texts(&key);
    assert_eq!(texts[1], "last");
    // It washed off every mark, so it is nobody's: the documented exception.
    end(texts[0].parse().unwrap());
}

#[tokio::test]
async fn a_living_jobs_daemon_is_left_alone_when_another_job_ends() {
    let fixture = Fixture::open().await;
    let (key, left) = start(
        &fixture,
        "(setsid sleep 1000 & echo $!); echo ready; while :; do sleep 1; done",
    )
    .await;
    for _ in 0..3 {
        fixture.run(&sh("true")).await;
    }
    assert!(is_alive(left[0]));
    stop(&fixture, &key, Duration::ZERO).await;
    assert!(!is_alive(left[0]));
}

#[tokio::test]
async fn output_is_told_once_until_it_is_read() {
    let fixture = Fixture::open().await;
    let key = new_key();
    fixture
        .start(
            &key,
            &sh("for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.01; done"),
        )
        .await;
    let mut told = 0;
    loop {
        match fixture.hear().await {
            Told::Notice(Notice::Output { .. }) => told += 1,
            Told::Notice(Notice::Exited { .. }) => break,
            _ => {}
        }
    }
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_supervisor_that_is_told_to_end_ends_its_jobs_first() {
    let fixture = Fixture::open().await;
    let (key, left) = start(
        &fixture,
        "trap 'exit 0' TERM; echo $$; echo ready; while :; do sleep 0.05; done",
    )
    .await;
    let pid = fixture.pid().await;
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    until_dead(pid).await;
    assert!(!is_alive(left[0]));
    let State::Ended(exit) = fixture.supervisors.state(&key).await.unwrap() else {
        panic!()
    };
    assert!(
        matches!(&exit.end, End::Lost(why) if why.contains("told to end")),
        "{exit:?}"
    );
    fixture.pid().await;
}
