//! Actions that wait for a runner that there is not: an earlier server had one for their type.
//!
//! They are kept, since a configuration can be mended, and what they wait for is told.

use std::collections::BTreeSet;

use jobhook_protocol::Status;

use super::Engine;
use crate::action::Action;
use crate::runner::untaken;
use crate::store::ActionQuery;

/// How many of the newest actions that wait are looked at when a server starts, and about how many
/// bytes of them.
const LOOKED_AT: usize = 1000;
const BYTES: usize = 4 << 20;

impl Engine {
    /// Why an action waits for a runner that there is not: no runner of this server takes its type,
    /// though one of an earlier server did.
    pub fn waits_in_vain(&self, action: &Action) -> Option<String> {
        match action.status {
            Status::Scheduled | Status::Queued => untaken(&action.action_type, self.types()),
            _ => None,
        }
    }

    /// Tells of the types that wait for a runner that there is not. Nothing depends on it: what
    /// cannot be read keeps no server from starting.
    pub(super) async fn warn_of_untaken(&self) {
        let query = ActionQuery {
            statuses: vec![Status::Scheduled, Status::Queued],
            limit: LOOKED_AT,
            weight: Some(BYTES),
            ..ActionQuery::default()
        };
        let waiting = match self.0.store.list(&query).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(error = %crate::batcher::chain(&error), "What waits could not be read");
                return;
            }
        };
        let mut told = BTreeSet::new();
        for action in waiting {
            if let Some(reason) = self.waits_in_vain(&action)
                && told.insert(action.action_type)
            {
                tracing::warn!(action.id = %action.id, "An action waits in vain: {reason}");
            }
        }
    }
}
