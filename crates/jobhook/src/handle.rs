//! What every clone of a job holds: the last one to go closes it.
//!
//! Closing takes nothing more, waits for the last reports up to the flush limit, and then tells
//! the sender to end. In a forked child nothing is waited for: the thread that sends is not there.
//! Nor is where another task of this process takes the reports: it may need the thread that
//! would wait.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobhook_protocol::JobEnvironment;

use crate::Error;
use crate::files::Files;
use crate::receipt::Receipt;
use crate::shared::{Shared, State};

/// How long a sender that was told to end may take to put what is left on disk.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) environment: JobEnvironment,
    pub(crate) flush_limit: Duration,
    /// None where the server cannot be called.
    pub(crate) files: Option<Arc<Files>>,
    /// Whether the last one to go waits for the last reports.
    waits: bool,
    /// The process that made it; a fork has its own.
    pid: u32,
}

impl Handle {
    pub(crate) fn new(
        shared: Arc<Shared>,
        environment: JobEnvironment,
        flush_limit: Duration,
    ) -> Handle {
        Handle {
            shared,
            environment,
            flush_limit,
            files: None,
            waits: true,
            pid: std::process::id(),
        }
    }

    /// With the files of its action.
    pub(crate) fn with_files(mut self, files: Files) -> Handle {
        self.files = Some(Arc::new(files));
        self
    }

    /// Whoever drops it goes on at once.
    #[cfg(feature = "in-process")]
    pub(crate) fn without_waiting(mut self) -> Handle {
        self.waits = false;
        self
    }

    /// Refuses what a forked child asks of the job of its parent.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        check_process(self.pid)
    }

    /// What will be known of a report.
    pub(crate) fn receipt(&self, ticket: u64) -> Receipt {
        Receipt::new(self.shared.clone(), ticket, self.pid)
    }

    pub(crate) fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if is_closed(shared) {
            return Ok(());
        }
        shut(shared);
        let end = shared.wait(self.flush_limit, over);
        if end.is_err() {
            shared.abandoned.cancel();
            let _ = shared.wait(LAST_WORDS, over);
        }
        end.and_then(|()| outcome(shared))
    }

    pub(crate) async fn close_async(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if is_closed(shared) {
            return Ok(());
        }
        shut(shared);
        let end = shared.wait_async(self.flush_limit, over).await;
        if end.is_err() {
            shared.abandoned.cancel();
            let _ = shared.wait_async(LAST_WORDS, over).await;
        }
        end.and_then(|()| outcome(shared))
    }
}

/// Refuses what is asked of a job that was made in another process than this one.
pub(crate) fn check_process(made_in: u32) -> Result<(), Error> {
    let pid = std::process::id();
    if pid == made_in {
        return Ok(());
    }
    // The lock may be held for ever here, and the thread that sends did not come along.
    Err(Error::Forked { made_in, pid })
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.check_process().is_err() {
            return;
        }
        if !self.waits {
            shut(&self.shared);
        } else {
            // Nobody is left to be told.
            let _ = self.close();
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.environment.id)
            .field("attempt", &self.environment.attempt)
            .finish_non_exhaustive()
    }
}

/// Whether it was closed before, and nobody sends any more. Who closed it may have been
/// interrupted while waiting; then there is still something to wait for.
fn is_closed(shared: &Shared) -> bool {
    let state = shared.lock();
    state.closed && state.gone
}

/// Takes nothing more.
fn shut(shared: &Shared) {
    let now = Instant::now();
    shared.change(|state| {
        state.outbox.hurry(now);
        state.closed = true;
    });
    shared.work.notify_one();
}

fn over(state: &State) -> Option<Result<(), Error>> {
    state.gone.then_some(Ok(()))
}

fn outcome(shared: &Shared) -> Result<(), Error> {
    let state = shared.lock();
    match state.fault.clone().or_else(|| state.trouble.clone()) {
        // Nothing that the job could do better.
        None | Some(Error::LinesRefused { .. }) => Ok(()),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;
    use crate::outbox::{Numbering, Outbox};
    use crate::report::Report;

    #[test]
    fn a_forked_child_is_told_to_make_its_own_job() {
        let shared = Shared::new("http://h".into(), Outbox::new(Numbering::Unknown, 1));
        // As a child finds it: locked by a thread that is not there, and nobody sends.
        let shared = Arc::new(shared);
        let job = Job::of(Handle {
            shared: shared.clone(),
            environment: JobEnvironment {
                id: "a".into(),
                secret_key: jobhook_protocol::SecretKey::from_text("k").unwrap(),
                hook: "http://h".into(),
                orchestrator: None,
                attempt: Some(1),
                traceparent: None,
            },
            flush_limit: Duration::from_secs(3600),
            files: None,
            waits: true,
            pid: std::process::id() + 1,
        });
        let receipt = Receipt::new(shared.clone(), 1, std::process::id() + 1);
        let locked = shared.lock();
        for error in [
            receipt.wait(Duration::from_secs(3600)).unwrap_err(),
            job.log("x").unwrap_err(),
            job.progress(1, 2).unwrap_err(),
            job.report(Report::running()).unwrap_err(),
            job.flush(Duration::ZERO).unwrap_err(),
            job.close().unwrap_err(),
            job.error().unwrap(),
        ] {
            assert_eq!(error.code(), "job_forked");
            assert!(
                error.to_string().contains("another one after the fork"),
                "{error}"
            );
        }
        drop(job);
        drop(locked);
    }
}
