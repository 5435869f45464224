//! Gives waiting actions to runners, as many as each has room for.
//!
//! One loop a runner: have a claim [stand](crate::batcher::StandingClaim) for as many as there are
//! free places, start a [driver](crate::drive) for each that it took, and so on. It goes along with
//! what is launched, or is called where something may wait already. The claim is the judge; hints
//! and timers only say when to call it.

use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::key::hex;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::action::Action;
use crate::attempt::{Attempt, Ending, Saw};
use crate::clock::Timestamp;
use crate::drive;
use crate::engine::Parts;
use crate::runner::{Runner, TypeFilter};
use crate::slots::Slots;
use crate::write::{Claim, Write, Written};

/// How many actions one claim takes at most.
const MAX_CLAIM: usize = 64;

/// How long to wait before a store that failed is asked again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

/// How long to wait before a runner that does not know is asked again.
const RUNNER_AGAIN: Duration = Duration::from_secs(1);

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
            parts.starting.token(),
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
                    parts.starting.token(),
                );
                parts.loops.spawn(driver);
            }
            None => {
                let heir = go_on_without(Arc::clone(parts), action, attempt);
                parts.loops.spawn(heir);
            }
        }
    }
}

async fn dispatch(
    parts: Arc<Parts>,
    runner: Arc<dyn Runner>,
    slots: Arc<Slots>,
    types: TypeFilter,
    // Held as long as it takes something.
    _starting: TaskTrackerToken,
) {
    let (mut work, mut later) = (parts.changes.work(), parts.changes.later());
    // Whether something may wait already, and when something will.
    let (mut look, mut due) = (true, None);
    later.mark_changed();
    while !parts.draining.is_cancelled() {
        let room = slots.free().min(MAX_CLAIM);
        if room == 0 {
            tokio::select! {
                () = slots.freed() => continue,
                () = parts.draining.cancelled() => return,
            }
        }
        let Some(claim) = claim(&parts, &runner, &types, room) else {
            parts.pause(STORE_AGAIN).await;
            continue;
        };
        let mut standing = parts.batcher.stand(claim);
        let mut called = None;
        let answer = loop {
            // One that is under way has not seen what comes now, so another will have to look.
            if look {
                let now = parts.clock.now();
                if standing.call() {
                    (look, called) = (false, Some(now));
                }
            }
            tokio::select! {
                biased;
                answer = standing.answered() => break Some(answer),
                // The sender lives in `parts`, which outlives this loop.
                _ = work.changed() => look = true,
                _ = later.changed() => {
                    // What became due meanwhile is asked for as well as what will.
                    due = next_due(&parts, parts.clock.now()).await;
                    look = true;
                }
                () = parts.clock.sleep_until(due.unwrap_or_default()), if due.is_some() => {
                    due = None;
                    later.mark_changed();
                }
                () = slots.freed(), if room < MAX_CLAIM => {
                    if standing.withdraw() {
                        look |= called.is_some();
                        break None;
                    }
                }
                () = parts.draining.cancelled() => {
                    if standing.withdraw() {
                        return;
                    }
                    break Some(standing.answered().await);
                }
            }
        };
        match answer {
            None => {}
            Some(Ok(Ok(Written::Claimed(claimed)))) => {
                // Maybe more are waiting.
                look |= claimed.len() == room;
                if let Some(asked_at) = called.filter(|_| claimed.len() < room) {
                    // What was due is not any more, where the clock was set back.
                    let from = asked_at.min(parts.clock.now());
                    due = due.into_iter().chain(next_due(&parts, from).await).min();
                }
                for (action, attempt) in claimed {
                    start_driver(&parts, &runner, &slots, action, attempt);
                }
            }
            Some(_) => {
                look = true;
                parts.pause(STORE_AGAIN).await;
            }
        }
    }
}

/// When the next action after a moment is due; soon, if the store does not say.
async fn next_due(parts: &Parts, after: Timestamp) -> Option<Timestamp> {
    let wake = parts.store.next_wake(after).await;
    wake.map_or_else(|_| Some(after.plus(STORE_AGAIN)), |wake| wake.due)
}

/// A claim for up to `room` actions; `None` if the machine has no randomness to give.
fn claim(
    parts: &Parts,
    runner: &Arc<dyn Runner>,
    types: &TypeFilter,
    room: usize,
) -> Option<Claim> {
    Some(Claim {
        runner: runner.name().to_owned(),
        worker: parts.settings.worker.clone(),
        types: types.clone(),
        terms: runner.terms(),
        key_id: parts.keyring.current_id().to_owned(),
        nonces: draw_nonces(room)?,
    })
}

fn start_driver(
    parts: &Arc<Parts>,
    runner: &Arc<dyn Runner>,
    slots: &Arc<Slots>,
    action: Action,
    attempt: Attempt,
) {
    tracing::info!(
        action.id = %action.id, action.r#type = action.action_type.as_str(), attempt = attempt.at.number, runner = runner.name(),
        "A runner takes an action",
    );
    let driver = drive::drive(
        Arc::clone(parts),
        Arc::clone(runner),
        action,
        attempt,
        drive::Origin::Claimed,
        slots.take(),
        parts.starting.token(),
    );
    parts.loops.spawn(driver);
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

/// Goes on with an attempt whose runner is not in the configuration any more, or has another name
/// there: with a runner that has its job. Without one it is lost.
async fn go_on_without(parts: Arc<Parts>, action: Action, attempt: Attempt) {
    let (id, old) = (action.id, attempt.runner.clone());
    loop {
        let mut unsure = false;
        for (runner, slots) in &parts.runners {
            match runner.holds(attempt.at).await {
                Ok(false) => {}
                Ok(true) => {
                    tracing::warn!(action.id = %id, old, runner = runner.name(), "The runner of an attempt is not in the configuration any more; one of its kind goes on with it");
                    let (runner, slot) = (Arc::clone(runner), slots.take());
                    let (origin, starting) = (drive::Origin::TakenUp, parts.starting.token());
                    let parts = Arc::clone(&parts);
                    return drive::drive(parts, runner, action, attempt, origin, slot, starting)
                        .await;
                }
                Err(reason) => {
                    tracing::warn!(action.id = %id, old, runner = runner.name(), reason, "It is not known yet whether a runner has the job of an attempt whose own is not in the configuration any more");
                    unsure = true;
                }
            }
        }
        if !unsure {
            tracing::warn!(action.id = %id, old, "The runner of an attempt is not in the configuration any more, and no other has its job: it is lost");
            return abandon(parts, attempt).await;
        }
        if !parts.pause(RUNNER_AGAIN).await {
            return;
        }
    }
}

/// Ends an attempt whose job nobody has.
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
                // It was lost, whatever it promised.
                needs_results: false,
            },
        ])
        .await;
    parts.hook.forget(attempt.at.action);
}
