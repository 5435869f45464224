//! The management API, with answers as JSON texts that `jobhook/launcher.py` reads.

use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, OnceLock};

use jobhook::{Answer, Error, Follower, Launch, Launcher, ListQuery, Seen};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::exception;
use crate::json::json_of;
use crate::waiting::{Stop, seconds, wait};

/// Speaks to a server.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct NativeLauncher {
    settings: Settings,
    made: Made,
    /// The same for a process that was forked since: a connection belongs to one process.
    forked: OnceLock<Made>,
}

struct Settings {
    url: String,
    token: Option<String>,
    ca_file: Option<PathBuf>,
}

struct Made {
    pid: u32,
    launcher: Launcher,
}

/// Follows one action.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct NativeFollower {
    inner: Mutex<Follower>,
}

/// What to launch: type, arguments, attempts, timeout in seconds.
type Wanted<'py> = (
    String,
    Option<Bound<'py, PyAny>>,
    Option<u32>,
    Option<f64>,
    bool,
);

impl Settings {
    fn make(&self) -> Result<Made, Error> {
        let mut launcher = Launcher::new(&self.url)?;
        if let Some(token) = &self.token {
            launcher = launcher.token(token)?;
        }
        if let Some(path) = &self.ca_file {
            launcher = launcher.ca_file(path)?;
        }
        Ok(Made {
            pid: process::id(),
            launcher,
        })
    }
}

impl NativeLauncher {
    fn launcher(&self, py: Python<'_>) -> PyResult<Launcher> {
        let pid = process::id();
        if self.made.pid == pid {
            return Ok(self.made.launcher.clone());
        }
        if let Some(forked) = self.forked.get()
            && forked.pid == pid
        {
            return Ok(forked.launcher.clone());
        }
        let made = self.settings.make();
        let made = made.map_err(|error| exception(py, &error))?;
        let launcher = made.launcher.clone();
        // The child of a child makes one for each call.
        let _ = self.forked.set(made);
        Ok(launcher)
    }
}

#[pymethods]
impl NativeLauncher {
    #[new]
    #[pyo3(signature = (url, *, token, ca_file))]
    fn new(
        py: Python<'_>,
        url: String,
        token: Option<String>,
        ca_file: Option<PathBuf>,
    ) -> PyResult<NativeLauncher> {
        let settings = Settings {
            url,
            token,
            ca_file,
        };
        let made = settings.make().map_err(|error| exception(py, &error))?;
        Ok(NativeLauncher {
            settings,
            made,
            forked: OnceLock::new(),
        })
    }

    fn launch(&self, py: Python<'_>, wanted: Wanted<'_>) -> PyResult<String> {
        let launch = launch_of(py, wanted)?;
        Ok(wait(py, self.launcher(py)?.launch(&launch))?.text)
    }

    fn launch_many(&self, py: Python<'_>, wanted: Vec<Wanted<'_>>) -> PyResult<String> {
        let launches = wanted.into_iter().map(|wanted| launch_of(py, wanted));
        let launches: Vec<Launch> = launches.collect::<PyResult<_>>()?;
        Ok(wait(py, self.launcher(py)?.launch_many(&launches))?.text)
    }

    fn show(&self, py: Python<'_>, uuid: &str) -> PyResult<String> {
        Ok(wait(py, self.launcher(py)?.show(uuid))?.text)
    }

    /// A page: its actions, and the cursor of the next.
    #[pyo3(signature = (statuses, type_, limit, cursor))]
    fn list(
        &self,
        py: Python<'_>,
        statuses: Vec<String>,
        type_: Option<String>,
        limit: Option<u32>,
        cursor: Option<String>,
    ) -> PyResult<String> {
        let statuses = statuses.iter().map(|word| {
            word.parse().map_err(|_| {
                let reason = format!("there is no status {word}");
                exception(
                    py,
                    &Error::Setting {
                        name: "the status",
                        reason,
                    },
                )
            })
        });
        let query = ListQuery {
            statuses: statuses.collect::<PyResult<_>>()?,
            action_type: type_,
            limit,
            cursor,
        };
        Ok(wait(py, self.launcher(py)?.list(&query))?.text)
    }

    fn lines(
        &self,
        py: Python<'_>,
        uuid: &str,
        after: u64,
        limit: u32,
    ) -> PyResult<(String, Option<u64>)> {
        let page = wait(py, self.launcher(py)?.lines(uuid, after, limit))?;
        Ok((array_of(page.lines), page.next))
    }

    /// `None` if the action is not over within the limit, or if it was stopped.
    #[pyo3(signature = (uuid, limit, stop))]
    fn wait(
        &self,
        py: Python<'_>,
        uuid: &str,
        limit: Option<f64>,
        stop: Option<&Stop>,
    ) -> PyResult<Option<String>> {
        let limit = limit.map(|limit| seconds("the timeout", limit)).transpose();
        let limit = limit.map_err(|error| exception(py, &error))?;
        let launcher = self.launcher(py)?;
        let over = async {
            match limit {
                Some(limit) => {
                    let waited = tokio::time::timeout(limit, launcher.wait(uuid)).await;
                    waited.ok().transpose()
                }
                None => launcher.wait(uuid).await.map(Some),
            }
        };
        let token = stop.map(|stop| stop.token.clone());
        let over = wait(py, Stop::or(token, over))?.flatten();
        Ok(over.map(|action| action.text))
    }

    fn follow(&self, py: Python<'_>, uuid: &str, after: u64) -> PyResult<NativeFollower> {
        let follower = self.launcher(py)?.follow_after(uuid, after);
        let follower = follower.map_err(|error| exception(py, &error))?;
        Ok(NativeFollower {
            inner: Mutex::new(follower),
        })
    }

    #[pyo3(signature = (uuid, reason))]
    fn cancel(&self, py: Python<'_>, uuid: &str, reason: Option<&str>) -> PyResult<String> {
        Ok(wait(py, self.launcher(py)?.cancel(uuid, reason))?.text)
    }

    fn retry(&self, py: Python<'_>, uuid: &str) -> PyResult<String> {
        Ok(wait(py, self.launcher(py)?.retry(uuid))?.text)
    }
}

#[pymethods]
impl NativeFollower {
    /// What is seen next: its kind, and a JSON text or what else belongs to it.
    #[pyo3(signature = (stop))]
    fn next(
        &self,
        py: Python<'_>,
        stop: Option<&Stop>,
    ) -> PyResult<Option<(&'static str, String)>> {
        let token = stop.map(|stop| stop.token.clone());
        let Ok(mut follower) = self.inner.try_lock() else {
            return Err(PyRuntimeError::new_err(
                "another thread follows with this iterator: call `follow` once in each",
            ));
        };
        let Some(seen) = wait(py, Stop::or(token, follower.next()))?.flatten() else {
            return Ok(None);
        };
        Ok(Some(match seen {
            Seen::Line(line) => ("line", line.text),
            Seen::Gap(lines) => ("gap", lines.to_string()),
            Seen::Action(action) => ("action", action.text),
            Seen::Lost(error) => ("lost", error.to_string()),
            Seen::Back => ("back", String::new()),
            Seen::End(action) => ("end", action.text),
            // What a newer crate sees and this one does not know.
            _ => ("other", String::new()),
        }))
    }
}

fn launch_of(py: Python<'_>, wanted: Wanted<'_>) -> PyResult<Launch> {
    let (kind, arguments, attempts, timeout, is_operation) = wanted;
    let name = if is_operation { "input" } else { "arguments" };
    let arguments = arguments.map(|given| json_of(&given, name)).transpose()?;
    let mut launch = match (is_operation, arguments) {
        (true, input) => Launch::operation_json(kind, input),
        (false, Some(arguments)) => Launch::new(kind).arguments_json(arguments),
        (false, None) => Launch::new(kind),
    };
    if let Some(attempts) = attempts {
        launch = launch.attempts(attempts);
    }
    if let Some(timeout) = timeout {
        let timeout = seconds("the timeout", timeout).map_err(|error| exception(py, &error))?;
        launch = launch.timeout(timeout);
    }
    Ok(launch)
}

/// The texts of the parts as one JSON array.
fn array_of<T>(parts: Vec<Answer<T>>) -> String {
    let texts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
    format!("[{}]", texts.join(","))
}
