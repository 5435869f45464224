//! A file that a job leaves, put together and sent.

use std::path::PathBuf;
use std::sync::Arc;

use jobhook_protocol::{FileFields, Json, Md5Sum, Sha256Sum};
use serde::Serialize;

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::content::Source;
use super::sending::Sending;
use super::{Files, Place};
use crate::strict_json::json_of;
use crate::{Error, Job};

/// An upload, made by [`Job::upload`], [`Job::upload_bytes`] and [`Job::upload_reader`]. Unless
/// told otherwise it goes to the `outputs` of the job's own action.
#[must_use = "nothing is sent before `send`"]
pub struct Upload {
    /// Keeps the job open.
    _job: Job,
    files: Result<Arc<Files>, Error>,
    sending: Sending,
}

/// What was uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uploaded {
    /// The content's MD5, if the server told it or it was computed here.
    pub md5: Option<Md5Sum>,
    /// The content's SHA-256, if it was computed here.
    pub sha256: Option<Sha256Sum>,
    /// How many bytes it has.
    pub size: u64,
    /// Whether the server had the content before, so that nothing was sent.
    pub already: bool,
}

impl Job {
    /// A file of this machine, to be left with the server. What is no file, such as a pipe, is
    /// read like a reader.
    ///
    /// ```no_run
    /// # let job = jobhook::Job::from_env()?;
    /// let uploaded = job.upload("report.csv").mimetype("text/csv").send()?;
    /// job.log(format!("{} bytes", uploaded.size))?;
    /// # Ok::<(), jobhook::Error>(())
    /// ```
    pub fn upload(&self, path: impl Into<PathBuf>) -> Upload {
        Upload::new(self, Source::Path(path.into()))
    }

    /// Bytes, to be left with the server as a file.
    pub fn upload_bytes(&self, bytes: impl Into<Bytes>) -> Upload {
        Upload::new(self, Source::Bytes(bytes.into()))
    }

    /// What can be read, to be left with the server as a file. Servers of the original want to
    /// know the hash first, so for them it goes through a temporary file.
    pub fn upload_reader(&self, reader: impl AsyncRead + Send + Unpin + 'static) -> Upload {
        Upload::new(self, Source::Reader(Box::new(reader)))
    }
}

impl Upload {
    fn new(job: &Job, source: Source) -> Upload {
        let name = match &source {
            Source::Path(path) => path.file_name().and_then(|name| name.to_str()),
            _ => None,
        };
        // A name that no file of a server may have is left out, not refused.
        let name = name.filter(|name| jobhook_protocol::file::check_name(name).is_ok());
        let fields = FileFields {
            name: name.map(str::to_owned),
            ..FileFields::default()
        };
        Upload {
            files: job.files(),
            sending: Sending {
                place: Place::own(job, "outputs"),
                source,
                fields,
                watcher: None,
            },
            _job: job.clone(),
        }
    }

    /// To another property of the same object.
    pub fn to(mut self, property: impl Into<String>) -> Upload {
        self.sending.place.property = property.into();
        self
    }

    /// To a property of another object, which the launch must have granted.
    pub fn to_object(
        mut self,
        store: impl Into<String>,
        uuid: impl Into<String>,
        property: impl Into<String>,
    ) -> Upload {
        self.sending.place = Place {
            store: store.into(),
            uuid: uuid.into(),
            property: property.into(),
        };
        self
    }

    /// Under this name: 1 to 255 bytes, and no path. By default a file has the name that it has
    /// on disk, and bytes have none.
    pub fn name(mut self, name: impl Into<String>) -> Upload {
        self.sending.fields.name = Some(name.into());
        self
    }

    /// As this media type, such as `text/csv`; `application/octet-stream` by default.
    pub fn mimetype(mut self, mimetype: impl Into<String>) -> Upload {
        self.sending.fields.mimetype = Some(mimetype.into());
        self
    }

    /// With this beside it: a JSON object of at most 4,096 bytes.
    ///
    /// # Errors
    ///
    /// `not_json` names the place of what JSON does not have, such as NaN.
    pub fn metadata<T: Serialize + ?Sized>(mut self, metadata: &T) -> Result<Upload, Error> {
        self.sending.fields.metadata = Some(json_of("metadata", metadata)?);
        Ok(self)
    }

    /// The same as the text of a JSON value, which is kept as it is.
    pub fn metadata_json(mut self, metadata: Json) -> Upload {
        self.sending.fields.metadata = Some(metadata);
        self
    }

    /// Calls `watcher` with how many bytes were sent, and of how many, if that is known: often,
    /// and from other threads, so it should return at once. It begins anew where the bytes have to
    /// be sent again.
    pub fn on_progress(
        mut self,
        watcher: impl Fn(u64, Option<u64>) + Send + Sync + 'static,
    ) -> Upload {
        self.sending.watcher = Some(Arc::new(watcher));
        self
    }

    /// Sends it, and waits until the server has it for good. Where no answer comes it is sent
    /// again, as long as the job is [patient](crate::JobBuilder::patience); but a reader, which
    /// can be read once, only if it was small.
    ///
    /// # Errors
    ///
    /// `invalid_setting` for a name, media type or metadata that cannot be; `file_unreadable`;
    /// `file_changed` if somebody wrote to the file meanwhile; the server's refusal;
    /// `server_unreachable`, or `no_answer` for a reader; `files_unavailable`.
    pub fn send(self) -> Result<Uploaded, Error> {
        let files = self.files?;
        files.wait(self.sending.run(files.clone()))
    }

    /// [`Upload::send`] for async code. Needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// As [`Upload::send`].
    pub async fn send_async(self) -> Result<Uploaded, Error> {
        self.sending.run(self.files?).await
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("place", &self.sending.place)
            .field("fields", &self.sending.fields)
            .finish_non_exhaustive()
    }
}
