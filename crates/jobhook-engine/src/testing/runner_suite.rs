//! What every runner must do, whatever it runs: the cases of [`crate::runner_suite!`].

use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::LineSource;
use tokio::sync::mpsc;

use crate::attempt::{Ending, Saw};
use crate::clock::Timestamp;
use crate::runner::{JobStart, OutputLine, Runner, Sighting, StartError};

/// Longer than anything in the suite takes; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the suite needs a job to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Writes the lines `one`, `two`, `three` to standard output, or logs them, and ends well.
    ThreeLines,
    /// Ends with exit code 3, or fails.
    Fails,
    /// Runs until it is stopped.
    Endless,
    /// Cannot be started.
    Impossible,
}

/// A runner with jobs to try it on.
pub trait RunnerUnderTest: Send + Sync {
    /// The runner.
    fn runner(&self) -> Arc<dyn Runner>;

    /// A job of this kind, as a new attempt of a new action each time.
    fn job(&self, kind: JobKind) -> JobStart;

    /// How a job that ends well is seen to end.
    fn good_end(&self) -> Ending {
        Ending::Exited { code: 0 }
    }

    /// How [`JobKind::Fails`] is seen to end.
    fn bad_end(&self) -> Ending {
        Ending::Exited { code: 3 }
    }

    /// Whether it keeps what a job wrote until it is told to forget; a job inside the server
    /// hands each line over once.
    fn keeps_output(&self) -> bool {
        true
    }
}

/// Runs every case against the runner that `$open` (an async function) returns.
#[macro_export]
macro_rules! runner_suite {
    ($open:path) => {
        $crate::runner_suite! { $open =>
            a_job_is_seen_from_start_to_end
            a_failure_is_told
            starting_twice_gives_one_job
            output_goes_on_from_where_it_is_stored
            a_stopped_job_ends
            stopping_a_job_that_is_gone_succeeds
            a_job_that_cannot_start_is_told_with_a_reason
            a_forgotten_job_can_be_forgotten_again
        }
    };
    ($open:path => $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                $crate::testing::runner_suite::$case(&$open().await).await;
            }
        )+
    };
}

async fn see(sightings: &mut mpsc::Receiver<Sighting>) -> Sighting {
    tokio::time::timeout(PATIENCE, sightings.recv())
        .await
        .expect("a runner shows something in time")
        .expect("a stream does not end before `Ended`")
}

async fn start(test: &dyn RunnerUnderTest, kind: JobKind) -> (JobStart, mpsc::Receiver<Sighting>) {
    let job = test.job(kind);
    let sightings = test
        .runner()
        .start(job.clone())
        .await
        .expect("the job starts");
    (job, sightings)
}

/// Sees the job begin; a runner may note something before.
async fn see_started(sightings: &mut mpsc::Receiver<Sighting>) {
    loop {
        match see(sightings).await {
            Sighting::Output(output) if output.lines.is_empty() => {}
            first => return assert!(matches!(first, Sighting::Started { .. }), "{first:?}"),
        }
    }
}

/// Everything seen to the end: lines, and the end.
async fn see_all(sightings: &mut mpsc::Receiver<Sighting>) -> (Vec<OutputLine>, Saw) {
    let mut lines = Vec::new();
    loop {
        match see(sightings).await {
            Sighting::Started { .. } => {}
            Sighting::Output(output) => lines.extend(output.lines),
            Sighting::Said(said) => {
                let line = |text| OutputLine {
                    source: LineSource::Job,
                    time: Timestamp(said.at_ms),
                    text,
                };
                lines.extend(said.report.logs.into_iter().map(line));
            }
            Sighting::Ended(saw) => return (lines, saw),
        }
    }
}

fn texts(lines: &[OutputLine]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| matches!(line.source, LineSource::Stdout | LineSource::Job))
        .map(|line| line.text.as_str())
        .collect()
}

pub async fn a_job_is_seen_from_start_to_end(test: &dyn RunnerUnderTest) {
    let (_, mut sightings) = start(test, JobKind::ThreeLines).await;
    see_started(&mut sightings).await;
    let (lines, saw) = see_all(&mut sightings).await;
    assert_eq!(texts(&lines), ["one", "two", "three"]);
    assert_eq!((saw.ending, saw.stopped), (test.good_end(), false));
}

pub async fn a_failure_is_told(test: &dyn RunnerUnderTest) {
    let (_, mut sightings) = start(test, JobKind::Fails).await;
    assert_eq!(see_all(&mut sightings).await.1.ending, test.bad_end());
}

pub async fn starting_twice_gives_one_job(test: &dyn RunnerUnderTest) {
    let (job, mut first) = start(test, JobKind::ThreeLines).await;
    let (lines, saw) = see_all(&mut first).await;
    let mut second = test
        .runner()
        .start(job)
        .await
        .expect("a started job is found");
    let (again, saw_again) = see_all(&mut second).await;
    let kept = if test.keeps_output() {
        texts(&lines)
    } else {
        Vec::new()
    };
    assert_eq!((texts(&again), &saw_again.ending), (kept, &saw.ending));
    assert_eq!(
        saw_again.at, saw.at,
        "the same end is seen, not another one"
    );
}

pub async fn output_goes_on_from_where_it_is_stored(test: &dyn RunnerUnderTest) {
    let (mut job, mut sightings) = start(test, JobKind::ThreeLines).await;
    let (mut last, mut mark) = (0, None);
    loop {
        match see(&mut sightings).await {
            Sighting::Output(output) => {
                assert_eq!(output.from, last, "stretches join");
                last = output.to;
                mark = output.mark.or(mark);
            }
            Sighting::Started { .. } | Sighting::Said(_) => {}
            Sighting::Ended(_) => break,
        }
    }
    job.output_offset = last;
    job.output_mark = mark;
    let mut again = test
        .runner()
        .start(job)
        .await
        .expect("a started job is found");
    assert_eq!(see_all(&mut again).await.0, []);
}

pub async fn a_stopped_job_ends(test: &dyn RunnerUnderTest) {
    let (job, mut sightings) = start(test, JobKind::Endless).await;
    see_started(&mut sightings).await;
    test.runner()
        .stop(job.attempt, Duration::from_secs(5))
        .await
        .expect("the stop gets through");
    let (_, saw) = see_all(&mut sightings).await;
    assert!(saw.stopped, "{saw:?}");
}

pub async fn stopping_a_job_that_is_gone_succeeds(test: &dyn RunnerUnderTest) {
    let (job, mut sightings) = start(test, JobKind::Fails).await;
    see_all(&mut sightings).await;
    test.runner()
        .stop(job.attempt, Duration::ZERO)
        .await
        .expect("nothing is left to stop");
    let never_started = test.job(JobKind::Endless);
    test.runner()
        .stop(never_started.attempt, Duration::ZERO)
        .await
        .expect("nothing is there to stop");
}

pub async fn a_job_that_cannot_start_is_told_with_a_reason(test: &dyn RunnerUnderTest) {
    match test.runner().start(test.job(JobKind::Impossible)).await {
        Err(StartError::Refused(reason)) => assert!(!reason.is_empty()),
        Err(StartError::Unavailable(reason)) => panic!("it will never start, but: {reason}"),
        Ok(mut sightings) => {
            let (_, saw) = see_all(&mut sightings).await;
            assert!(
                matches!(
                    &saw.ending,
                    Ending::NotStarted { reason } | Ending::Displaced { reason, .. } if !reason.is_empty()
                ),
                "{saw:?}"
            );
        }
    }
}

pub async fn a_forgotten_job_can_be_forgotten_again(test: &dyn RunnerUnderTest) {
    let (job, mut sightings) = start(test, JobKind::Fails).await;
    see_all(&mut sightings).await;
    test.runner().forget(job.attempt).await;
    test.runner().forget(job.attempt).await;
}
