//! Signing and reading, as functions of their arguments alone.

use jobhook::Error;
use jobhook::protocol::status::UnknownStatus;
use jobhook::protocol::{self, Event, SecretKey, SignedHeaders, Status, Verifier};
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

/// The headers of a request, each name as often as it came.
type Headers = Vec<(String, String)>;

/// The code of the refusal; `None` if the request is believed.
#[pyfunction]
#[pyo3(signature = (
    key, id, headers, method, target, body, *, now_ms, max_clock_skew_ms, require_signature
))]
#[allow(clippy::too_many_arguments, reason = "they have names in Python")]
pub(crate) fn verify(
    key: Option<&str>,
    id: &str,
    headers: Headers,
    method: &str,
    target: &str,
    body: &[u8],
    now_ms: i64,
    max_clock_skew_ms: Option<i64>,
    require_signature: bool,
) -> Option<&'static str> {
    let key = match key.map(SecretKey::from_text) {
        Some(Err(_)) => return Some("key_not_latin1"),
        Some(Ok(key)) => Some(key),
        None => None,
    };
    let verifier = Verifier {
        id,
        key: key.as_ref(),
        now_ms,
        max_clock_skew_ms,
        requires_signature: require_signature,
    };
    let read = SignedHeaders::read(|name| {
        let sent = headers
            .iter()
            .filter(move |(sent, _)| sent.eq_ignore_ascii_case(name));
        sent.map(|(_, value)| value.as_bytes())
    });
    let verified = verifier.verify(read, method, target, body);
    verified.err().map(|code| code.as_str())
}

/// The status that follows; `None` where the event is not possible.
#[pyfunction]
pub(crate) fn status_after(status: &str, event: &str) -> PyResult<Option<&'static str>> {
    let from: Status = status
        .parse()
        .map_err(|error: UnknownStatus| PyValueError::new_err(error.to_string()))?;
    let event = Event::ALL
        .into_iter()
        .find(|known| known.as_str() == event)
        .ok_or_else(|| PyValueError::new_err(format!("`{event}` is not an event")))?;
    Ok(from.after(event).ok().map(Status::as_str))
}

fn key_of(py: Python<'_>, text: &str) -> PyResult<SecretKey> {
    SecretKey::from_text(text).map_err(|error| exception(py, &Error::Key(error)))
}
