//! The functions of the original's `job.py`, under their names.

use std::sync::Mutex;

use jobhook::Error;
use jobhook::Primitives;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::exception;
use crate::job::environment_of;
use crate::json::python_of;
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
    // A forked child must not speak on the connection of its parent.
    let pid = std::process::id();
    let kept = KEPT.try_lock().ok().and_then(|mut kept| kept.take());
    let kept = kept.filter(|(made_in, kept)| *made_in == pid && *kept.environment() == environment);
    let primitives = match kept {
        Some((_, kept)) => kept,
        None => Primitives::new(environment).map_err(|error| exception(py, &error))?,
    };
    let answer = wait(py, primitives.send_status(body.as_ref()))?;
    let server = primitives.server();
    if let Ok(mut kept) = KEPT.try_lock() {
        *kept = Some((pid, primitives));
    }
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
