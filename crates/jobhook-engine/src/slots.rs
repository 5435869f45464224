//! The concurrency limit of a runner: how many of its jobs may run at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Counts the jobs of a runner.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    busy: Mutex<usize>,
    freed: Notify,
}

/// One job's place; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Slots {
    pub(crate) fn new(limit: usize) -> Arc<Slots> {
        Arc::new(Slots {
            limit,
            busy: Mutex::new(0),
            freed: Notify::new(),
        })
    }

    /// How many more jobs may start.
    pub(crate) fn free(&self) -> usize {
        self.limit
            .saturating_sub(*self.busy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a place, also beyond the limit: a job that runs already cannot be unmade when
    /// the limit was lowered in the meantime.
    pub(crate) fn take(self: &Arc<Slots>) -> Slot {
        *self.busy.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(Arc::clone(self))
    }

    /// Returns once a place was freed; one that was freed before counts.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.busy.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}
