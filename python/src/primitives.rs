//! The functions of the original's `job.py`, under their names.

use std::path::PathBuf;
use std::sync::Mutex;

use jobhook::Error;
use jobhook::Primitives;
use jobhook::protocol::JobEnvironment;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::exception;
use crate::files::index_of;
use crate::job::environment_of;
use crate::json::{json_of, python_of};
use crate::transfer::{Ended, Turns};
use crate::waiting::wait;

/// The connection of the last call, kept for the next.
static KEPT: Mutex<Option<(u32, Primitives)>> = Mutex::new(None);

#[pyfunction]
pub(crate) fn check_job(variables: &Bound<'_, PyAny>) -> PyResult<()> {
    environment_of(variables).map(drop)
}

#[pyfunction]
pub(crate) fn job_headers<'py>(variables: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let headers = PyDict::new(variables.py());
    for (name, value) in Primitives::headers(&environment_of(variables)?) {
        headers.set_item(name, value)?;
    }
    Ok(headers)
}

#[pyfunction]
#[pyo3(signature = (variables, data))]
pub(crate) fn send_status<'py>(
    variables: &Bound<'py, PyAny>,
    data: Option<&str>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = variables.py();
    let environment = environment_of(variables)?;
    let body = data.map(|text| jobhook::Json::from_text(text.to_owned()));
    let body = body
        .transpose()
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    let primitives = kept(py, environment)?;
    let answer = wait(py, primitives.send_status(body.as_ref()))?;
    let server = primitives.server();
    keep(primitives);
    python_of(py, &answer.text).map_err(|error| {
        let what = if answer.text.is_empty() {
            "an empty body".to_owned()
        } else {
            format!("a body that is not JSON ({error})")
        };
        let error = Error::Foreign {
            server,
            status: answer.status,
            what,
        };
        exception(py, &error)
    })
}

/// Where the file is, and whether it was there before.
#[pyfunction]
pub(crate) fn download_from(
    variables: &Bound<'_, PyAny>,
    place: (String, String, String),
    index: i64,
    dirpath: PathBuf,
) -> PyResult<(PathBuf, bool)> {
    let py = variables.py();
    let index = index_of(py, index)?;
    let primitives = kept(py, environment_of(variables)?)?;
    let (store, uuid, property) = place;
    let coming = primitives.download_from(&store, &uuid, &property, index, &dirpath);
    let came = done(py, Turns::default().run(py, coming)?)?;
    keep(primitives);
    Ok((came.path, came.already))
}

/// Whether the server had it before.
#[pyfunction]
pub(crate) fn upload_to(
    variables: &Bound<'_, PyAny>,
    place: (String, String, String),
    filepath: PathBuf,
    metadata: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let py = variables.py();
    let metadata = Some(json_of(metadata, "metadata")?);
    let primitives = kept(py, environment_of(variables)?)?;
    let (store, uuid, property) = place;
    let going = primitives.upload_to(&store, &uuid, &property, filepath, metadata);
    let left = done(py, Turns::default().run(py, going)?)?;
    keep(primitives);
    Ok(left.already)
}

/// What came of a transfer that nothing ends before.
fn done<T>(py: Python<'_>, ended: Ended<T>) -> PyResult<T> {
    match ended {
        Ended::Done(done) => Ok(done),
        Ended::Cancelled | Ended::Stopped => {
            let error = Error::System("the transfer was given up".to_owned());
            Err(exception(py, &error))
        }
    }
}

/// The connection of the last call, if it is one of this process and of this job; or another.
fn kept(py: Python<'_>, environment: JobEnvironment) -> PyResult<Primitives> {
    // A forked child must not speak on the connection of its parent.
    let pid = std::process::id();
    let kept = KEPT.try_lock().ok().and_then(|mut kept| kept.take());
    let kept = kept.filter(|(made_in, kept)| *made_in == pid && *kept.environment() == environment);
    match kept {
        Some((_, kept)) => Ok(kept),
        None => Primitives::new(environment).map_err(|error| exception(py, &error)),
    }
}

fn keep(primitives: Primitives) {
    if let Ok(mut kept) = KEPT.try_lock() {
        *kept = Some((std::process::id(), primitives));
    }
}
