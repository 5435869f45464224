//! Whose job the code that runs is working for.
//!
//! A program that runs many jobs at once cannot have one for the whole process. Each task knows
//! its own: [`Job::current`] finds it without its being passed on, and so does the layer that
//! makes log lines of `tracing` events. A task that is spawned inside belongs to no job until
//! its future is wrapped, too.

use std::future::Future;

use crate::Job;

tokio::task_local! {
    static CURRENT: Job;
}

impl Job {
    /// Runs a future as part of this job. It keeps the job open as long as it lives.
    ///
    /// ```no_run
    /// # async fn page(number: u32) {}
    /// # async fn example(job: jobhook::Job) {
    /// // Its `tracing` events are lines of this job.
    /// tokio::spawn(job.scope(page(1)));
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// [`Job::scope`] for code that is not async, such as that of a thread of its own.
    pub fn scope_sync<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// The job that this code runs for; none outside of [`Job::scope`].
    pub fn current() -> Option<Job> {
        CURRENT.try_with(Job::clone).ok()
    }
}
