//! Ends actions that nobody took in time: their queue or total timeout.
//!
//! The queue timeout of an action counts from when this engine was ready, if that is later:
//! while no server ran, nobody could have taken it.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Parts;
use crate::ledger::expiry;
use crate::write::Write;

/// How many are looked at together.
const PAGE: usize = 1000;

/// How long to wait before a store that failed is asked again, and at least between rounds.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(parts: Arc<Parts>) {
    let mut expiring = parts.changes.expiring();
    loop {
        expiring.borrow_and_update();
        let wake = match reap(&parts).await {
            Ok(wake) => wake,
            Err(error) => {
                tracing::warn!(error = %crate::batcher::chain(&error), "Expired actions could not be read");
                Some(parts.clock.now().plus(AGAIN))
            }
        };
        tokio::select! {
            _ = expiring.changed() => {}
            () = parts.clock.sleep_until(wake.unwrap_or_default()), if wake.is_some() => {}
            () = parts.stopping.cancelled() => return,
        }
    }
}

/// Ends what has expired; returns when to look again.
async fn reap(parts: &Parts) -> Result<Option<Timestamp>, crate::store::StoreError> {
    let now = parts.clock.now();
    let mut writes = Vec::new();
    let expiring = parts.store.expiring(now, PAGE).await?;
    // Behind a full page there may be more that nothing else tells of.
    let mut again = (expiring.len() == PAGE).then(|| now.plus(AGAIN));
    for action in expiring {
        let due_at = parts.not_before_ready(action.due_at);
        match expiry(&action.timeouts, action.created_at, due_at) {
            Some((at, kind)) if at <= now => writes.push(Write::Expire {
                action: action.id,
                kind,
            }),
            Some((at, _)) => again = Some(again.map_or(at, |again: Timestamp| again.min(at))),
            None => {}
        }
    }
    if !writes.is_empty() {
        // Refusals mean that somebody took or cancelled it in between.
        parts.persist(writes).await;
    }
    let next = parts
        .store
        .next_wake(now)
        .await?
        .expiry
        .filter(|at| *at > now);
    Ok(again.into_iter().chain(next).min())
}
