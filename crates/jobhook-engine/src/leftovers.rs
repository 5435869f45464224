//! What runners keep about jobs whose attempts are closed: left by a server that died between
//! the close and [`Runner::forget`](crate::runner::Runner::forget).

use std::collections::HashSet;
use std::sync::Arc;

use crate::attempt::AttemptRef;
use crate::engine::Parts;
use crate::store::StoreError;

/// Has every runner forget what it keeps in vain. What the store does not know stays, and is
/// told: it may be of a database that is put back in place.
pub(crate) async fn clear(parts: Arc<Parts>) {
    let mut seen = HashSet::new();
    for (runner, _) in &parts.runners {
        let mut unknown = Vec::new();
        for at in runner.kept().await {
            if parts.stopping.is_cancelled() {
                return;
            }
            if !seen.insert(at) {
                continue;
            }
            match fate(&parts, at).await {
                Ok(Fate::Closed) => runner.forget(at).await,
                Ok(Fate::Open) => {}
                Ok(Fate::Unknown) => unknown.push(at),
                Err(error) => {
                    tracing::warn!(action.id = %at.action, error = %crate::batcher::chain(&error), "What is left of a job could not be judged");
                }
            }
        }
        if let Some(first) = unknown.first() {
            tracing::info!(
                runner = runner.name(), count = unknown.len(), first.action.id = %first.action, first.attempt = first.number,
                "A runner keeps something about attempts that the store does not know; it stays",
            );
        }
    }
}

/// What became of an attempt.
enum Fate {
    Open,
    Closed,
    Unknown,
}

async fn fate(parts: &Parts, at: AttemptRef) -> Result<Fate, StoreError> {
    let attempts = parts.store.attempts(at.action).await?;
    let attempt = attempts.iter().find(|attempt| attempt.at == at);
    Ok(match attempt {
        None => Fate::Unknown,
        Some(attempt) if attempt.is_open() => Fate::Open,
        Some(_) => Fate::Closed,
    })
}
