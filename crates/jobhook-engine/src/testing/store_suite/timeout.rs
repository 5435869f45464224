//! What took too long.

use std::time::Duration;

use jobhook_protocol::{Report, Status};

use crate::action::{NewAction, TimeoutKind, Timeouts};
use crate::attempt::{Outcome, Saw};
use crate::testing::Clerk;
use crate::testing::clerk::action_of;
use crate::testing::factory::*;
use crate::write::{Refusal, Write};

fn queue(ms: u64) -> Timeouts {
    Timeouts {
        queue: Some(Duration::from_millis(ms)),
        ..Timeouts::default()
    }
}

pub async fn what_is_not_taken_in_time_expires(clerk: Clerk) {
    let action = clerk.launch(hurried(queue(10))).await.id;
    let expire = Write::Expire {
        action,
        kind: TimeoutKind::Queue,
    };
    let expired = action_of(clerk.at(after(10)).write(expire).await);
    assert_eq!(
        (expired.status, expired.finished_at),
        (Status::Timeout, Some(after(10)))
    );
    assert_eq!(expired.error_name.as_deref(), Some("queue_timeout"));
    assert_eq!(clerk.action(action).await, expired);
    assert_eq!(clerk.claim_ids(1).await, []);
}

pub async fn what_was_taken_does_not_expire(clerk: Clerk) {
    let at = clerk.taken(hurried(queue(10))).await;
    let expire = Write::Expire {
        action: at.action,
        kind: TimeoutKind::Queue,
    };
    assert!(matches!(
        clerk.write(expire).await,
        Err(Refusal::Illegal(_))
    ));
    assert_eq!(clerk.action(at.action).await.status, Status::Starting);
    assert!(
        clerk
            .store()
            .expiring(after(99), 9)
            .await
            .unwrap()
            .is_empty()
    );
    let unknown = Write::Expire {
        action: echo().id,
        kind: TimeoutKind::Total,
    };
    assert_eq!(clerk.write(unknown).await, Err(Refusal::NotFound));
}

pub async fn the_first_to_expire_is_named_first(clerk: Clerk) {
    let late = clerk.launch(hurried(queue(30))).await;
    let soon = clerk.launch(hurried(queue(10))).await;
    let next = clerk.launch(hurried(queue(20))).await;
    clerk.launch(echo()).await;
    let store = clerk.store();
    assert!(store.expiring(after(9), 9).await.unwrap().is_empty());
    assert_eq!(
        store.expiring(after(20), 9).await.unwrap(),
        [soon.clone(), next.clone()]
    );
    assert_eq!(
        store.expiring(after(99), 9).await.unwrap(),
        [soon, next, late]
    );
    assert_eq!(store.expiring(after(99), 1).await.unwrap().len(), 1);
}

pub async fn the_queue_timeout_counts_from_the_due_time_and_the_total_from_launch(clerk: Clerk) {
    let due = |timeouts| NewAction {
        timeouts,
        ..echo_at(after(100))
    };
    let queued = clerk.launch(due(queue(10))).await;
    assert_eq!(queued.expires_at, Some(after(110)));
    let total = Some(Duration::from_millis(60));
    let both = clerk.launch(due(Timeouts { total, ..queue(10) })).await;
    assert_eq!(both.expires_at, Some(after(60)));
}

pub async fn the_timeout_that_fired_names_the_end(clerk: Clerk) {
    for (kind, name) in [
        (TimeoutKind::Run, "run_timeout"),
        (TimeoutKind::Heartbeat, "heartbeat_timeout"),
        (TimeoutKind::Total, "total_timeout"),
    ] {
        let attempt = clerk.running(echo()).await;
        clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
        let later = Write::TimeOut {
            attempt,
            kind: TimeoutKind::Queue,
        };
        clerk.write(later).await.unwrap();
        assert_eq!(clerk.attempt(attempt).await.timed_out, Some(kind));
        assert_eq!(clerk.action(attempt.action).await.status, Status::Running);
        let (action, closing) = clerk.end(attempt, exited(143)).await;
        assert_eq!(
            (action.status, closing.outcome),
            (Status::Timeout, Outcome::Timeout)
        );
        assert_eq!(action.error_name.as_deref(), Some(name));
    }
}

pub async fn a_job_that_had_its_last_word_is_not_timed_out(clerk: Clerk) {
    for (status, outcome) in [
        (Status::Success, Outcome::Success),
        (Status::Error, Outcome::Error),
    ] {
        let attempt = clerk.running(tried(2)).await;
        clerk.say(attempt, says(status)).await;
        let kind = TimeoutKind::Run;
        clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
        assert_eq!(clerk.attempt(attempt).await.timed_out, None);
        assert_eq!(clerk.end(attempt, exited(9)).await.1.outcome, outcome);
        for id in clerk.claim_ids(9).await {
            clerk.cancel(id).await.unwrap();
            let at = crate::attempt::AttemptRef {
                action: id,
                number: 2,
            };
            clerk.end(at, exited(9)).await;
        }
    }
}

/// As a server sees it that was away while the job ended.
pub async fn a_job_that_ended_in_time_is_judged_by_its_end_however_late_that_is_seen(clerk: Clerk) {
    let hour = Some(Duration::from_secs(3600));
    for (kind, timeouts) in [
        (
            TimeoutKind::Run,
            Timeouts {
                run: hour,
                ..Timeouts::default()
            },
        ),
        (
            TimeoutKind::Total,
            Timeouts {
                total: hour,
                ..Timeouts::default()
            },
        ),
    ] {
        for (ended, stopped, outcome) in [
            (after(60_000), false, Outcome::Success),
            // By the server, so its time was over.
            (after(60_000), true, Outcome::Timeout),
            (after(3_600_000), false, Outcome::Timeout),
        ] {
            let attempt = clerk.running(hurried(timeouts)).await;
            let clerk = clerk.at(after(7_200_000));
            clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
            let saw = Saw {
                at: ended,
                stopped,
                ..saw(exited(0))
            };
            clerk.write(Write::Gone { attempt, saw }).await.unwrap();
            clerk.write(closes(attempt)).await.unwrap();
            let closing = clerk.attempt(attempt).await.closing.unwrap();
            assert_eq!(closing.outcome, outcome);
        }
    }
}

pub async fn a_success_said_between_timeout_and_end_stands(clerk: Clerk) {
    let attempt = clerk.running(echo()).await;
    let kind = TimeoutKind::Run;
    clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
    clerk.say(attempt, says(Status::Success)).await;
    assert_eq!(
        clerk.end(attempt, exited(143)).await.0.status,
        Status::Success
    );
}

pub async fn an_error_said_between_timeout_and_end_is_a_timeout(clerk: Clerk) {
    let attempt = clerk.running(echo()).await;
    let kind = TimeoutKind::Run;
    clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
    let said = clerk.say(attempt, says(Status::Error)).await;
    assert_eq!(said.action.status, Status::Running);
    assert_eq!(
        clerk.end(attempt, exited(143)).await.0.status,
        Status::Timeout
    );
}

pub async fn after_its_total_timeout_nothing_is_tried_again(clerk: Clerk) {
    let attempt = clerk.running(tried(5)).await;
    let kind = TimeoutKind::Total;
    clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
    let (action, _) = clerk.end(attempt, exited(143)).await;
    assert_eq!((action.status, action.attempt), (Status::Timeout, 1));
}

pub async fn an_announced_heartbeat_is_in_the_sentence(clerk: Clerk) {
    let attempt = clerk.running(echo()).await;
    clerk
        .say(
            attempt,
            Report {
                heartbeat: Some(2.0),
                ..Report::default()
            },
        )
        .await;
    let kind = TimeoutKind::Heartbeat;
    clerk.write(Write::TimeOut { attempt, kind }).await.unwrap();
    let (action, _) = clerk.end(attempt, exited(143)).await;
    assert!(
        action
            .error_message
            .unwrap()
            .contains("announced heartbeats of 2 s")
    );
}
