//! How a download goes: where the file is, its bytes, again from where they broke off.
//!
//! What has arrived stays, and the rest is asked for with `Range` and `If-Range`, as long as the
//! server says that it is the same. Nothing has its name before it was compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jobhook_protocol::{DownloadAnswer, FileMap};
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::arrival::{Arrival, Kept};
use super::content::on_thread;
use super::download::Downloaded;
use super::file_name::local_name;
use super::present::{is_present, place_new};
use super::tries::{Tries, Trouble};
use super::{Files, IDLE, Moved, Place, Watcher};
use crate::Error;
use crate::http::why;

/// What is downloaded.
pub(crate) struct Fetching {
    pub(crate) place: Place,
    pub(crate) index: u64,
    pub(crate) watcher: Option<Watcher>,
}

/// Where it goes.
pub(crate) enum Target {
    Memory,
    /// A file of this path, over what is there.
    File(PathBuf),
    /// A file of this path, where nothing is, or the same.
    New(PathBuf),
    /// A new one in this directory, under the name that it has.
    Directory(PathBuf),
    /// A file in this directory, named after its MD5; if it is there, it is not fetched.
    ByHash(PathBuf),
}

/// What came, and where it is.
pub(crate) enum Fetched {
    Bytes(Vec<u8>),
    File(Downloaded),
}

/// The bytes that are there, and the tag of what they are a part of.
struct Begun {
    arrival: Arrival,
    map: FileMap,
    tag: Option<String>,
}

impl Fetching {
    /// What the server says about the file.
    pub(crate) async fn look(self, files: Arc<Files>) -> Result<FileMap, Error> {
        let target = self.place.download_target(self.index)?;
        let mut tries = Tries::new(&files.pace);
        loop {
            match locate(&files, &target).await {
                Ok(answer) => return Ok(answer.map),
                Err(trouble) => tries.pause(&files.server, trouble).await?,
            }
        }
    }

    pub(crate) async fn run(self, files: Arc<Files>, target: Target) -> Result<Fetched, Error> {
        let at = self.place.download_target(self.index)?;
        let mut tries = Tries::new(&files.pace);
        let mut begun = None;
        loop {
            let before = offset(&begun);
            let tried = self.fetch(&files, &at, &target, &mut begun).await;
            match tried {
                Ok(fetched) => return Ok(fetched),
                Err(trouble) => {
                    if offset(&begun) > before {
                        tries.progressed();
                    }
                    tries.pause(&files.server, trouble).await?;
                }
            }
        }
    }

    async fn fetch(
        &self,
        files: &Files,
        at: &str,
        target: &Target,
        begun: &mut Option<Begun>,
    ) -> Result<Fetched, Trouble> {
        let answer = locate(files, at).await?;
        let map = answer.map;
        let path = target.path(&map);
        if begun.is_none()
            && let Some(path) = &path
            && target.has(path, &map).await?
        {
            let (path, already) = (path.clone(), true);
            return Ok(Fetched::File(Downloaded {
                path,
                file: map,
                already,
            }));
        }
        let directory = path.as_deref().map(directory_of);
        let part = match begun.take().filter(|part| part.map == map) {
            Some(part) => part,
            None => Begun {
                arrival: Arrival::begin(&map, directory),
                map,
                tag: None,
            },
        };
        let part = begun.insert(part);
        let url = files.goal(&answer.location)?;
        let mut request = files.client(&url)?.get(url);
        let mut asked = 0;
        if let Some(tag) = &part.tag
            && part.arrival.offset > 0
        {
            asked = part.arrival.offset;
            request = request
                .header(RANGE, format!("bytes={asked}-"))
                .header(IF_RANGE, tag);
        }
        let response = tokio::time::timeout(IDLE, request.send()).await;
        let response = response
            .map_err(|_| idle(files))?
            .map_err(|error| files.no_answer(why(error, IDLE)))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(response.headers(), asked) && asked > 0 => {}
            StatusCode::OK => {
                if part.arrival.offset > 0 {
                    part.arrival = Arrival::begin(&part.map, directory);
                }
                part.tag = strong_tag(response.headers());
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // What is there is no part of it; it begins anew.
                *begun = None;
                return Err(files.no_answer("there is no such range of it".to_owned()));
            }
            status if status.is_success() => {
                let what = format!("{status} for the bytes");
                return Err(files.unexpected(what).into());
            }
            _ => {
                return match files.judge(response, IDLE).await {
                    Err(trouble) => Err(trouble),
                    Ok(_) => Err(files.unexpected("no bytes").into()),
                };
            }
        }
        self.receive(files, response, part).await?;
        match begun.take() {
            Some(part) => finish(files, part, path, target.replaces()).await,
            None => Err(files.unexpected("no bytes").into()),
        }
    }

    /// Takes the bytes of an answer, all of them.
    async fn receive(
        &self,
        files: &Files,
        mut response: Response,
        part: &mut Begun,
    ) -> Result<(), Trouble> {
        let size = part.map.size;
        let moved = Moved::new(size, self.watcher.clone());
        moved.add(part.arrival.offset);
        loop {
            let piece = tokio::time::timeout(IDLE, response.chunk()).await;
            let piece: Option<Bytes> = piece
                .map_err(|_| idle(files))?
                .map_err(|error| files.no_answer(why(error, IDLE)))?;
            let Some(piece) = piece else { break };
            let more = piece.len() as u64;
            if size.is_some_and(|size| part.arrival.offset + more > size) {
                // What is there is of no use, whatever else would come.
                break;
            }
            // One that cannot be kept says why at the end.
            if !part.arrival.take(piece).await {
                return Ok(());
            }
            moved.add(more);
        }
        match size {
            Some(size) if part.arrival.offset < size => {
                Err(files.no_answer(format!("{size} bytes were announced, and it ended before")))
            }
            _ => Ok(()),
        }
    }
}

/// Compares what came, and gives it its name.
async fn finish(
    files: &Files,
    part: Begun,
    path: Option<PathBuf>,
    replaces: bool,
) -> Result<Fetched, Trouble> {
    let Begun { arrival, map, .. } = part;
    let arrived = arrival.end().await?;
    if let Err(reason) = arrived.compare(&map) {
        return Err(Trouble::Mismatch(Error::Mismatch {
            server: files.server.clone(),
            reason,
        }));
    }
    match (arrived.kept, path) {
        (Kept::Memory(bytes), _) => Ok(Fetched::Bytes(bytes)),
        (Kept::Part(part), Some(path)) => {
            let to = path.clone();
            match replaces {
                true => on_thread(move || part.rename(&to)).await?,
                false => place_new(part, &to, &map).await?,
            }
            Ok(Fetched::File(Downloaded {
                path,
                file: map,
                already: false,
            }))
        }
        (Kept::Part(_), None) => Err(Error::System("a file without a name".to_owned()).into()),
    }
}

impl Target {
    fn path(&self, map: &FileMap) -> Option<PathBuf> {
        let hash = map.hash.to_string();
        match self {
            Target::Memory => None,
            Target::File(path) | Target::New(path) => Some(path.clone()),
            Target::Directory(directory) => {
                Some(directory.join(local_name(map.name.as_deref(), &hash)))
            }
            Target::ByHash(directory) => Some(directory.join(hash)),
        }
    }

    /// Whether it is at `path` already.
    async fn has(&self, path: &Path, map: &FileMap) -> Result<bool, Error> {
        match self {
            Target::ByHash(_) => Ok(path.exists()),
            Target::New(_) | Target::Directory(_) => is_present(path, map).await,
            Target::Memory | Target::File(_) => Ok(false),
        }
    }

    /// Whether it takes the place of what has its name. A name that is a hash is its own.
    fn replaces(&self) -> bool {
        matches!(self, Target::File(_) | Target::ByHash(_))
    }
}

pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn offset(begun: &Option<Begun>) -> u64 {
    begun.as_ref().map_or(0, |part| part.arrival.offset)
}

fn idle(files: &Files) -> Trouble {
    files.no_answer(format!("nothing moved for {} s", IDLE.as_secs()))
}

async fn locate(files: &Files, target: &str) -> Result<DownloadAnswer, Trouble> {
    let text = files.ask(&Method::GET, target, &Bytes::new()).await?;
    serde_json::from_str(&text).map_err(|error| {
        files
            .unexpected(format!("something unexpected ({error})"))
            .into()
    })
}

/// A tag that stays the same as long as every byte does.
fn strong_tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?;
    tag.starts_with('"').then(|| tag.to_owned())
}

fn begins_at(headers: &HeaderMap, offset: u64) -> bool {
    let range = headers
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next());
    first.and_then(|first| first.parse().ok()) == Some(offset)
}
