//! A file that a job takes, chosen and fetched.

use std::path::PathBuf;
use std::sync::Arc;

use jobhook_protocol::FileMap;

use super::fetching::{Fetched, Fetching, Target};
use super::{Files, Place};
use crate::{Error, Job};

/// A download, made by [`Job::download`]. Unless told otherwise it is of the `inputs` of the
/// job's own action.
#[must_use = "nothing is fetched before `to_file` or one of its like"]
pub struct Download {
    /// Keeps the job open.
    _job: Job,
    files: Result<Arc<Files>, Error>,
    fetching: Fetching,
}

/// What was downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// What the server says about it. Its name is no path.
    pub file: FileMap,
    /// Whether it was there before, so that nothing was fetched.
    pub already: bool,
}

impl Job {
    /// A file that the action has, by its number from 0.
    ///
    /// ```no_run
    /// # let job = jobhook::Job::from_env()?;
    /// let input = job.download(0).to_directory(".")?;
    /// job.log(format!("counting {}", input.path.display()))?;
    /// # Ok::<(), jobhook::Error>(())
    /// ```
    pub fn download(&self, index: u64) -> Download {
        Download::new(self, index)
    }
}

impl Download {
    fn new(job: &Job, index: u64) -> Download {
        Download {
            files: job.files(),
            fetching: Fetching {
                place: Place::own(job, "inputs"),
                index,
                watcher: None,
            },
            _job: job.clone(),
        }
    }

    /// From another property of the same object, such as `outputs`.
    pub fn from(mut self, property: impl Into<String>) -> Download {
        self.fetching.place.property = property.into();
        self
    }

    /// From a property of another object, which the launch must have granted.
    pub fn from_object(
        mut self,
        store: impl Into<String>,
        uuid: impl Into<String>,
        property: impl Into<String>,
    ) -> Download {
        self.fetching.place = Place {
            store: store.into(),
            uuid: uuid.into(),
            property: property.into(),
        };
        self
    }

    /// Calls `watcher` with how many bytes arrived, and of how many, if that is known: often, and
    /// from other threads, so it should return at once.
    pub fn on_progress(
        mut self,
        watcher: impl Fn(u64, Option<u64>) + Send + Sync + 'static,
    ) -> Download {
        self.fetching.watcher = Some(Arc::new(watcher));
        self
    }

    /// What the server says about it: name, size, hashes, metadata. Nothing is fetched.
    ///
    /// # Errors
    ///
    /// `file_not_found`; as [`Download::to_file`].
    pub fn look(self) -> Result<FileMap, Error> {
        let files = self.files?;
        files.wait(self.fetching.look(files.clone()))
    }

    /// [`Download::look`] for async code.
    ///
    /// # Errors
    ///
    /// As [`Download::look`].
    pub async fn look_async(self) -> Result<FileMap, Error> {
        self.fetching.look(self.files?).await
    }

    /// Fetches it into a file of this name; what has that name is replaced, in one step, once all
    /// of it is there and is what the server announced. What breaks off is asked for from there on,
    /// as long as the job is [patient](crate::JobBuilder::patience).
    ///
    /// # Errors
    ///
    /// `file_not_found` and other refusals of the server; `file_unwritable`; `content_mismatch` if
    /// other bytes arrive, three times; `server_unreachable`; `files_unavailable`.
    pub fn to_file(self, path: impl Into<PathBuf>) -> Result<Downloaded, Error> {
        self.wait(Target::File(path.into()))
    }

    /// [`Download::to_file`] for async code. Needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// As [`Download::to_file`].
    pub async fn to_file_async(self, path: impl Into<PathBuf>) -> Result<Downloaded, Error> {
        self.run(Target::File(path.into())).await
    }

    /// [`Download::to_file`] where nothing has this name. If the same file is there, nothing is
    /// fetched.
    ///
    /// # Errors
    ///
    /// `file_exists` if something else is there, which is left alone; as [`Download::to_file`].
    pub fn to_new_file(self, path: impl Into<PathBuf>) -> Result<Downloaded, Error> {
        self.wait(Target::New(path.into()))
    }

    /// [`Download::to_new_file`] for async code. Needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// As [`Download::to_new_file`].
    pub async fn to_new_file_async(self, path: impl Into<PathBuf>) -> Result<Downloaded, Error> {
        self.run(Target::New(path.into())).await
    }

    /// Fetches it into a directory, which must be there, under the name that the file has at the
    /// server, or its MD5 where that has none that can be used. That name is somebody else's
    /// choice, so nothing is replaced: see [`Download::to_new_file`].
    ///
    /// # Errors
    ///
    /// As [`Download::to_new_file`].
    pub fn to_directory(self, path: impl Into<PathBuf>) -> Result<Downloaded, Error> {
        self.wait(Target::Directory(path.into()))
    }

    /// [`Download::to_directory`] for async code. Needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// As [`Download::to_new_file`].
    pub async fn to_directory_async(self, path: impl Into<PathBuf>) -> Result<Downloaded, Error> {
        self.run(Target::Directory(path.into())).await
    }

    /// Fetches it into memory.
    ///
    /// # Errors
    ///
    /// As [`Download::to_file`].
    pub fn bytes(self) -> Result<Vec<u8>, Error> {
        let files = self.files?;
        let fetching = self.fetching.run(files.clone(), Target::Memory);
        files.wait(async move { bytes_of(fetching.await?) })
    }

    /// [`Download::bytes`] for async code. Needs a tokio runtime with its timer.
    ///
    /// # Errors
    ///
    /// As [`Download::to_file`].
    pub async fn bytes_async(self) -> Result<Vec<u8>, Error> {
        bytes_of(self.fetching.run(self.files?, Target::Memory).await?)
    }

    fn wait(self, target: Target) -> Result<Downloaded, Error> {
        let files = self.files?;
        let fetching = self.fetching.run(files.clone(), target);
        files.wait(async move { file_of(fetching.await?) })
    }

    async fn run(self, target: Target) -> Result<Downloaded, Error> {
        file_of(self.fetching.run(self.files?, target).await?)
    }
}

pub(crate) fn file_of(fetched: Fetched) -> Result<Downloaded, Error> {
    match fetched {
        Fetched::File(downloaded) => Ok(downloaded),
        Fetched::Bytes(_) => Err(Error::System("a file without a name".to_owned())),
    }
}

fn bytes_of(fetched: Fetched) -> Result<Vec<u8>, Error> {
    match fetched {
        Fetched::Bytes(bytes) => Ok(bytes),
        Fetched::File(_) => Err(Error::System("a name for what has none".to_owned())),
    }
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("place", &self.fetching.place)
            .field("index", &self.fetching.index)
            .finish_non_exhaustive()
    }
}
