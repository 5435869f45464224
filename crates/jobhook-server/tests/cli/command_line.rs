//! What is refused before anything is sent, and how.

use crate::command::jobhook;

#[track_caller]
fn misused(arguments: &[&str], message: &str) {
    let ended = jobhook(arguments).run();
    assert_eq!(ended.code, 64, "{ended:?}");
    assert_eq!(ended.out, "");
    assert!(ended.err.contains(message), "{}", ended.err);
}

#[test]
fn wrong_usage_is_64() {
    misused(&[], "Usage: jobhook <COMMAND>");
    misused(&["lanch"], "'launch'");
    misused(&["launch"], "<TYPE>");
    misused(&["show", "../x"], "an id is 1 to 64 of A-Z a-z 0-9 . _ -");
    misused(&["show", ".."], "an id is 1 to 64");
    misused(&["list", "--status", "BANANA"], "`BANANA` is not a status");
    misused(&["list", "--limit", "0"], "0 is not in 1..=1000");
    misused(&["launch", "T", "--attempts", "0"], "0 is not in 1..");
    misused(
        &["launch", "T", "--timeout", "30"],
        "`30` is not a duration such as",
    );
    misused(
        &["launch", "T", "--timeout", "0s"],
        "no job ends within no time",
    );
    misused(
        &["launch", "T", "--arguments", "{"],
        "--arguments is not JSON",
    );
    misused(
        &["launch", "T", "--url", "ftp://x"],
        "--url is invalid: it must be an http or https address",
    );
    misused(
        &["list", "--url", ""],
        "a value is required for '--url <URL>'",
    );
    misused(
        &["serve", "--listen", "8088"],
        "`8088` is not an address with a port",
    );
    misused(
        &["token", "create", "me", "--scope", "all"],
        "`all` is not a scope",
    );
    misused(&["report", "--progress", "101"], "a number from 0 to 100");
    misused(
        &["report", "--error", "e", "--status", "SUCCESS"],
        "contradict each other",
    );
}

#[test]
fn help_and_version_are_asked_for() {
    for arguments in [["--help"], ["--version"]] {
        let ended = jobhook(&arguments).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.contains("jobhook"), "{}", ended.out);
        assert_eq!(ended.err, "");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_64_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jobs.toml");
    std::fs::write(&file, "[server]\nlisen = \"127.0.0.1:0\"\n").unwrap();
    let file = file.to_str().unwrap();
    for command in ["serve", "check"] {
        let ended = jobhook(&[command, "--config", file]).run();
        assert_eq!(ended.code, 64, "{ended:?}");
        assert_eq!(
            ended.err,
            format!("error: {file}:2:1: unknown key `lisen` in [server]; did you mean `listen`?\n")
        );
    }
    let ended = jobhook(&["check"])
        .env("JOBHOOK_CONFIG", "/not/there.toml")
        .run();
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(
        ended.err.starts_with(
            "error: the configuration file /not/there.toml cannot be read: No such file"
        ),
        "{}",
        ended.err
    );
}

#[test]
fn outside_a_job_the_missing_variable_is_named() {
    for command in ["report", "log"] {
        let ended = jobhook(&[command]).run();
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(
            ended.err.starts_with("error: JOB_ID is not set"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn check_tells_all_that_is_wrong_at_once_and_each_command_it_found() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (
        directory.path().join("jobs.toml"),
        directory.path().join("data"),
    );
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
        jobhook(&["check", "--config", file, "--data-dir", data]).run()
    };
    let runner =
        |name: &str, rest: &str| format!("[runners.{name}]\ntype = \"LocalRunner\"\n{rest}\n");
    let ended = check(&(runner("a", "command = \"sh\"") + &runner("b", "command = \"/bin/sh\"")));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    for line in [
        "(the first start makes it)\n",
        "command    a: /bin/sh\n",
        "command    b: /bin/sh\n",
    ] {
        assert!(ended.out.contains(line), "{}", ended.out);
    }
    assert!(!data.exists(), "check makes nothing");

    std::fs::write(&data, "").unwrap();
    let ended = check(
        &[
            runner("a", "command = \"/not/there\""),
            runner("b", "command = \"sh\"\nrun_as = \"nobody-of-that-name\""),
            runner("c", "command = \"sh\"\nargs = [\"${nope}\"]"),
        ]
        .concat(),
    );
    assert_eq!(ended.code, 70, "{ended:?}");
    let errors: Vec<_> = ended.err.lines().collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    for (error, beginning) in errors.iter().zip([
        "error: the data directory ",
        "error: runners.a: there is no program `/not/there`",
        "error: runners.b: run_as: there is no user `nobody-of-that-name`",
        "error: runners.c: args[0]: `${nope}` is not known",
    ]) {
        assert!(error.starts_with(beginning), "{error}");
    }
    assert!(
        ended.out.contains("command    b: /bin/sh\n"),
        "{}",
        ended.out
    );
}

#[test]
fn to_list_tokens_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data_dir = data.to_str().unwrap();
    let ended = jobhook(&["token", "list", "--data-dir", data_dir]).run();
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (0, "", "no tokens\n")
    );
    let ended = jobhook(&["token", "revoke", "me", "--data-dir", data_dir]).run();
    assert_eq!(ended.code, 70, "{ended:?}");
    assert_eq!(ended.err, "error: there is no token called `me`\n");
    assert!(!data.exists());
}

#[test]
fn a_variable_that_is_wrong_is_64_and_named() {
    for (name, value) in [
        ("JOBHOOK_URL", "localhost:8088"),
        ("JOBHOOK_TOKEN", "jh_\u{1}secret"),
    ] {
        let ended = jobhook(&["list"]).env(name, value).run();
        assert_eq!(ended.code, 64, "{ended:?}");
        let named = format!("error: {name} is invalid: ");
        assert!(ended.err.starts_with(&named), "{}", ended.err);
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
}
