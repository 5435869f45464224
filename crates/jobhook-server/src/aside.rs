//! Work that computes for long is done where it keeps nobody waiting who only wants to be served.

use tokio::task::JoinError;

/// Up to so many bytes are judged at once. More of them could keep others waiting: a schema may
/// have patterns that take milliseconds for a short text.
pub(crate) const LIGHT: usize = 256;

/// Judges something of `size` bytes, aside if that may take long.
///
/// # Errors
///
/// [`JoinError`]: it panicked.
pub(crate) async fn heavy<T: Send + 'static>(
    size: usize,
    judge: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if size <= LIGHT {
        return Ok(judge());
    }
    tokio::task::spawn_blocking(judge).await
}
