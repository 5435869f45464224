//! What cannot be is refused before anything is sent.

use jobhook::protocol::JobEnvironment;
use jobhook::testing::FakeHook;
use jobhook::{Job, Report};

#[track_caller]
fn refused(change: (&str, &str), code: &str, says: &str) {
    let lookup = |name: &str| {
        if name == change.0 {
            return Some(change.1.to_owned());
        }
        let value = match name {
            "JOB_ID" => "a",
            "JOB_SECRET_KEY" => "s3cret",
            "JOB_HOOK" => "http://127.0.0.1:1/async",
            "JOB_ATTEMPT" => "1",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let job = JobEnvironment::read(lookup)
        .map_err(jobhook::Error::from)
        .and_then(|environment| Job::builder().environment(environment).build());
    let error = job.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn an_environment_that_is_no_jobs_is_told_by_the_variable() {
    refused(("JOB_ID", ""), "missing_variable", "JOB_ID is not set");
    refused(
        ("JOB_SECRET_KEY", ""),
        "missing_variable",
        "JOB_SECRET_KEY is not set",
    );
    refused(("JOB_HOOK", ""), "missing_variable", "JOB_HOOK is not set");
    refused(
        ("JOB_HOOK", "ftp://x/async"),
        "invalid_variable",
        "JOB_HOOK is invalid: it must be an http",
    );
    refused(
        ("JOB_HOOK", "http://"),
        "invalid_variable",
        "JOB_HOOK is invalid",
    );
    refused(
        ("JOB_HOOK", "http://[::1/async"),
        "invalid_variable",
        "JOB_HOOK is invalid",
    );
    refused(("JOB_HOOK", "store"), "invalid_variable", "`store` means");
    refused(
        ("JOB_SECRET_KEY", "€"),
        "invalid_variable",
        "outside latin-1",
    );
    refused(
        ("JOB_ATTEMPT", "0"),
        "invalid_variable",
        "JOB_ATTEMPT is invalid",
    );
}

#[test]
fn a_program_that_was_not_started_as_a_job_is_told_so() {
    let error = Job::from_env().unwrap_err();
    assert_eq!(error.code(), "missing_variable");
    assert!(
        error.to_string().contains("must be started as a job"),
        "{error}"
    );
}

#[test]
fn values_that_cannot_travel_are_refused_and_nothing_is_sent() {
    let hook = FakeHook::start().unwrap();
    let job = hook.job().build().unwrap();
    assert_eq!(job.succeed(&f64::NAN).unwrap_err().code(), "not_json");
    assert_eq!(job.progress(3, 2).unwrap_err().code(), "invalid_value");
    assert_eq!(job.progress(-1, None).unwrap_err().code(), "invalid_value");
    assert!(Report::new().details(&[f32::INFINITY]).is_err());
    assert_eq!(hook.requests(), 0);
    // The job is none the worse for it.
    job.progress(3, None).unwrap();
    job.succeed(&1.5).unwrap();
}

#[test]
fn arguments_of_another_shape_are_told() {
    let hook = FakeHook::start().unwrap();
    hook.set_arguments(&"text").unwrap();
    let job = hook.job().build().unwrap();
    let error = job.arguments::<u32>().unwrap_err();
    assert_eq!(error.code(), "unexpected_arguments");
    assert!(error.to_string().contains("expected u32"), "{error}");
}
