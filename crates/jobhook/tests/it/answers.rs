//! Answers that no jobhook server gives, and refusals.

use std::time::Duration;

use jobhook::protocol::SecretKey;
use jobhook::testing::{Behaviour, FakeHook};
use jobhook::{Report, Status};

use crate::support::{PATIENCE, hook_of_the_original};

#[track_caller]
fn ends_with(hook: &FakeHook, code: &str, says: &str) {
    let job = hook.job().build().unwrap();
    job.log("a").unwrap();
    let error = job.flush(PATIENCE).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(job.log("b").unwrap_err().code(), code, "it is kept");
    assert_eq!(hook.requests(), 1, "it is not sent again");
}

#[test]
fn a_web_page_is_no_answer() {
    for status in [200, 404] {
        let hook = FakeHook::start().unwrap();
        hook.behave(Behaviour::WebPage(status));
        let says = format!("/async/status answered {status} with text/html");
        ends_with(&hook, "unexpected_answer", &says);
    }
}

#[test]
fn a_redirect_is_not_followed_and_its_goal_is_named() {
    let hook = FakeHook::start().unwrap();
    hook.behave(Behaviour::Redirect(
        "https://elsewhere.example/async/status".into(),
    ));
    ends_with(
        &hook,
        "redirected",
        "points to https://elsewhere.example/async/status",
    );
}

#[test]
fn a_wrong_key_is_refused_in_the_words_of_the_server() {
    let hook = FakeHook::start().unwrap();
    let mut environment = hook.environment();
    environment.secret_key = SecretKey::from_text("another").unwrap();
    let job = hook.job().environment(environment).build().unwrap();
    job.log("a").unwrap();
    let error = job.flush(PATIENCE).unwrap_err();
    assert_eq!(error.code(), "bad_signature");
    assert!(!format!("{error} {error:?} {job:?}").contains("another"));
}

#[test]
fn a_key_with_latin_1_characters_signs() {
    let hook = FakeHook::start().unwrap();
    let mut environment = hook.environment();
    environment.secret_key = SecretKey::from_text("clé ÿ").unwrap();
    hook.set_environment(environment);
    hook.job().build().unwrap().succeed(&()).unwrap();
}

#[test]
fn a_server_of_the_original_is_spoken_to_in_its_words() {
    let hook = hook_of_the_original();
    let job = hook.job().build().unwrap();
    assert_eq!(job.arguments::<Option<u8>>().unwrap(), None);
    job.log("a").unwrap();
    job.progress(1, 2).unwrap();
    job.succeed(&()).unwrap();
    let reports = hook.reports();
    assert!(
        reports
            .iter()
            .all(|received| received.report.delivery.is_none())
    );
    assert!(
        reports
            .iter()
            .all(|received| received.report.progress.is_none())
    );
    assert_eq!(hook.lines(), ["a"]);
}

#[test]
fn a_server_of_the_original_that_takes_no_lines_gets_everything_else() {
    let hook = hook_of_the_original();
    hook.behave(Behaviour::TakeNoLines);
    let job = hook.job().build().unwrap();
    job.log("a").unwrap();
    job.progress(1, 2).unwrap();
    job.report(Report::running().log("b")).unwrap();
    job.succeed(&"made").unwrap();
    assert_eq!(hook.status(), Some(Status::Success));
    assert_eq!(hook.results().unwrap(), "made");
    assert_eq!(job.error().unwrap().code(), "lines_refused");
    let asked = hook.requests();
    job.log("c").unwrap();
    job.close().unwrap();
    assert_eq!(hook.requests(), asked + 1, "the lines are not tried again");
    assert!(hook.lines().is_empty());
}

#[test]
fn lines_are_not_given_up_because_a_server_of_the_original_was_ill_for_a_while() {
    let hook = hook_of_the_original();
    let ill = Behaviour::Refuse {
        status: 500,
        retry_after: None,
    };
    for times in [1, 2, 3, 7] {
        hook.script(vec![ill.clone(); times]);
        let job = hook.job().build().unwrap();
        job.log(format!("after {times}")).unwrap();
        job.close().unwrap();
        assert!(job.error().is_none());
    }
    assert_eq!(hook.lines(), ["after 1", "after 2", "after 3", "after 7"]);
}

#[test]
fn lines_are_never_given_up_where_the_server_speaks_v1() {
    let hook = FakeHook::start().unwrap();
    hook.behave(Behaviour::TakeNoLines);
    let job = hook.job().patience(PATIENCE / 100).build().unwrap();
    job.log("a").unwrap();
    assert_eq!(job.close().unwrap_err().code(), "server_unreachable");
}

#[test]
fn a_field_that_cannot_be_read_does_not_hide_the_others() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    hook.script([Behaviour::Answer {
        status: 200,
        body: r#"{"status":"PAUSED","attempt":1.0,"type":5,"arguments":{"n":1},"action":"STOP"}"#
            .to_owned(),
    }]);
    let arguments: serde_json::Value = job.arguments().unwrap();
    assert_eq!(arguments["n"], 1);
    assert!(job.is_cancelled());
}

#[test]
fn what_is_no_object_is_no_answer_of_a_server_of_jobs() {
    for body in ["OK", "", "[1]", "{\"status\":", "null"] {
        let hook = FakeHook::start().unwrap();
        hook.behave(Behaviour::Answer {
            status: 200,
            body: body.to_owned(),
        });
        let job = hook.job().build().unwrap();
        let error = job.standing().unwrap_err();
        assert_eq!(error.code(), "unexpected_answer", "{body}");
    }
}

#[test]
fn a_server_may_ask_to_be_left_alone_for_no_longer_than_the_heartbeat() {
    let hook = FakeHook::start().unwrap();
    hook.script([Behaviour::Refuse {
        status: 503,
        retry_after: Some(3600),
    }]);
    let job = hook.job().heartbeat(Duration::from_millis(100));
    let job = job.build().unwrap();
    job.flush(PATIENCE).unwrap();
    job.close().unwrap();
}

#[test]
fn a_job_that_ends_does_not_wait_as_long_as_the_server_asks() {
    let hook = FakeHook::start().unwrap();
    hook.script([Behaviour::Refuse {
        status: 503,
        retry_after: Some(3600),
    }]);
    let job = hook.job().build().unwrap();
    job.log("last words").unwrap();
    assert!(hook.wait_for_requests(1));
    job.close().unwrap();
    assert_eq!(hook.lines(), ["last words"]);
}
