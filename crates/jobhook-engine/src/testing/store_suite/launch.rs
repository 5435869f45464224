//! Storing a new action, which enqueues it.

use std::time::Duration;

use jobhook_protocol::Status;

use crate::action::{Failure, NewAction, Timeouts};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::{Refusal, Write};

pub async fn a_new_action_is_queued(clerk: Clerk) {
    let action = clerk.launch(echo()).await;
    assert_eq!(action.status, Status::Queued);
    assert_eq!(
        (action.attempt, action.due_at, action.open),
        (1, NOW, false)
    );
}

pub async fn an_action_for_later_is_scheduled(clerk: Clerk) {
    let action = clerk.launch(echo_at(after(1))).await;
    assert_eq!(
        (action.status, action.due_at),
        (Status::Scheduled, after(1))
    );
}

pub async fn a_time_that_has_passed_means_at_once(clerk: Clerk) {
    let action = clerk.launch(echo_at(after(-1))).await;
    assert_eq!((action.status, action.due_at), (Status::Queued, NOW));
    assert_eq!(action.scheduled, Some(after(-1)));
}

pub async fn what_was_launched_reads_back_whole(clerk: Clerk) {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let action = clerk
        .launch(NewAction {
            arguments: Some(json(r#"{"b":1, "a":[1.0,1e2,"é"]}"#)),
            attempts: 3,
            scheduled: Some(after(5)),
            timeouts: Timeouts {
                queue: seconds(1),
                run: Some(Duration::from_nanos(1_500_000_001)),
                heartbeat: seconds(3),
                total: seconds(100_000_000_000),
            },
            retry_of: Some(echo().id),
            operation: true,
            schedule: Some("nightly".into()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            ..echo()
        })
        .await;
    assert_eq!(clerk.action(action.id).await, action);
}

pub async fn an_action_that_was_not_stored_is_not_there(clerk: Clerk) {
    assert_eq!(clerk.store().action(echo().id).await.unwrap(), None);
}

pub async fn an_id_is_taken_once(clerk: Clerk) {
    let new = echo();
    let first = clerk.launch(new.clone()).await;
    let other = NewAction {
        action_type: "Other".into(),
        ..new
    };
    let answer = clerk.write(Write::Insert(Box::new(other))).await;
    assert_eq!(answer, Err(Refusal::Exists));
    assert_eq!(clerk.action(first.id).await, first);
}

pub async fn an_action_that_cannot_run_is_stored_as_an_error(clerk: Clerk) {
    let refusal = Some(Failure::new("no_runner", "no runner takes the type Echo"));
    let action = clerk.launch(NewAction { refusal, ..echo() }).await;
    assert_eq!(action.status, Status::Error);
    assert_eq!(action.error_name.as_deref(), Some("no_runner"));
    assert_eq!(action.finished_at, Some(NOW));
    assert_eq!(clerk.claim_ids(1).await, []);
    assert_eq!(clerk.action(action.id).await, action);
}

pub async fn a_mebibyte_of_arguments_is_kept_to_the_byte(clerk: Clerk) {
    let text = format!("\"{}\"", "0123456789abcdéf".repeat(1 << 16));
    let arguments = Some(json(&text));
    let at = clerk
        .running(NewAction {
            arguments,
            ..echo()
        })
        .await;
    let reported = clerk.say(at, line("one")).await;
    assert_eq!(reported.action.arguments.unwrap().as_str(), text);
    let read = clerk.action(at.action).await;
    assert_eq!(read.arguments.unwrap().as_str(), text);
}

pub async fn a_batch_of_nothing_is_answered_with_nothing(clerk: Clerk) {
    assert_eq!(clerk.batch(&[]).await, []);
}
