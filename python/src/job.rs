//! A job, and what became of one of its reports.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use jobhook::protocol::JobEnvironment;
use jobhook::{CancellationToken, Error, Job, Report};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::{cancelled, exception, in_words};
use crate::json::{json_of, python_of};
use crate::steps::Steps;
use crate::waiting::{seconds, wait};

const STOP: &str = "the server wants this job to end";

/// The job that this process is.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct NativeJob {
    inner: Job,
    cancellation: CancellationToken,
    flush_limit: Duration,
    /// Why the job was cancelled, if the server did not do it.
    why: Mutex<Option<String>>,
    /// The threads of the program that were told of the cancellation.
    told: Mutex<HashSet<ThreadId>>,
}

/// A report that is on its way.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct Receipt {
    inner: jobhook::Receipt,
}

/// What a report says beside its status.
#[derive(FromPyObject)]
struct Said<'py> {
    #[pyo3(item)]
    status: Option<String>,
    #[pyo3(item)]
    results: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    details: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    error_name: Option<Bound<'py, PyString>>,
    #[pyo3(item)]
    error_message: Option<Bound<'py, PyString>>,
    #[pyo3(item)]
    message: Option<Bound<'py, PyString>>,
    #[pyo3(item)]
    logs: Vec<Bound<'py, PyString>>,
}

impl NativeJob {
    pub(crate) fn inner(&self) -> &Job {
        &self.inner
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    pub(crate) fn cancellation(&self) -> CancellationToken {
        self.cancellation.clone()
    }

    /// The exception that tells of the cancellation.
    pub(crate) fn cancelled(&self, py: Python<'_>) -> PyErr {
        lock(&self.told).insert(thread::current().id());
        // Not locked while Python runs, which may come back here in a signal's handler.
        let why = lock(&self.why).clone();
        cancelled(py, why.as_deref().unwrap_or(STOP))
    }

    /// Raises once in each thread: afterwards a program that cleans up may still speak.
    fn tell(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_cancelled() && !lock(&self.told).contains(&thread::current().id()) {
            return Err(self.cancelled(py));
        }
        Ok(())
    }

    fn say_line(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<()> {
        let text = text.to_string_lossy();
        let mut lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
        lines
            .try_for_each(|line| self.inner().log(line.strip_suffix('\r').unwrap_or(line)))
            .map_err(|error| exception(py, &error))
    }
}

#[pymethods]
impl NativeJob {
    #[new]
    #[pyo3(signature = (
        variables, *, heartbeat, ca_file, spool_directory, spool_bytes, patience, flush_limit,
        answer_timeout, retry_pauses, progress_interval, listen_every
    ))]
    #[allow(clippy::too_many_arguments, reason = "they have names in Python")]
    fn new(
        py: Python<'_>,
        variables: &Bound<'_, PyAny>,
        heartbeat: Option<f64>,
        ca_file: Option<std::path::PathBuf>,
        spool_directory: Option<std::path::PathBuf>,
        spool_bytes: usize,
        patience: f64,
        flush_limit: f64,
        answer_timeout: f64,
        retry_pauses: (f64, f64),
        progress_interval: f64,
        listen_every: f64,
    ) -> PyResult<NativeJob> {
        let environment = environment_of(variables)?;
        let flush = seconds("flush_limit", flush_limit);
        let build = || -> Result<Job, Error> {
            let mut builder = Job::builder()
                .environment(environment)
                .spool_bytes(spool_bytes)
                .patience(seconds("patience", patience)?)
                .flush_limit(flush.clone()?)
                .answer_timeout(seconds("answer_timeout", answer_timeout)?)
                .retry_pauses(
                    seconds("retry_pauses", retry_pauses.0)?,
                    seconds("retry_pauses", retry_pauses.1)?,
                )
                .progress_interval(seconds("progress_interval", progress_interval)?)
                .listen_every(seconds("listen_every", listen_every)?);
            if let Some(every) = heartbeat {
                builder = builder.heartbeat(seconds("heartbeat", every)?);
            }
            if let Some(path) = ca_file {
                builder = builder.ca_file(path);
            }
            if let Some(path) = spool_directory {
                builder = builder.spool_directory(path);
            }
            builder.build()
        };
        let job = py.detach(build).map_err(|error| exception(py, &error))?;
        Ok(NativeJob {
            cancellation: job.cancellation(),
            inner: job,
            flush_limit: flush.unwrap_or_default(),
            why: Mutex::new(None),
            told: Mutex::default(),
        })
    }

    #[getter]
    fn id(&self) -> &str {
        self.inner().id()
    }

    #[getter]
    fn attempt(&self) -> Option<u32> {
        self.inner().attempt()
    }

    #[getter]
    fn action_store(&self) -> &str {
        self.inner().action_store()
    }

    #[getter]
    fn traceparent(&self) -> Option<&str> {
        self.inner().traceparent()
    }

    fn arguments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.tell(py)?;
        let job = self.inner();
        let standing = wait(py, job.standing_async())?;
        let text = standing.arguments.as_ref().map(|json| json.as_str());
        python_of(py, text.unwrap_or("null"))
    }

    /// The operation that the action names, and its input as JSON, if it has any.
    fn operation(&self, py: Python<'_>) -> PyResult<(Option<String>, Option<String>)> {
        self.tell(py)?;
        let standing = wait(py, self.inner().standing_async())?;
        let (id, input) = standing.operation();
        Ok((id, input.map(|json| json.as_str().to_owned())))
    }

    /// - `quiet`: whether a cancellation is not raised, because the job is ending anyway.
    fn report(&self, py: Python<'_>, quiet: bool, said: &Bound<'_, PyDict>) -> PyResult<Receipt> {
        if !quiet {
            self.tell(py)?;
        }
        let said = said.extract::<Said<'_>>();
        let report = said
            .map_err(|error| in_words(py, &error))?
            .into_report(py)?;
        let sent = self.inner().report(report);
        let inner = sent.map_err(|error| exception(py, &error))?;
        Ok(Receipt { inner })
    }

    fn log(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.tell(py)?;
        self.say_line(py, text)
    }

    /// The same for a logging handler, which must not raise into the program that logs.
    fn log_quietly(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.say_line(py, text)
    }

    /// Refuses what could not be reported.
    fn check_json(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        json_of(value, "results").map(drop)
    }

    fn message(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<()> {
        self.tell(py)?;
        let said = self.inner().message(lossy(text));
        said.map_err(|error| exception(py, &error))
    }

    #[pyo3(signature = (done, total))]
    fn set_progress(&self, py: Python<'_>, done: f64, total: Option<f64>) -> PyResult<()> {
        self.tell(py)?;
        let said = self.inner().progress(done, total);
        said.map_err(|error| exception(py, &error))
    }

    #[pyo3(signature = (iterable, total, message))]
    fn steps(
        slf: Bound<'_, Self>,
        iterable: &Bound<'_, PyAny>,
        total: Option<u64>,
        message: Option<Bound<'_, PyString>>,
    ) -> PyResult<Steps> {
        Steps::new(slf, iterable, total, message.as_ref().map(lossy))
    }

    #[pyo3(signature = (limit))]
    fn flush(&self, py: Python<'_>, limit: Option<f64>) -> PyResult<()> {
        let limit = match limit {
            Some(limit) => seconds("the limit", limit).map_err(|error| exception(py, &error))?,
            None => self.flush_limit,
        };
        wait(py, self.inner().flush_async(limit))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, self.inner().close_async())
    }

    pub(crate) fn check(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_cancelled() {
            return Err(self.cancelled(py));
        }
        Ok(())
    }

    /// Whether a cancellation ends what is begun now: not where this thread was told of it and
    /// cleans up.
    fn heed(&self, py: Python<'_>) -> PyResult<bool> {
        self.tell(py)?;
        Ok(!self.is_cancelled())
    }

    #[getter(is_cancelled)]
    fn get_is_cancelled(&self) -> bool {
        self.is_cancelled()
    }

    fn cancel(&self, why: String) {
        lock(&self.why).get_or_insert(why);
        self.cancellation.cancel();
    }

    fn error(&self, py: Python<'_>) -> Option<PyErr> {
        self.inner().error().map(|error| exception(py, &error))
    }
}

impl Drop for NativeJob {
    fn drop(&mut self) {
        // The last reports may have to be waited for, and other threads go on meanwhile. Without
        // an interpreter the job does the same by itself.
        let _ = Python::try_attach(|py| py.detach(|| self.inner.close()));
    }
}

#[pymethods]
impl Receipt {
    #[pyo3(signature = (limit = 30.0))]
    fn wait(&self, py: Python<'_>, limit: f64) -> PyResult<()> {
        let limit = seconds("the limit", limit).map_err(|error| exception(py, &error))?;
        wait(py, self.inner.wait_async(limit))
    }
}

impl Said<'_> {
    fn into_report(self, py: Python<'_>) -> PyResult<Report> {
        let refused = |error: Error| exception(py, &error);
        let wrong = |reason| {
            let name = "the status";
            Err(refused(Error::Value { name, reason }))
        };
        let text = |given: Option<Bound<'_, PyString>>| given.map(|text| lossy(&text));
        let has_error = self.error_name.is_some() || self.error_message.is_some();
        let mut report = match self.status.as_deref() {
            None if !has_error => Report::new(),
            Some(other @ ("RUNNING" | "SUCCESS")) if has_error => {
                return wrong(format!(
                    "it is {other}, and an error's name and message mean ERROR: leave one of them out"
                ));
            }
            Some("RUNNING") => Report::running(),
            Some("SUCCESS") => Report::success(),
            None | Some("ERROR") => Report::error(
                text(self.error_name).unwrap_or_else(|| "Error".to_owned()),
                text(self.error_message).unwrap_or_default(),
            ),
            Some(other) => {
                return wrong(format!(
                    "it is {other}, and a job says RUNNING, SUCCESS or ERROR"
                ));
            }
        };
        if let Some(results) = &self.results {
            report = report.results_json(json_of(results, "results")?);
        }
        if let Some(details) = &self.details {
            let details = json_of(details, "details")?;
            report = report.details(&details).map_err(refused)?;
        }
        if let Some(message) = &self.message {
            report = report.message(lossy(message));
        }
        for line in &self.logs {
            report = report.log(line.to_string_lossy());
        }
        Ok(report)
    }
}

/// A text for people: what is no Unicode in it, such as a byte of a file's name, becomes U+FFFD.
fn lossy(text: &Bound<'_, PyString>) -> String {
    text.to_string_lossy().into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The environment of a job among these variables (a mapping of names to text).
pub(crate) fn environment_of(variables: &Bound<'_, PyAny>) -> PyResult<JobEnvironment> {
    let failed = Cell::new(None);
    let found = JobEnvironment::read(|name| {
        let value = variables.call_method1("get", (name,));
        let text = value.and_then(|value| {
            if value.is_none() {
                return Ok(None);
            }
            // What is no Unicode text becomes U+FFFD, and is refused where it matters.
            let text = value.cast::<PyString>()?;
            Ok(Some(text.to_string_lossy().into_owned()))
        });
        text.unwrap_or_else(|error| {
            failed.set(Some(error));
            None
        })
    });
    match failed.into_inner() {
        Some(error) => Err(error),
        None => found.map_err(|error| exception(variables.py(), &error.into())),
    }
}
