//! What a job says.

use std::time::Duration;

use jobhook_protocol::{Progress, Report, Status};

use crate::attempt::AttemptRef;
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::Refusal;

pub async fn a_report_stores_what_it_says(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let report = Report {
        status: Some(Status::Running),
        error_message: Some("disk is <full> & read-only".into()),
        error_name: Some("DiskFull".into()),
        status_details: Some(json(r#"{"step": 1}"#)),
        results: Some(json("[1,2]")),
        logs: vec!["one".into(), "two".into()],
        ..Report::default()
    };
    let reported = clerk.at(after(3)).say(at, report).await;
    let action = clerk.action(at.action).await;
    assert_eq!(reported.action, action);
    assert_eq!(reported.attempt, clerk.attempt(at).await);
    assert_eq!(
        action.error_message.as_deref(),
        Some("disk is <full> & read-only")
    );
    assert_eq!(action.error_name.as_deref(), Some("DiskFull"));
    assert_eq!(action.status_details, Some(json(r#"{"step": 1}"#)));
    assert_eq!(action.results, Some(json("[1,2]")));
    assert_eq!(action.updated_at, after(3));
    assert_eq!(clerk.log(at.action).await, ["one", "two"]);
}

pub async fn a_heartbeat_changes_the_attempt_only(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let before = clerk.action(at.action).await;
    let heartbeat = Report {
        heartbeat: Some(0.3),
        ..Report::default()
    };
    clerk.at(after(9)).say(at, heartbeat).await;
    assert_eq!(clerk.action(at.action).await, before);
    let attempt = clerk.attempt(at).await;
    assert_eq!(
        (attempt.heard_at, attempt.job_time_ms),
        (Some(after(9)), Some(NOW.0))
    );
    assert_eq!(attempt.heartbeat, Some(Duration::from_millis(300)));
}

pub async fn a_heartbeat_stays_announced(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk
        .say(
            at,
            Report {
                heartbeat: Some(86_400.0),
                ..Report::default()
            },
        )
        .await;
    clerk.say(at, line("on and on")).await;
    assert_eq!(
        clerk.attempt(at).await.heartbeat,
        Some(Duration::from_secs(86_400))
    );
}

pub async fn null_clears_results_and_details(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let report = |text| Report {
        results: Some(json(text)),
        status_details: Some(json(text)),
        ..Report::default()
    };
    clerk.say(at, report("1")).await;
    assert!(clerk.action(at.action).await.results.is_some());
    clerk.say(at, report("null")).await;
    let action = clerk.action(at.action).await;
    assert_eq!((action.results, action.status_details), (None, None));
}

pub async fn progress_sets_its_own_keys_of_the_details(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let details = Some(json(r#"{"file":"a","message":"old","done":1}"#));
    clerk
        .say(
            at,
            Report {
                status_details: details,
                ..Report::default()
            },
        )
        .await;
    let progress = Some(Progress {
        percent: Some(12.5),
        message: Some("new".into()),
        total: Some(8.0),
        ..Progress::default()
    });
    clerk
        .say(
            at,
            Report {
                progress,
                ..Report::default()
            },
        )
        .await;
    let details = clerk
        .action(at.action)
        .await
        .status_details
        .unwrap()
        .value();
    let expected = r#"{"file":"a","message":"new","done":1,"progress":12.5,"total":8}"#;
    assert_eq!(details, json(expected).value());
}

pub async fn progress_replaces_details_that_have_no_keys(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let progress = Some(Progress {
        percent: Some(1.0),
        ..Progress::default()
    });
    let status_details = Some(json("[1]"));
    clerk
        .say(
            at,
            Report {
                progress,
                status_details,
                ..Report::default()
            },
        )
        .await;
    let action = clerk.action(at.action).await;
    assert_eq!(action.status_details, Some(json(r#"{"progress":1}"#)));
}

pub async fn a_count_without_a_total_takes_that_of_the_last_one_away(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let count = |done, total: Option<f64>| Progress {
        percent: total.map(|total| done / total * 100.0),
        done: Some(done),
        total,
        ..Progress::default()
    };
    let message = Progress {
        message: Some("counting".into()),
        ..Progress::default()
    };
    for (progress, expected) in [
        (
            count(5.0, Some(10.0)),
            r#"{"done":5,"progress":50,"total":10}"#,
        ),
        (
            message,
            r#"{"done":5,"message":"counting","progress":50,"total":10}"#,
        ),
        (count(12.0, None), r#"{"done":12,"message":"counting"}"#),
    ] {
        let report = Report {
            progress: Some(progress),
            ..Report::default()
        };
        clerk.say(at, report).await;
        let details = clerk.action(at.action).await.status_details.unwrap();
        assert_eq!(details.value(), json(expected).value());
    }
}

pub async fn a_job_may_speak_before_its_start_was_seen(clerk: Clerk) {
    let at = clerk.taken(echo()).await;
    assert_eq!(
        clerk.say(at, line("hello")).await.action.status,
        Status::Starting
    );
    let action = clerk
        .at(after(2))
        .say(at, says(Status::Running))
        .await
        .action;
    assert_eq!(
        (action.status, action.started_at),
        (Status::Running, Some(after(2)))
    );
    let action = clerk.say(at, says(Status::Success)).await.action;
    assert_eq!(action.status, Status::Success);
}

pub async fn success_is_final_at_once(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let wrong = Report {
        error_message: Some("for now".into()),
        ..Report::default()
    };
    clerk.say(at, wrong).await;
    let reported = clerk.at(after(4)).say(at, says(Status::Success)).await;
    let action = clerk.action(at.action).await;
    assert_eq!(
        (action.status, action.finished_at),
        (Status::Success, Some(after(4)))
    );
    assert_eq!((action.open, action.error_message), (true, None));
    assert_eq!(reported.attempt.said, Some(Status::Success));
    assert_eq!(reported.attempt.said_final_at, Some(after(4)));
}

pub async fn the_error_of_the_last_try_is_final_at_once(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let mut report = says(Status::Error);
    report.error_name = Some("NoDisk".into());
    clerk.say(at, report).await;
    let action = clerk.action(at.action).await;
    assert_eq!((action.status, action.open), (Status::Error, true));
    assert_eq!(action.error_name.as_deref(), Some("NoDisk"));
    let failure = clerk.attempt(at).await.said_failure.unwrap();
    assert_eq!(
        failure.message,
        "the job reported ERROR and did not say why"
    );
}

pub async fn a_final_word_stands(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Success)).await;
    for status in [Status::Running, Status::Error] {
        let refusal = clerk.report(at, says(status)).await.unwrap_err();
        assert_eq!(
            refusal,
            Refusal::SaidOtherwise {
                said: Status::Success
            }
        );
    }
    assert_eq!(clerk.action(at.action).await.status, Status::Success);
}

pub async fn a_final_word_may_be_repeated(clerk: Clerk) {
    for status in [Status::Success, Status::Error] {
        let at = clerk.running(echo()).await;
        clerk.say(at, says(status)).await;
        let again = clerk.at(after(8)).say(at, says(status)).await;
        assert_eq!(again.action.status, status);
        assert_eq!(again.action.finished_at, Some(NOW));
        assert_eq!(again.attempt.said_final_at, Some(NOW));
    }
}

pub async fn lines_after_the_final_word_are_kept(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Error)).await;
    let reported = clerk.say(at, line("bye")).await;
    assert_eq!(reported.action.status, Status::Error);
    assert_eq!(clerk.log(at.action).await, ["bye"]);
}

pub async fn a_report_of_an_unknown_attempt_is_refused(clerk: Clerk) {
    let action = clerk.launch(echo()).await.id;
    for at in [
        AttemptRef {
            action: echo().id,
            number: 1,
        },
        AttemptRef { action, number: 1 },
        AttemptRef { action, number: 0 },
    ] {
        let refusal = clerk.report(at, line("hello")).await.unwrap_err();
        let gone = matches!(refusal, Refusal::NotFound | Refusal::Superseded { .. });
        assert!(gone, "{refusal}");
    }
    assert!(clerk.log(action).await.is_empty());
}

pub async fn a_report_of_a_closed_attempt_is_refused(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.end(at, exited(0)).await;
    let refusal = clerk
        .report(at, sent("r", 1, line("late")))
        .await
        .unwrap_err();
    assert_eq!(refusal, Refusal::Closed);
    let refusal = clerk
        .report(at, sent("r", 1 << 40, line("late")))
        .await
        .unwrap_err();
    assert_eq!(refusal, Refusal::Closed);
    assert!(clerk.log(at.action).await.is_empty());
}

pub async fn a_report_of_an_older_attempt_is_superseded(clerk: Clerk) {
    let first = clerk.running(tried(2)).await;
    clerk.end(first, exited(1)).await;
    let second = clerk.take().await;
    let mut zombie = line("boo");
    zombie.status = Some(Status::Success);
    let refusal = clerk.report(first, zombie).await.unwrap_err();
    assert_eq!(refusal, Refusal::Superseded { current: 2 });
    assert_eq!(clerk.action(second.action).await.status, Status::Starting);
    assert!(clerk.log(second.action).await.is_empty());
}

pub async fn results_may_grow_large_and_small_again(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    for size in [1, 1 << 20, 1 << 10] {
        let text = format!("\"{}\"", "x".repeat(size));
        let results = Some(json(&text));
        clerk
            .say(
                at,
                Report {
                    results,
                    ..Report::default()
                },
            )
            .await;
        let reported = clerk.say(at, line("and on")).await;
        assert_eq!(reported.action.results.as_ref().unwrap().as_str(), text);
        assert_eq!(clerk.action(at.action).await, reported.action);
    }
}
