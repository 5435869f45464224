//! Claims that stand until something comes that they could take.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Batcher, Item, Waiting, WriteFailure, gone};
use crate::clock::Timestamp;
use crate::ledger::Answer;
use crate::store::StoreError;
use crate::write::{Claim, Write};

/// The claims that no batch has taken along yet.
#[derive(Debug, Default)]
pub(super) struct StandingClaims(Mutex<Claims>);

#[derive(Debug, Default)]
struct Claims {
    /// How many there ever were.
    count: u64,
    all: Vec<Standing>,
}

#[derive(Debug)]
struct Standing {
    number: u64,
    claim: Claim,
    answer: Waiting,
    /// It goes with the next batch, whatever that brings.
    called: bool,
}

/// A claim that goes along with the first batch that brings something for it to take. It is
/// withdrawn when this is dropped, unless it is under way.
#[derive(Debug)]
pub(crate) struct StandingClaim {
    number: u64,
    batcher: Batcher,
    answered: oneshot::Receiver<Result<Vec<Answer>, WriteFailure>>,
}

impl StandingClaims {
    pub(super) fn add(&self, claim: Claim, answer: Waiting) -> u64 {
        let mut claims = self.claims();
        claims.count += 1;
        let number = claims.count;
        claims.all.push(Standing {
            number,
            claim,
            answer,
            called: false,
        });
        number
    }

    /// Takes out the claims that `writes` bring something for, and those that were called.
    pub(super) fn due(&self, writes: &[Write], now: Timestamp) -> Vec<Item> {
        let mut claims = self.claims();
        let goes = |standing: &mut Standing| {
            standing.called
                || writes
                    .iter()
                    .any(|write| brings(write, &standing.claim, now))
        };
        let going = claims.all.extract_if(.., goes);
        let item = |standing: Standing| Item {
            writes: vec![Write::Claim(Box::new(standing.claim))],
            answer: standing.answer,
        };
        going.map(item).collect()
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there will be something to take. What waits again because its attempt has closed is not
/// foreseen; who claims is told of it afterwards.
fn brings(write: &Write, claim: &Claim, now: Timestamp) -> bool {
    let Write::Insert(new) = write else {
        return false;
    };
    new.refusal.is_none()
        && new.scheduled.is_none_or(|at| at <= now)
        && claim.types.takes(&new.action_type)
}

impl StandingClaim {
    pub(super) fn new(
        number: u64,
        batcher: Batcher,
        answered: oneshot::Receiver<Result<Vec<Answer>, WriteFailure>>,
    ) -> StandingClaim {
        StandingClaim {
            number,
            batcher,
            answered,
        }
    }

    /// Has the claim go with the next batch, whatever that brings; `false` if it is under way, and
    /// maybe does not see what is there by now.
    pub(crate) fn call(&self) -> bool {
        let mut claims = self.batcher.standing.claims();
        let mut all = claims.all.iter_mut();
        let Some(standing) = all.find(|standing| standing.number == self.number) else {
            return false;
        };
        standing.called = true;
        drop(claims);
        let (answer, _) = oneshot::channel();
        let writes = Vec::new();
        // Where the queue is full, a batch is about to begin.
        let _ = self.batcher.queue.try_send(Item { writes, answer });
        true
    }

    /// Takes the claim back; `false` if it is under way, and will be answered.
    pub(crate) fn withdraw(&self) -> bool {
        let mut claims = self.batcher.standing.claims();
        let before = claims.all.len();
        claims.all.retain(|standing| standing.number != self.number);
        claims.all.len() < before
    }

    /// The claim's answer. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`WriteFailure`] if the store failed.
    pub(crate) async fn answered(&mut self) -> Result<Answer, WriteFailure> {
        let mut answers = (&mut self.answered).await.map_err(|_| gone())??;
        answers
            .pop()
            .ok_or_else(|| StoreError::Damaged("a claim was not answered".into()).into())
    }
}

impl Drop for StandingClaim {
    fn drop(&mut self) {
        self.withdraw();
    }
}
