//! The steps before and after a commit at which a test may end the process (see
//! [`crate::crash`]): `store.storing_close` has stored nothing, `store.stored_close` has told
//! nobody.

use jobhook_engine::ledger::Answer;
use jobhook_engine::write::{Write, Written};

use crate::crash;

/// These writes are about to be stored.
pub(super) fn storing(writes: &[Write]) {
    for write in writes {
        match write {
            Write::Started { .. } => crash::reached("store.storing_started"),
            Write::Output { .. } => crash::reached("store.storing_output"),
            Write::Report(_) => crash::reached("store.storing_report"),
            Write::Gone { .. } => crash::reached("store.storing_gone"),
            Write::Close { .. } => crash::reached("store.storing_close"),
            Write::Stage(_) => crash::reached("store.storing_stage"),
            Write::Attach(_) => crash::reached("store.storing_attach"),
            _ => {}
        }
    }
}

/// These writes are committed.
pub(super) fn stored(writes: &[Write], answers: &[Answer]) {
    for (write, answer) in writes.iter().zip(answers) {
        match (write, answer) {
            (Write::Insert(_), _) => crash::reached("store.stored_insert"),
            // A claim that finds nothing is no step.
            (Write::Claim(_), Ok(Written::Claimed(taken))) if !taken.is_empty() => {
                crash::reached("store.stored_claim");
            }
            (Write::Started { .. }, _) => crash::reached("store.stored_started"),
            (Write::Output { .. }, _) => crash::reached("store.stored_output"),
            (Write::Report(_), _) => crash::reached("store.stored_report"),
            (Write::Gone { .. }, _) => crash::reached("store.stored_gone"),
            (Write::Close { .. }, _) => crash::reached("store.stored_close"),
            (Write::Stage(_), _) => crash::reached("store.stored_stage"),
            (Write::Attach(_), _) => crash::reached("store.stored_attach"),
            _ => {}
        }
    }
}
