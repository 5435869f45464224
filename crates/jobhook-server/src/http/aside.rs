//! Work of a request that computes for long, done where it keeps no other request waiting.

use tokio::task::JoinError;

use super::refusal::{Answered, Refused};
use crate::aside;

/// How many bytes an ordinary report has at most.
const ORDINARY: usize = 64 << 10;

/// Judges something of `size` bytes, aside if that may take long.
pub(super) async fn heavy<T: Send + 'static>(
    size: usize,
    judge: impl FnOnce() -> Answered<T> + Send + 'static,
) -> Answered<T> {
    aside::heavy(size, judge).await.unwrap_or_else(unjudged)
}

/// Judges something aside, however short it is.
pub(super) async fn always<T: Send + 'static>(
    judge: impl FnOnce() -> Answered<T> + Send + 'static,
) -> Answered<T> {
    heavy(usize::MAX, judge).await
}

/// Works through `size` bytes that a job sent, aside if they are many: an ordinary report takes less
/// than a change of threads, one of ten megabytes would keep all others waiting.
pub(super) async fn long<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Answered<T> + Send + 'static,
) -> Answered<T> {
    if size <= ORDINARY {
        return work();
    }
    always(work).await
}

fn unjudged<T>(error: JoinError) -> Answered<T> {
    tracing::error!(%error, "What a request holds could not be judged");
    Err(Refused::internal())
}
