//! What is finished and beyond what is kept goes; nothing else does.

use std::time::Duration;

use jobhook_protocol::Status;

use crate::action::ActionId;
use crate::attempt::{AttemptRef, Ending};
use crate::clock::Timestamp;
use crate::file::{ObjectRef, Origin};
use crate::retention::{Keep, Retention};
use crate::store::ActionQuery;
use crate::testing::Clerk;
use crate::testing::factory::*;
use crate::write::Write;

const HOUR: Duration = Duration::from_secs(3600);

fn aged(age: Duration) -> Keep {
    Keep {
        age: Some(age),
        count: None,
    }
}

fn counted(count: u64) -> Keep {
    Keep {
        age: None,
        count: Some(count),
    }
}

async fn succeeded(clerk: &Clerk) -> ActionId {
    ended(clerk, exited(0)).await
}

async fn ended(clerk: &Clerk, ending: Ending) -> ActionId {
    let at = clerk.running(echo()).await;
    clerk.end(at, ending).await;
    at.action
}

async fn prune(clerk: &Clerk, rules: Retention, now: Timestamp) -> usize {
    clerk.store().prune(&rules, now, 100).await.unwrap()
}

/// First launched first.
async fn left(clerk: &Clerk) -> Vec<ActionId> {
    let query = ActionQuery {
        limit: 100,
        ..ActionQuery::default()
    };
    let mut actions = clerk.store().list(&query).await.unwrap();
    actions.reverse();
    actions.into_iter().map(|action| action.id).collect()
}

pub async fn what_ended_long_ago_is_removed(clerk: Clerk) {
    let old = succeeded(&clerk).await;
    let young = succeeded(&clerk.at(after(1))).await;
    let rules = Retention::all(aged(HOUR));
    assert_eq!(prune(&clerk, rules, NOW.plus(HOUR)).await, 1);
    assert_eq!(left(&clerk).await, [young]);
    assert_eq!(clerk.store().action(old).await.unwrap(), None);
}

pub async fn an_age_counts_from_the_end_and_not_from_the_launch(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let late = NOW.plus(HOUR * 5);
    clerk.at(late).end(at, exited(0)).await;
    let rules = Retention::all(aged(HOUR));
    assert_eq!(prune(&clerk, rules, late.plus(HOUR / 2)).await, 0);
    assert_eq!(prune(&clerk, rules, late.plus(HOUR)).await, 1);
}

pub async fn of_too_many_the_last_launched_are_kept(clerk: Clerk) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(succeeded(&clerk).await);
    }
    assert_eq!(prune(&clerk, Retention::all(counted(5)), NOW).await, 0);
    assert_eq!(prune(&clerk, Retention::all(counted(2)), NOW).await, 3);
    assert_eq!(left(&clerk).await, ids[3..]);
    assert_eq!(prune(&clerk, Retention::all(counted(0)), NOW).await, 2);
}

pub async fn each_status_has_its_own_rule(clerk: Clerk) {
    let success = succeeded(&clerk).await;
    let error = ended(&clerk, exited(1)).await;
    let cancelled = clerk.launch(echo()).await.id;
    clerk.cancel(cancelled).await.unwrap();
    let rules = Retention {
        success: aged(HOUR),
        cancelled: counted(0),
        ..Retention::default()
    };
    assert_eq!(prune(&clerk, rules, NOW).await, 1);
    assert_eq!(left(&clerk).await, [success, error]);
    assert_eq!(prune(&clerk, rules, NOW.plus(HOUR)).await, 1);
    assert_eq!(left(&clerk).await, [error]);
}

pub async fn what_is_beyond_one_of_two_limits_is_beyond(clerk: Clerk) {
    let keep = Keep {
        age: Some(HOUR),
        count: Some(1),
    };
    succeeded(&clerk).await;
    let last = succeeded(&clerk).await;
    assert_eq!(prune(&clerk, Retention::all(keep), NOW).await, 1);
    assert_eq!(left(&clerk).await, [last]);
    assert_eq!(prune(&clerk, Retention::all(keep), NOW.plus(HOUR)).await, 1);
}

pub async fn without_a_rule_everything_is_kept(clerk: Clerk) {
    succeeded(&clerk).await;
    let far = NOW.plus(HOUR * 1_000_000);
    assert_eq!(prune(&clerk, Retention::default(), far).await, 0);
}

pub async fn what_is_not_over_is_never_removed(clerk: Clerk) {
    clerk.running(echo()).await;
    let said = clerk.running(echo()).await;
    clerk.say(said, says(Status::Success)).await;
    assert!(clerk.action(said.action).await.open);
    clerk.launch(echo()).await;
    clerk.launch(echo_at(after(1_000))).await;
    let far = NOW.plus(HOUR * 1_000_000);
    assert_eq!(prune(&clerk, Retention::all(counted(0)), far).await, 0);
    assert_eq!(prune(&clerk, Retention::all(aged(HOUR)), far).await, 0);
    assert_eq!(left(&clerk).await.len(), 4);
}

pub async fn one_call_removes_no_more_than_asked_and_the_first_launched_first(clerk: Clerk) {
    let mut ids = Vec::new();
    for code in [1, 0, 1, 0] {
        ids.push(ended(&clerk, exited(code)).await);
    }
    let rules = Retention::all(counted(0));
    let limited = clerk.store().prune(&rules, NOW, 3).await.unwrap();
    assert_eq!(limited, 3);
    assert_eq!(left(&clerk).await, ids[3..]);
}

pub async fn everything_of_a_removed_action_goes_and_nothing_of_another(clerk: Clerk) {
    let full = async |clerk: &Clerk| -> AttemptRef {
        let mut new = echo();
        new.arguments = Some(json(r#"{"a":1}"#));
        let at = clerk.running(new).await;
        clerk.say(at, sent("reporter", 1, line("one"))).await;
        clerk.output(at, output(0, 4, &["two"])).await.unwrap();
        let mut report = says(Status::Success);
        report.results = Some(json("[1]"));
        clerk.say(at, report).await;
        clerk.end(at, exited(0)).await;
        at
    };
    let gone = full(&clerk).await;
    let kept = full(&clerk.at(after(1))).await;
    let whole = clerk.action(kept.action).await;
    assert_eq!(
        prune(&clerk, Retention::all(aged(HOUR)), NOW.plus(HOUR)).await,
        1
    );
    let store = clerk.store();
    assert_eq!(store.attempts(gone.action).await.unwrap(), []);
    assert_eq!(store.lines(gone.action, 0, 10).await.unwrap(), []);
    assert_eq!(clerk.action(kept.action).await, whole);
    assert_eq!(store.attempts(kept.action).await.unwrap().len(), 1);
    assert_eq!(clerk.log(kept.action).await, ["one", "two"]);
}

pub async fn a_long_log_goes_with_its_action(clerk: Clerk) {
    let at = clerk.running(echo()).await;
    let texts: Vec<String> = (0..12_000).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    clerk.output(at, output(0, 100, &texts)).await.unwrap();
    clerk.end(at, exited(0)).await;
    assert_eq!(prune(&clerk, Retention::all(counted(0)), NOW).await, 1);
    let lines = clerk.store().lines(at.action, 0, 10).await.unwrap();
    assert_eq!(lines, []);
}

/// Ends an action that has left a file.
async fn ended_with_file(clerk: &Clerk, origin: Origin) -> ActionId {
    let action = succeeded(clerk).await;
    let to = outputs(action);
    clerk.attach(attach(to, origin, "x")).await.unwrap();
    action
}

pub async fn the_files_of_a_removed_action_go_with_it(clerk: Clerk) {
    let old = ended_with_file(&clerk, arrived(1, "a")).await;
    let young = clerk.at(after(1));
    let kept = ended_with_file(&young, arrived(2, "b")).await;
    let hour_later = NOW.plus(HOUR);
    assert_eq!(
        prune(&clerk, Retention::all(aged(HOUR)), hour_later).await,
        1
    );
    let old = ObjectRef::of_action(old);
    assert_eq!(clerk.files(&old).await, []);
    assert_eq!(clerk.store().object(&old).await.unwrap(), None);
    assert_eq!(clerk.files(&ObjectRef::of_action(kept)).await.len(), 1);
    // Its bytes are idle from then on.
    let just_before = crate::clock::Timestamp(hour_later.0 - 1);
    assert_eq!(clerk.forget_unused(just_before).await, []);
    let forgotten = clerk.forget_unused(hour_later).await;
    assert_eq!(forgotten, [content(1, "a").blob]);
}

pub async fn a_content_that_another_has_is_kept_when_one_goes(clerk: Clerk) {
    let first = ended_with_file(&clerk, arrived(1, "a")).await;
    let to = outputs(first);
    clerk.attach(attach(to, stored(1), "y")).await.unwrap();
    let second = ended_with_file(&clerk.at(after(1)), stored(1)).await;
    let far = NOW.plus(HOUR * 9);
    assert_eq!(prune(&clerk, Retention::all(counted(1)), NOW).await, 1);
    assert_eq!(left(&clerk).await, [second]);
    assert_eq!(clerk.forget_unused(far).await, []);
    assert_eq!(prune(&clerk, Retention::all(counted(0)), NOW).await, 1);
    assert_eq!(clerk.forget_unused(far).await, [content(1, "a").blob]);
}

pub async fn many_files_go_with_their_actions(clerk: Clerk) {
    for _ in 0..3 {
        let action = succeeded(&clerk).await;
        let to = outputs(action);
        let writes: Vec<Write> = (0..1_000)
            .map(|n| {
                let attach = attach(to.clone(), arrived(1, "a"), &n.to_string());
                Write::Attach(Box::new(attach))
            })
            .collect();
        assert!(clerk.batch(&writes).await.iter().all(Result::is_ok));
    }
    assert_eq!(prune(&clerk, Retention::all(counted(0)), NOW).await, 3);
    assert_eq!(left(&clerk).await, []);
    assert_eq!(clerk.forget_unused(NOW).await, [content(1, "a").blob]);
}
