//! The mark that forbids later starts and tries.

use jobhook_protocol::Status;

use crate::action::CancelMark;
use crate::attempt::{Ending, Fault, Outcome};
use crate::testing::Clerk;
use crate::testing::clerk::action_of;
use crate::testing::factory::*;
use crate::write::{Refusal, Write};

fn killed() -> Ending {
    Ending::Signalled {
        signal: 9,
        name: "SIGKILL".into(),
        core_dumped: false,
    }
}

pub async fn what_waits_is_cancelled_at_once(clerk: Clerk) {
    for new in [echo(), echo_at(after(10))] {
        let id = clerk.launch(new).await.id;
        let action = action_of(clerk.at(after(3)).cancel(id).await);
        assert_eq!(
            (action.status, action.finished_at),
            (Status::Cancelled, Some(after(3)))
        );
        assert_eq!(action.error_name.as_deref(), Some("cancelled"));
        assert_eq!(
            action.error_message.as_deref(),
            Some("cancelled by ann: too slow")
        );
        assert_eq!(clerk.action(id).await, action);
    }
    assert_eq!(clerk.at(after(20)).claim_ids(9).await, []);
}

pub async fn what_runs_is_marked_only(clerk: Clerk) {
    for started in [false, true] {
        let at = clerk.taken(echo()).await;
        if started {
            clerk
                .write(Write::Started {
                    attempt: at,
                    at: NOW,
                })
                .await
                .unwrap();
        }
        let before = clerk.action(at.action).await.status;
        let action = action_of(clerk.at(after(3)).cancel(at.action).await);
        assert_eq!((action.status, action.finished_at), (before, None));
        let mark = CancelMark {
            at: after(3),
            by: "ann".into(),
            reason: Some("too slow".into()),
        };
        assert_eq!(clerk.action(at.action).await.cancel, Some(mark));
    }
}

pub async fn the_first_cancel_stands(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let first = action_of(clerk.cancel(at.action).await);
    let (action, by) = (at.action, "bob".to_owned());
    let cancel = Write::Cancel {
        action,
        by,
        reason: None,
    };
    let second = action_of(clerk.at(after(5)).write(cancel).await);
    assert_eq!(first, second);
}

pub async fn what_is_final_is_not_cancelled(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.say(at, says(Status::Success)).await;
    let before = clerk.action(at.action).await;
    let answer = clerk.cancel(at.action).await;
    assert_eq!(answer, Err(Refusal::AlreadyFinal(Status::Success)));
    assert_eq!(clerk.action(at.action).await, before);
    assert_eq!(clerk.cancel(echo().id).await, Err(Refusal::NotFound));
}

pub async fn a_success_said_after_the_mark_stands(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    clerk.cancel(at.action).await.unwrap();
    clerk.say(at, says(Status::Success)).await;
    let (action, closing) = clerk.end(at, killed()).await;
    assert_eq!(action.status, Status::Success);
    assert_eq!(closing.outcome, Outcome::Success);
    assert!(action.cancel.is_some());
}

pub async fn an_error_said_after_the_mark_means_cancelled(clerk: Clerk) {
    let at = clerk.running(tried(3)).await;
    clerk.cancel(at.action).await.unwrap();
    let said = clerk.say(at, says(Status::Error)).await;
    assert_eq!(said.action.status, Status::Cancelled);
    assert_eq!(said.action.error_name.as_deref(), Some("cancelled"));
    assert_eq!(
        clerk.say(at, says(Status::Error)).await.action.status,
        Status::Cancelled
    );
    let (action, _) = clerk.end(at, exited(1)).await;
    assert_eq!((action.status, action.attempt), (Status::Cancelled, 1));
}

pub async fn any_other_end_after_the_mark_means_cancelled(clerk: Clerk) {
    for ending in [exited(0), exited(3), killed()] {
        let at = clerk.running(tried(3)).await;
        clerk.cancel(at.action).await.unwrap();
        let (action, closing) = clerk.end(at, ending).await;
        assert_eq!(
            (action.status, closing.outcome),
            (Status::Cancelled, Outcome::Cancelled)
        );
        assert_eq!(closing.fault, None);
        assert_eq!(
            action.error_message.as_deref(),
            Some("cancelled by ann: too slow")
        );
    }
}

pub async fn an_error_with_tries_left_and_then_cancelled_is_not_tried_again(clerk: Clerk) {
    let at = clerk.running(tried(2)).await;
    clerk.say(at, says(Status::Error)).await;
    clerk.cancel(at.action).await.unwrap();
    let (action, _) = clerk.end(at, exited(1)).await;
    assert_eq!(action.status, Status::Cancelled);
    assert_eq!(clerk.claim_ids(9).await, []);
}

pub async fn what_could_not_be_started_under_the_mark_is_cancelled(clerk: Clerk) {
    let at = clerk.taken(echo()).await;
    clerk.cancel(at.action).await.unwrap();
    let reason = "it was cancelled".into();
    let (action, closing) = clerk.end(at, Ending::NotStarted { reason }).await;
    assert_eq!(action.status, Status::Cancelled);
    assert_ne!(closing.fault, Some(Fault::Infrastructure));
}
