//! The files of one property, as a job has them.

use std::path::PathBuf;

use jobhook::protocol::Code;
use jobhook::{Download, Downloaded, Error, Uploaded};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::exception;
use crate::job::NativeJob;
use crate::json::json_of;
use crate::transfer::{Ended, Given, Source, Turns};
use crate::waiting::{Stop, wait};

/// A property of an object of a store.
#[pyclass(frozen, module = "jobhook._jobhook")]
pub(crate) struct NativeFiles {
    job: Py<NativeJob>,
    store: String,
    uuid: String,
    property: String,
}

/// Name, media type and metadata.
pub(crate) type Fields<'py> = (Option<String>, Option<String>, Option<Bound<'py, PyAny>>);

/// Size, MD5, SHA-256, and whether the server had it before.
type Left = (u64, Option<String>, Option<String>, bool);

/// Where it is, and what the server says about it, as JSON.
type Came = (PathBuf, String);

#[pymethods]
impl NativeFiles {
    #[new]
    fn new(job: Py<NativeJob>, store: String, uuid: String, property: String) -> NativeFiles {
        NativeFiles {
            job,
            store,
            uuid,
            property,
        }
    }

    /// `None` if it was stopped.
    ///
    /// - `heeds`: whether a cancellation of the job ends it.
    #[pyo3(signature = (source, fields, progress, heeds, stop))]
    fn upload<'py>(
        &self,
        py: Python<'py>,
        source: Source<'py>,
        fields: Fields<'py>,
        progress: Option<Bound<'py, PyAny>>,
        heeds: bool,
        stop: Option<&Stop>,
    ) -> PyResult<Option<Left>> {
        let mut turns = self.turns(progress, heeds, stop);
        let job = self.job.get().inner();
        let upload = match turns.give(source) {
            Given::Path(path) => job.upload(path),
            Given::Bytes(bytes) => job.upload_bytes(bytes),
            Given::Reader(reader) => job.upload_reader(reader),
        };
        let mut upload = upload.to_object(&self.store, &self.uuid, &self.property);
        let (name, mimetype, metadata) = fields;
        if let Some(name) = name {
            upload = upload.name(name);
        }
        if let Some(mimetype) = mimetype {
            upload = upload.mimetype(mimetype);
        }
        if let Some(metadata) = metadata {
            upload = upload.metadata_json(json_of(&metadata, "metadata")?);
        }
        if let Some(watcher) = turns.watcher() {
            upload = upload.on_progress(watcher);
        }
        let sent = self.run(py, turns, upload.send_async())?;
        Ok(sent.map(left))
    }

    /// What the server says about a file, as JSON; `None` if there is none of this number.
    fn look(&self, py: Python<'_>, index: i64) -> PyResult<Option<String>> {
        let download = self.download_of(py, index)?;
        let is_v1 = self.job.get().inner().attempt().is_some();
        let look = async {
            match download.look_async().await {
                Ok(map) => Ok(Some(json(&map)?)),
                Err(Error::Refused(problem)) if problem.code == Code::FileNotFound.as_str() => {
                    Ok(None)
                }
                // A server of the original does not say more.
                Err(Error::Foreign { status: 404, .. }) if !is_v1 => Ok(None),
                Err(error) => Err(error),
            }
        };
        wait(py, look)
    }

    /// `None` if it was stopped.
    ///
    /// - `is_directory`: whether `path` is where it goes to under its own name.
    #[pyo3(signature = (index, path, is_directory, progress, heeds, stop))]
    #[allow(
        clippy::too_many_arguments,
        reason = "they are told apart in one place"
    )]
    fn download<'py>(
        &self,
        py: Python<'py>,
        index: i64,
        path: PathBuf,
        is_directory: bool,
        progress: Option<Bound<'py, PyAny>>,
        heeds: bool,
        stop: Option<&Stop>,
    ) -> PyResult<Option<Came>> {
        let turns = self.turns(progress, heeds, stop);
        let download = watched(self.download_of(py, index)?, &turns);
        let came = async {
            let came = match is_directory {
                true => download.to_directory_async(path).await?,
                false => download.to_file_async(path).await?,
            };
            came_of(&came)
        };
        self.run(py, turns, came)
    }

    /// Its bytes; `None` if it was stopped.
    #[pyo3(signature = (index, progress, heeds, stop))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        index: i64,
        progress: Option<Bound<'py, PyAny>>,
        heeds: bool,
        stop: Option<&Stop>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let turns = self.turns(progress, heeds, stop);
        let download = watched(self.download_of(py, index)?, &turns);
        let bytes = self.run(py, turns, download.bytes_async())?;
        Ok(bytes.map(|bytes| PyBytes::new(py, &bytes)))
    }
}

impl NativeFiles {
    fn download_of(&self, py: Python<'_>, index: i64) -> PyResult<Download> {
        let index = index_of(py, index)?;
        let download = self.job.get().inner().download(index);
        Ok(download.from_object(&self.store, &self.uuid, &self.property))
    }

    fn turns<'py>(
        &self,
        progress: Option<Bound<'py, PyAny>>,
        heeds: bool,
        stop: Option<&Stop>,
    ) -> Turns<'py> {
        let mut turns = Turns::new(progress);
        turns.cancellation = heeds.then(|| self.job.get().cancellation());
        turns.stop = stop.map(|stop| stop.token.clone());
        turns
    }

    fn run<'py, T: Send>(
        &self,
        py: Python<'py>,
        turns: Turns<'py>,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> PyResult<Option<T>> {
        match turns.run(py, work)? {
            Ended::Done(done) => Ok(Some(done)),
            Ended::Stopped => Ok(None),
            Ended::Cancelled => Err(self.job.get().cancelled(py)),
        }
    }
}

fn watched(download: Download, turns: &Turns<'_>) -> Download {
    match turns.watcher() {
        Some(watcher) => download.on_progress(watcher),
        None => download,
    }
}

/// The number of a file.
pub(crate) fn index_of(py: Python<'_>, index: i64) -> PyResult<u64> {
    index.try_into().map_err(|_| {
        let reason = format!("it is {index}, and must be a whole number from 0");
        let name = "the number of the file";
        exception(py, &Error::Setting { name, reason })
    })
}

fn left(uploaded: Uploaded) -> Left {
    (
        uploaded.size,
        uploaded.md5.map(|sum| sum.to_string()),
        uploaded.sha256.map(|sum| sum.to_string()),
        uploaded.already,
    )
}

fn came_of(came: &Downloaded) -> Result<Came, Error> {
    Ok((came.path.clone(), json(&came.file)?))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::System(error.to_string()))
}
