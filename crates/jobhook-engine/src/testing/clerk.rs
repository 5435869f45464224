//! Writes things down for a test, one at a time or together, at a time that the test sets.

#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    reason = "test code: a failure is to stop the test"
)]

use std::sync::Arc;

use jobhook_protocol::Report;

use super::factory;
use crate::action::{Action, ActionId, NewAction};
use crate::attempt::{Attempt, AttemptRef, Closing, Ending};
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Attach, Attached, Content, File, ObjectRef};
use crate::ledger::Answer;
use crate::runner::{Output, TypeFilter};
use crate::schedule::{Tick, TickQuery};
use crate::store::Store;
use crate::write::{Claim, Refusal, ReportWrite, Reported, Stage, Write, Written};

/// A hand that writes into a store. Cloning gives another on the same store.
#[derive(Clone, Debug)]
pub struct Clerk {
    store: Arc<dyn Store>,
    now: Timestamp,
}

/// A report, as a write. The job's clock stands at [`factory::NOW`].
pub(crate) fn report_of(attempt: AttemptRef, report: Report) -> Write {
    Write::Report(Box::new(ReportWrite {
        attempt,
        report,
        job_time_ms: factory::NOW.0,
    }))
}

impl Clerk {
    /// Writes into `store` at [`factory::NOW`].
    pub fn new(store: Arc<dyn Store>) -> Clerk {
        Clerk {
            store,
            now: factory::NOW,
        }
    }

    /// The same clerk at another time.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Clerk {
        Clerk {
            store: Arc::clone(&self.store),
            now,
        }
    }

    /// What became of the moments of a schedule, oldest first.
    pub async fn history(&self, schedule: &str) -> Vec<Tick> {
        let query = TickQuery {
            schedule: schedule.to_owned(),
            before: None,
            limit: usize::MAX,
        };
        let mut ticks = self.store.ticks(&query).await.unwrap();
        ticks.reverse();
        ticks
    }

    /// The store that it writes into.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The same, for who keeps it.
    pub fn shared_store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Applies writes in one batch.
    pub async fn batch(&self, writes: &[Write]) -> Vec<Answer> {
        let answers = self.store.apply(writes, self.now).await.unwrap();
        assert_eq!(answers.len(), writes.len(), "each write has its answer");
        answers
    }

    /// Applies one write.
    pub async fn write(&self, write: Write) -> Answer {
        self.batch(&[write]).await.remove(0)
    }

    /// Stores a new action.
    pub async fn launch(&self, new: NewAction) -> Action {
        let answer = self.write(Write::Insert(Box::new(new))).await;
        action_of(answer)
    }

    /// Takes what waits.
    pub async fn claim(&self, claim: Claim) -> Vec<(Action, Attempt)> {
        match self.write(Write::Claim(Box::new(claim))).await {
            Ok(Written::Claimed(claimed)) => claimed,
            other => panic!("a claim was answered with {other:?}"),
        }
    }

    /// Takes up to `count` actions of any type, and names them.
    pub async fn claim_ids(&self, count: usize) -> Vec<ActionId> {
        let claimed = self.claim(factory::claim(TypeFilter::all(), count)).await;
        claimed.into_iter().map(|(action, _)| action.id).collect()
    }

    /// Takes the one action that waits.
    pub async fn take(&self) -> AttemptRef {
        let claimed = self.claim(factory::claim(TypeFilter::all(), 2)).await;
        assert_eq!(claimed.len(), 1, "one action waits");
        claimed[0].1.at
    }

    /// Launches an action and takes it.
    pub async fn taken(&self, new: NewAction) -> AttemptRef {
        self.launch(new).await;
        self.take().await
    }

    /// Launches an action, takes it and sees its job start.
    pub async fn running(&self, new: NewAction) -> AttemptRef {
        let attempt = self.taken(new).await;
        let at = self.now;
        self.write(Write::Started { attempt, at }).await.unwrap();
        attempt
    }

    /// The job says something, and may be refused.
    pub async fn report(&self, attempt: AttemptRef, report: Report) -> Result<Reported, Refusal> {
        match self.write(report_of(attempt, report)).await {
            Ok(Written::Reported(reported)) => Ok(*reported),
            Ok(other) => panic!("a report was answered with {other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    /// The job says something that is taken.
    pub async fn say(&self, attempt: AttemptRef, report: Report) -> Reported {
        self.report(attempt, report).await.unwrap()
    }

    /// The job writes something.
    pub async fn output(&self, attempt: AttemptRef, output: Output) -> Answer {
        self.write(Write::Output { attempt, output }).await
    }

    /// The runner sees the job's end.
    pub async fn gone(&self, attempt: AttemptRef, ending: Ending) -> Answer {
        let saw = factory::saw(ending);
        self.write(Write::Gone { attempt, saw }).await
    }

    /// The job is gone and its attempt closes.
    pub async fn end(&self, attempt: AttemptRef, ending: Ending) -> (Action, Closing) {
        self.gone(attempt, ending).await.unwrap();
        match self.write(factory::closes(attempt)).await {
            Ok(Written::Closed(action, closing)) => (*action, closing),
            other => panic!("a close was answered with {other:?}"),
        }
    }

    /// Somebody called `ann` cancels an action.
    pub async fn cancel(&self, action: ActionId) -> Answer {
        let (by, reason) = ("ann".to_owned(), Some("too slow".to_owned()));
        self.write(Write::Cancel { action, by, reason }).await
    }

    /// Somebody has uploaded bytes.
    pub async fn stage(&self, content: Content) {
        let stage = Stage {
            arrived: factory::arrival(content),
            at: self.now,
        };
        self.write(Write::Stage(Box::new(stage))).await.unwrap();
    }

    /// Attaches a file, and may be refused.
    pub async fn attach(&self, attach: Attach) -> Result<Attached, Refusal> {
        attached_of(self.write(Write::Attach(Box::new(attach))).await)
    }

    /// Reads all files of an object.
    pub async fn files(&self, object: &ObjectRef) -> Vec<File> {
        self.store.files(object, None, usize::MAX).await.unwrap()
    }

    /// Forgets what is idle or staged since a moment or longer.
    pub async fn forget_unused(&self, before: Timestamp) -> Vec<BlobName> {
        let forgotten = self.store.forget_unused(before, before, usize::MAX);
        forgotten.await.unwrap()
    }

    /// Reads an action.
    pub async fn action(&self, id: ActionId) -> Action {
        self.store.action(id).await.unwrap().unwrap()
    }

    /// Reads an attempt.
    pub async fn attempt(&self, at: AttemptRef) -> Attempt {
        let attempts = self.store.attempts(at.action).await.unwrap();
        attempts
            .into_iter()
            .find(|attempt| attempt.at == at)
            .unwrap()
    }

    /// Reads the texts of an action's log, after checking that no number is missing.
    pub async fn log(&self, id: ActionId) -> Vec<String> {
        let lines = self.store.lines(id, 0, usize::MAX).await.unwrap();
        for pair in lines.windows(2) {
            assert_eq!(pair[1].number, pair[0].number + 1, "lines without gaps");
        }
        lines.into_iter().map(|line| line.text).collect()
    }
}

/// The action in the answer of a write that gives one.
#[track_caller]
pub(crate) fn action_of(answer: Answer) -> Action {
    match answer {
        Ok(Written::Action(action)) => *action,
        other => panic!("answered with {other:?}"),
    }
}

/// What attaching came to, in the answer of a write that attaches.
#[track_caller]
pub(crate) fn attached_of(answer: Answer) -> Result<Attached, Refusal> {
    match answer? {
        Written::Attached(attached) => Ok(*attached),
        other => panic!("answered with {other:?}"),
    }
}
