//! What became of one report.

use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::handle::check_process;
use crate::shared::Shared;

/// A report that is on its way.
#[derive(Debug)]
pub struct Receipt {
    shared: Arc<Shared>,
    ticket: u64,
    /// The process that made the job.
    pid: u32,
}

impl Receipt {
    pub(crate) fn new(shared: Arc<Shared>, ticket: u64, pid: u32) -> Receipt {
        Receipt {
            shared,
            ticket,
            pid,
        }
    }

    /// Waits until the server has stored the report.
    ///
    /// # Errors
    ///
    /// The server's refusal; `flush_timeout` after `limit`; `job_forked`; what ended the reporting.
    pub fn wait(&self, limit: Duration) -> Result<(), Error> {
        check_process(self.pid)?;
        self.shared.wait(limit, |state| state.answered(self.ticket))
    }

    /// [`Receipt::wait`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Receipt::wait`].
    pub async fn wait_async(&self, limit: Duration) -> Result<(), Error> {
        check_process(self.pid)?;
        self.shared
            .wait_async(limit, |state| state.answered(self.ticket))
            .await
    }
}
