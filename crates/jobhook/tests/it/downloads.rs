//! Files that a job takes: whole, compared, and gone on with where they broke off.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobhook::Primitives;
use jobhook::protocol::Digester;
use jobhook::testing::{Behaviour, FakeFile, FakeHook};

use crate::support::{hook_of_the_original, pattern};

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_arrives_under_its_name() {
    for hook in [FakeHook::start().unwrap(), hook_of_the_original()] {
        hook.add_file("inputs", FakeFile::new("a.bin", pattern(700_000)));
        hook.add_file("inputs", FakeFile::new("empty", ""));
        let job = hook.job().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let got = job.download(0).to_directory(directory.path()).unwrap();
        assert_eq!(got.path, directory.path().join("a.bin"));
        assert_eq!(fs::read(&got.path).unwrap(), pattern(700_000));
        assert_eq!(got.file.hash, Digester::of(&pattern(700_000)).md5);
        let path = directory.path().join("b");
        fs::write(&path, "old").unwrap();
        job.download(1).to_file(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(job.download(0).bytes().unwrap(), pattern(700_000));
        assert_eq!(job.download(1).look().unwrap().name.unwrap(), "empty");
        assert_eq!(names(directory.path()), ["a.bin", "b"]);
    }
}

#[test]
fn a_name_that_somebody_else_chose_replaces_nothing() {
    for hook in [FakeHook::start().unwrap(), hook_of_the_original()] {
        hook.add_file("inputs", FakeFile::new("a", pattern(1000)));
        let job = hook.job().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::write(&path, "of the program").unwrap();
        for refused in [
            job.download(0).to_directory(directory.path()),
            job.download(0).to_new_file(&path),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.code(), "file_exists", "{error}");
            assert!(error.to_string().contains("left alone"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"of the program");
        assert!(!job.download(0).to_file(&path).unwrap().already);
        // Now it is the very file.
        let again = job.download(0).to_directory(directory.path()).unwrap();
        assert!(again.already);
        assert_eq!(fs::read(&path).unwrap(), pattern(1000));
        assert_eq!(names(directory.path()), ["a"]);
    }
}

#[test]
fn a_name_of_the_server_is_no_path() {
    let hook = FakeHook::start().unwrap();
    for (at, name) in ["../../escape", "..", "/etc/x", "NUL"].iter().enumerate() {
        hook.add_file("inputs", FakeFile::new(*name, vec![at as u8]));
    }
    let job = hook.job().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    for index in 0..4 {
        let got = job.download(index).to_directory(directory.path()).unwrap();
        assert_eq!(got.path.parent(), Some(directory.path()));
    }
    let hash = Digester::of(&[1]).md5.to_string();
    assert_eq!(names(directory.path()), [&hash, "_NUL", "escape", "x"]);
}

#[test]
fn what_breaks_off_goes_on_from_there() {
    let hook = FakeHook::start().unwrap();
    hook.add_file("inputs", FakeFile::new("a", pattern(300_000)));
    let job = hook.job().build().unwrap();
    // Together they are all of it: nothing comes twice.
    for part in [200_000, 1, 49_999, 0, 50_000] {
        hook.script([Behaviour::Well, Behaviour::CutAt(part)]);
    }
    let most = Arc::new(AtomicU64::new(0));
    let seen = most.clone();
    let watch = move |done, _| {
        seen.fetch_max(done, Ordering::Relaxed);
    };
    let bytes = job.download(0).on_progress(watch).bytes().unwrap();
    assert_eq!(bytes, pattern(300_000));
    assert_eq!(most.load(Ordering::Relaxed), 300_000);
    assert_eq!(hook.requests(), 10);
}

#[test]
fn a_download_goes_on_through_trouble() {
    let ill = Behaviour::Refuse {
        status: 503,
        retry_after: None,
    };
    let expired = Behaviour::Answer {
        status: 403,
        body: r#"{"type":"t","title":"t","status":403,"code":"token_expired","detail":"d"}"#.into(),
    };
    for number in 0..2 {
        for behaviour in [&ill, &expired, &Behaviour::CutBefore, &Behaviour::CutAt(10)] {
            let hook = FakeHook::start().unwrap();
            hook.add_file("inputs", FakeFile::new("a", pattern(1000)));
            let job = hook.job().build().unwrap();
            hook.script(vec![Behaviour::Well; number]);
            hook.script([behaviour.clone()]);
            assert_eq!(job.download(0).bytes().unwrap(), pattern(1000));
        }
    }
}

#[test]
fn bytes_that_are_others_are_fetched_again_and_given_up_in_the_end() {
    for hook in [FakeHook::start().unwrap(), hook_of_the_original()] {
        hook.add_file("inputs", FakeFile::new("a", pattern(1000)));
        let job = hook.job().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        hook.script([Behaviour::Well, Behaviour::Damage]);
        job.download(0).to_directory(directory.path()).unwrap();
        fs::remove_file(directory.path().join("a")).unwrap();
        for _ in 0..3 {
            hook.script([Behaviour::Well, Behaviour::Damage]);
        }
        let error = job.download(0).to_directory(directory.path()).unwrap_err();
        assert_eq!(error.code(), "content_mismatch", "{error}");
        assert!(names(directory.path()).is_empty());
    }
}

#[test]
fn a_file_that_is_not_there_is_not_waited_for() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    for download in [
        job.download(0),
        job.download(u64::MAX),
        job.download(0).from_object("images", "1", "files"),
    ] {
        assert_eq!(download.bytes().unwrap_err().code(), "file_not_found");
    }
    assert_eq!(hook.requests(), 3);
}

#[test]
fn what_cannot_be_written_is_named() {
    let hook = FakeHook::start().unwrap();
    hook.add_file("inputs", FakeFile::new("a", pattern(1000)));
    let job = hook.job().build().unwrap();
    let error = job.download(0).to_directory("/does/not/exist").unwrap_err();
    assert_eq!(error.code(), "file_unwritable", "{error}");
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
}

#[tokio::test]
async fn the_primitives_of_the_original_take_and_leave_files() {
    for hook in [FakeHook::start().unwrap(), hook_of_the_original()] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large.bin");
        fs::write(&path, pattern(700_000)).unwrap();
        let primitives = Primitives::new(hook.environment()).unwrap();
        let (store, id) = ("AsyncActions", hook.environment().id);
        let uploaded = primitives.upload_to(store, &id, "outputs", &path, None);
        assert!(!uploaded.await.unwrap().already);
        let hash = Digester::of(&pattern(700_000)).md5.to_string();
        for already in [false, true] {
            let got = primitives.download_from(store, &id, "outputs", 0, directory.path());
            let got = got.await.unwrap();
            assert_eq!(got.already, already);
            assert_eq!(got.path, directory.path().join(&hash));
            assert_eq!(fs::read(&got.path).unwrap(), pattern(700_000));
        }
        hook.go_away();
        let late = primitives.download_from(store, &id, "outputs", 0, directory.path());
        assert_eq!(late.await.unwrap_err().code(), "no_answer");
    }
}
