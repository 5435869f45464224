//! Gives waiting actions to runners, as many as each has room for.
//!
//! One loop a runner: claim as many as there are free places, start a
//! [driver](crate::drive) for each, wait until something may have changed. The claim is the
//! judge; hints and timers only say when to look again.

use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::key::hex;

use crate::action::Action;
use crate::attempt::{Attempt, Ending, Saw};
use crate::drive;
use crate::engine::Parts;
use crate::runner::{Runner, TypeFilter};
use crate::slots::Slots;
use crate::write::{Claim, Write, Written};

/// How many actions one claim takes at most.
const MAX_CLAIM: usize = 64;

/// How long to wait before a store that failed is asked again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// Starts a loop for each runner.
pub(crate) fn start(parts: &Arc<Parts>) {
    let mut earlier: Vec<String> = Vec::new();
    for (runner, slots) in &parts.runners {
        let mut types = runner.types().clone();
        types.except.extend(earlier.iter().cloned());
        let takes_all = types.only.is_none();
        earlier.extend(types.only.iter().flatten().cloned());
        parts.loops.spawn(dispatch(
            Arc::clone(parts),
            Arc::clone(runner),
            Arc::clone(slots),
            types,
        ));
        if takes_all {
            // Nothing is left for those behind it.
            break;
        }
    }
}

/// Takes up attempts that were open when this server started.
pub(crate) fn adopt(parts: &Arc<Parts>, open: Vec<(Action, Attempt)>) {
    for (action, attempt) in open {
        match parts.runner_of(&attempt) {
            Some((runner, slots)) => {
                let driver = drive::drive(
                    Arc::clone(parts),
                    Arc::clone(runner),
                    action,
                    attempt,
                    drive::Origin::TakenUp,
                    slots.take(),
                );
                parts.loops.spawn(driver);
            }
            None => {
                parts.loops.spawn(abandon(Arc::clone(parts), attempt));
            }
        }
    }
}

async fn dispatch(
    parts: Arc<Parts>,
    runner: Arc<dyn Runner>,
    slots: Arc<Slots>,
    types: TypeFilter,
) {
    let mut work = parts.changes.work();
    while !parts.draining.is_cancelled() {
        work.borrow_and_update();
        // Before the claim: what becomes due after it is not due any later than now.
        let looked_at = parts.clock.now();
        let room = slots.free().min(MAX_CLAIM);
        let taken = if room == 0 {
            Some(0)
        } else {
            claim(&parts, &runner, &slots, &types, room).await
        };
        if taken == Some(room) && room > 0 {
            // Maybe more are waiting.
            continue;
        }
        let again = match taken {
            Some(_) if room == 0 => None,
            Some(_) => parts
                .store
                .next_wake(looked_at)
                .await
                .ok()
                .and_then(|wake| wake.due),
            None => Some(parts.clock.now().plus(STORE_AGAIN)),
        };
        tokio::select! {
            // The sender lives in `parts`, which outlives this loop.
            _ = work.changed() => {}
            () = slots.freed() => {}
            () = parts.clock.sleep_until(again.unwrap_or_default()), if again.is_some() => {}
            () = parts.draining.cancelled() => return,
        }
    }
}

/// Claims up to `room` actions and starts their drivers; `None` if the store failed.
async fn claim(
    parts: &Arc<Parts>,
    runner: &Arc<dyn Runner>,
    slots: &Arc<Slots>,
    types: &TypeFilter,
    room: usize,
) -> Option<usize> {
    let claim = Claim {
        runner: runner.name().to_owned(),
        worker: parts.settings.worker.clone(),
        types: types.clone(),
        terms: runner.terms(),
        key_id: parts.keyring.current_id().to_owned(),
        nonces: draw_nonces(room)?,
    };
    let Ok(Ok(Written::Claimed(claimed))) =
        parts.batcher.write(Write::Claim(Box::new(claim))).await
    else {
        return None;
    };
    let count = claimed.len();
    for (action, attempt) in claimed {
        tracing::info!(
            action.id = %action.id, action.r#type = %action.action_type, attempt = attempt.at.number, runner = runner.name(),
            "Runner `{}` takes action `{}`, attempt {}", runner.name(), action.id, attempt.at.number,
        );
        let driver = drive::drive(
            Arc::clone(parts),
            Arc::clone(runner),
            action,
            attempt,
            drive::Origin::Claimed,
            slots.take(),
        );
        parts.loops.spawn(driver);
    }
    Some(count)
}

/// Random nonces; `None` if the machine has no randomness to give.
fn draw_nonces(count: usize) -> Option<Vec<String>> {
    let mut bytes = vec![0; 16 * count];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "No random bytes, so no keys: nothing is started");
        return None;
    }
    Some(bytes.chunks(16).map(hex).collect())
}

/// Ends an attempt whose runner is not in the configuration any more.
async fn abandon(parts: Arc<Parts>, attempt: Attempt) {
    for (runner, _) in &parts.runners {
        // Runners of one kind see each other's jobs.
        if let Err(error) = runner.stop(attempt.at, runner.terms().grace).await {
            tracing::warn!(action.id = %attempt.at.action, runner = runner.name(), %error, "A job without runner may still run");
        }
    }
    let reason = format!(
        "its runner `{}` is not in the configuration any more",
        attempt.runner
    );
    let saw = Saw {
        ending: Ending::Lost { reason },
        at: parts.clock.now(),
        stopped: true,
        usage: None,
    };
    parts
        .persist(vec![
            Write::Gone {
                attempt: attempt.at,
                saw,
            },
            Write::Close {
                attempt: attempt.at,
            },
        ])
        .await;
    parts.hook.forget(attempt.at.action);
}
