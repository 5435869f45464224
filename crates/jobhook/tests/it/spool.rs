//! Reports outlive the process in the spool directory.

use std::time::Duration;

use jobhook::testing::{Behaviour, FakeHook};

use crate::support::{lines, numbers};

#[test]
fn what_a_process_could_not_send_is_sent_by_the_next_one_first() {
    let directory = tempfile::tempdir().unwrap();
    let hook = FakeHook::start().unwrap();
    // What is sent arrives, but its sender never hears of it.
    hook.behave(Behaviour::CutAfter);
    let job = || {
        let limit = Duration::from_millis(100);
        let job = hook.job().flush_limit(limit);
        job.spool_directory(directory.path()).build().unwrap()
    };
    let lines = lines(60);
    for (number, chunk) in lines[..40].chunks(20).enumerate() {
        let job = job();
        for line in chunk {
            job.log(line).unwrap();
        }
        assert_eq!(
            job.close().unwrap_err().code(),
            "flush_timeout",
            "process {number}"
        );
    }
    hook.behave(Behaviour::Well);
    let last = job();
    for line in &lines[40..] {
        last.log(line).unwrap();
    }
    last.succeed(&()).unwrap();
    last.close().unwrap();
    assert_eq!(hook.lines(), lines);
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "nothing is left on disk");
}

#[test]
fn a_job_with_a_spool_leaves_nothing_when_all_is_well() {
    let directory = tempfile::tempdir().unwrap();
    let hook = FakeHook::start().unwrap();
    let job = hook.job().spool_directory(directory.path().join("new"));
    let job = job.build().unwrap();
    job.log("a").unwrap();
    hook.script([Behaviour::CutBefore, Behaviour::CutAfter]);
    job.succeed(&()).unwrap();
    job.close().unwrap();
    assert_eq!(numbers(&hook), [1, 2]);
    let left = std::fs::read_dir(directory.path().join("new")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_spool_that_cannot_be_written_is_told_at_once() {
    let hook = FakeHook::start().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = hook.job().spool_directory(file.path()).build().unwrap_err();
    assert_eq!(error.code(), "spool_unwritable");
}

#[test]
fn what_is_too_old_to_be_sent_again_does_not_silence_the_next_process() {
    let hook = FakeHook::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let job = || hook.job().spool_directory(directory.path());
    hook.go_away();
    let first = job()
        .flush_limit(Duration::from_millis(50))
        .build()
        .unwrap();
    first.log("old").unwrap();
    assert_eq!(first.close().unwrap_err().code(), "flush_timeout");
    drop(first);
    hook.come_back().unwrap();
    let code = "seq_out_of_window";
    hook.script([Behaviour::Answer {
        status: 409,
        body: format!(
            r#"{{"type":"x","title":"x","status":409,"code":"{code}","detail":"too old"}}"#
        ),
    }]);
    let second = job().build().unwrap();
    second.log("new").unwrap();
    second.succeed(&()).unwrap();
    second.close().unwrap();
    assert_eq!(hook.lines(), ["new"]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
