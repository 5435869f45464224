//! Actions that wait for a runner that there is not: an earlier server had one for their type.
//!
//! They are kept, since a configuration can be mended, and what they wait for is told.

use std::collections::BTreeSet;

use jobhook_protocol::Status;

use super::Engine;
use crate::action::Action;
use crate::runner::untaken;
use crate::store::{ActionQuery, StoreError};

/// How many of the newest actions that wait are looked at when a server starts.
const LOOKED_AT: usize = 1000;

impl Engine {
    /// Why an action waits for a runner that there is not: no runner of this server takes its type,
    /// though one of an earlier server did.
    pub fn waits_in_vain(&self, action: &Action) -> Option<String> {
        match action.status {
            Status::Scheduled | Status::Queued => untaken(&action.action_type, self.types()),
            _ => None,
        }
    }

    /// Tells of the types that wait for a runner that there is not.
    pub(super) async fn warn_of_untaken(&self) -> Result<(), StoreError> {
        let query = ActionQuery {
            statuses: vec![Status::Scheduled, Status::Queued],
            limit: LOOKED_AT,
            ..ActionQuery::default()
        };
        let mut told = BTreeSet::new();
        for action in self.0.store.list(&query).await? {
            if let Some(reason) = self.waits_in_vain(&action)
                && told.insert(action.action_type)
            {
                tracing::warn!(action.id = %action.id, "An action waits in vain: {reason}");
            }
        }
        Ok(())
    }
}
