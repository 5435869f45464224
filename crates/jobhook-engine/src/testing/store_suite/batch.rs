//! Several writes in one transaction.

use jobhook_protocol::Status;

use crate::action::ActionId;
use crate::attempt::AttemptRef;
use crate::runner::TypeFilter;
use crate::testing::Clerk;
use crate::testing::clerk::report_of;
use crate::testing::factory::*;
use crate::write::{Refusal, Write, Written};

fn claim_all() -> Write {
    Write::Claim(Box::new(claim(TypeFilter::all(), 9)))
}

fn first_attempt(action: ActionId) -> AttemptRef {
    AttemptRef { action, number: 1 }
}

pub async fn a_claim_sees_what_its_batch_inserted(clerk: Clerk) {
    let new = echo();
    let writes = [
        claim_all(),
        Write::Insert(Box::new(new.clone())),
        claim_all(),
        claim_all(),
    ];
    let taken: Vec<usize> = clerk
        .batch(&writes)
        .await
        .iter()
        .filter_map(|answer| match answer {
            Ok(Written::Claimed(claimed)) => Some(claimed.len()),
            _ => None,
        })
        .collect();
    assert_eq!(taken, [0, 1, 0]);
    assert_eq!(clerk.action(new.id).await.status, Status::Starting);
}

pub async fn a_whole_life_fits_into_one_batch(clerk: Clerk) {
    let new = echo();
    let attempt = first_attempt(new.id);
    let writes = [
        Write::Insert(Box::new(new)),
        claim_all(),
        Write::Started { attempt, at: NOW },
        report_of(attempt, line("one")),
        Write::Output {
            attempt,
            output: output(0, 4, &["two"]),
        },
        report_of(attempt, says(Status::Success)),
        Write::Gone {
            attempt,
            saw: saw(exited(0)),
        },
        closes(attempt),
    ];
    assert!(clerk.batch(&writes).await.iter().all(Result::is_ok));
    let action = clerk.action(attempt.action).await;
    assert_eq!((action.status, action.open), (Status::Success, false));
    assert_eq!(clerk.log(action.id).await, ["one", "two"]);
}

pub async fn a_cancelled_action_is_not_claimed_later_in_its_batch(clerk: Clerk) {
    let action = clerk.launch(echo()).await.id;
    let cancel = Write::Cancel {
        action,
        by: "ann".into(),
        reason: None,
    };
    let answers = clerk.batch(&[cancel, claim_all()]).await;
    assert_eq!(answers[1], Ok(Written::Claimed(Vec::new())));
}

pub async fn a_retry_is_claimed_later_in_its_batch(clerk: Clerk) {
    let attempt = clerk.running(tried(2)).await;
    let gone = Write::Gone {
        attempt,
        saw: saw(exited(1)),
    };
    let answers = clerk.batch(&[gone, closes(attempt), claim_all()]).await;
    let Ok(Written::Claimed(claimed)) = &answers[2] else {
        panic!("a claim is answered with what it took");
    };
    assert_eq!(claimed[0].1.at.number, 2);
}

pub async fn a_refusal_does_not_fail_its_batch(clerk: Clerk) {
    let (first, second) = (echo(), echo());
    let unknown = Write::Cancel {
        action: echo().id,
        by: "ann".into(),
        reason: None,
    };
    let writes = [
        Write::Insert(Box::new(first.clone())),
        Write::Insert(Box::new(first.clone())),
        unknown,
        Write::Insert(Box::new(second.clone())),
    ];
    let answers = clerk.batch(&writes).await;
    assert!(answers[0].is_ok() && answers[3].is_ok());
    assert_eq!(answers[1], Err(Refusal::Exists));
    assert_eq!(answers[2], Err(Refusal::NotFound));
    assert_eq!(clerk.claim_ids(9).await, [first.id, second.id]);
}

pub async fn a_refused_report_leaves_nothing(clerk: Clerk) {
    let attempt = clerk.running(echo()).await;
    clerk.say(attempt, says(Status::Success)).await;
    let before = (
        clerk.action(attempt.action).await,
        clerk.attempt(attempt).await,
    );
    let mut refused = sent("r", 1, line("never"));
    refused.status = Some(Status::Error);
    refused.results = Some(json("1"));
    assert!(clerk.at(after(5)).report(attempt, refused).await.is_err());
    let now = (
        clerk.action(attempt.action).await,
        clerk.attempt(attempt).await,
    );
    assert_eq!(before, now);
    assert!(clerk.log(attempt.action).await.is_empty());
    let again = clerk.say(attempt, sent("r", 1, line("now"))).await;
    assert!(!again.duplicate);
}

pub async fn many_actions_change_in_one_batch(clerk: Clerk) {
    let new: Vec<_> = (0..100).map(|_| echo()).collect();
    let inserts: Vec<Write> = new
        .iter()
        .cloned()
        .map(Box::new)
        .map(Write::Insert)
        .collect();
    clerk.batch(&inserts).await;
    assert_eq!(clerk.claim_ids(100).await.len(), 100);
    let report = |new: &crate::action::NewAction| {
        report_of(
            first_attempt(new.id),
            sent("r", 1, line(&new.id.to_string())),
        )
    };
    let reports: Vec<Write> = new.iter().map(report).collect();
    assert!(clerk.batch(&reports).await.iter().all(Result::is_ok));
    for new in &new {
        assert_eq!(clerk.log(new.id).await, [new.id.to_string()]);
    }
}
