//! Taking what waits: the queue's side of the store.

use std::collections::HashSet;

use jobhook_protocol::Status;

use crate::runner::{Terms, TypeFilter};
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::Claim;

pub async fn a_claimed_action_is_starting_and_its_attempt_is_open(clerk: Clerk) {
    let id = clerk.launch(echo()).await.id;
    let claimed = clerk.at(after(7)).claim(claim(TypeFilter::all(), 1)).await;
    let (action, attempt) = &claimed[0];
    assert_eq!(
        (action.id, action.status, action.open),
        (id, Status::Starting, true)
    );
    assert_eq!((attempt.at.number, attempt.claimed_at), (1, after(7)));
    assert_eq!(&clerk.action(id).await, action);
    assert_eq!(&clerk.attempt(attempt.at).await, attempt);
}

pub async fn an_attempt_remembers_who_took_it_and_how(clerk: Clerk) {
    clerk.launch(echo()).await;
    let mut wanted = claim(TypeFilter::all(), 1);
    wanted.terms = Terms {
        auto_status: false,
        signature_required: true,
        ..wanted.terms
    };
    let at = clerk.claim(wanted).await[0].1.at;
    let attempt = clerk.attempt(at).await;
    assert_eq!(
        (attempt.runner.as_str(), attempt.worker.as_str()),
        ("local", "server-1")
    );
    assert_eq!(
        (attempt.key_id.as_str(), attempt.nonce.as_str()),
        ("key-1", "nonce-0")
    );
    assert_eq!(
        (attempt.auto_status, attempt.signature_required),
        (false, true)
    );
}

pub async fn an_action_is_claimed_once(clerk: Clerk) {
    let id = clerk.launch(echo()).await.id;
    assert_eq!(clerk.claim_ids(9).await, [id]);
    assert_eq!(clerk.claim_ids(9).await, []);
}

pub async fn claims_at_once_share_nothing(clerk: Clerk) {
    for _ in 0..20 {
        clerk.launch(echo()).await;
    }
    let claims: Vec<_> = (0..8)
        .map(|_| clerk.clone())
        .map(|clerk| tokio::spawn(async move { clerk.claim_ids(3).await }))
        .collect();
    let mut claimed = Vec::new();
    for claim in claims {
        claimed.extend(claim.await.unwrap());
    }
    assert_eq!(claimed.len(), 20);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>().len(), 20);
}

pub async fn an_action_is_not_claimed_before_its_time(clerk: Clerk) {
    let id = clerk.launch(echo_at(after(10))).await.id;
    assert_eq!(clerk.at(after(9)).claim_ids(1).await, []);
    assert_eq!(clerk.at(after(10)).claim_ids(1).await, [id]);
}

pub async fn what_is_due_longest_is_claimed_first(clerk: Clerk) {
    let third = clerk.launch(echo_at(after(9))).await.id;
    let first = clerk.launch(echo_at(after(3))).await.id;
    let second = clerk.launch(echo_at(after(3))).await.id;
    let now = clerk.at(after(10));
    assert_eq!(now.claim_ids(2).await, [first, second]);
    assert_eq!(now.claim_ids(2).await, [third]);
}

pub async fn the_longest_due_of_several_types_is_claimed_first(clerk: Clerk) {
    let mut ids = Vec::new();
    for action_type in ["B", "A", "C", "A", "B"] {
        ids.push(clerk.launch(of_type(action_type)).await.id);
    }
    let some = clerk.claim(claim(TypeFilter::only(["A", "B"]), 3)).await;
    let some: Vec<_> = some.into_iter().map(|(action, _)| action.id).collect();
    assert_eq!(some, [ids[0], ids[1], ids[3]]);
    assert_eq!(clerk.claim_ids(9).await, [ids[2], ids[4]]);
}

pub async fn a_claim_takes_only_its_types(clerk: Clerk) {
    clerk.launch(of_type("Other")).await;
    assert!(
        clerk
            .claim(claim(TypeFilter::only(["Echo"]), 9))
            .await
            .is_empty()
    );
    assert!(
        clerk
            .claim(claim(TypeFilter::only(["other"]), 9))
            .await
            .is_empty()
    );
    assert!(
        clerk
            .claim(claim(TypeFilter::only::<&str>([]), 9))
            .await
            .is_empty()
    );
    assert_eq!(
        clerk
            .claim(claim(TypeFilter::only(["Other"]), 9))
            .await
            .len(),
        1
    );
}

pub async fn a_claim_leaves_the_types_it_excepts(clerk: Clerk) {
    let echo = clerk.launch(echo()).await.id;
    clerk.launch(of_type("Other")).await;
    let but_other = TypeFilter {
        only: None,
        except: vec!["Other".into()],
    };
    let nothing = TypeFilter {
        only: Some(vec!["Other".into()]),
        except: vec!["Other".into()],
    };
    assert!(clerk.claim(claim(nothing, 9)).await.is_empty());
    let claimed = clerk.claim(claim(but_other, 9)).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].0.id, echo);
}

pub async fn a_claim_takes_one_action_for_each_nonce(clerk: Clerk) {
    for _ in 0..3 {
        clerk.launch(echo()).await;
    }
    let nonces = vec!["red".to_owned(), "blue".to_owned()];
    let claimed = clerk
        .claim(Claim {
            nonces,
            ..claim(TypeFilter::all(), 0)
        })
        .await;
    let nonces: Vec<&str> = claimed
        .iter()
        .map(|(_, attempt)| attempt.nonce.as_str())
        .collect();
    assert_eq!(nonces, ["red", "blue"]);
    assert!(clerk.claim(claim(TypeFilter::all(), 0)).await.is_empty());
    assert_eq!(clerk.claim_ids(9).await.len(), 1);
}
