//! Reading: pages, wakes, and what a server takes up again.

use jobhook_protocol::Status;

use crate::action::{ActionId, NewAction};
use crate::store::{ActionQuery, Wake};
use crate::testing::Clerk;
use crate::testing::factory::*;

async fn listed(clerk: &Clerk, query: ActionQuery) -> Vec<ActionId> {
    let actions = clerk.store().list(&query).await.unwrap();
    actions.into_iter().map(|action| action.id).collect()
}

fn first(limit: usize) -> ActionQuery {
    ActionQuery {
        limit,
        ..ActionQuery::default()
    }
}

pub async fn a_list_gives_whole_actions(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let mut report = says(Status::Success);
    report.results = Some(json("[1]"));
    clerk.say(at, report).await;
    let listed = clerk.store().list(&first(9)).await.unwrap();
    assert_eq!(listed, [clerk.action(at.action).await]);
}

pub async fn pages_go_back_from_the_newest_launch(clerk: Clerk) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, clerk.launch(echo()).await.id);
    }
    let mut page = first(2);
    for expected in [&ids[..2], &ids[2..4], &ids[4..], &[]] {
        let got = listed(&clerk, page.clone()).await;
        assert_eq!(got, expected);
        page.before = got.last().copied().or(page.before);
    }
    assert_eq!(listed(&clerk, first(0)).await, []);
}

pub async fn a_list_that_has_its_weight_ends_with_the_action_that_comes_after(clerk: Clerk) {
    let mut ids = Vec::new();
    for size in [1, 1, 50, 50, 0, 0] {
        let arguments = Some(json(&format!("\"{}\"", "x".repeat(size))));
        let new = NewAction {
            arguments,
            ..echo()
        };
        ids.insert(0, clerk.launch(new).await.id);
    }
    let of = |weight| ActionQuery {
        weight: Some(weight),
        ..first(9)
    };
    // Two of 2 bytes, two of 52, two of 3.
    for (weight, expected) in [(0, 1), (4, 3), (5, 4), (56, 4), (57, 5), (1000, 6)] {
        assert_eq!(
            listed(&clerk, of(weight)).await,
            ids[..expected],
            "{weight}"
        );
    }
}

pub async fn a_list_can_be_of_one_type(clerk: Clerk) {
    clerk.launch(echo()).await;
    let other = clerk.launch(of_type("Other")).await.id;
    let of = |action_type: &str| ActionQuery {
        action_type: Some(action_type.into()),
        ..first(9)
    };
    assert_eq!(listed(&clerk, of("Other")).await, [other]);
    assert_eq!(listed(&clerk, of("other")).await, []);
}

pub async fn a_list_can_be_of_several_statuses(clerk: Clerk) {
    let done = clerk.running(of_type("Other")).await;
    clerk.end(done, exited(0)).await;
    let running = clerk.running(echo()).await.action;
    let queued = clerk.launch(echo()).await.id;
    let of = |statuses: &[Status]| ActionQuery {
        statuses: statuses.to_vec(),
        ..first(9)
    };
    let (success, live) = (Status::Success, [Status::Queued, Status::Running]);
    assert_eq!(listed(&clerk, of(&[success])).await, [done.action]);
    assert_eq!(listed(&clerk, of(&live)).await, [queued, running]);
    assert_eq!(
        listed(&clerk, of(&[success, Status::Queued])).await,
        [queued, done.action]
    );
    assert_eq!(listed(&clerk, of(&[Status::Timeout])).await, []);
    assert_eq!(
        listed(&clerk, of(&Status::ALL)).await,
        [queued, running, done.action]
    );
    let action_type = Some("Echo".into());
    let some = ActionQuery {
        action_type,
        ..of(&[success, Status::Running])
    };
    assert_eq!(listed(&clerk, some).await, [running]);
    let before = Some(running);
    assert_eq!(
        listed(
            &clerk,
            ActionQuery {
                before,
                ..of(&Status::ALL)
            }
        )
        .await,
        [done.action]
    );
}

pub async fn the_newest_attempt_of_each_action_is_read(clerk: Clerk) {
    let waits = clerk.launch(echo_at(after(9))).await.id;
    let first = clerk.running(tried(2)).await;
    clerk.end(first, exited(1)).await;
    let second = clerk.take().await;
    let other = clerk.running(echo()).await;
    let ids = [other.action, waits, echo().id, second.action];
    let last = clerk.store().last_attempts(&ids).await.unwrap();
    assert_eq!(
        last,
        [clerk.attempt(other).await, clerk.attempt(second).await]
    );
    assert_eq!(clerk.store().last_attempts(&[]).await.unwrap(), []);
}

pub async fn an_action_that_was_not_taken_has_no_attempts(clerk: Clerk) {
    let id = clerk.launch(echo()).await.id;
    assert_eq!(clerk.store().attempts(id).await.unwrap(), []);
}

pub async fn open_attempts_are_those_that_did_not_close(clerk: Clerk) {
    let store = clerk.store();
    assert_eq!(store.open_attempts().await.unwrap(), []);
    clerk.launch(echo_at(after(9))).await;
    let closed = clerk.running(echo()).await;
    clerk.end(closed, exited(0)).await;
    let running = clerk.running(echo()).await;
    let done = clerk.taken(echo()).await;
    clerk.say(done, says(Status::Success)).await;
    let expected = [
        (
            clerk.action(running.action).await,
            clerk.attempt(running).await,
        ),
        (clerk.action(done.action).await, clerk.attempt(done).await),
    ];
    assert_eq!(store.open_attempts().await.unwrap(), expected);
}

pub async fn the_next_wake_is_the_next_due_time(clerk: Clerk) {
    let store = clerk.store();
    assert_eq!(store.next_wake(NOW).await.unwrap(), Wake::default());
    clerk.launch(echo()).await;
    clerk.launch(echo_at(after(20))).await;
    let sooner = clerk.launch(echo_at(after(10))).await.id;
    assert_eq!(store.next_wake(NOW).await.unwrap().due, Some(after(10)));
    assert_eq!(
        store.next_wake(after(10)).await.unwrap().due,
        Some(after(20))
    );
    clerk.cancel(sooner).await.unwrap();
    assert_eq!(store.next_wake(NOW).await.unwrap().due, Some(after(20)));
    assert_eq!(store.next_wake(after(20)).await.unwrap().due, None);
}

pub async fn the_next_wake_is_the_next_expiry_too(clerk: Clerk) {
    use crate::action::Timeouts;
    use std::time::Duration;
    let store = clerk.store();
    let mut ids = Vec::new();
    for ms in [30, 10] {
        let total = Some(Duration::from_millis(ms));
        let timeouts = Timeouts {
            total,
            ..Timeouts::default()
        };
        ids.push(clerk.launch(hurried(timeouts)).await.id);
    }
    assert_eq!(store.next_wake(NOW).await.unwrap().expiry, Some(after(10)));
    assert_eq!(
        store.next_wake(after(15)).await.unwrap().expiry,
        Some(after(30))
    );
    clerk.cancel(ids[1]).await.unwrap();
    assert_eq!(store.next_wake(NOW).await.unwrap().expiry, Some(after(30)));
    clerk.claim_ids(9).await;
    assert_eq!(store.next_wake(NOW).await.unwrap(), Wake::default());
}
