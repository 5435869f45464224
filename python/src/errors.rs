//! Errors of Rust as exceptions of Python.

use jobhook::Error;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyType;

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let (code, text) = (error.code(), error.to_string());
    match error {
        Error::Refused(problem) => make(py, "Refused", (text, code, problem.status)),
        // The answer of a server of the original was a bare 500.
        Error::LinesRefused { .. } => make(py, "Refused", (text, code, 500)),
        _ => make(py, class_name(error), (text, code)),
    }
}

/// The exception for a request of the server, or of the machine, to end.
pub(crate) fn cancelled(py: Python<'_>, why: &str) -> PyErr {
    make(py, "JobCancelled", (why,))
}

/// What is wrong with an argument, in the words of who wrote it.
///
/// - `error`: of a struct that was derived from a dict, such as `failed to extract field Said.logs`.
pub(crate) fn in_words(py: Python<'_>, error: &PyErr) -> PyErr {
    let text = error.value(py).to_string();
    let (Some((_, argument)), Some(cause)) = (text.rsplit_once('.'), error.cause(py)) else {
        return error.clone_ref(py);
    };
    let text = format!("`{argument}`: {}", cause.value(py));
    if cause.is_instance_of::<PyOverflowError>(py) {
        return make(py, "InvalidSetting", (text, "invalid_setting"));
    }
    PyTypeError::new_err(text)
}

fn class_name(error: &Error) -> &'static str {
    match error {
        Error::Environment(_) | Error::Key(_) => "InvalidEnvironment",
        Error::Setting { .. } | Error::Certificates(_) | Error::SpoolUnwritable { .. } => {
            "InvalidSetting"
        }
        Error::Value { .. } | Error::NotJson { .. } | Error::TooLarge { .. } => "InvalidValue",
        Error::Arguments(_) => "UnexpectedArguments",
        Error::Ended(_) | Error::Closed | Error::Forked { .. } | Error::NoFiles => "JobOver",
        Error::SpoolFull { .. }
        | Error::Unreachable { .. }
        | Error::FlushTimeout { .. }
        | Error::NoAnswer { .. } => "ServerAway",
        Error::Redirected { .. } | Error::Foreign { .. } => "UnexpectedAnswer",
        Error::FileUnreadable { .. }
        | Error::FileUnwritable { .. }
        | Error::FileExists { .. }
        | Error::FileChanged { .. } => "FileUnusable",
        Error::Mismatch { .. } => "ContentMismatch",
        Error::System(_) => "SystemRefused",
        // An error that a newer crate has and this one does not know.
        _ => "JobhookError",
    }
}

fn make<'py, A>(py: Python<'py>, class: &str, arguments: A) -> PyErr
where
    A: pyo3::call::PyCallArgs<'py>,
{
    // Loaded when first needed: a job that meets no error does without.
    let made = py
        .import("jobhook.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.cast_into::<PyType>().map_err(PyErr::from))
        .and_then(|class| class.call1(arguments));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
