//! The management API, with answers as JSON texts that `jobhook/launcher.py` reads.

use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, OnceLock};

use jobhook::protocol::{Access, FileBody, GrantBody};
use jobhook::{Answer, Error, Follower, Launch, Launcher, ListQuery, Seen, local_names};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::{exception, in_words};
use crate::files::Fields;
use crate::json::json_of;
use crate::transfer::{Ended, Given, Source, Turns};
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

/// A file that an action is to be launched with.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct LaunchFile {
    inner: jobhook::LaunchFile,
}

/// What to launch.
#[derive(FromPyObject)]
struct Wanted<'py> {
    #[pyo3(item)]
    what: String,
    #[pyo3(item)]
    is_operation: bool,
    #[pyo3(item)]
    arguments: Option<Bound<'py, PyAny>>,
    #[pyo3(item)]
    attempts: Option<u32>,
    /// In seconds.
    #[pyo3(item)]
    timeout: Option<f64>,
    #[pyo3(item)]
    files: Vec<Py<LaunchFile>>,
    /// Store, object, property, and `read` or `write`.
    #[pyo3(item)]
    grants: Vec<(String, String, String, String)>,
}

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

impl NativeLauncher {
    /// What a transfer does meanwhile, and a launcher that tells how far it is.
    fn turns<'py>(
        &self,
        py: Python<'py>,
        progress: Option<Bound<'py, PyAny>>,
        stop: Option<&Stop>,
    ) -> PyResult<(Turns<'py>, Launcher)> {
        let mut turns = Turns::new(progress);
        turns.stop = stop.map(|stop| stop.token.clone());
        let launcher = self.launcher(py)?;
        let launcher = match turns.watcher() {
            Some(watcher) => launcher.on_progress(watcher),
            None => launcher,
        };
        Ok((turns, launcher))
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

    fn launch(&self, py: Python<'_>, wanted: &Bound<'_, PyAny>) -> PyResult<String> {
        let launch = launch_of(wanted)?;
        Ok(wait(py, self.launcher(py)?.launch(&launch))?.text)
    }

    fn launch_many(&self, py: Python<'_>, wanted: Vec<Bound<'_, PyAny>>) -> PyResult<String> {
        let launches = wanted.iter().map(launch_of);
        let launches: Vec<Launch> = launches.collect::<PyResult<_>>()?;
        Ok(wait(py, self.launcher(py)?.launch_many(&launches))?.text)
    }

    /// `None` if it was stopped.
    #[pyo3(signature = (source, fields, progress, stop))]
    fn upload<'py>(
        &self,
        py: Python<'py>,
        source: Source<'py>,
        fields: Fields<'py>,
        progress: Option<Bound<'py, PyAny>>,
        stop: Option<&Stop>,
    ) -> PyResult<Option<LaunchFile>> {
        let (mut turns, launcher) = self.turns(py, progress, stop)?;
        let given = turns.give(source);
        let going = async {
            match given {
                Given::Path(path) => launcher.upload(path).await,
                Given::Bytes(bytes) => launcher.upload_bytes(bytes).await,
                Given::Reader(reader) => launcher.upload_reader(reader).await,
            }
        };
        let Some(mut file) = unless_stopped(turns.run(py, going)?) else {
            return Ok(None);
        };
        let (name, mimetype, metadata) = fields;
        if let Some(name) = name {
            file = file.name(name);
        }
        if let Some(mimetype) = mimetype {
            file = file.mimetype(mimetype);
        }
        if let Some(metadata) = metadata {
            let json = json_of(&metadata, "metadata")?;
            file = file
                .metadata(&json)
                .map_err(|error| exception(py, &error))?;
        }
        Ok(Some(LaunchFile { inner: file }))
    }

    /// A page: its files, and the cursor of the next.
    #[pyo3(signature = (uuid, cursor))]
    fn files(&self, py: Python<'_>, uuid: &str, cursor: Option<&str>) -> PyResult<String> {
        Ok(wait(py, self.launcher(py)?.files(uuid, cursor))?.text)
    }

    /// Whether it is there; it is not if that was stopped.
    ///
    /// - `file`: as a list has it.
    /// - `to`: where it goes to, and whether over what is there.
    #[pyo3(signature = (uuid, file, to, progress, stop))]
    fn download<'py>(
        &self,
        py: Python<'py>,
        uuid: &str,
        file: &str,
        to: (PathBuf, bool),
        progress: Option<Bound<'py, PyAny>>,
        stop: Option<&Stop>,
    ) -> PyResult<bool> {
        let file = file_of(py, file)?;
        let (turns, launcher) = self.turns(py, progress, stop)?;
        let (path, replaces) = to;
        let came = async {
            match replaces {
                true => launcher.download(uuid, &file, path).await,
                false => launcher.download_new(uuid, &file, path).await,
            }
        };
        let came = turns.run(py, came)?;
        Ok(unless_stopped(came).is_some())
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

fn launch_of(wanted: &Bound<'_, PyAny>) -> PyResult<Launch> {
    let py = wanted.py();
    let wanted = wanted.extract::<Wanted<'_>>();
    let wanted = wanted.map_err(|error| in_words(py, &error))?;
    let name = if wanted.is_operation {
        "input"
    } else {
        "arguments"
    };
    let arguments = wanted.arguments.map(|given| json_of(&given, name));
    let arguments = arguments.transpose()?;
    let mut launch = match (wanted.is_operation, arguments) {
        (true, input) => Launch::operation_json(wanted.what, input),
        (false, Some(arguments)) => Launch::new(wanted.what).arguments_json(arguments),
        (false, None) => Launch::new(wanted.what),
    };
    if let Some(attempts) = wanted.attempts {
        launch = launch.attempts(attempts);
    }
    if let Some(timeout) = wanted.timeout {
        let timeout = seconds("the timeout", timeout).map_err(|error| exception(py, &error))?;
        launch = launch.timeout(timeout);
    }
    for file in wanted.files {
        launch = launch.file(file.get().inner.clone());
    }
    for grant in wanted.grants {
        launch = launch.grant(grant_of(py, grant)?);
    }
    Ok(launch)
}

fn grant_of(
    py: Python<'_>,
    (store, uuid, property, access): (String, String, String, String),
) -> PyResult<GrantBody> {
    let access = match access.as_str() {
        "read" => Access::Read,
        "write" => Access::Write,
        other => {
            let reason = format!("it is {other}, and must be read or write");
            let name = "the access of a grant";
            return Err(exception(py, &Error::Setting { name, reason }));
        }
    };
    Ok(GrantBody {
        store,
        uuid,
        property,
        access,
    })
}

fn unless_stopped<T>(ended: Ended<T>) -> Option<T> {
    match ended {
        Ended::Done(done) => Some(done),
        Ended::Cancelled | Ended::Stopped => None,
    }
}

/// What files are called that go to one directory; each as a list has it.
#[pyfunction]
pub(crate) fn file_names(py: Python<'_>, files: Vec<String>) -> PyResult<Vec<String>> {
    let files = files.iter().map(|text| file_of(py, text));
    let files: Vec<FileBody> = files.collect::<PyResult<_>>()?;
    Ok(local_names(&files))
}

/// The file in the JSON of a list.
fn file_of(py: Python<'_>, text: &str) -> PyResult<FileBody> {
    serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let name = "the file";
        exception(py, &Error::Setting { name, reason })
    })
}

/// The texts of the parts as one JSON array.
fn array_of<T>(parts: Vec<Answer<T>>) -> String {
    let texts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
    format!("[{}]", texts.join(","))
}
