//! A job with other settings than the usual ones.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::{JobEnvironment, key};

use crate::Error;
use crate::files::Files;
use crate::handle::Handle;
use crate::hook::Hook;
use crate::http;
use crate::job::Job;
use crate::outbox::{Numbering, Outbox};
use crate::report::Report;
use crate::sender::{Pace, Sender};
use crate::shared::{CENTURY, Shared};
use crate::spool::Spool;

/// How often a job without a heartbeat asks whether it should stop, if it says nothing itself.
const LISTEN_EVERY: Duration = Duration::from_secs(10);

/// How many bytes may wait to be sent.
pub(crate) const SPOOL_BYTES: usize = 64 * 1024 * 1024;
/// How far apart two reports of nothing but progress lie at least.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// How long the end of a job may wait for the last reports.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// Which certificates are trusted beside those of the machine.
#[derive(Clone, Debug)]
enum CaFile {
    /// What the environment of the process says.
    Asked,
    Given(Option<PathBuf>),
}

/// Asking more often than this would be all that the machine does.
const BUSY: Duration = Duration::from_millis(1);

/// Settings of a [`Job`], made by [`Job::builder`].
#[derive(Clone)]
#[must_use = "nothing happens before `build`"]
pub struct JobBuilder {
    environment: Option<JobEnvironment>,
    heartbeat: Option<Duration>,
    ca_file: CaFile,
    spool_directory: Option<PathBuf>,
    spool_bytes: usize,
    flush_limit: Duration,
    answer_timeout: Duration,
    pace: Pace,
}

impl Default for JobBuilder {
    fn default() -> JobBuilder {
        JobBuilder {
            environment: None,
            heartbeat: None,
            ca_file: CaFile::Asked,
            spool_directory: None,
            spool_bytes: SPOOL_BYTES,
            flush_limit: FLUSH_LIMIT,
            answer_timeout: Duration::from_secs(10),
            pace: Pace {
                speak_every: Some(LISTEN_EVERY),
                progress_interval: PROGRESS_INTERVAL,
                first_pause: Duration::from_millis(100),
                longest_pause: Duration::from_secs(5),
                longest_wait: Duration::from_secs(60),
                patience: Duration::from_secs(15 * 60),
            },
        }
    }
}

impl JobBuilder {
    /// Takes the environment of a job instead of that of the process.
    pub fn environment(mut self, environment: JobEnvironment) -> JobBuilder {
        self.environment = Some(environment);
        self
    }

    /// Takes the variables of a job, and `JOBHOOK_CA_FILE`, from `lookup` instead of the
    /// environment of the process.
    ///
    /// # Errors
    ///
    /// `missing_variable` and `invalid_variable` name the variable.
    pub fn variables(
        mut self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<JobBuilder, Error> {
        let ca_file = lookup(http::CA_FILE).filter(|value| !value.is_empty());
        self.ca_file = CaFile::Given(ca_file.map(PathBuf::from));
        self.environment = Some(JobEnvironment::read(lookup)?);
        Ok(self)
    }

    /// Announces that the job speaks at least this often, and speaks for it: from then on
    /// silence of three times as long means trouble to the server. 0.1 s to 1 day.
    pub fn heartbeat(mut self, every: Duration) -> JobBuilder {
        self.heartbeat = Some(every);
        self
    }

    /// Trusts the certificates in this file (PEM) beside those of the machine. Without it the
    /// variable `JOBHOOK_CA_FILE` is asked.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> JobBuilder {
        self.ca_file = CaFile::Given(Some(path.into()));
        self
    }

    /// Keeps reports in this directory while the server is away, so that they outlive the
    /// process: the next job of the same attempt sends them. It is made if it is not there.
    pub fn spool_directory(mut self, path: impl Into<PathBuf>) -> JobBuilder {
        self.spool_directory = Some(path.into());
        self
    }

    /// How many bytes may wait to be sent; 64 MiB by default. What comes then is refused with
    /// `spool_full`.
    pub fn spool_bytes(mut self, limit: usize) -> JobBuilder {
        self.spool_bytes = limit;
        self
    }

    /// How long the server may be away; 15 minutes by default. After that the job reports no
    /// more, and every call says `server_unreachable`.
    pub fn patience(mut self, limit: Duration) -> JobBuilder {
        self.pace.patience = limit.min(CENTURY);
        self
    }

    /// How long the end of the job may wait for the last reports; 30 s by default.
    pub fn flush_limit(mut self, limit: Duration) -> JobBuilder {
        self.flush_limit = limit.min(CENTURY);
        self
    }

    /// How long one answer may take; 10 s by default.
    pub fn answer_timeout(mut self, limit: Duration) -> JobBuilder {
        self.answer_timeout = limit.min(CENTURY);
        self
    }

    /// The pauses between tries: they begin with about `first` and double up to `longest`;
    /// 0.1 s and 5 s by default. They never exceed the heartbeat.
    pub fn retry_pauses(mut self, first: Duration, longest: Duration) -> JobBuilder {
        self.pace.first_pause = first.min(CENTURY);
        self.pace.longest_pause = longest.min(CENTURY);
        self
    }

    /// How far apart two reports of nothing but progress lie at least; 0.25 s by default.
    pub fn progress_interval(mut self, interval: Duration) -> JobBuilder {
        self.pace.progress_interval = interval.min(CENTURY);
        self
    }

    /// After how long without a report the job asks the server whether it should stop; 10 s by
    /// default, and `None` for never. With a heartbeat it is a third of that, or this if it is
    /// shorter.
    pub fn listen_every(mut self, interval: impl Into<Option<Duration>>) -> JobBuilder {
        self.pace.speak_every = interval.into().map(|every| every.min(CENTURY));
        self
    }

    /// Reads the environment and starts the job's own thread. Nothing is sent yet, except the
    /// announcement of a heartbeat.
    ///
    /// # Errors
    ///
    /// `missing_variable`, `invalid_variable`, `invalid_setting`, `certificates_unusable`,
    /// `spool_unwritable`, `system_refused`.
    pub fn build(self) -> Result<Job, Error> {
        let environment = match self.environment {
            Some(environment) => environment,
            // What is no Unicode text becomes U+FFFD, and is refused where it matters.
            None => JobEnvironment::read(|name| {
                std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            })?,
        };
        let mut pace = self.pace;
        if let Some(every) = self.heartbeat {
            check_heartbeat(every)?;
            let third = every / 3;
            pace.speak_every = Some(pace.speak_every.map_or(third, |asked| asked.min(third)));
            pace.longest_pause = pace.longest_pause.min(every);
            pace.longest_wait = pace.longest_wait.min(every);
        }
        if pace.speak_every.is_some_and(|every| every < BUSY) {
            return Err(Error::Setting {
                name: "the time between two looks for STOP",
                reason: format!("it must be at least {} s", BUSY.as_secs_f64()),
            });
        }
        let v1 = environment.attempt.is_some();
        if !v1 && self.heartbeat.is_none() {
            // The original has no reports that say nothing.
            pace.speak_every = None;
        }
        let url = Hook::url(&environment)?;
        let ca_file = match self.ca_file {
            CaFile::Asked => http::ca_file(),
            CaFile::Given(given) => given,
        };
        let client = http::client(&url, ca_file.as_deref())?;
        let files = Files::new(
            environment.clone(),
            ca_file,
            pace.clone(),
            self.answer_timeout,
        )?;
        let reporter = reporter_name()?;
        let numbering = if v1 {
            Numbering::By(reporter.as_str().into())
        } else {
            Numbering::Unknown
        };
        let mut outbox = Outbox::new(numbering, self.spool_bytes);
        let mut leftovers = Vec::new();
        let spool = match &self.spool_directory {
            Some(directory) => {
                let attempt = environment.attempt.unwrap_or(0);
                let (spool, found) = Spool::open(directory, &environment.id, attempt, &reporter)?;
                leftovers = found;
                Some(spool)
            }
            None => None,
        };
        for leftover in &mut leftovers {
            outbox.take_over(leftover.records.iter().cloned());
        }
        let shared = Arc::new(Shared::new(http::shown(&url), outbox));
        let hook = Hook::new(environment.clone(), client, url, self.answer_timeout);
        Sender::new(shared.clone(), hook, pace, spool, leftovers, v1).start()?;
        let job = Job::of(Handle::new(shared, environment, self.flush_limit).with_files(files));
        if let Some(every) = self.heartbeat {
            job.enqueue(Report::heartbeat(every))?;
        }
        Ok(job)
    }
}

impl fmt::Debug for JobBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBuilder")
            .field("environment", &self.environment)
            .field("heartbeat", &self.heartbeat)
            .field("spool_directory", &self.spool_directory)
            .finish_non_exhaustive()
    }
}

fn check_heartbeat(every: Duration) -> Result<(), Error> {
    if (Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&every) {
        return Ok(());
    }
    Err(Error::Setting {
        name: "the heartbeat",
        reason: format!(
            "it is {} s, and must be 0.1 to 86400 s",
            every.as_secs_f64()
        ),
    })
}

/// A name that no other reporter has (clause `REP-11`).
fn reporter_name() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Error::System(format!("no random numbers: {error}")))?;
    Ok(key::hex(&random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_the_protocol_does_not_know_is_refused() {
        for every in [Duration::ZERO, Duration::from_secs(100_000)] {
            let error = check_heartbeat(every).unwrap_err();
            assert_eq!(error.code(), "invalid_setting");
            assert!(error.to_string().contains("0.1 to 86400 s"), "{error}");
        }
    }
}
