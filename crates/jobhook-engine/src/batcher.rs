//! Group commit: concurrent writes share transactions.
//!
//! ```text
//! idle:  write ──▶ commit                       one commit of latency
//! busy:  write ┐
//!        write ├─ gathered while a commit runs ─▶ one commit for all
//!        write ┘
//! ```
//!
//! One loop owns the order, on a thread of its own: a store may wait for its disk there, and it
//! waits for [company]. A [claim that stands](StandingClaim) goes along with the first batch that
//! brings something to take, so an action is stored and taken in one commit. Data that the store
//! refuses or has no room for, and a row that is damaged, halve the batch until the culprit stands
//! alone; a store that fails, fails all of it.

mod company;
mod standing;

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::changes::Changes;
use crate::clock::Clock;
use crate::ledger::Answer;
use crate::store::{Store, StoreError};
use crate::write::{Claim, Write};
use company::{Bell, Company};
pub(crate) use standing::StandingClaim;
use standing::StandingClaims;

/// Who waits for the answers to writes that belong together.
type Waiting = oneshot::Sender<Result<Vec<Answer>, WriteFailure>>;

/// How many writes share a transaction at most.
const MAX_BATCH: usize = 1024;

/// Gathers writes and commits them together. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Batcher {
    queue: mpsc::Sender<Item>,
    bell: Arc<Bell>,
    standing: Arc<StandingClaims>,
}

/// Writes that belong together, and who waits for their answers. None at all have the loop look at
/// the claims that stand.
#[derive(Debug)]
struct Item {
    writes: Vec<Write>,
    answer: Waiting,
}

/// Writes of one transaction, and who waits for how many of their answers.
#[derive(Debug, Default)]
struct Batch {
    writes: Vec<Write>,
    waiting: Vec<(usize, Waiting)>,
}

impl Batch {
    fn add(&mut self, item: Item) {
        self.waiting.push((item.writes.len(), item.answer));
        self.writes.extend(item.writes);
    }

    /// Takes off the second half; what belongs together stays together.
    fn split(&mut self) -> Batch {
        let waiting = self.waiting.split_off(self.waiting.len() / 2);
        let kept = self.waiting.iter().map(|(count, _)| count).sum();
        let writes = self.writes.split_off(kept);
        Batch { writes, waiting }
    }
}

/// A store's failure, shared by all whose writes it took with it.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct WriteFailure(#[from] Arc<StoreError>);

impl From<StoreError> for WriteFailure {
    fn from(error: StoreError) -> WriteFailure {
        WriteFailure(Arc::new(error))
    }
}

impl WriteFailure {
    /// What the store said.
    pub fn error(&self) -> &StoreError {
        &self.0
    }
}

impl Batcher {
    /// Starts the loop; it ends when the last handle is gone and everything is written.
    pub fn start(store: Arc<dyn Store>, changes: Arc<Changes>, clock: Arc<dyn Clock>) -> Batcher {
        let (queue, items) = mpsc::channel(MAX_BATCH);
        let runtime = Handle::current();
        let standing = Arc::<StandingClaims>::default();
        let bell = Arc::<Bell>::default();
        let (claims, rings) = (Arc::clone(&standing), Arc::clone(&bell));
        tokio::task::spawn_blocking(move || {
            runtime.block_on(run(store, changes, clock, items, rings, claims));
        });
        Batcher {
            queue,
            bell,
            standing,
        }
    }

    /// Has a claim go along with the first batch that brings something for it to take.
    pub(crate) fn stand(&self, claim: Claim) -> StandingClaim {
        let (answer, answered) = oneshot::channel();
        let number = self.standing.add(claim, answer);
        StandingClaim::new(number, self.clone(), answered)
    }

    /// Applies one write.
    ///
    /// # Errors
    ///
    /// [`WriteFailure`] if the store failed; a refusal is an answer.
    pub async fn write(&self, write: Write) -> Result<Answer, WriteFailure> {
        let mut answers = self.write_all(vec![write]).await?;
        answers
            .pop()
            .ok_or_else(|| StoreError::Damaged("a write was not answered".into()).into())
    }

    /// Applies several writes in order in one transaction.
    ///
    /// # Errors
    ///
    /// [`WriteFailure`] if the store failed, and nothing of them was kept.
    pub async fn write_all(&self, writes: Vec<Write>) -> Result<Vec<Answer>, WriteFailure> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Item { writes, answer })
            .await
            .map_err(|_| gone())?;
        // The first of them is not in the queue any more while the loop waits.
        self.bell
            .ring(|| 1 + self.queue.max_capacity() - self.queue.capacity());
        answered.await.map_err(|_| gone())?
    }
}

/// The loop has ended.
fn gone() -> WriteFailure {
    StoreError::Unavailable("the server is shutting down".into()).into()
}

async fn run(
    store: Arc<dyn Store>,
    changes: Arc<Changes>,
    clock: Arc<dyn Clock>,
    mut items: mpsc::Receiver<Item>,
    bell: Arc<Bell>,
    standing: Arc<StandingClaims>,
) {
    let mut company = Company::default();
    let mut others = Vec::new();
    while let Some(first) = items.recv().await {
        let together = company.gather(&bell, || 1 + items.len());
        let mut batch = Batch::default();
        batch.add(first);
        if together > 1 {
            items.recv_many(&mut others, together - 1).await;
            others.drain(..).for_each(|item| batch.add(item));
        }
        for claim in standing.due(&batch.writes, clock.now()) {
            batch.add(claim);
        }
        if batch.writes.is_empty() {
            answer(&changes, batch, Vec::new());
        } else {
            let begin = Instant::now();
            commit(&*store, &changes, &*clock, batch).await;
            company.committed(begin.elapsed());
        }
    }
}

/// Commits a batch, in halves where its data is refused or does not fit.
async fn commit(store: &dyn Store, changes: &Changes, clock: &dyn Clock, batch: Batch) {
    let mut pending = vec![batch];
    while let Some(mut batch) = pending.pop() {
        match store.apply(&batch.writes, clock.now()).await {
            Ok(answers) => answer(changes, batch, answers),
            Err(StoreError::Data(_) | StoreError::Full(_) | StoreError::Damaged(_))
                if batch.waiting.len() > 1 =>
            {
                let rest = batch.split();
                // The first half is popped first, so the order stands.
                pending.push(rest);
                pending.push(batch);
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), writes = batch.writes.len(), "The store failed a batch of writes");
                let failure = WriteFailure::from(error);
                for (_, waiting) in batch.waiting {
                    // Who asked may have gone away.
                    let _ = waiting.send(Err(failure.clone()));
                }
            }
        }
    }
}

fn answer(changes: &Changes, batch: Batch, mut answers: Vec<Answer>) {
    changes.committed(&batch.writes, &answers);
    // From the end, where the claims are: what they took begins before anybody tells a client that
    // it was launched.
    for (count, waiting) in batch.waiting.into_iter().rev() {
        let own = answers.split_off(answers.len().saturating_sub(count));
        let _ = waiting.send(Ok(own));
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
