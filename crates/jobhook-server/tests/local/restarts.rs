//! Servers and supervisors come and go; jobs are started once.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use jobhook_server::supervisor::{End, State, Supervisors, Told};

use crate::fixture::{
    Fixture, carriers, end, for_key, new_key, options, other_build, sh, until_dead,
};

#[tokio::test]
async fn a_job_goes_on_while_servers_come_and_go() {
    let mut fixture = Fixture::open().await;
    let key = new_key();
    let go = fixture.dir().join("go");
    let script = format!(
        "for i in $(seq 1000); do echo $i; done; until [ -e {} ]; do sleep 0.01; done; echo done; exit 9",
        go.display()
    );
    fixture.start(&key, &sh(&script)).await;
    let pid = fixture.pid().await;
    for _ in 0..5 {
        fixture = fixture.reopen(options()).await;
        assert!(matches!(
            fixture.supervisors.state(&key).await.unwrap(),
            State::Running { .. }
        ));
        assert_eq!(fixture.pid().await, pid);
    }
    std::fs::write(go, "").unwrap();
    assert_eq!(fixture.end_of(&key).await.end, End::Code(9));
    let mut expected: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    expected.push("done".into());
    assert_eq!(fixture.texts(&key), expected);
}

#[tokio::test]
async fn a_job_that_ends_while_no_server_is_there_is_remembered() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let go = fixture.dir().join("go");
    fixture
        .start(
            &key,
            &sh(&format!(
                "until [ -e {} ]; do sleep 0.01; done; exit 9",
                go.display()
            )),
        )
        .await;
    let pid = fixture.pid().await;
    std::fs::write(go, "").unwrap();
    let fixture = fixture.reopen(options()).await;
    assert_eq!(fixture.end_of(&key).await.end, End::Code(9));
    let fixture = fixture.reopen(options()).await;
    assert_eq!(fixture.end_of(&key).await.end, End::Code(9));
    end(pid);
    until_dead(pid).await;
    assert_eq!(
        fixture.end_of(&key).await.end,
        End::Code(9),
        "also by the next supervisor"
    );
    fixture.pid().await;
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_jobs_along_and_the_next_one_says_so() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let trace = fixture.dir().join("trace");
    let script = format!(
        "echo ran >> {}; echo $$; sleep 1000 & echo $!; (setsid sleep 1001 & echo $!); echo ready; wait",
        trace.display()
    );
    let spec = for_key(sh(&script), &key);
    fixture.start(&key, &spec).await;
    let left = fixture.wait_for_line(&key, "ready").await;
    let old = fixture.pid().await;
    end(old);
    while fixture.hear().await != Told::Gone {}

    // Starting it again must only find it.
    let State::Ended(exit) = fixture.start(&key, &spec).await else {
        panic!("it runs again")
    };
    assert!(
        matches!(&exit.end, End::Lost(why) if why.contains("supervisor")),
        "{exit:?}"
    );
    assert_eq!(exit.lines, 4);
    for pid in left.iter().filter_map(|text| text.parse().ok()) {
        until_dead(pid).await;
    }
    assert_ne!(fixture.pid().await, old);
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "ran\n");
    assert_eq!(fixture.texts(&key).len(), 4, "its output is kept");
}

#[tokio::test]
async fn a_job_of_another_user_dies_with_its_supervisor() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can do this at all.
        return;
    }
    let fixture = Fixture::open().await;
    let key = new_key();
    let mut spec = for_key(sh("echo $$; echo ready; exec sleep 1000"), &key);
    spec.run_as = Some("nobody".into());
    fixture.start(&key, &spec).await;
    let texts = fixture.wait_for_line(&key, "ready").await;
    end(fixture.pid().await);
    // Nobody asks, so no next supervisor helps: the kernel alone does it.
    until_dead(texts[0].parse().unwrap()).await;
}

#[tokio::test]
async fn an_upgraded_server_talks_to_the_supervisor_of_the_old_build() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let trace = fixture.dir().join("trace");
    let script = format!(
        "echo ran >> {}; echo ready; exec sleep 1000",
        trace.display()
    );
    let spec = for_key(sh(&script), &key);
    fixture.start(&key, &spec).await;
    let old = fixture.pid().await;

    let mut upgraded = options();
    upgraded.program = Some(other_build(fixture.dir()));
    let fixture = fixture.reopen(upgraded).await;
    // Asked to start it as well, the new one finds it with the old one.
    assert!(matches!(
        fixture.start(&key, &spec).await,
        State::Running { .. }
    ));
    assert_ne!(fixture.pid().await, old);
    let (fresh, exit) = fixture.run(&sh("exit 8")).await;
    assert_eq!(exit.end, End::Code(8));
    assert_eq!(fixture.supervisors.list().await.unwrap().len(), 2);
    fixture.wait_for_line(&key, "ready").await;

    fixture
        .supervisors
        .stop(&key, Duration::ZERO)
        .await
        .unwrap();
    let exit = fixture.end_of(&key).await;
    assert!(
        matches!(exit.end, End::Signal { number: 9, .. }),
        "{exit:?}"
    );
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "ran\n");
    fixture.supervisors.forget(&key).await.unwrap();
    fixture.supervisors.forget(&fresh).await.unwrap();
    // Without jobs the old one goes, though the new server is still connected to it.
    until_dead(old).await;
}

#[tokio::test]
async fn a_dead_supervisor_of_an_old_build_is_cleaned_up_after() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let script = "(setsid sleep 1000 & echo $!); echo ready; exec sleep 1001";
    fixture.start(&key, &for_key(sh(script), &key)).await;
    let texts = fixture.wait_for_line(&key, "ready").await;
    let old = fixture.pid().await;
    let mut upgraded = options();
    upgraded.program = Some(other_build(fixture.dir()));
    let fixture = fixture.reopen(upgraded).await;
    fixture.pid().await;
    assert!(matches!(
        fixture.supervisors.state(&key).await.unwrap(),
        State::Running { .. }
    ));
    end(old);
    while fixture.hear().await != Told::Gone {}
    let exit = fixture.end_of(&key).await;
    assert!(matches!(exit.end, End::Lost(_)), "{exit:?}");
    until_dead(texts[0].parse().unwrap()).await;
}

#[tokio::test]
async fn a_supervisor_with_nothing_to_do_goes_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (supervisors, _told) = Supervisors::open(dir.path(), options()).await.unwrap();
    let pid = supervisors.own_pid().await.unwrap();
    let key = new_key();
    let go = dir.path().join("go");
    let script = format!("until [ -e {} ]; do sleep 0.01; done", go.display());
    supervisors.start(&key, &sh(&script)).await.unwrap();
    drop(supervisors);
    std::fs::write(go, "").unwrap();
    until_dead(pid).await;
    let left = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["go", "runs", "supervisor.log"]);
}

#[tokio::test]
async fn two_servers_that_start_at_once_share_a_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _one) = Supervisors::open(dir.path(), options()).await.unwrap();
    let (second, _two) = Supervisors::open(dir.path(), options()).await.unwrap();
    let (one, two) = tokio::join!(first.own_pid(), second.own_pid());
    assert_eq!(one.unwrap(), two.unwrap());
}

#[tokio::test]
async fn a_peer_that_talks_nonsense_is_dropped_and_hurts_nobody() {
    let fixture = Fixture::open().await;
    let pid = fixture.pid().await;
    let socket = std::fs::read_dir(fixture.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .unwrap();
    for nonsense in [
        "\n\n[]\n",
        "{\"protocol\":1,\"build\":\"x\",\"watch\":false}\n{\"n\":1}\n",
        "{\"protocol\":99,\"build\":\"x\",\"watch\":true}\n",
    ] {
        let mut peer = UnixStream::connect(&socket).unwrap();
        peer.write_all(nonsense.as_bytes()).unwrap();
        let mut heard = String::new();
        peer.read_to_string(&mut heard).unwrap();
        assert_eq!(heard.lines().count(), 1, "only the hello: {heard}");
    }
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    fixture.run(&sh("true")).await;
    assert_eq!(fixture.pid().await, pid);
}

/// The supervisor is killed again and again while jobs are started, write, leave children behind
/// and end. No job runs twice, and none is left without a supervisor.
#[tokio::test(flavor = "multi_thread")]
async fn random_kills_of_the_supervisor_run_nothing_twice_and_leave_nothing() {
    let fixture = Fixture::open().await;
    let trace = fixture.dir().join("trace");
    let mut keys = Vec::new();
    for round in 0..15 {
        let started: Vec<_> = (0..8).map(|_| new_key()).collect();
        let starts = started.iter().map(|key| {
            let script = format!(
                "echo $JOB_ID >> {}; (setsid sleep 1000 &); echo one; echo two; exit 3",
                trace.display()
            );
            let (supervisors, spec) = (fixture.supervisors.clone(), for_key(sh(&script), key));
            let key = key.clone();
            tokio::spawn(async move { supervisors.start(&key, &spec).await })
        });
        let starts: Vec<_> = starts.collect();
        let pid = fixture.pid().await;
        let at = std::time::Instant::now() + Duration::from_micros(900 * round);
        while std::time::Instant::now() < at {
            tokio::task::yield_now().await;
        }
        end(pid);
        for start in starts {
            start.await.unwrap().unwrap();
        }
        keys.extend(started);
    }
    let mut lost = 0;
    for key in &keys {
        let exit = fixture.end_of(key).await;
        match exit.end {
            End::Code(3) => assert_eq!(fixture.texts(key), ["one", "two"]),
            End::Lost(_) => lost += 1,
            _ => panic!("{exit:?}"),
        }
        assert_eq!(carriers(key), Vec::<i32>::new());
    }
    let trace = std::fs::read_to_string(trace).unwrap_or_default();
    let mut ran: Vec<&str> = trace.lines().collect();
    ran.sort_unstable();
    let count = ran.len();
    ran.dedup();
    assert_eq!(ran.len(), count, "a job ran twice");
    assert!(lost > 0, "no kill came early enough to show anything");
    fixture.pid().await;
}

/// The names in a folder, sorted.
fn names(folder: &std::path::Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_idle_supervisor_whose_directory_is_deleted_ends_and_brings_nothing_back() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    let (server, _told) = Supervisors::open(&dir, options()).await.unwrap();
    let pid = server.own_pid().await.unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    // It stays for as long as a server is connected.
    drop(server);
    until_dead(pid).await;
    assert!(names(parent.path()).is_empty());
}

#[tokio::test]
async fn a_supervisor_whose_directory_was_made_anew_takes_nothing_from_its_successor() {
    let fixture = Fixture::open().await;
    let old = fixture.pid().await;
    std::fs::remove_dir_all(fixture.dir()).unwrap();
    std::fs::create_dir(fixture.dir()).unwrap();
    let (server, _told) = Supervisors::open(fixture.dir(), options()).await.unwrap();
    let new = server.own_pid().await.unwrap();
    assert_ne!(new, old);
    let before = names(fixture.dir());
    let fixture = fixture.reopen(options()).await;
    until_dead(old).await;
    assert_eq!(names(fixture.dir()), before);
    // The next server finds it, and no third one is started beside it.
    let fixture = fixture.reopen(options()).await;
    assert_eq!(fixture.pid().await, new);
}
