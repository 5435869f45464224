//! Python values as JSON that holds exactly what was given.
//!
//! `json.dumps` writes NaN, turns keys that are numbers into text, and fails late at a value
//! that contains itself. Here what JSON does not have is refused with its place; whole numbers
//! keep all their digits.

use std::fmt::Write as _;

use jobhook::protocol::json::MAX_DEPTH;
use jobhook::{Error, Json};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::exception;

/// Writes `value` as JSON.
///
/// - `name`: what the value is, for messages, such as `results`.
pub(crate) fn json_of(value: &Bound<'_, PyAny>, name: &'static str) -> PyResult<Json> {
    let mut writer = Writer {
        text: String::new(),
        depth: 0,
    };
    let refused = |fault: Fault| {
        let error = Error::NotJson {
            name,
            path: fault.path,
            reason: fault.reason,
        };
        exception(value.py(), &error)
    };
    writer.value(value).map_err(refused)?;
    Json::from_text(writer.text).map_err(|error| {
        refused(Fault {
            path: String::new(),
            reason: error.to_string(),
        })
    })
}

/// Reads JSON as Python does, with whole numbers of any length.
pub(crate) fn python_of<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("jobhook.digits")?.call_method1("loads", (text,))
}

/// What is wrong, and where.
struct Fault {
    path: String,
    reason: String,
}

struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn value(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
        if value.is_none() {
            self.text.push_str("null");
        } else if let Ok(text) = value.cast::<PyString>() {
            self.string(text)?;
        } else if let Ok(truth) = value.cast::<PyBool>() {
            self.text
                .push_str(if truth.is_true() { "true" } else { "false" });
        } else if let Ok(whole) = value.cast::<PyInt>() {
            self.whole(whole)?;
        } else if let Ok(float) = value.cast::<PyFloat>() {
            self.float(float.value())?;
        } else if let Ok(list) = value.cast::<PyList>() {
            self.array(list.iter())?;
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.array(tuple.iter())?;
        } else if let Ok(object) = value.cast::<PyDict>() {
            self.object(object)?;
        } else {
            return Err(fault(format!(
                "it is a {}, which JSON does not have; make it text, a number, a list or a dict",
                type_name(value)
            )));
        }
        Ok(())
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> Result<(), Fault> {
        let text = text.to_str().map_err(|_| {
            fault("the text has a lone surrogate, which is no character; decode the bytes that it came from".to_owned())
        })?;
        if text.contains('\0') {
            return Err(fault(
                "the text has a NUL character, which servers do not keep".to_owned(),
            ));
        }
        // Writing a text as JSON does not fail.
        self.text
            .push_str(&serde_json::to_string(text).unwrap_or_default());
        Ok(())
    }

    fn whole(&mut self, whole: &Bound<'_, PyInt>) -> Result<(), Fault> {
        if let Ok(small) = whole.extract::<i64>() {
            let _ = write!(self.text, "{small}");
            return Ok(());
        }
        // Not `str`, which subclasses such as enumerations may have of their own.
        let digits = whole
            .py()
            .get_type::<PyInt>()
            .call_method1("__repr__", (whole,));
        let digits = digits.map_err(|error| fault(format!("it has too many digits: {error}")))?;
        let _ = write!(self.text, "{digits}");
        Ok(())
    }

    fn float(&mut self, float: f64) -> Result<(), Fault> {
        if !float.is_finite() {
            return Err(fault(format!("it is {float}, which JSON does not have")));
        }
        self.text
            .push_str(&serde_json::to_string(&float).unwrap_or_default());
        Ok(())
    }

    fn array<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>) -> Result<(), Fault> {
        self.enter()?;
        self.text.push('[');
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.text.push(',');
            }
            self.value(&item)
                .map_err(|fault| fault.inside(&format!("[{at}]")))?;
        }
        self.text.push(']');
        self.depth -= 1;
        Ok(())
    }

    fn object(&mut self, object: &Bound<'_, PyDict>) -> Result<(), Fault> {
        self.enter()?;
        self.text.push('{');
        let mut is_first = true;
        for (key, value) in object {
            if !std::mem::replace(&mut is_first, false) {
                self.text.push(',');
            }
            let Ok(key) = key.cast::<PyString>() else {
                return Err(fault(format!(
                    "the key {key} is a {}, and keys are text in JSON",
                    type_name(&key)
                )));
            };
            self.string(key)?;
            self.text.push(':');
            self.value(&value)
                .map_err(|fault| fault.inside(&format!(".{key}")))?;
        }
        self.text.push('}');
        self.depth -= 1;
        Ok(())
    }

    /// In a report a value lies one level deeper.
    fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        Err(fault(format!(
            "it nests lists and dicts deeper than {} levels, or contains itself",
            MAX_DEPTH - 1
        )))
    }
}

impl Fault {
    fn inside(mut self, place: &str) -> Fault {
        // A value that contains itself has no end of places.
        if self.path.len() < 200 {
            self.path.insert_str(0, place);
        }
        self
    }
}

fn fault(reason: String) -> Fault {
    Fault {
        path: String::new(),
        reason,
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    name.map_or_else(|_| "value".to_owned(), |name| name.to_string())
}
