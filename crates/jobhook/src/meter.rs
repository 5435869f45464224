//! Progress that is counted rather than said.
//!
//! Counting is one atomic addition, so a tight loop can afford it for every step. The job's own
//! thread reads the counter a few times a second, and reports it when it has changed. Of several
//! meters the newest is read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jobhook_protocol::Progress;

use crate::Error;
use crate::job::Job;
use crate::report::progress_of;

/// Counts the steps of a job; made by [`Job::meter`]. When it is dropped, the last count is said.
pub struct Meter {
    job: Job,
    counter: Arc<Counter>,
}

/// What the sender reads.
#[derive(Debug)]
pub(crate) struct Counter {
    done: AtomicU64,
    total: Option<u64>,
    message: Option<String>,
}

impl Meter {
    pub(crate) fn new(job: Job, counter: Arc<Counter>) -> Meter {
        Meter { job, counter }
    }

    /// So many more steps are done. Costs next to nothing.
    ///
    /// More steps than there were to be are no error: the total was a guess, and is not said
    /// from then on.
    pub fn add(&self, steps: u64) {
        self.counter.done.fetch_add(steps, Ordering::Relaxed);
    }

    /// How many steps are done.
    pub fn done(&self) -> u64 {
        self.counter.done()
    }

    /// Says the last count, and ends the counting.
    ///
    /// # Errors
    ///
    /// As [`Job::progress`].
    pub fn finish(&self) -> Result<(), Error> {
        self.job.end_meter(&self.counter)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // After `finish` there is nothing left to say; else nobody is left to be told.
        let _ = self.job.end_meter(&self.counter);
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counter.fmt(f)
    }
}

impl Counter {
    pub(crate) fn new(total: Option<u64>, message: Option<String>) -> Counter {
        Counter {
            done: AtomicU64::new(0),
            total,
            message,
        }
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// What to say of the count `done`.
    pub(crate) fn progress(&self, done: u64) -> Progress {
        let total = self.total.filter(|total| done <= *total);
        #[allow(
            clippy::cast_precision_loss,
            reason = "JSON numbers are doubles to most readers"
        )]
        let progress = progress_of(done as f64, total.map(|total| total as f64));
        Progress {
            message: self.message.clone(),
            // A count is never negative, and the total is not below it.
            ..progress.unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHook;
    use std::time::Duration;

    #[test]
    fn what_was_counted_is_reported_without_being_said() {
        let hook = FakeHook::start().unwrap();
        let job = hook
            .job()
            .progress_interval(Duration::from_millis(5))
            .build()
            .unwrap();
        let meter = job.meter(Some(4), Some("counting".to_owned())).unwrap();
        meter.add(1);
        let seen = |done: f64| {
            hook.wait_until(|reports| {
                let said = reports.iter().filter_map(|it| it.report.progress.as_ref());
                said.clone().any(|progress| progress.done == Some(done))
            })
        };
        assert!(seen(1.0), "{:?}", hook.reports());
        meter.add(3);
        assert!(seen(4.0), "{:?}", hook.reports());
        let last = hook.reports().pop().unwrap().report.progress.unwrap();
        assert_eq!((last.percent, last.total), (Some(100.0), Some(4.0)));
        assert_eq!(last.message.as_deref(), Some("counting"));
    }

    #[test]
    fn the_last_count_is_said_before_what_follows_it() {
        let hook = FakeHook::start().unwrap();
        let job = hook
            .job()
            .progress_interval(Duration::from_secs(3600))
            .build()
            .unwrap();
        let meter = job.meter(None, None).unwrap();
        assert!(hook.wait_for_requests(1), "the meter begins by saying 0");
        meter.add(7);
        meter.finish().unwrap();
        job.succeed(&()).unwrap();
        let reports = hook.reports();
        let last_but_one = &reports[reports.len() - 2].report;
        assert_eq!(last_but_one.progress.as_ref().unwrap().done, Some(7.0));
    }

    #[test]
    fn more_steps_than_foreseen_end_the_total_and_not_the_job() {
        let counter = Counter::new(Some(2), None);
        let progress = counter.progress(3);
        assert_eq!(progress.done, Some(3.0));
        assert_eq!((progress.total, progress.percent), (None, None));
    }

    #[test]
    fn a_meter_of_an_ended_job_says_nothing_more() {
        let hook = FakeHook::start().unwrap();
        let job = hook.job().build().unwrap();
        let meter = job.meter(None, None).unwrap();
        job.succeed(&()).unwrap();
        meter.add(1);
        assert_eq!(meter.finish().unwrap_err().code(), "job_ended");
        job.close().unwrap();
        assert!(hook.reports().iter().all(|it| {
            let progress = it.report.progress.as_ref();
            progress.is_none_or(|progress| progress.done == Some(0.0))
        }));
    }
}
