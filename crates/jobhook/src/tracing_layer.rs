//! Events of `tracing` as lines of the job's log.
//!
//! A line is `LEVEL target: message field=value …`. What is logged is decided by the filter that
//! the program puts before the layer. Events of the thread that sends are left out: each line
//! would cause a request, and each request a line.
//!
//! An event goes to the job of the task that it comes from ([`Job::scope`]), else to the job of
//! the process, if there is one. So one layer is enough for a server that runs many.
//!
//! The layer does not keep the job open: a subscriber lives as long as the process, and the job
//! should be flushed before that.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::job::{Job, WeakJob};
use crate::sender::is_our_thread;

/// Makes log lines of events; see [`tracing_layer`].
#[derive(Debug)]
pub struct JobLayer {
    /// The job of the process.
    job: Option<WeakJob>,
}

impl JobLayer {
    /// A layer for a program that runs many jobs: the events of each go to its log, and those
    /// outside of any [`Job::scope`] nowhere.
    pub fn scoped() -> JobLayer {
        JobLayer { job: None }
    }
}

/// A layer whose events become lines of the job's log; those from inside of another job's
/// [scope](Job::scope) become lines of that one's. It does not keep the job open.
///
/// ```no_run
/// use tracing_subscriber::prelude::*;
///
/// let job = jobhook::Job::from_env()?;
/// tracing_subscriber::registry()
///     .with(jobhook::tracing_layer(&job).with_filter(tracing_subscriber::filter::LevelFilter::INFO))
///     .init();
/// # Ok::<(), jobhook::Error>(())
/// ```
pub fn tracing_layer(job: &Job) -> JobLayer {
    JobLayer {
        job: Some(job.downgrade()),
    }
}

impl<S: Subscriber> Layer<S> for JobLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_our_thread() {
            return;
        }
        let of_process = || self.job.as_ref().and_then(WeakJob::upgrade);
        let Some(job) = Job::current().or_else(of_process) else {
            return;
        };
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!(
            "{} {}: {}{}",
            metadata.level(),
            metadata.target(),
            line.message,
            line.fields
        );
        // The job keeps what went wrong; logging is no place to tell it.
        let _ = job.log(text);
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
