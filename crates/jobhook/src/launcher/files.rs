//! Files from outside: what an action is launched with, and what it left (clauses `API-20` to
//! `API-24`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jobhook_protocol::file::OCTET_STREAM;
use jobhook_protocol::{FileBody, FileMap, StagedBody};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::io::AsyncRead;

use super::{Launcher, checked};
use crate::Error;
use crate::answer::Answer;
use crate::files::{
    Arrival, Feed, IDLE, Kept, Moved, PartFile, Source, body_of, directory_of, is_present,
    on_thread, place_new,
};
use crate::http;
use crate::launch::LaunchFile;
use crate::page::FilesPage;

impl Launcher {
    /// Calls `watcher` with how many bytes of an upload or a download were moved, and of how many,
    /// if that is known: often, and from other threads, so it should return at once.
    #[must_use]
    pub fn on_progress(
        mut self,
        watcher: impl Fn(u64, Option<u64>) + Send + Sync + 'static,
    ) -> Launcher {
        self.watcher = Some(Arc::new(watcher));
        self
    }

    /// Uploads a file that an action is to be launched with, under the name that it has here. It
    /// is good for one launch, within an hour.
    ///
    /// # Errors
    ///
    /// `file_unreadable`; `content_mismatch` if other bytes arrived; the server's refusal.
    pub async fn upload(&self, path: impl Into<PathBuf>) -> Result<LaunchFile, Error> {
        let path = path.into();
        let name = path.file_name();
        let name = name.map(|name| name.to_string_lossy().into_owned());
        self.stage(Source::Path(path), name).await
    }

    /// [`Launcher::upload`] of bytes, which have no name unless they are given one.
    ///
    /// # Errors
    ///
    /// As [`Launcher::upload`].
    pub async fn upload_bytes(&self, bytes: impl Into<Bytes>) -> Result<LaunchFile, Error> {
        self.stage(Source::Bytes(bytes.into()), None).await
    }

    /// [`Launcher::upload`] of what can be read, which has no name unless it is given one.
    ///
    /// # Errors
    ///
    /// As [`Launcher::upload`].
    pub async fn upload_reader(
        &self,
        reader: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<LaunchFile, Error> {
        self.stage(Source::Reader(Box::new(reader)), None).await
    }

    async fn stage(&self, source: Source, name: Option<String>) -> Result<LaunchFile, Error> {
        let mut content = source.open().await?;
        let size = content.size();
        let Feed { pieces, fed } = content.feed();
        let moved = Moved::new(size, self.watcher.clone());
        let mut request = self
            .unlimited(Method::POST, self.url_of("files", &[]))
            .header(CONTENT_TYPE, OCTET_STREAM)
            .body(body_of(pieces, moved.clone()));
        if let Some(size) = size {
            request = request.header(CONTENT_LENGTH, size);
        }
        let sent = moved.unless_idle(self.ask(request)).await;
        let fed = fed
            .await
            .unwrap_or_else(|error| Err(Error::System(error.to_string())))?;
        let text = sent.ok_or_else(|| self.idle())??;
        let staged: StagedBody = self.read(&text)?;
        if staged.sha256 != fed.sha256 {
            return Err(Error::Mismatch {
                server: self.server(),
                reason: format!("the SHA-256 of what arrived is {}", staged.sha256),
            });
        }
        Ok(LaunchFile::new(staged.receipt, name))
    }

    /// A page of the files of an action: what it was launched with and what it left.
    ///
    /// - `cursor`: the `next` of the page before.
    ///
    /// # Errors
    ///
    /// As [`Launcher::show`].
    pub async fn files(&self, id: &str, cursor: Option<&str>) -> Result<Answer<FilesPage>, Error> {
        let mut url = self.url(&[checked(id)?, "files"]);
        if let Some(cursor) = cursor {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        self.call(self.request(Method::GET, url)).await
    }

    /// [`Launcher::download`] where nothing has this name; if the same file is there, nothing is
    /// downloaded. For names that are somebody else's choice.
    ///
    /// # Errors
    ///
    /// `file_exists` if something else is there, which is left alone; as [`Launcher::download`].
    pub async fn download_new(
        &self,
        id: &str,
        file: &FileBody,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let map = map_of(file);
        if is_present(path, &map).await? {
            return Ok(());
        }
        place_new(self.fetch(id, file, path).await?, path, &map).await
    }

    /// Downloads a file of an action, over what is at `path`. It has that name once it is there
    /// whole and was compared.
    ///
    /// # Errors
    ///
    /// `file_not_found`; `content_mismatch`; `file_unwritable`; as [`Launcher::show`].
    pub async fn download(
        &self,
        id: &str,
        file: &FileBody,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let (part, to) = (self.fetch(id, file, path).await?, path.to_owned());
        on_thread(move || part.rename(&to)).await
    }

    /// All of it, compared, beside where it is to be.
    async fn fetch(&self, id: &str, file: &FileBody, path: &Path) -> Result<PartFile, Error> {
        let index = file.index.to_string();
        let url = self.url(&[checked(id)?, "files", &file.property, &index]);
        let map = map_of(file);
        let mut response = self.bytes(url).await?;
        let mut arrival = Arrival::begin(&map, Some(directory_of(path)));
        let moved = Moved::new(map.size, self.watcher.clone());
        loop {
            let piece = tokio::time::timeout(IDLE, response.chunk()).await;
            let piece = piece
                .map_err(|_| self.idle())?
                .map_err(|error| self.no_answer(error))?;
            let Some(piece) = piece else { break };
            let more = piece.len() as u64;
            if !arrival.take(piece).await {
                break;
            }
            moved.add(more);
        }
        let arrived = arrival.end().await?;
        arrived.compare(&map).map_err(|reason| Error::Mismatch {
            server: self.server(),
            reason,
        })?;
        match arrived.kept {
            Kept::Part(part) => Ok(part),
            Kept::Memory(_) => Err(Error::System("a file that is in memory only".to_owned())),
        }
    }

    /// The answer that has the bytes, from wherever the server says that they are.
    async fn bytes(&self, url: Url) -> Result<Response, Error> {
        let sent = tokio::time::timeout(IDLE, self.unlimited(Method::GET, url).send()).await;
        let response = sent
            .map_err(|_| self.idle())?
            .map_err(|error| self.no_answer(error))?;
        if response.status() == StatusCode::TEMPORARY_REDIRECT {
            let location = response.headers().get(LOCATION);
            let there = location
                .and_then(|location| Url::parse(location.to_str().ok()?).ok())
                .ok_or_else(|| self.foreign("a redirect to no address"))?;
            // Without the token: it is for this server only.
            let client = http::client(&there, self.ca_file.as_deref())?;
            let sent = tokio::time::timeout(IDLE, client.get(there).send()).await;
            let response = sent
                .map_err(|_| self.idle())?
                .map_err(|error| self.no_answer(error))?;
            return self.successful(response).await;
        }
        self.successful(response).await
    }

    async fn successful(&self, response: Response) -> Result<Response, Error> {
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.found();
        Ok(response)
    }

    fn idle(&self) -> Error {
        Error::NoAnswer {
            server: self.server(),
            cause: format!("nothing moved for {} s", IDLE.as_secs()),
        }
    }
}

/// What is known of it, for the comparison.
fn map_of(file: &FileBody) -> FileMap {
    FileMap {
        hash: file.md5,
        mimetype: file.mimetype.clone(),
        metadata: jobhook_protocol::file::no_metadata(),
        name: None,
        size: Some(file.size),
        sha256: Some(file.sha256),
    }
}
