//! The hook of tests, with its reports as JSON texts that `jobhook/testing.py` reads.

use std::str::FromStr;

use jobhook::Error;
use jobhook::protocol::JobEnvironment;
use jobhook::testing::{Behaviour, FakeFile, FakeHook};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::exception;
use crate::files::Fields;
use crate::job::environment_of;
use crate::json::json_of;

/// A hook inside the test.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct NativeHook {
    inner: FakeHook,
}

#[pymethods]
impl NativeHook {
    #[new]
    fn new(py: Python<'_>) -> PyResult<NativeHook> {
        let inner = py.detach(FakeHook::start);
        Ok(NativeHook {
            inner: inner.map_err(|error| exception(py, &error))?,
        })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        self.inner.environment().variables()
    }

    fn set_variables(&self, variables: &Bound<'_, PyAny>) -> PyResult<()> {
        let environment: JobEnvironment = environment_of(variables)?;
        self.inner.set_environment(environment);
        Ok(())
    }

    fn set_arguments(&self, py: Python<'_>, arguments: &Bound<'_, PyAny>) -> PyResult<()> {
        let json = json_of(arguments, "arguments")?;
        let set = self.inner.set_arguments(&json);
        set.map_err(|error| exception(py, &error))
    }

    fn set_field(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let json = json_of(value, "the field")?;
        let set = self.inner.set_field(name, &json);
        set.map_err(|error| exception(py, &error))
    }

    fn set_clock_offset_ms(&self, offset: i64) {
        self.inner.set_clock_offset_ms(offset);
    }

    fn stop(&self) {
        self.inner.stop();
    }

    /// What becomes of the next requests, each with a number or a text where it takes one.
    fn script(&self, py: Python<'_>, next: Vec<(String, Option<String>)>) -> PyResult<()> {
        let next = next.into_iter().map(|(name, detail)| {
            behaviour(&name, detail.as_deref()).map_err(|error| exception(py, &error))
        });
        self.inner.script(next.collect::<PyResult<Vec<_>>>()?);
        Ok(())
    }

    #[pyo3(signature = (name, detail))]
    fn behave(&self, py: Python<'_>, name: &str, detail: Option<&str>) -> PyResult<()> {
        let wanted = behaviour(name, detail).map_err(|error| exception(py, &error))?;
        self.inner.behave(wanted);
        Ok(())
    }

    fn go_away(&self, py: Python<'_>) {
        py.detach(|| self.inner.go_away());
    }

    fn come_back(&self, py: Python<'_>) -> PyResult<()> {
        let back = py.detach(|| self.inner.come_back());
        back.map_err(|error| exception(py, &error))
    }

    /// Puts a file into a property of an object: its name, media type, metadata and bytes.
    fn add_file(
        &self,
        place: (String, String, String),
        fields: Fields<'_>,
        bytes: Vec<u8>,
    ) -> PyResult<()> {
        let (name, mimetype, metadata) = fields;
        let mut file = FakeFile::new(String::new(), bytes);
        file.name = name;
        if let Some(mimetype) = mimetype {
            file.mimetype = mimetype;
        }
        if let Some(metadata) = metadata {
            file.metadata = json_of(&metadata, "metadata")?;
        }
        let (store, uuid, property) = place;
        self.inner.add_file_to(&store, &uuid, &property, file);
        Ok(())
    }

    /// The files of a property of an object: name, media type, metadata as JSON, and bytes.
    fn files<'py>(
        &self,
        py: Python<'py>,
        place: (String, String, String),
    ) -> Vec<(Option<String>, String, String, Bound<'py, PyBytes>)> {
        let (store, uuid, property) = place;
        let files = self.inner.files_of(&store, &uuid, &property).into_iter();
        let told = files.map(|file| {
            let bytes = PyBytes::new(py, &file.bytes);
            let metadata = file.metadata.as_str().to_owned();
            (file.name, file.mimetype, metadata, bytes)
        });
        told.collect()
    }

    fn reports(&self) -> Vec<String> {
        let reports = self.inner.reports();
        let texts = reports
            .iter()
            .map(|received| serde_json::to_string(&received.report));
        texts.filter_map(Result::ok).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.inner.lines()
    }

    fn status(&self) -> Option<String> {
        self.inner.status().map(|status| status.to_string())
    }

    fn requests(&self) -> usize {
        self.inner.requests()
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn wait_for_requests(&self, py: Python<'_>, count: usize) -> bool {
        py.detach(|| self.inner.wait_for_requests(count))
    }

    fn wait_for_lines(&self, py: Python<'_>, count: usize) -> bool {
        py.detach(|| {
            self.inner.wait_until(|reports| {
                let lines = reports.iter().map(|received| received.report.logs.len());
                lines.sum::<usize>() >= count
            })
        })
    }
}

fn behaviour(name: &str, detail: Option<&str>) -> Result<Behaviour, Error> {
    let status = || number(name, detail, "an HTTP status, such as 503");
    Ok(match name {
        "well" => Behaviour::Well,
        "refuse" => Behaviour::Refuse {
            status: status()?,
            retry_after: None,
        },
        "cut_before" => Behaviour::CutBefore,
        "cut_after" => Behaviour::CutAfter,
        "cut_at" => Behaviour::CutAt(number(name, detail, "a number of bytes, such as 1000")?),
        "damage" => Behaviour::Damage,
        "silent" => Behaviour::Silent,
        "problem" => problem(detail.unwrap_or(""))?,
        "web_page" => Behaviour::WebPage(status()?),
        "redirect" => Behaviour::Redirect(detail.unwrap_or("").to_owned()),
        other => {
            return Err(Error::Setting {
                name: "the behaviour",
                reason: format!(
                    "there is no {other}; there are well, refuse, cut_before, cut_after, cut_at, damage, silent, problem, web_page, redirect"
                ),
            });
        }
    })
}

/// - `what`: which number is needed.
fn number<T: FromStr>(name: &str, detail: Option<&str>, what: &str) -> Result<T, Error> {
    let number = detail.unwrap_or("").parse();
    number.map_err(|_| Error::Setting {
        name: "the behaviour",
        reason: format!("{name} needs {what}"),
    })
}

/// A refusal with this problem document, whose `status` is the HTTP status.
fn problem(body: &str) -> Result<Behaviour, Error> {
    let wrong = |reason: String| Error::Setting {
        name: "the problem",
        reason,
    };
    let read: jobhook::protocol::Problem =
        serde_json::from_str(body).map_err(|error| wrong(error.to_string()))?;
    Ok(Behaviour::Answer {
        status: read.status,
        body: body.to_owned(),
    })
}
