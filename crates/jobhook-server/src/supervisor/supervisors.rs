//! All supervisors of a data directory, as the server sees them: one.
//!
//! New jobs go to the supervisor of the server's own build, which is started when it is needed.
//! Others, left by earlier builds, are found and talked to until their last job is over. When one
//! dies, whoever asks next makes the living one clean up and record what was lost.
//!
//! Every question may be asked again: a start of a started attempt gives its state, a stop of a
//! gone one does nothing. So a broken connection is mended here, and callers see an error only when
//! there is no supervisor to be had.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};

use super::birth::{self, Cry, Maternity, OWN_PROGRAM};
use super::boot_mark;
use super::build::Build;
use super::error::SupervisorError;
use super::link::{Arrival, Link, Lost, NoLink};
use super::message::{Answer, Notice, Request, Run, RunKey, Spec, State};
use super::output::OutputReader;
use super::run_dir;

/// How long to try for a living supervisor before giving up.
const PATIENCE: Duration = Duration::from_secs(30);
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// How supervisors are started.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// A program that calls [`enter`](super::enter) first; this one if `None`.
    pub program: Option<PathBuf>,
    /// How long a supervisor stays without jobs and without a server.
    pub idle: Duration,
    /// The step at which the first supervisor that is started ends as if by `kill -9`.
    #[cfg(feature = "crash-points")]
    pub crash_at: Option<String>,
}

impl SupervisorOptions {
    /// Supervisors are processes of `program`, which calls [`enter`](super::enter) first.
    pub fn of_program(program: impl Into<PathBuf>) -> SupervisorOptions {
        SupervisorOptions {
            program: Some(program.into()),
            ..SupervisorOptions::default()
        }
    }
}

impl Default for SupervisorOptions {
    fn default() -> SupervisorOptions {
        SupervisorOptions {
            program: None,
            idle: Duration::from_secs(60),
            #[cfg(feature = "crash-points")]
            crash_at: None,
        }
    }
}

/// What is heard of the supervisors.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// One told something.
    Notice(Notice),
    /// One is gone: ask for the state of every run you wait for.
    Gone,
}

/// The supervisors of one data directory; clones are the same.
#[derive(Clone, Debug)]
pub struct Supervisors {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    data_dir: PathBuf,
    program: PathBuf,
    build: Build,
    idle: Duration,
    served_since_ms: u64,
    own: Mutex<Option<Link>>,
    others: Mutex<HashMap<Build, Link>>,
    arrivals: mpsc::UnboundedSender<Arrival>,
    #[cfg(feature = "crash-points")]
    crash_at: std::sync::Mutex<Option<String>>,
}

impl Supervisors {
    /// Finds the supervisors that work in `data_dir`. Its own is started with the first job.
    ///
    /// # Errors
    ///
    /// [`SupervisorError::NotEntered`], or [`SupervisorError::DataDir`].
    pub async fn open(
        data_dir: &Path,
        options: SupervisorOptions,
    ) -> Result<(Supervisors, mpsc::UnboundedReceiver<Told>), SupervisorError> {
        if options.program.is_none() && !birth::was_entered() {
            return Err(SupervisorError::NotEntered);
        }
        let unusable = |source| SupervisorError::DataDir {
            path: data_dir.to_owned(),
            source,
        };
        let program = options
            .program
            .unwrap_or_else(|| PathBuf::from(OWN_PROGRAM));
        let build = Build::of(&program).map_err(|error| {
            SupervisorError::NotStarted(format!("`{}` cannot be found: {error}", program.display()))
        })?;
        // The supervisor's working directory is another one.
        let data_dir = std::path::absolute(data_dir).map_err(unusable)?;
        let found = Build::found_in(&data_dir).map_err(unusable)?;
        let served_since_ms = boot_mark::served_since_ms(&data_dir).map_err(unusable)?;
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let (telling, told) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            data_dir,
            program,
            build,
            idle: options.idle,
            served_since_ms,
            own: Mutex::default(),
            others: Mutex::default(),
            arrivals,
            #[cfg(feature = "crash-points")]
            crash_at: std::sync::Mutex::new(options.crash_at),
        });
        tokio::spawn(pass_on(arrived, telling));
        let supervisors = Supervisors { shared };
        for build in found {
            supervisors.try_connect(&build).await;
        }
        supervisors.empty_trash(None).await;
        Ok((supervisors, told))
    }

    /// The build that new jobs are started by.
    pub fn build(&self) -> &Build {
        &self.shared.build
    }

    /// The process of the own supervisor; starts it if there is none.
    ///
    /// # Errors
    ///
    /// If none can be started.
    pub async fn own_pid(&self) -> Result<i32, SupervisorError> {
        Ok(self.own().await?.hello().pid)
    }

    /// Starts `key`, unless it was started before. Returns how it stands in either case.
    ///
    /// # Errors
    ///
    /// If no supervisor can be had, or it could not make the run directory. Then it was not started,
    /// unless the connection kept breaking; [`Supervisors::state`] tells.
    pub async fn start(&self, key: &RunKey, spec: &Spec) -> Result<State, SupervisorError> {
        let state = self
            .ask_state(
                key,
                &Request::Start {
                    key: key.clone(),
                    spec: Box::new(spec.clone()),
                },
            )
            .await;
        crate::crash::reached("link.start_answered");
        state
    }

    /// Sends TERM to the group of `key`, and KILL after `grace`; succeeds if it is gone already.
    ///
    /// # Errors
    ///
    /// If no supervisor can be had.
    pub async fn stop(&self, key: &RunKey, grace: Duration) -> Result<State, SupervisorError> {
        let grace_ms = grace.as_millis().try_into().unwrap_or(u64::MAX);
        self.ask_state(
            key,
            &Request::Stop {
                key: key.clone(),
                grace_ms,
            },
        )
        .await
    }

    /// How `key` stands; never [`State::Elsewhere`].
    ///
    /// # Errors
    ///
    /// If no supervisor can be had.
    pub async fn state(&self, key: &RunKey) -> Result<State, SupervisorError> {
        self.ask_state(key, &Request::State { key: key.clone() })
            .await
    }

    /// Every attempt that has a run directory, and how it stands.
    ///
    /// # Errors
    ///
    /// If no supervisor can be had.
    pub async fn list(&self) -> Result<Vec<Run>, SupervisorError> {
        let mut runs = match self.ask_own(&Request::List).await? {
            Answer::Runs(runs) => runs,
            other => return Err(unexpected(other)),
        };
        for run in &mut runs {
            if matches!(run.state, State::Elsewhere { .. }) {
                run.state = self.state(&run.key).await?;
            }
        }
        Ok(runs)
    }

    /// Removes the run directory of `key`: its output and its end are stored elsewhere.
    ///
    /// # Errors
    ///
    /// If it has not ended, or no supervisor can be had.
    pub async fn forget(&self, key: &RunKey) -> Result<(), SupervisorError> {
        match self.ask_own(&Request::Forget { key: key.clone() }).await? {
            Answer::Forgotten { trash } => {
                crate::crash::reached("link.forget_answered");
                if let Some(name) = trash {
                    self.empty_trash(Some(name)).await;
                }
                Ok(())
            }
            other => Err(unexpected(other)),
        }
    }

    /// Every attempt that has a run directory; asks no supervisor, and blocks while it looks.
    pub(crate) fn keys(&self) -> io::Result<Vec<RunKey>> {
        run_dir::keys(&self.shared.data_dir)
    }

    /// Says that the output of `key` is read up to line `position`, so that more is told of.
    pub async fn read_up_to(&self, key: &RunKey, position: u64) {
        let request = Request::Read {
            key: key.clone(),
            position,
        };
        if let Some(own) = self.shared.own.lock().await.as_ref() {
            own.tell(request.clone());
        }
        for other in self.shared.others.lock().await.values() {
            other.tell(request.clone());
        }
    }

    /// When the data directory was first opened since the machine started, milliseconds since the
    /// epoch. What was taken before and has no run directory must not be started: it may have lost it.
    pub fn served_since_ms(&self) -> u64 {
        self.shared.served_since_ms
    }

    /// The run directory of `key`.
    pub fn run_dir(&self, key: &RunKey) -> PathBuf {
        self.shared.data_dir.join("runs").join(key.dir_name())
    }

    /// Reads the output of `key` from line `position` on.
    pub fn output(&self, key: &RunKey, position: u64) -> OutputReader {
        OutputReader::new(self.run_dir(key), position)
    }

    async fn ask_state(&self, key: &RunKey, request: &Request) -> Result<State, SupervisorError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let build = match self.ask_own(request).await? {
                Answer::State(State::Elsewhere { build }) => build,
                Answer::State(state) => return Ok(state),
                other => return Err(unexpected(other)),
            };
            let other = self.try_connect(&build).await;
            let answer = match &other {
                Some(link) => link.ask(request.clone()).await,
                None => Err(Lost),
            };
            match answer {
                Ok(Answer::State(state)) => return Ok(state),
                Ok(other) => return Err(unexpected(other)),
                // It died just now; asked again, our own sees that, and cleans up.
                Err(Lost) if Instant::now() < deadline => tokio::time::sleep(TRY_AGAIN).await,
                Err(Lost) => {
                    let reason = format!("it holds {key} but does not answer");
                    return Err(SupervisorError::Unreachable { build, reason });
                }
            }
        }
    }

    async fn ask_own(&self, request: &Request) -> Result<Answer, SupervisorError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let link = self.own().await?;
            match link.ask(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Lost) if Instant::now() < deadline => {}
                Err(Lost) => {
                    let reason = "it dies whenever it is asked".to_owned();
                    return Err(SupervisorError::Unreachable {
                        build: self.shared.build.clone(),
                        reason,
                    });
                }
            }
        }
    }

    /// The link to the own supervisor, which is started if it is not there.
    async fn own(&self) -> Result<Link, SupervisorError> {
        let shared = &self.shared;
        let mut own = shared.own.lock().await;
        if let Some(link) = own.as_ref().filter(|link| link.is_open()) {
            return Ok(link.clone());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Link::connect(
                &shared.data_dir,
                &shared.build,
                &shared.build,
                shared.arrivals.clone(),
            )
            .await
            {
                Ok(link) => {
                    *own = Some(link.clone());
                    return Ok(link);
                }
                Err(NoLink::Absent(_)) => {}
                Err(error) => return Err(unreachable(error, &shared.build)),
            }
            let birth = tokio::task::spawn_blocking({
                let shared = Arc::clone(shared);
                move || birth::give_birth(&shared.maternity())
            });
            match birth.await {
                Ok(Ok(Cry::Ready)) => {}
                // Somebody else was quicker, or is just going: knock again in a moment.
                Ok(Ok(Cry::Held)) => tokio::time::sleep(TRY_AGAIN).await,
                Ok(Ok(Cry::Failed(why))) => return Err(SupervisorError::NotStarted(why)),
                Ok(Err(error)) => return Err(SupervisorError::NotStarted(error.to_string())),
                Err(error) => return Err(SupervisorError::NotStarted(error.to_string())),
            }
            if Instant::now() > deadline {
                let reason = "it has the lock but does not answer".to_owned();
                return Err(SupervisorError::Unreachable {
                    build: shared.build.clone(),
                    reason,
                });
            }
        }
    }

    /// A link to the supervisor of `build`, if it lives. Never starts one.
    async fn try_connect(&self, build: &Build) -> Option<Link> {
        let shared = &self.shared;
        let is_own = *build == shared.build;
        let mut own = shared.own.lock().await;
        let mut others = shared.others.lock().await;
        others.retain(|_, link| link.is_open());
        let known = if is_own {
            own.as_ref()
        } else {
            others.get(build)
        };
        if let Some(link) = known.filter(|link| link.is_open()) {
            return Some(link.clone());
        }
        match Link::connect(
            &shared.data_dir,
            build,
            &shared.build,
            shared.arrivals.clone(),
        )
        .await
        {
            Ok(link) if is_own => *own = Some(link.clone()),
            Ok(link) => {
                others.insert(build.clone(), link);
            }
            Err(NoLink::Absent(_)) => return None,
            Err(error) => {
                tracing::warn!(supervisor.build = %build, %error, "A supervisor of build `{build}` cannot be talked to");
                return None;
            }
        }
        if is_own {
            own.clone()
        } else {
            others.get(build).cloned()
        }
    }

    /// Removes `name`, or everything, from among the discarded run directories.
    async fn empty_trash(&self, name: Option<String>) {
        let trash = self.shared.data_dir.join("runs/.trash");
        let emptied = tokio::task::spawn_blocking(move || match name {
            Some(name) => std::fs::remove_dir_all(trash.join(name)),
            None => std::fs::read_dir(trash)?
                .try_for_each(|entry| std::fs::remove_dir_all(entry?.path())),
        });
        match emptied.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "Discarded run directories cannot be removed: {error}");
            }
            _ => {}
        }
    }
}

impl Shared {
    fn maternity(&self) -> Maternity<'_> {
        Maternity {
            program: &self.program,
            data_dir: &self.data_dir,
            idle: self.idle,
            #[cfg(feature = "crash-points")]
            crash_at: self.crash_at.lock().ok().and_then(|mut step| step.take()),
        }
    }
}

fn unexpected(answer: Answer) -> SupervisorError {
    match answer {
        Answer::Failed(why) => SupervisorError::Failed(why),
        other => SupervisorError::Failed(format!(
            "the supervisor answered beside the point: {other:?}"
        )),
    }
}

fn unreachable(error: NoLink, build: &Build) -> SupervisorError {
    SupervisorError::Unreachable {
        build: build.clone(),
        reason: error.to_string(),
    }
}

async fn pass_on(
    mut arrived: mpsc::UnboundedReceiver<Arrival>,
    telling: mpsc::UnboundedSender<Told>,
) {
    while let Some(arrival) = arrived.recv().await {
        let told = match arrival {
            Arrival::Notice(notice) => Told::Notice(notice),
            Arrival::Gone(build) => {
                tracing::info!(supervisor.build = %build, "The supervisor of build `{build}` is gone");
                Told::Gone
            }
        };
        if telling.send(told).is_err() {
            return;
        }
    }
}
