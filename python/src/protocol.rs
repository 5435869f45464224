//! Signing and reading, as functions of their arguments alone.

use jobhook::Error;
use jobhook::protocol::{self, SecretKey};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::exception;
use crate::job::environment_of;

#[pyfunction]
pub(crate) fn read_environment<'py>(variables: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let found = environment_of(variables)?;
    let read = PyDict::new(variables.py());
    read.set_item("id", found.id)?;
    read.set_item("key", found.secret_key.reveal())?;
    read.set_item("hook", found.hook)?;
    read.set_item("orchestrator", found.orchestrator)?;
    read.set_item("attempt", found.attempt)?;
    read.set_item("traceparent", found.traceparent)?;
    Ok(read)
}

#[pyfunction]
pub(crate) fn sign_webda(py: Python<'_>, key: &str, time: &str) -> PyResult<String> {
    Ok(protocol::sign_webda(&key_of(py, key)?, time))
}

#[pyfunction]
pub(crate) fn sign_v1(
    py: Python<'_>,
    key: &str,
    id: &str,
    time: &str,
    method: &str,
    target: &str,
    body: &[u8],
) -> PyResult<(String, String)> {
    let key = key_of(py, key)?;
    Ok(protocol::sign_v1(&key, id, time, method, target, body))
}

#[pyfunction]
pub(crate) fn attempt_key(master: &[u8], id: &str, attempt: u32, nonce: &str) -> PyResult<String> {
    let key = protocol::attempt_key(master, id, attempt, nonce);
    key.map(|key| key.reveal())
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

fn key_of(py: Python<'_>, text: &str) -> PyResult<SecretKey> {
    SecretKey::from_text(text).map_err(|error| exception(py, &Error::Key(error)))
}
