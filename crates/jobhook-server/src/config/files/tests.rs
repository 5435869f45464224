use super::super::tests::{load, refused};
use super::*;

fn s3(config: &super::super::Config) -> &S3Files {
    match &config.files.backend {
        FilesBackend::S3(s3) => s3,
        FilesBackend::Directory => panic!("the bytes are in a bucket"),
    }
}

#[test]
fn files_lie_in_the_data_directory_unless_something_else_is_said() {
    let files = load("", &[]).unwrap().files;
    assert_eq!(files, Files::default());
    assert_eq!(files.backend, FilesBackend::Directory);
    assert_eq!(files.max_file, 100 << 30);
    assert_eq!((files.object_files, files.object_bytes), (10_000, 1 << 40));
    assert_eq!((files.total_files, files.total_bytes), (None, None));
    assert_eq!(files.min_free, 1 << 30);
    assert_eq!(files.keep_unused, Duration::from_secs(3_600));
    assert_eq!((files.small, files.small_total), (16 << 10, 1 << 30));
}

#[test]
fn small_files_are_the_databases_and_a_bucket_has_all() {
    let all = "[files]\nsmall = \"64KiB\"\nsmall_total = \"2GiB\"\n";
    let files = load(all, &[]).unwrap().files;
    assert_eq!((files.small, files.small_total), (64 << 10, 2 << 30));
    let files = load("[files]\nsmall = 0\n", &[]).unwrap().files;
    assert_eq!(files.small, 0);
    refused(
        "[files]\nsmall = 65537\n",
        "jobhook.toml:2:9: files.small: more than 64 KiB is not small for a database",
    );
    let bucket = |small| {
        format!("[files]\nbackend = \"s3\"\nsmall = {small}\n[files.s3]\nbucket = \"jobs\"\n")
    };
    assert_eq!(load(&bucket(0), &[]).unwrap().files.small, 0);
    refused(
        &bucket(1),
        "jobhook.toml:3:9: files.small: a bucket has all files; leave it out",
    );
}

#[test]
fn every_key_of_files_is_read() {
    let config = load(
        r#"
        [files]
        backend = "s3"
        max_file = "10MiB"
        object_files = 3
        object_bytes = "20MiB"
        total_files = 1000
        total_bytes = "1GiB"
        min_free = 0
        keep_unused = "0s"
        [files.s3]
        bucket = "jobs"
        region = "eu-central-1"
        endpoint = "http://127.0.0.1:9000/"
        prefix = "a/b"
        access_key_id = "id"
        secret_access_key = "s3cret"
        path_style = false
        allow_http = true
        direct = true
        "#,
        &[],
    )
    .unwrap();
    let files = &config.files;
    assert_eq!((files.max_file, files.object_files), (10 << 20, 3));
    assert_eq!(files.object_bytes, 20 << 20);
    let total = (files.total_files, files.total_bytes);
    assert_eq!(total, (Some(1_000), Some(1 << 30)));
    assert_eq!(files.min_free, 0);
    assert_eq!(files.keep_unused, Duration::ZERO);
    let s3 = s3(&config);
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("jobs", "a/b/"));
    assert_eq!(s3.region.as_deref(), Some("eu-central-1"));
    assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(s3.access_key_id.as_deref(), Some("id"));
    let secret = s3.secret_access_key.as_ref().unwrap();
    assert_eq!(secret.reveal(), "s3cret");
    assert_eq!(s3.path_style, Some(false));
    assert!(s3.direct);
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_secret_may_come_from_a_variable() {
    let config = load(
        "[files]\nbackend = \"s3\"\n[files.s3]\nbucket = \"jobs\"\naccess_key_id = \"id\"\n",
        &[
            ("JOBHOOK__FILES__S3__SECRET_ACCESS_KEY", "0123"),
            ("JOBHOOK__FILES__MAX_FILE", "5MiB"),
        ],
    )
    .unwrap();
    assert_eq!(config.files.max_file, 5 << 20);
    let s3 = s3(&config);
    assert_eq!(s3.secret_access_key.as_ref().unwrap().reveal(), "0123");
    assert_eq!((s3.prefix.as_str(), s3.direct), ("", false));
}

#[test]
fn a_bucket_is_named_where_it_is_used_and_only_there() {
    refused(
        "[files]\nbackend = \"s3\"\n",
        "jobhook.toml:2:11: files.backend: \"s3\" needs a section [files.s3] that names the bucket",
    );
    refused(
        "[files.s3]\nbucket = \"jobs\"\n",
        "jobhook.toml:1:1: files.s3: it is not used without backend = \"s3\" in [files]",
    );
    refused(
        "[files]\nbackend = \"s3\"\n[files.s3]\n",
        "jobhook.toml:3:1: files.s3: the key `bucket` is missing",
    );
    refused(
        "[files]\nbackend = \"disk\"\n",
        "jobhook.toml:2:11: files.backend: `disk` is none of `directory`, `s3`",
    );
}

#[test]
fn an_unknown_key_of_files_is_refused_with_a_suggestion() {
    refused(
        "[files]\nmaxfile = 1\n",
        "jobhook.toml:2:1: unknown key `maxfile` in [files]; did you mean `max_file`?",
    );
    refused(
        "[files.s3]\nbukket = \"jobs\"\n",
        "jobhook.toml:2:1: unknown key `bukket` in [files.s3]; did you mean `bucket`?",
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let s3 = |line: &str, message: &str| {
        refused(
            &format!("[files]\nbackend = \"s3\"\n[files.s3]\nbucket = \"jobs\"\n{line}\n"),
            &format!("jobhook.toml:5:{message}"),
        );
    };
    s3(
        "endpoint = \"http://s3.example.org\"",
        "12: files.s3.endpoint: it is not https; allow_http = true sends files and their names as plain text",
    );
    for wrong in [
        "s3.example.org",
        "ftp://a",
        "https://id:key@a",
        "https://a?b",
    ] {
        s3(
            &format!("endpoint = \"{wrong}\""),
            "12: files.s3.endpoint: this is not an http or https address such as \"https://s3.example.org\"",
        );
    }
    for wrong in ["/a", "a//b", "../a", "a b", "/"] {
        s3(
            &format!("prefix = \"{wrong}\""),
            &format!(
                "10: files.s3.prefix: `{wrong}` is not a prefix such as \"jobhook/\": at most 100 of A-Z a-z 0-9 . _ - in parts with a slash between"
            ),
        );
    }
    s3(
        "access_key_id = \"id\"",
        "17: files.s3.access_key_id: it needs `secret_access_key` beside it",
    );
    s3(
        "secret_access_key = \"id\"",
        "21: files.s3.secret_access_key: it needs `access_key_id` beside it",
    );
    refused(
        "[files]\nmax_file = \"2TiB\"\n",
        "jobhook.toml:2:12: files.max_file: a file may not be larger than `object_bytes`, all files of its object",
    );
}
