//! Who is told what around a program: the server by reports, people by standard error.
//!
//! The last word is the program's own. Where it said none, its end says it for it; but not where
//! somebody asked it to end: then whoever did knows why, and what its exit code means is not what it
//! looks like.

use std::time::Duration;

use jobhook::{Error, Job, Report};
use jobhook_engine::attempt::Ending;
use jobhook_engine::verdict::{name, sentence, sight};
use jobhook_protocol::Code;
use nix::sys::signal::Signal;
use tokio::time::Instant;

use crate::cli::output::Output;

/// What begins a line that is not the program's.
const OURS: &str = "[jobhook]";

pub(super) struct Voice<'a> {
    job: Job,
    output: &'a mut Output,
    /// Whether what goes to standard error has to be reported as well to be in the log.
    reports_lines: bool,
}

impl<'a> Voice<'a> {
    pub(super) fn new(job: Job, output: &'a mut Output, reports_lines: bool) -> Voice<'a> {
        Voice {
            job,
            output,
            reports_lines,
        }
    }

    /// Says something to whoever reads the log, on standard error and by the hook.
    pub(super) fn note(&mut self, text: &str) {
        let line = format!("{OURS} {text}");
        if self.reports_lines {
            // What keeps it from being sent is told at the end.
            let _ = self.job.log(&line);
        }
        self.output.note(&line);
    }

    /// Says how the program ended, and waits until everything is answered.
    ///
    /// - `asked`: the signal by which somebody else asked it to end.
    /// - `limit`: how long the server may take for all of it.
    pub(super) async fn last_word(
        &mut self,
        ending: &Ending,
        asked: Option<Signal>,
        limit: Duration,
    ) {
        let deadline = Instant::now().checked_add(limit);
        let left = || match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::MAX,
        };
        let said = if self.job.is_cancelled() {
            self.note(&sight(ending, true));
            Ok(())
        } else if let (Some(signal), Some(_)) = (asked, self.job.attempt()) {
            // Its runner sees it end and knows whether it was moved, evicted or stopped.
            let seen = sight(ending, false);
            self.note(&format!("{seen}, after {signal} came from outside"));
            Ok(())
        } else if self.has_spoken(left()).await {
            Ok(())
        } else {
            self.speak_for(ending, left).await
        };
        let flushed = self.job.flush_async(left()).await;
        // What was lost on the way, such as lines that found no room.
        let lost = self.job.error();
        let errors = [said.err(), flushed.err(), lost].into_iter().flatten();
        if let Some(error) = errors.into_iter().find(is_news) {
            let news = format!("{OURS} not everything could be reported: {error}");
            self.output.note(&news);
        }
        // Nothing more is waited for; what is on disk by now stays there.
        let _ = self.job.close_async().await;
    }

    /// Whether the program itself said how it ended. Asks, because that was another reporter.
    async fn has_spoken(&self, limit: Duration) -> bool {
        let asked = match self.job.report(Report::new()) {
            Ok(receipt) => receipt.wait_async(limit).await,
            Err(error) => Err(error),
        };
        // Without an answer it is said in any case: a repetition changes nothing, and a
        // contradiction is refused.
        asked.is_ok()
            && self
                .job
                .standing_async()
                .await
                .is_ok_and(|standing| standing.status.is_some_and(|status| status.is_final()))
    }

    async fn speak_for(&self, ending: &Ending, left: impl Fn() -> Duration) -> Result<(), Error> {
        if !matches!(ending, Ending::Exited { code: 0 }) {
            let report = Report::error(name(ending), sentence(ending));
            return self.job.report(report)?.wait_async(left()).await;
        }
        match self.job.report(Report::success())?.wait_async(left()).await {
            // Its operation promises results that it did not report.
            Err(Error::Refused(problem)) if problem.code == Code::InvalidOutput.as_str() => {
                let report = Report::error(problem.code, problem.detail);
                self.job.report(report)?.wait_async(left()).await
            }
            answered => answered,
        }
    }
}

/// Not what the program's own words or the server's wish explain.
fn is_news(error: &Error) -> bool {
    let expected = [
        Code::IllegalTransition,
        Code::AttemptSuperseded,
        Code::AttemptClosed,
        Code::InvalidOutput,
    ];
    let code = error.code();
    !expected.iter().any(|expected| expected.as_str() == code)
}
