//! A runner whose jobs the test plays by hand: it starts nothing, and shows what a test
//! tells it to show.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::attempt::{AttemptRef, Ending, Saw};
use crate::clock::Timestamp;
use crate::runner::{JobStart, Runner, Sighting, StartError, StopError, Terms, TypeFilter};

/// Takes every type it was given, and hands each start to the test.
#[derive(Debug)]
pub struct HandRunner {
    name: String,
    types: TypeFilter,
    concurrency: usize,
    started: mpsc::UnboundedSender<HandJob>,
    stops: Mutex<HashMap<AttemptRef, mpsc::UnboundedSender<Duration>>>,
    refuse: Option<String>,
    unsure: AtomicBool,
    away: AtomicBool,
    ends_with_its_server: AtomicBool,
}

/// A job that the test plays.
#[derive(Debug)]
pub struct HandJob {
    /// What the engine asked for.
    pub start: JobStart,
    sightings: mpsc::Sender<Sighting>,
    stops: mpsc::UnboundedReceiver<Duration>,
}

impl HandRunner {
    /// A runner, and the jobs that it is asked to start.
    pub fn new(
        name: &str,
        types: TypeFilter,
        concurrency: usize,
    ) -> (Arc<HandRunner>, mpsc::UnboundedReceiver<HandJob>) {
        HandRunner::build(name, types, concurrency, None)
    }

    /// A runner that refuses every start for `reason`.
    pub fn refusing(name: &str, reason: &str) -> Arc<HandRunner> {
        HandRunner::build(name, TypeFilter::all(), 1, Some(reason.to_owned())).0
    }

    /// It has a job of another runner, which was called otherwise.
    pub fn finds(&self, job: AttemptRef) {
        let (stop, _) = mpsc::unbounded_channel();
        let mut stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.insert(job, stop);
        self.unsure.store(false, Ordering::SeqCst);
    }

    /// It can start nothing for the moment, or can again.
    pub fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// It starts nothing any more once its server has shut it down.
    pub fn ends_with_its_server(&self) {
        self.ends_with_its_server.store(true, Ordering::SeqCst);
    }

    /// It does not know which jobs it has, until it [finds](HandRunner::finds) one.
    pub fn is_unsure(&self) {
        self.unsure.store(true, Ordering::SeqCst);
    }

    fn build(
        name: &str,
        types: TypeFilter,
        concurrency: usize,
        refuse: Option<String>,
    ) -> (Arc<HandRunner>, mpsc::UnboundedReceiver<HandJob>) {
        let (started, jobs) = mpsc::unbounded_channel();
        let runner = HandRunner {
            name: name.to_owned(),
            types,
            concurrency,
            started,
            stops: Mutex::default(),
            refuse,
            unsure: AtomicBool::new(false),
            away: AtomicBool::new(false),
            ends_with_its_server: AtomicBool::new(false),
        };
        (Arc::new(runner), jobs)
    }
}

impl HandJob {
    /// Shows the job's start.
    pub async fn began(&self, at: Timestamp) {
        self.show(Sighting::Started { at }).await;
    }

    /// Shows anything.
    pub async fn show(&self, sighting: Sighting) {
        // An engine that stopped does not look any more.
        let _ = self.sightings.send(sighting).await;
    }

    /// Shows the job's end with an exit code.
    pub async fn exits(&self, code: i32, at: Timestamp) {
        self.show(Sighting::Ended(Saw {
            ending: Ending::Exited { code },
            at,
            stopped: false,
            usage: None,
        }))
        .await;
    }

    /// Waits until the engine wants the job stopped; returns the grace.
    pub async fn stopped(&mut self) -> Option<Duration> {
        self.stops.recv().await
    }
}

#[async_trait]
impl Runner for HandRunner {
    fn name(&self) -> &str {
        &self.name
    }

    fn types(&self) -> &TypeFilter {
        &self.types
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn terms(&self) -> Terms {
        Terms {
            auto_status: true,
            signature_required: false,
            grace: Duration::from_secs(10),
            linger: Duration::from_secs(30),
        }
    }

    async fn start(&self, start: JobStart) -> Result<mpsc::Receiver<Sighting>, StartError> {
        if let Some(reason) = &self.refuse {
            return Err(StartError::Refused(reason.clone()));
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(StartError::Unavailable("it is away".into()));
        }
        if let Some(reason) = start.forbidden.clone()
            && !self.kept().await.contains(&start.attempt)
        {
            return Err(StartError::Refused(reason));
        }
        let (sightings, seen) = mpsc::channel(16);
        let (stop, stops) = mpsc::unbounded_channel();
        self.stops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(start.attempt, stop);
        self.started
            .send(HandJob {
                start,
                sightings,
                stops,
            })
            .map_err(|_| StartError::Unavailable("the test has let go of the runner".into()))?;
        Ok(seen)
    }

    async fn stop(&self, job: AttemptRef, grace: Duration) -> Result<(), StopError> {
        let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stop) = stops.get(&job) {
            // A job that the test has dropped is gone already.
            let _ = stop.send(grace);
        }
        Ok(())
    }

    async fn forget(&self, job: AttemptRef) {
        self.stops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&job);
    }

    async fn holds(&self, job: AttemptRef) -> Result<bool, String> {
        if self.unsure.load(Ordering::SeqCst) {
            return Err("its cluster is away".to_owned());
        }
        Ok(self.kept().await.contains(&job))
    }

    async fn shut_down(&self) {
        if self.ends_with_its_server.load(Ordering::SeqCst) {
            self.is_away(true);
        }
    }

    async fn kept(&self) -> Vec<AttemptRef> {
        let stops = self.stops.lock().unwrap_or_else(PoisonError::into_inner);
        stops.keys().copied().collect()
    }
}
