//! The files of a job and of what it was granted (clauses `FILE-*`, `UP-*`, `DOWN-*`).
//!
//! ```text
//! Upload ───▶ signed: open ──▶ bytes to the address of the answer ──▶ signed: close (v1)
//! Download ─▶ signed: where ─▶ bytes from there, again from where they broke off ─▶ compared
//! ```
//!
//! Read in this order: `upload` and `download` are what a program puts together; `sending` and
//! `fetching` are how that goes; `content` is what is sent, `arrival` what becomes of what comes.
//!
//! [`Files`] is what they share: how a request is signed, what an answer means, and the threads of
//! those who wait without async code. The headers that sign go to the hook and nowhere else.

mod arrival;
mod content;
mod download;
mod fetching;
mod file_name;
mod part;
mod place;
mod present;
mod sending;
mod tries;
mod upload;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jobhook_protocol::{Code, JobEnvironment, Problem};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, Response, StatusCode, Url};
use tokio::runtime::Runtime;

use crate::Error;
use crate::hook::{Hook, now_ms, signed, told_time};
use crate::http::{self, foreign, is_loopback, retry_after, shown, text_up_to, why};
use crate::sender::{Pace, mark_thread};

pub(crate) use arrival::{Arrival, Kept};
pub(crate) use content::{Feed, Source, on_thread};
pub(crate) use download::file_of;
pub use download::{Download, Downloaded};
pub(crate) use fetching::{Fetching, Target, directory_of};
pub use file_name::{local_names, local_names_of};
pub(crate) use part::PartFile;
pub(crate) use place::Place;
pub(crate) use present::{is_present, place_new};
pub(crate) use sending::{Sending, body_of};
pub use upload::{Upload, Uploaded};

use tries::Trouble;

/// An answer is a few fields, and never longer, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;
/// How long bytes may not move, or the answer to the last of them may take.
pub(crate) const IDLE: Duration = Duration::from_secs(120);

/// Told how many bytes were moved, and of how many, if that is known.
pub(crate) type Watcher = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// What the transfers of a job share.
pub(crate) struct Files {
    pub(crate) environment: JobEnvironment,
    pub(crate) pace: Pace,
    /// The address of the hook, without what may be secret in it.
    pub(crate) server: String,
    ca_file: Option<PathBuf>,
    answer_timeout: Duration,
    /// What to add to our clock to get the server's, in milliseconds.
    offset_ms: AtomicI64,
    /// For addresses with and without TLS, on this machine and elsewhere.
    clients: Mutex<Vec<((bool, bool), Client)>>,
    /// Of those who wait without one of their own.
    runtime: Mutex<Option<Runtime>>,
}

impl Files {
    pub(crate) fn new(
        environment: JobEnvironment,
        ca_file: Option<PathBuf>,
        pace: Pace,
        answer_timeout: Duration,
    ) -> Result<Files, Error> {
        Ok(Files {
            server: shown(&Hook::url(&environment)?)
                .trim_end_matches(crate::hook::TARGET)
                .to_owned(),
            environment,
            pace,
            ca_file,
            answer_timeout,
            offset_ms: AtomicI64::new(0),
            clients: Mutex::default(),
            runtime: Mutex::default(),
        })
    }

    /// Whether the server speaks v1.
    pub(crate) fn is_v1(&self) -> bool {
        self.environment.attempt.is_some()
    }

    /// Runs `work` and blocks this thread until it is done; in async code, too.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, result) = std::sync::mpsc::sync_channel(1);
        {
            let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
            if runtime.is_none() {
                *runtime = Some(start_runtime()?);
            }
            let running = runtime.as_ref().map(|runtime| {
                runtime.spawn(async move {
                    let _ = done.send(work.await);
                })
            });
            drop(running);
        }
        result
            .recv()
            .unwrap_or_else(|_| Err(Error::System("the transfer was given up".to_owned())))
    }

    /// Sends a signed request once, with the server's clock if it has to be learnt.
    ///
    /// - `target`: what follows the hook's address.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        target: &str,
        body: &Bytes,
    ) -> Result<String, Trouble> {
        match self.ask_once(method, target, body).await {
            Err(Trouble::Over(Error::Refused(problem))) => match told_time(&problem) {
                Some(server_time_ms) => {
                    let offset_ms = server_time_ms.saturating_sub(now_ms());
                    self.offset_ms.store(offset_ms, Ordering::Relaxed);
                    self.ask_once(method, target, body).await
                }
                None => Err(Error::Refused(problem).into()),
            },
            answer => answer,
        }
    }

    async fn ask_once(
        &self,
        method: &Method,
        target: &str,
        body: &Bytes,
    ) -> Result<String, Trouble> {
        let url = address(&format!("{}{target}", self.environment.hook))
            .ok_or_else(|| Error::System("the hook is no address".to_owned()))?;
        let time_ms = now_ms().saturating_add(self.offset_ms.load(Ordering::Relaxed));
        let request = self.client(&url)?.request(method.clone(), url);
        let request = request.timeout(self.answer_timeout);
        let line = (method.as_str(), target);
        let request = signed(request, &self.environment, time_ms, line, body);
        let request = if body.is_empty() {
            request
        } else {
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone())
        };
        let response = request
            .send()
            .await
            .map_err(|error| self.no_answer(why(error, self.answer_timeout)))?;
        self.judge(response, self.answer_timeout).await
    }

    /// The text of an answer that says yes.
    async fn judge(&self, response: Response, timeout: Duration) -> Result<String, Trouble> {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = tokio::time::timeout(timeout, text_up_to(response, LONGEST_ANSWER, timeout));
        let text = text
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", timeout.as_secs_f64())));
        let text = text.map_err(|cause| self.no_answer(cause))?;
        if status.is_success() {
            return Ok(text);
        }
        Err(self.refused(status, &headers, &text))
    }

    /// What an answer that says no means.
    fn refused(&self, status: StatusCode, headers: &HeaderMap, text: &str) -> Trouble {
        let problem = serde_json::from_str::<Problem>(text).ok().map(Box::new);
        let is = |code: Code| {
            let problem = problem.as_ref();
            problem.is_some_and(|problem| problem.code == code.as_str())
        };
        let again = is(Code::TokenExpired)
            || is(Code::UploadGone)
            || matches!(status.as_u16(), 408 | 425 | 429)
            // A full disk does not empty itself.
            || (status.is_server_error() && !is(Code::StorageFull));
        let is_mismatch = is(Code::ContentMismatch);
        let error = match problem {
            Some(problem) => Error::Refused(problem),
            None => foreign(self.server.clone(), status, headers),
        };
        if again {
            let after = retry_after(headers);
            Trouble::Again { error, after }
        } else if is_mismatch {
            Trouble::Mismatch(error)
        } else {
            Trouble::Over(error)
        }
    }

    fn no_answer(&self, cause: String) -> Trouble {
        Trouble::again(Error::NoAnswer {
            server: self.server.clone(),
            cause,
        })
    }

    /// The error for an answer that no server of jobs gives.
    fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::Foreign {
            server: self.server.clone(),
            status: StatusCode::OK.as_u16(),
            what: what.into(),
        }
    }

    /// The address of an answer, if bytes may be moved there.
    fn goal(&self, url: &str) -> Result<Url, Error> {
        address(url).ok_or_else(|| self.unexpected("an address that is neither http nor https"))
    }

    fn client(&self, url: &Url) -> Result<Client, Error> {
        let kind = (url.scheme() == "https", is_loopback(url));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == kind) {
            return Ok(client.clone());
        }
        let client = http::client(url, self.ca_file.as_deref())?;
        clients.push((kind, client.clone()));
        Ok(client)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut();
        if let Some(runtime) = runtime.unwrap_or_else(PoisonError::into_inner).take() {
            // It may be dropped where nothing may block.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

fn start_runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("jobhook-files")
        .on_thread_start(mark_thread)
        .enable_all()
        .build()
        .map_err(|error| Error::System(format!("no event loop: {error}")))
}

fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

/// How many bytes moved, for those who watch and for those who wait.
pub(crate) struct Moved {
    bytes: AtomicU64,
    of: Option<u64>,
    watcher: Option<Watcher>,
}

impl Moved {
    pub(crate) fn new(of: Option<u64>, watcher: Option<Watcher>) -> Arc<Moved> {
        let moved = Moved {
            bytes: AtomicU64::new(0),
            of,
            watcher,
        };
        moved.tell(0);
        Arc::new(moved)
    }

    pub(crate) fn add(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell(before + bytes);
    }

    fn tell(&self, bytes: u64) {
        if let Some(watcher) = &self.watcher {
            watcher(bytes, self.of);
        }
    }

    /// Waits for `work`, but not once nothing moves any more.
    pub(crate) async fn unless_idle<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            let before = self.bytes.load(Ordering::Relaxed);
            match tokio::time::timeout(IDLE, &mut work).await {
                Ok(done) => return Some(done),
                Err(_) if self.bytes.load(Ordering::Relaxed) == before => return None,
                Err(_) => {}
            }
        }
    }
}
