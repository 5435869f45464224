//! What runners keep about jobs whose attempts are closed: left by a server that died between
//! the close and [`Runner::forget`](crate::runner::Runner::forget).

use std::collections::HashSet;
use std::sync::Arc;

use crate::attempt::AttemptRef;
use crate::engine::Parts;
use crate::store::StoreError;

/// Has every runner forget what it keeps in vain. What the store does not know stays: it may
/// be of a database that is put back in place.
pub(crate) async fn clear(parts: Arc<Parts>) {
    let mut seen = HashSet::new();
    for (runner, _) in &parts.runners {
        for at in runner.kept().await {
            if parts.stopping.is_cancelled() {
                return;
            }
            if !seen.insert(at) {
                continue;
            }
            match is_closed(&parts, at).await {
                Ok(true) => runner.forget(at).await,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(action.id = %at.action, error = %crate::batcher::chain(&error), "What is left of a job could not be judged");
                }
            }
        }
    }
}

async fn is_closed(parts: &Parts, at: AttemptRef) -> Result<bool, StoreError> {
    let attempts = parts.store.attempts(at.action).await?;
    Ok(attempts
        .iter()
        .any(|attempt| attempt.at == at && !attempt.is_open()))
}
