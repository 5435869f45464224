//! A batch whose rows are all at hand: it is judged before its transaction begins, and the
//! whole transaction is one trip.
//!
//! ```text
//! ledger (on recent rows) ──▶ BEGIN IMMEDIATE · nobody else wrote? · changes · COMMIT
//! ```
//!
//! Two things are taken for granted and asked inside the transaction, by statements that fail
//! if they are not so: that nobody else wrote, and that the ids of new actions are new. Then
//! nothing was stored, and the batch is judged again on what is read.

use std::collections::HashSet;

use async_trait::async_trait;
use jobhook_engine::action::ActionId;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::ledger::{self, Answer, Rows, Transaction, Wanted};
use jobhook_engine::log::LogLimits;
use jobhook_engine::runner::TypeFilter;
use jobhook_engine::store::StoreError;
use jobhook_engine::write::Write;

use super::recent::Recent;
use super::script::Script;
use super::{failure, flush, trim};

/// Violates `NOT NULL` if another connection has written since the version given.
const NOBODY_ELSE_WROTE: &str = "INSERT INTO meta (key, value) \
    SELECT 'data_version', NULL FROM pragma_data_version WHERE data_version <> ?";

struct Foreseen<'a> {
    recent: &'a mut Recent,
    limits: LogLimits,
    script: Script,
    /// Ids that are taken to be new.
    new: HashSet<ActionId>,
    /// Something was asked for that only the database knows.
    missed: bool,
}

/// Judges a batch on recent rows, if they are enough; then its script and its answers, which
/// count once the script has run. `recent` is ahead of the database until then.
pub(super) async fn foresee(
    recent: &mut Recent,
    limits: LogLimits,
    writes: &[Write],
    now: Timestamp,
) -> Result<Option<(Script, Vec<Answer>)>, StoreError> {
    let claims = |write: &Write| matches!(write, Write::Claim(_));
    let Some(version) = recent.version().filter(|_| !writes.iter().any(claims)) else {
        return Ok(None);
    };
    let mut script = Script::default();
    script.statement("BEGIN IMMEDIATE");
    script
        .statement_with(NOBODY_ELSE_WROTE, version)
        .map_err(failure)?;
    let mut foreseen = Foreseen {
        recent,
        limits,
        script,
        new: writes.iter().filter_map(inserted).collect(),
        missed: false,
    };
    let answers = ledger::run(&mut foreseen, writes, now).await;
    if foreseen.missed {
        return Ok(None);
    }
    let mut script = foreseen.script;
    script.statement("COMMIT");
    Ok(Some((script, answers?)))
}

fn inserted(write: &Write) -> Option<ActionId> {
    match write {
        Write::Insert(new) => Some(new.id),
        _ => None,
    }
}

impl Foreseen<'_> {
    fn miss(&mut self) -> StoreError {
        self.missed = true;
        StoreError::Unavailable("only the database knows".into())
    }
}

#[async_trait]
impl Transaction for Foreseen<'_> {
    async fn load(&mut self, wanted: &Wanted, rows: &mut Rows) -> Result<(), StoreError> {
        let mut left = self.recent.load(wanted, rows);
        left.actions.retain(|id| !self.new.contains(id));
        if left.actions.is_empty() && left.attempts.is_empty() && left.reporters.is_empty() {
            Ok(())
        } else {
            Err(self.miss())
        }
    }

    async fn waiting(
        &mut self,
        _: &TypeFilter,
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<ActionId>, StoreError> {
        Err(self.miss())
    }

    async fn flush(&mut self, rows: &mut Rows) -> Result<(), StoreError> {
        // What is to be dropped of a log, only the database knows.
        if trim::exceeding(rows, self.limits) {
            return Err(self.miss());
        }
        flush::lines(rows, &mut self.script).map_err(failure)?;
        flush::changes(rows, &mut self.script).map_err(failure)?;
        flush::settle(rows, self.recent);
        Ok(())
    }
}
