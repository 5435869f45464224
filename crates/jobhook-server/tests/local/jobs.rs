//! What a job finds, and what is kept of it.

use std::os::unix::fs::PermissionsExt;

use jobhook_server::supervisor::{End, Limits, State, Stream, SupervisorError, Supervisors};

use crate::fixture::{Fixture, for_key, new_key, options, resident_bytes, sh};

#[track_caller]
fn not_started(end: &End) -> &str {
    match end {
        End::NotStarted(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn output_and_exit_code_are_kept() {
    let fixture = Fixture::open().await;
    let (key, exit) = fixture
        .run(&sh(
            "echo one; echo two >&2; printf 'last, no line end'; exit 3",
        ))
        .await;
    assert_eq!(exit.end, End::Code(3));
    assert!(!exit.stopped);
    assert_eq!(exit.lines, 3);
    assert!(exit.started_ms.unwrap() <= exit.ended_ms);
    assert!(exit.usage.unwrap().max_rss_bytes > 100_000);
    let (lines, lost) = fixture.lines(&key);
    assert_eq!(lost, 0);
    let mut found: Vec<_> = lines
        .iter()
        .map(|line| (line.stream, line.text.as_str()))
        .collect();
    // Two pipes have no order between them.
    found.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    let expected = [
        (Stream::Stdout, "one"),
        (Stream::Stdout, "last, no line end"),
        (Stream::Stderr, "two"),
    ];
    assert_eq!(found, expected);
    assert!(
        lines
            .iter()
            .all(|line| line.time_ms >= exit.started_ms.unwrap())
    );
}

/// Else each answer that a job waits for takes the processor from the thread that sends it.
#[tokio::test]
async fn a_job_is_of_the_class_of_batch_work() {
    let fixture = Fixture::open().await;
    // Field 41 of proc_pid_stat(5), of a process that the job started.
    let (key, _) = fixture.run(&sh("cut -d ' ' -f 41 /proc/self/stat")).await;
    let (lines, _) = fixture.lines(&key);
    let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["3"], "SCHED_BATCH");
}

#[tokio::test]
async fn a_signal_is_told_by_its_number() {
    let fixture = Fixture::open().await;
    let (_, exit) = fixture.run(&sh("kill -SEGV $$")).await;
    assert!(
        matches!(
            exit.end,
            End::Signal {
                number: 11,
                oom: false,
                ..
            }
        ),
        "{exit:?}"
    );
    let (_, exit) = fixture.run(&sh("kill -KILL $$")).await;
    assert!(
        matches!(
            exit.end,
            End::Signal {
                number: 9,
                core: false,
                oom: false
            }
        ),
        "{exit:?}"
    );
}

/// The signal library of the supervisor knows the common signals only, and took such a death for an
/// error: the job was never seen to end.
#[tokio::test]
async fn a_signal_without_a_name_ends_a_job_too() {
    let fixture = Fixture::open().await;
    let (_, exit) = fixture.run(&sh("kill -40 $$")).await;
    assert!(
        matches!(exit.end, End::Signal { number: 40, .. }),
        "{exit:?}"
    );
}

#[tokio::test]
async fn starting_twice_gives_one_job() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let trace = fixture.dir().join("trace");
    let spec = sh(&format!("echo ran >> {}", trace.display()));
    let starts = (0..20).map(|_| fixture.supervisors.start(&key, &spec));
    for state in futures_util::future::join_all(starts).await {
        assert!(matches!(
            state.unwrap(),
            State::Running { .. } | State::Ended(_)
        ));
    }
    fixture.pid().await;
    let exit = fixture.end_of(&key).await;
    assert_eq!(fixture.start(&key, &spec).await, State::Ended(exit));
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "ran\n");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let fixture = Fixture::open().await;
    let dir = fixture.dir().to_owned();
    let script = |name: &str, text: &str, mode: u32| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let not_executable = script("plain", "#!/bin/sh\n", 0o644);
    let no_interpreter = script("strange", "#!/no/such/interpreter\n", 0o755);
    let run = |change: fn(&mut jobhook_server::supervisor::Spec, String), value: &str| {
        let mut spec = sh("true");
        change(&mut spec, value.to_owned());
        let fixture = &fixture;
        async move {
            let key = new_key();
            let State::Ended(exit) = fixture.start(&key, &spec).await else {
                panic!("it started")
            };
            assert_eq!(
                fixture.supervisors.state(&key).await.unwrap(),
                State::Ended(exit.clone())
            );
            not_started(&exit.end).to_owned()
        }
    };
    let program = |spec: &mut jobhook_server::supervisor::Spec, value| spec.program = value;
    assert_eq!(
        run(program, "no-such-program").await,
        "there is no program `no-such-program` in its PATH"
    );
    assert_eq!(
        run(program, "/no/such/program").await,
        "there is no program `/no/such/program`"
    );
    assert!(
        run(program, &not_executable)
            .await
            .contains("may not be executed")
    );
    assert!(run(program, &no_interpreter).await.contains("interpreter"));
    assert!(run(program, "/usr").await.contains("is a directory"));
    assert!(run(program, "nul\0byte").await.contains("NUL"));
    let cwd = |spec: &mut jobhook_server::supervisor::Spec, value| spec.cwd = value;
    assert!(
        run(cwd, "/no/such/place")
            .await
            .contains("working directory `/no/such/place`")
    );
    assert!(
        run(cwd, &not_executable)
            .await
            .contains("is not a directory")
    );
    let user = |spec: &mut jobhook_server::supervisor::Spec, value| spec.run_as = Some(value);
    assert!(
        run(user, "no-such-user")
            .await
            .contains("no user `no-such-user`")
    );
}

#[tokio::test]
async fn a_job_finds_the_given_environment_and_nothing_else() {
    let fixture = Fixture::open().await;
    let key = new_key();
    let mut spec = for_key(sh("env | sort"), &key);
    spec.env
        .insert("JOB_SECRET_KEY".into(), "a-very-secret-key".into());
    fixture.start(&key, &spec).await;
    fixture.end_of(&key).await;
    let texts = fixture.texts(&key);
    let shell_sets = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
    let mut found: Vec<_> = (texts.iter().map(String::as_str))
        .filter(|text| !shell_sets.iter().any(|own| text.starts_with(own)))
        .collect();
    found.sort_unstable();
    let expected: Vec<_> = spec
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(found, expected);

    // The key is on no disk but where the job itself printed it, and in no argument list.
    let run_dir = fixture.supervisors.run_dir(&key);
    for name in ["owner.json", "leader", "exit.json"] {
        let text = std::fs::read_to_string(run_dir.join(name)).unwrap();
        assert!(!text.contains("a-very-secret-key"), "{name}");
    }
    let pid = fixture.pid().await;
    for name in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains("a-very-secret-key"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_job_starts_without_the_quirks_of_the_supervisor() {
    let fixture = Fixture::open().await;
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -Sn; ls /proc/self/fd | wc -l";
    let (key, _) = fixture.run(&sh(script)).await;
    let texts = fixture.texts(&key);
    assert_eq!(
        texts[0], "SigBlk:\t0000000000000000",
        "no signal is blocked"
    );
    // Above 31 are the C library's own.
    let ignored = texts[1].trim_start_matches("SigIgn:").trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff;
    assert_eq!(ignored, 0, "no signal is ignored");
    let (soft, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(texts[2], soft.to_string());
    // Three of its own, the listing's, and a pipe of the shell.
    assert!(texts[3].trim().parse::<u32>().unwrap() <= 5, "{}", texts[3]);
}

#[tokio::test]
async fn input_is_given_and_may_be_ignored() {
    let fixture = Fixture::open().await;
    let (key, _) = fixture.run(&sh("wc -c")).await;
    assert_eq!(fixture.texts(&key), ["0"]);

    let mut spec = sh("wc -c");
    spec.stdin = Some("x".repeat(1_000_000));
    let (key, exit) = fixture.run(&spec).await;
    assert_eq!(
        (fixture.texts(&key), exit.end),
        (vec!["1000000".to_owned()], End::Code(0))
    );

    spec.args = vec!["-c".into(), "exit 7".into()];
    assert_eq!(fixture.run(&spec).await.1.end, End::Code(7));

    spec.stdin = Some(String::new());
    spec.args = vec!["-c".into(), "wc -c".into()];
    let (key, _) = fixture.run(&spec).await;
    assert_eq!(fixture.texts(&key), ["0"]);
}

#[tokio::test]
async fn a_start_that_fails_is_not_explained_by_an_earlier_one() {
    let fixture = Fixture::open().await;
    // Directories of runs are used again; this one is left by a start that failed at a limit.
    let mut limited = sh("true");
    limited.limits.open_files = Some(u64::MAX);
    let (key, exit) = fixture.run(&limited).await;
    let reason = "a limit of `sh` could not be set";
    assert!(not_started(&exit.end).starts_with(reason), "{exit:?}");
    fixture.supervisors.forget(&key).await.unwrap();

    let mut missing = sh("true");
    missing.program = "no-such-program".to_owned();
    let (_, exit) = fixture.run(&missing).await;
    assert_eq!(
        not_started(&exit.end),
        "there is no program `no-such-program` in its PATH"
    );
}

#[tokio::test]
async fn limits_hold() {
    let fixture = Fixture::open().await;
    let mut spec = sh("ulimit -n; ulimit -c; ulimit -t; ulimit -f");
    spec.limits = Limits {
        open_files: Some(64),
        core: Some(0),
        cpu: Some(100),
        file_size: Some(0),
        ..Limits::default()
    };
    let (key, exit) = fixture.run(&spec).await;
    assert_eq!(
        (fixture.texts(&key), exit.end),
        (
            ["64", "0", "100", "0"].map(String::from).to_vec(),
            End::Code(0)
        )
    );

    let mut spec = sh("while :; do :; done");
    spec.limits.cpu = Some(1);
    let (_, exit) = fixture.run(&spec).await;
    // Soft and hard limit are one, so the kernel does not bother with SIGXCPU.
    assert!(
        matches!(
            exit.end,
            End::Signal {
                number: 9 | 24,
                oom: false,
                ..
            }
        ),
        "{exit:?}"
    );
    assert!(exit.usage.unwrap().user_ms >= 500, "{exit:?}");
}

#[tokio::test]
async fn a_job_can_run_as_another_user_in_its_own_folder() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can do this at all.
        return;
    }
    let fixture = Fixture::open().await;
    std::fs::set_permissions(fixture.dir(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let key = new_key();
    let work = fixture.supervisors.run_dir(&key).join("work");
    let mut spec = sh(&format!(
        "id -un; id -Gn; cd {} && echo mine > file && cat file",
        work.display()
    ));
    spec.run_as = Some("nobody".into());
    spec.workdir = true;
    fixture.start(&key, &spec).await;
    let exit = fixture.end_of(&key).await;
    let texts = fixture.texts(&key);
    assert_eq!(
        (texts[0].as_str(), exit.end),
        ("nobody", End::Code(0)),
        "{texts:?}"
    );
    assert!(!texts[1].contains("root"), "{texts:?}");
    assert_eq!(texts[2], "mine");
}

#[tokio::test]
async fn a_flood_is_drained_without_growing_memory() {
    let fixture = Fixture::open().await;
    fixture.run(&sh("yes | head -c 1000000")).await;
    let pid = fixture.pid().await;
    let before = resident_bytes(pid);
    let (key, exit) = fixture
        .run(&sh(
            "yes 'a line of some thirty characters' | head -c 50000000",
        ))
        .await;
    let after = resident_bytes(pid);
    assert!(after < before + 4_000_000, "{before} → {after}");
    let (lines, lost) = fixture.lines(&key);
    assert_eq!(lines.len() as u64 + lost, exit.lines);
    assert_eq!(exit.lines, 50_000_000u64.div_ceil(33));
    let kept: u64 = std::fs::read_dir(fixture.supervisors.run_dir(&key))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 70_000_000, "{kept}");
}

#[tokio::test]
async fn ten_million_bytes_of_nonsense_are_one_line() {
    let fixture = Fixture::open().await;
    let (key, exit) = fixture
        .run(&sh(
            r"head -c 10000000 /dev/zero | tr '\0' '\377'; echo; echo end",
        ))
        .await;
    assert_eq!(exit.end, End::Code(0));
    let (lines, lost) = fixture.lines(&key);
    assert_eq!(lost, 0);
    let (end, long) = lines.split_last().unwrap();
    assert_eq!((end.text.as_str(), end.continued), ("end", false));
    let (last, pieces) = long.split_last().unwrap();
    assert!(!last.continued && pieces.iter().all(|piece| piece.continued));
    let characters: usize = long.iter().map(|piece| piece.text.chars().count()).sum();
    assert_eq!(characters, 10_000_000);
}

#[tokio::test]
async fn many_sleeping_jobs_cost_little() {
    let fixture = Fixture::open().await;
    fixture.run(&sh("true")).await;
    let pid = fixture.pid().await;
    let before = resident_bytes(pid);
    let mut spec = sh("");
    (spec.program, spec.args) = ("sleep".into(), vec!["1000".into()]);
    for _ in 0..200 {
        fixture.start(&new_key(), &spec).await;
    }
    let grown = resident_bytes(pid) - before;
    assert!(grown < 200 * 8192, "{grown} bytes for 200 jobs");
}

#[tokio::test]
async fn a_forgotten_run_leaves_nothing() {
    let fixture = Fixture::open().await;
    let running = new_key();
    fixture.start(&running, &sh("sleep 1000")).await;
    let refused = fixture.supervisors.forget(&running).await;
    assert!(
        matches!(refused, Err(SupervisorError::Failed(_))),
        "{refused:?}"
    );

    let (key, _) = fixture.run(&sh("echo hello")).await;
    assert_eq!(fixture.supervisors.list().await.unwrap().len(), 2);
    fixture.supervisors.forget(&key).await.unwrap();
    fixture.supervisors.forget(&key).await.unwrap();
    assert_eq!(
        fixture.supervisors.state(&key).await.unwrap(),
        State::Unknown
    );
    assert_eq!(fixture.supervisors.list().await.unwrap().len(), 1);
    assert_eq!(
        std::fs::read_dir(fixture.dir().join("runs/.trash"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_key_that_leaves_its_folder_is_refused() {
    let fixture = Fixture::open().await;
    for id in ["..", "../x", ".trash", "a/b", ""] {
        let key = jobhook_server::supervisor::RunKey::new(id, 1);
        let refused = fixture.supervisors.start(&key, &sh("true")).await;
        assert!(
            matches!(refused, Err(SupervisorError::Failed(_))),
            "{refused:?}"
        );
    }
    fixture.pid().await;
}

#[tokio::test]
async fn a_deep_data_directory_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    let (supervisors, _told) = Supervisors::open(&deep, options()).await.unwrap();
    let state = supervisors.start(&new_key(), &sh("true")).await.unwrap();
    assert!(matches!(state, State::Running { .. }), "{state:?}");
}

#[tokio::test]
async fn a_program_that_forgot_to_enter_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = jobhook_server::supervisor::SupervisorOptions::default();
    let refused = Supervisors::open(dir.path(), options).await;
    assert!(
        matches!(refused, Err(SupervisorError::NotEntered)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_program_that_is_no_supervisor_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options();
    options.program = Some("/bin/true".into());
    let (supervisors, _told) = Supervisors::open(dir.path(), options).await.unwrap();
    let refused = supervisors.start(&new_key(), &sh("true")).await;
    assert!(
        matches!(refused, Err(SupervisorError::NotStarted(_))),
        "{refused:?}"
    );
}
