//! The batcher against a store that can be held, and can be made to fail.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{Batcher, StandingClaim};
use crate::action::{Failure, NewAction};
use crate::changes::Changes;
use crate::runner::TypeFilter;
use crate::store::StoreError;
use crate::testing::TestClock;
use crate::testing::factory::{self, NOW};
use crate::testing::probed_store::{Probe, ProbedStore};
use crate::write::{Claim, Write, Written};

/// Lets commits through one by one, and can refuse a type or everything.
#[derive(Debug)]
struct Gate {
    commits: Semaphore,
    sizes: Mutex<Vec<usize>>,
    /// A damaged row is the store's own fault, and yet that of one write.
    refused_type: Option<&'static str>,
    down: bool,
}

#[async_trait]
impl Probe for Gate {
    async fn applying(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.sizes.lock().unwrap().push(writes.len());
        self.commits.acquire().await.unwrap().forget();
        if self.down {
            return Err(StoreError::Unavailable("down".into()));
        }
        let culprit = |write: &Write| matches!(write, Write::Insert(new) if Some(new.action_type.as_str()) == self.refused_type);
        if writes.iter().any(culprit) {
            return match self.refused_type {
                Some("Damaged") => Err(StoreError::Damaged("a row".into())),
                _ => Err(StoreError::Data("bad data".into())),
            };
        }
        Ok(())
    }
}

fn gated(refused_type: Option<&'static str>, down: bool) -> (Arc<ProbedStore<Gate>>, Batcher) {
    let (store, batcher, _) = gated_with_changes(refused_type, down);
    (store, batcher)
}

fn gated_with_changes(
    refused_type: Option<&'static str>,
    down: bool,
) -> (Arc<ProbedStore<Gate>>, Batcher, Arc<Changes>) {
    let store = Arc::new(ProbedStore::new(Gate {
        commits: Semaphore::new(0),
        sizes: Mutex::default(),
        refused_type,
        down,
    }));
    let changes = Arc::new(Changes::default());
    let clock = Arc::new(TestClock::at(NOW));
    let batcher = Batcher::start(store.clone(), changes.clone(), clock);
    (store, batcher, changes)
}

fn insert(action_type: &str) -> Write {
    Write::Insert(Box::new(factory::of_type(action_type)))
}

/// Starts a write for each type: the first commit is under way when this returns.
async fn start(
    store: &ProbedStore<Gate>,
    batcher: &Batcher,
    types: &[&str],
) -> Vec<tokio::task::JoinHandle<bool>> {
    let mut writes = Vec::new();
    for action_type in types {
        let (batcher, write) = (batcher.clone(), insert(action_type));
        writes.push(tokio::spawn(async move {
            matches!(batcher.write(write).await, Ok(Ok(_)))
        }));
        while store.probe.sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }
    // Tests run on one thread: each write is queued by the time the test is polled again.
    tokio::task::yield_now().await;
    writes
}

#[tokio::test]
async fn writes_that_come_while_a_commit_runs_share_the_next_ones() {
    let (store, batcher) = gated(None, false);
    let writes = start(&store, &batcher, &["A"; 9]).await;
    store.probe.commits.add_permits(3);
    for write in writes {
        assert!(write.await.unwrap());
    }
    assert_eq!(
        *store.probe.sizes.lock().unwrap(),
        [1, 5, 3],
        "one at once, then half of all who are known"
    );
}

#[tokio::test]
async fn data_that_the_store_refuses_takes_nobody_with_it_and_no_damaged_row_does() {
    for culprit in ["Bad", "Damaged"] {
        let (store, batcher) = gated(Some(culprit), false);
        let writes = start(&store, &batcher, &["A", "B", "C", culprit, "D", "E"]).await;
        store.probe.commits.add_permits(100);
        let mut kept = Vec::new();
        for write in writes {
            kept.push(write.await.unwrap());
        }
        assert_eq!(kept, [true, true, true, false, true, true]);
    }
}

#[tokio::test]
async fn a_store_that_fails_fails_the_whole_batch_and_the_next_is_tried() {
    let (store, batcher) = gated(None, true);
    let writes = start(&store, &batcher, &["A", "B", "C"]).await;
    store.probe.commits.add_permits(100);
    for write in writes {
        assert!(!write.await.unwrap());
    }
}

#[tokio::test]
async fn writes_that_belong_together_are_committed_together() {
    let (store, batcher) = gated(None, false);
    store.probe.commits.add_permits(1);
    let answers = batcher
        .write_all(vec![insert("A"), insert("B"), insert("C")])
        .await
        .unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(*store.probe.sizes.lock().unwrap(), [3]);
}

fn claim(types: &[&str]) -> Claim {
    factory::claim(TypeFilter::only(types.iter().copied()), 9)
}

async fn taken(standing: &mut StandingClaim) -> Vec<String> {
    match standing.answered().await.unwrap().unwrap() {
        Written::Claimed(claimed) => claimed
            .into_iter()
            .map(|(action, _)| action.action_type)
            .collect(),
        other => panic!("a claim was answered with {other:?}"),
    }
}

#[tokio::test]
async fn a_claim_that_stands_goes_along_with_the_first_batch_that_brings_something_for_it() {
    let (store, batcher) = gated(None, false);
    store.probe.commits.add_permits(100);
    let mut standing = batcher.stand(claim(&["B"]));
    batcher.write(insert("A")).await.unwrap().unwrap();
    let later = NewAction {
        scheduled: Some(NOW.plus(std::time::Duration::from_secs(1))),
        ..factory::of_type("B")
    };
    let refused = NewAction {
        refusal: Some(Failure::new("no_runner", "none")),
        ..factory::of_type("B")
    };
    for nothing in [later, refused] {
        let write = Write::Insert(Box::new(nothing));
        batcher.write(write).await.unwrap().unwrap();
    }
    let all = vec![insert("A"), insert("B")];
    batcher.write_all(all).await.unwrap();
    assert_eq!(taken(&mut standing).await, ["B"]);
    assert_eq!(*store.probe.sizes.lock().unwrap(), [1, 1, 1, 3]);
}

#[tokio::test]
async fn who_claims_is_told_before_those_who_launched() {
    let (store, batcher) = gated(None, false);
    let mut standing = batcher.stand(claim(&["A"]));
    let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
    let launched = told.clone();
    tokio::spawn(async move {
        let launches = vec![insert("A"), insert("B")];
        batcher.write_all(launches).await.unwrap();
        launched.send("launched").unwrap();
    });
    tokio::spawn(async move {
        assert_eq!(taken(&mut standing).await, ["A"]);
        told.send("claimed").unwrap();
    });
    // Both wait by the time the commit is let through.
    while store.probe.sizes.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    store.probe.commits.add_permits(1);
    assert_eq!(order.recv().await, Some("claimed"));
    assert_eq!(order.recv().await, Some("launched"));
}

#[tokio::test]
async fn what_a_claim_took_along_is_no_work_for_anybody_else() {
    let (store, batcher, changes) = gated_with_changes(None, false);
    store.probe.commits.add_permits(100);
    let mut standing = batcher.stand(claim(&["A"]));
    let mut work = changes.work();
    work.borrow_and_update();
    batcher.write(insert("A")).await.unwrap().unwrap();
    assert_eq!(taken(&mut standing).await, ["A"]);
    assert!(!work.has_changed().unwrap());
    batcher.write(insert("A")).await.unwrap().unwrap();
    assert!(work.has_changed().unwrap());
}

#[tokio::test]
async fn a_claim_that_is_called_waits_for_nothing() {
    let (store, batcher) = gated(None, false);
    store.probe.commits.add_permits(100);
    batcher.write(insert("A")).await.unwrap().unwrap();
    let mut standing = batcher.stand(claim(&["A"]));
    assert!(standing.call());
    assert_eq!(taken(&mut standing).await, ["A"]);
}

#[tokio::test]
async fn a_claim_that_is_withdrawn_or_dropped_is_not_made() {
    let (store, batcher) = gated(None, false);
    store.probe.commits.add_permits(100);
    let withdrawn = batcher.stand(claim(&["A"]));
    assert!(withdrawn.withdraw());
    assert!(!withdrawn.call());
    drop(batcher.stand(claim(&["A"])));
    batcher.write(insert("A")).await.unwrap().unwrap();
    assert_eq!(*store.probe.sizes.lock().unwrap(), [1]);
}

#[tokio::test]
async fn a_claim_that_is_under_way_is_answered_and_cannot_be_taken_back() {
    let (store, batcher) = gated(None, false);
    let mut standing = batcher.stand(claim(&["A"]));
    let writes = start(&store, &batcher, &["A"]).await;
    assert!(!standing.withdraw());
    assert!(!standing.call());
    store.probe.commits.add_permits(100);
    assert_eq!(taken(&mut standing).await, ["A"]);
    for write in writes {
        assert!(write.await.unwrap());
    }
}
