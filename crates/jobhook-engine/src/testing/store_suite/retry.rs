//! Another try inside the same action.

use std::time::Duration;

use jobhook_protocol::{Report, Status};

use crate::action::{NewAction, TimeoutKind, Timeouts};
use crate::attempt::{Ending, Outcome};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::Write;

pub async fn a_failed_try_is_due_again_at_once(clerk: Clerk) {
    let at = clerk.running(tried(2)).await;
    let (action, closing) = clerk.at(after(4)).end(at, exited(1)).await;
    assert_eq!((action.status, action.attempt), (Status::Scheduled, 2));
    assert_eq!(
        (action.due_at, action.finished_at, action.open),
        (after(4), None, false)
    );
    assert_eq!(closing.outcome, Outcome::Error);
    assert_eq!(action.error_name.as_deref(), Some("exit_code"));
    assert_eq!(clerk.action(at.action).await, action);
}

pub async fn tries_end_with_the_last(clerk: Clerk) {
    clerk.launch(tried(3)).await;
    for (number, status) in [
        (1, Status::Scheduled),
        (2, Status::Scheduled),
        (3, Status::Error),
    ] {
        let at = clerk.take().await;
        assert_eq!(at.number, number);
        assert_eq!(clerk.end(at, exited(1)).await.0.status, status);
    }
    assert_eq!(clerk.claim_ids(9).await, []);
}

pub async fn a_success_ends_the_tries(clerk: Clerk) {
    clerk.launch(tried(3)).await;
    let first = clerk.take().await;
    clerk.end(first, exited(1)).await;
    let second = clerk.take().await;
    let (action, _) = clerk.end(second, exited(0)).await;
    assert_eq!(
        (action.status, action.attempt, action.error_name),
        (Status::Success, 2, None)
    );
    assert_eq!(clerk.claim_ids(9).await, []);
}

pub async fn an_error_said_with_tries_left_stays_live_until_the_close(clerk: Clerk) {
    let at = clerk.running(tried(2)).await;
    let said = clerk.say(at, says(Status::Error)).await;
    assert_eq!(said.action.status, Status::Running);
    assert_eq!(said.attempt.said, Some(Status::Error));
    assert_eq!(clerk.claim_ids(9).await, []);
    clerk.say(at, line("one more thing")).await;
    assert_eq!(clerk.end(at, exited(0)).await.0.status, Status::Scheduled);
    assert_eq!(clerk.log(at.action).await, ["one more thing"]);
}

pub async fn an_error_said_with_tries_left_is_not_taken_back(clerk: Clerk) {
    let at = clerk.running(tried(2)).await;
    clerk.say(at, says(Status::Error)).await;
    assert!(clerk.report(at, says(Status::Success)).await.is_err());
    assert!(clerk.report(at, says(Status::Running)).await.is_err());
    clerk.say(at, says(Status::Error)).await;
}

pub async fn a_new_attempt_begins_clean(clerk: Clerk) {
    let first = clerk
        .running(NewAction {
            arguments: Some(json("7")),
            ..tried(2)
        })
        .await;
    let report = Report {
        results: Some(json("1")),
        status_details: Some(json("2")),
        error_message: Some("oh".into()),
        heartbeat: Some(5.0),
        ..line("kept")
    };
    clerk.say(first, report).await;
    clerk
        .output(first, output(0, 9, &["kept too"]))
        .await
        .unwrap();
    clerk.end(first, exited(1)).await;
    let second = clerk.at(after(5)).take().await;
    let action = clerk.action(second.action).await;
    assert_eq!((action.results, action.status_details), (None, None));
    assert_eq!((action.error_name, action.error_message), (None, None));
    assert_eq!(
        (action.started_at, action.arguments),
        (None, Some(json("7")))
    );
    let attempt = clerk.attempt(second).await;
    assert_eq!(
        (attempt.output_offset, attempt.heartbeat, attempt.said),
        (0, None, None)
    );
    assert_eq!(clerk.log(second.action).await, ["kept", "kept too"]);
}

pub async fn each_attempt_keeps_its_own_end(clerk: Clerk) {
    let first = clerk.running(tried(2)).await;
    let mut report = says(Status::Error);
    report.error_name = Some("First".into());
    clerk.say(first, report).await;
    clerk.end(first, exited(7)).await;
    let second = clerk.take().await;
    clerk.end(second, exited(0)).await;
    let attempts = clerk.store().attempts(first.action).await.unwrap();
    let [one, two] = attempts.as_slice() else {
        panic!("two attempts");
    };
    assert_eq!((one.at, two.at), (first, second));
    assert_eq!(one.saw.as_ref().unwrap().ending, exited(7));
    let closing = one.closing.clone().unwrap();
    assert_eq!(closing.failure.unwrap().name, "First");
    assert_eq!(two.closing.as_ref().unwrap().outcome, Outcome::Success);
}

pub async fn a_lost_job_is_tried_again(clerk: Clerk) {
    let at = clerk.running(tried(2)).await;
    let reason = "the machine is gone".into();
    let (action, _) = clerk.end(at, Ending::Lost { reason }).await;
    assert_eq!(action.status, Status::Scheduled);
}

pub async fn what_could_not_be_started_is_not_tried_again(clerk: Clerk) {
    let at = clerk.taken(tried(2)).await;
    let reason = "no such file".into();
    let (action, _) = clerk.end(at, Ending::NotStarted { reason }).await;
    assert_eq!((action.status, action.attempt), (Status::Error, 1));
}

pub async fn a_try_that_ran_too_long_is_tried_again(clerk: Clerk) {
    let at = clerk.running(tried(2)).await;
    let kind = TimeoutKind::Run;
    clerk
        .write(Write::TimeOut { attempt: at, kind })
        .await
        .unwrap();
    let (action, closing) = clerk.end(at, exited(143)).await;
    assert_eq!(
        (action.status, closing.outcome),
        (Status::Scheduled, Outcome::Timeout)
    );
}

pub async fn the_queue_timeout_of_a_try_counts_from_its_due_time(clerk: Clerk) {
    let timeouts = Timeouts {
        queue: Some(Duration::from_millis(100)),
        ..Timeouts::default()
    };
    let at = clerk
        .running(NewAction {
            timeouts,
            ..tried(2)
        })
        .await;
    let (action, _) = clerk.at(after(500)).end(at, exited(1)).await;
    assert_eq!(action.expires_at, Some(after(600)));
    assert!(
        clerk
            .store()
            .expiring(after(599), 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        clerk.store().expiring(after(600), 9).await.unwrap(),
        [action]
    );
}
