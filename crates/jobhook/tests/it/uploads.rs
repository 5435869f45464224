//! Files that a job leaves, and what may go wrong on the way.

use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};

use jobhook::protocol::{Code, Digester, Problem};
use jobhook::testing::{Behaviour, FakeHook};
use jobhook::{Job, in_process};
use serde_json::json;

use crate::support::{hook_of_the_original, pattern};

/// More than a client keeps in memory.
const LARGE: usize = 700_000;

fn refusal(code: Code) -> Behaviour {
    Behaviour::Answer {
        status: code.status(),
        body: serde_json::to_string(&Problem::new(code, "so it is")).unwrap(),
    }
}

fn ill() -> Behaviour {
    Behaviour::Refuse {
        status: 503,
        retry_after: None,
    }
}

/// Uploads in one pass where the request of this number is treated like this, once.
#[track_caller]
fn arrives_once_although(number: usize, behaviour: Behaviour) {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    hook.script(vec![Behaviour::Well; number]);
    hook.script([behaviour.clone()]);
    let content = pattern(LARGE);
    let uploaded = job.upload_bytes(content.clone()).name("a").send();
    let uploaded = uploaded.unwrap_or_else(|error| panic!("{behaviour:?}: {error}"));
    assert!(!uploaded.already);
    let files = hook.files("outputs");
    assert_eq!(files.len(), 1, "{behaviour:?} of request {number}");
    assert_eq!(files[0].bytes, content);
}

#[test]
fn what_is_small_goes_by_its_hashes_and_once() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let upload = || {
        let upload = job.upload_bytes("hello world").name("a.txt");
        let upload = upload.mimetype("text/plain").metadata(&json!({"n": 1}));
        upload.unwrap().send().unwrap()
    };
    let (first, second) = (upload(), upload());
    let digests = Digester::of(b"hello world");
    assert_eq!(first.md5, Some(digests.md5));
    assert_eq!(first.sha256, Some(digests.sha256));
    assert_eq!((first.size, first.already), (11, false));
    assert!(second.already);
    assert_eq!(hook.requests(), 3, "announce, bytes; announce");
    let files = hook.files("outputs");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].name.as_deref(), Some("a.txt"));
    assert_eq!(files[0].mimetype, "text/plain");
    assert_eq!(files[0].metadata.as_str(), r#"{"n":1}"#);
}

#[test]
fn a_large_file_is_read_once_and_its_progress_told() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.bin");
    fs::write(&path, pattern(LARGE)).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let watch = move |done, of| keep.lock().unwrap().push((done, of));
    let uploaded = job.upload(&path).on_progress(watch).send().unwrap();
    let digests = Digester::of(&pattern(LARGE));
    assert_eq!(uploaded.sha256, Some(digests.sha256));
    assert_eq!(uploaded.md5, Some(digests.md5));
    assert_eq!(hook.requests(), 3, "open, bytes, close");
    let files = hook.files("outputs");
    assert_eq!(files[0].name.as_deref(), Some("large.bin"));
    assert_eq!(files[0].bytes, pattern(LARGE));
    let seen = seen.lock().unwrap();
    let of = Some(LARGE as u64);
    assert_eq!(seen.first(), Some(&(0, of)));
    assert_eq!(seen.last(), Some(&(LARGE as u64, of)));
    assert!(seen.is_sorted() && seen.len() > 2);
}

#[test]
fn a_reader_of_any_length_arrives() {
    for (hook, length) in [
        (FakeHook::start().unwrap(), 0),
        (FakeHook::start().unwrap(), 262_144),
        (FakeHook::start().unwrap(), 262_145),
        (FakeHook::start().unwrap(), LARGE),
        (hook_of_the_original(), 0),
        (hook_of_the_original(), LARGE),
    ] {
        let job = hook.job().build().unwrap();
        let upload = job.upload_reader(std::io::Cursor::new(pattern(length)));
        let uploaded = upload.send().unwrap();
        assert_eq!(uploaded.size, length as u64);
        assert_eq!(hook.files("outputs")[0].bytes, pattern(length));
    }
}

#[test]
fn a_server_of_the_original_gets_everything_by_its_hashes() {
    let hook = hook_of_the_original();
    let job = hook.job().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.bin");
    fs::write(&path, pattern(LARGE)).unwrap();
    let first = job.upload(&path).send().unwrap();
    let second = job.upload_bytes(pattern(LARGE)).name("again").send();
    assert_eq!(first.md5, Some(Digester::of(&pattern(LARGE)).md5));
    assert!(!first.already && second.unwrap().already);
    assert_eq!(hook.requests(), 3, "announce, bytes; announce");
    assert_eq!(hook.files("outputs").len(), 2);
}

#[test]
fn an_upload_goes_on_until_it_is_there() {
    for number in 0..3 {
        arrives_once_although(number, ill());
        arrives_once_although(number, Behaviour::CutBefore);
        arrives_once_although(number, Behaviour::CutAfter);
        arrives_once_although(number, refusal(Code::StoreUnavailable));
    }
}

#[test]
fn an_address_that_is_too_old_is_asked_for_again() {
    arrives_once_although(1, refusal(Code::TokenExpired));
    arrives_once_although(1, refusal(Code::TooSlow));
}

#[test]
fn bytes_that_are_gone_or_were_damaged_are_sent_again() {
    arrives_once_although(2, refusal(Code::UploadGone));
    arrives_once_although(2, refusal(Code::ContentMismatch));
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    for _ in 0..3 {
        hook.script([Behaviour::Well, refusal(Code::ContentMismatch)]);
    }
    let error = job.upload_bytes("a").send().unwrap_err();
    assert_eq!(error.code(), "content_mismatch");
    assert_eq!(hook.requests(), 6);
}

#[test]
fn a_refusal_is_told_and_not_repeated() {
    for code in [
        Code::FileNotFound,
        Code::QuotaExceeded,
        Code::FileTooLarge,
        Code::AlreadyFinal,
        Code::StorageFull,
        Code::AttemptClosed,
    ] {
        for number in 0..2 {
            let hook = FakeHook::start().unwrap();
            let job = hook.job().build().unwrap();
            hook.script(vec![Behaviour::Well; number]);
            hook.script([refusal(code)]);
            let error = job.upload_bytes(pattern(LARGE)).send().unwrap_err();
            assert_eq!(error.code(), code.as_str());
            assert_eq!(hook.requests(), number + 1);
        }
    }
}

#[test]
fn the_servers_clock_is_learnt_for_files_too() {
    let hook = FakeHook::start().unwrap();
    hook.set_clock_offset_ms(3_600_000);
    let job = hook.job().build().unwrap();
    job.upload_bytes("a").send().unwrap();
    assert_eq!(job.download(0).from("outputs").bytes().unwrap(), b"a");
    assert_eq!(hook.requests(), 5, "refused once, and never again");
}

#[test]
fn a_file_that_is_written_to_meanwhile_is_not_uploaded() {
    for hook in [FakeHook::start().unwrap(), hook_of_the_original()] {
        let job = hook.job().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, pattern(LARGE)).unwrap();
        let grown = path.clone();
        let grow = move |done, _: Option<u64>| {
            if done == 0 {
                let mut file = fs::File::options().append(true).open(&grown).unwrap();
                file.write_all(b"more").unwrap();
            }
        };
        let error = job.upload(&path).on_progress(grow).send().unwrap_err();
        assert_eq!(error.code(), "file_changed", "{error}");
        assert!(hook.files("outputs").is_empty());
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    for path in ["/does/not/exist", "/"] {
        let error = job.upload(path).send().unwrap_err();
        assert_eq!(error.code(), "file_unreadable", "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
    assert_eq!(hook.requests(), 0);
}

#[test]
fn a_reader_that_was_sent_is_not_there_again() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    hook.script([ill(), Behaviour::Well, Behaviour::CutBefore]);
    let upload = job.upload_reader(std::io::Cursor::new(pattern(LARGE)));
    let error = upload.send().unwrap_err();
    assert_eq!(error.code(), "no_answer");
    assert!(error.is_temporary());
    assert!(hook.files("outputs").is_empty());
}

#[test]
fn fields_that_no_file_has_are_refused_before_anything_is_sent() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let upload = || job.upload_bytes("a");
    for upload in [
        upload().name("a/b"),
        upload().mimetype("text"),
        upload().metadata(&[1]).unwrap(),
        upload().to(".."),
        upload().to_object("images", "", "files"),
    ] {
        let error = upload.send().unwrap_err();
        assert_eq!(error.code(), "invalid_setting", "{error}");
    }
    assert_eq!(hook.requests(), 0);
}

#[test]
fn an_answer_that_leads_elsewhere_is_not_followed() {
    for body in [
        r#"{"done":false,"url":"ftp://127.0.0.1/x","method":"PUT"}"#,
        r#"{"done":false,"url":"http://127.0.0.1:1/x","method":"GET"}"#,
        r#"{"done":false}"#,
        "{}",
    ] {
        let hook = FakeHook::start().unwrap();
        let job = hook.job().build().unwrap();
        hook.script([Behaviour::Answer {
            status: 200,
            body: body.to_owned(),
        }]);
        let error = job.upload_bytes("a").send().unwrap_err();
        assert_eq!(error.code(), "unexpected_answer", "{body}: {error}");
    }
}

#[test]
fn another_object_is_written_to_by_its_name() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    let upload = job.upload_bytes("a").to_object("Images", "x y/é", "files");
    upload.send().unwrap();
    assert_eq!(hook.files_of("images", "x y/é", "files").len(), 1);
}

#[tokio::test]
async fn async_code_may_wait_in_both_ways() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    job.upload_bytes("a").send().unwrap();
    let upload = job.upload_bytes(pattern(LARGE));
    upload.send_async().await.unwrap();
    assert_eq!(hook.files("outputs").len(), 2);
    drop(job);
}

#[test]
fn a_job_that_is_over_uploads_nothing() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    job.close().unwrap();
    let error = job.upload_bytes("a").send().unwrap_err();
    assert_eq!(error.code(), "job_closed");
}

#[test]
fn an_operation_inside_the_server_is_told_that_it_has_no_files_yet() {
    let environment = FakeHook::start().unwrap().environment();
    let (job, _desk): (Job, _) = in_process::open(environment, jobhook::Standing::new("Any"));
    let error = job.upload_bytes("a").send().unwrap_err();
    assert_eq!(error.code(), "files_unavailable");
    let error = job.download(0).bytes().unwrap_err();
    assert_eq!(error.code(), "files_unavailable");
}
