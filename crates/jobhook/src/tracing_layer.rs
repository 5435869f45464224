//! Events of `tracing` as lines of the job's log.
//!
//! A line is `LEVEL target: message field=value …`. What is logged is decided by the filter that
//! the program puts before the layer. Events of the thread that sends are left out: each line
//! would cause a request, and each request a line.
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
    job: WeakJob,
}

/// A layer whose events become lines of the job's log. It does not keep the job open.
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
        job: job.downgrade(),
    }
}

impl<S: Subscriber> Layer<S> for JobLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_our_thread() {
            return;
        }
        let Some(job) = self.job.upgrade() else {
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
