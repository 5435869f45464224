//! How a call is made, and how its answer is read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jobhook_protocol::Problem;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::Launcher;
use crate::Error;
use crate::answer::Answer;
use crate::http::{foreign, shown, text_up_to, why};

/// How long an answer may take, streams excepted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A page of 1,000 lines is the longest answer, in bytes.
const LONGEST_ANSWER: usize = 256 << 20;
const LONGEST_REFUSAL: usize = 1 << 20;

impl Launcher {
    /// Opens the stream of events after line `after`. `None` if the server, or something
    /// between, does not stream.
    pub(crate) async fn events(&self, id: &str, after: u64) -> Result<Option<Response>, Error> {
        let mut request = self
            .unlimited(Method::GET, self.url(&[id, "logs"]))
            .header(ACCEPT, "text/event-stream");
        if after > 0 {
            request = request.header("Last-Event-ID", after);
        }
        // Only the beginning of the answer is limited: the stream lasts as long as the action.
        let response = match tokio::time::timeout(ANSWER_TIMEOUT, request.send()).await {
            Ok(response) => response.map_err(|error| self.no_answer(error))?,
            Err(_) => {
                return Err(Error::NoAnswer {
                    server: self.server(),
                    cause: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
                });
            }
        };
        if response.status() == StatusCode::NOT_ACCEPTABLE {
            self.found();
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        self.found();
        let streams = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        Ok(streams.then_some(response))
    }

    /// Reads the text of an answer or an event.
    pub(crate) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|error| self.unexpected(&error))
    }

    /// Reads the text of an answer or an event, and keeps it.
    pub(crate) fn answer<T: DeserializeOwned>(&self, text: String) -> Result<Answer<T>, Error> {
        Answer::read(text).map_err(|error| self.unexpected(&error))
    }

    fn unexpected(&self, error: &serde_json::Error) -> Error {
        self.foreign(&format!("something unexpected ({error})"))
    }

    /// The error for an answer that no jobhook server gives.
    pub(crate) fn foreign(&self, what: &str) -> Error {
        Error::Foreign {
            server: self.server(),
            status: StatusCode::OK.as_u16(),
            what: what.to_owned(),
        }
    }

    /// Whether the server ever answered; one that never did is not waited for.
    pub(crate) fn has_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    pub(super) fn found(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    /// The server's address, for messages.
    pub(crate) fn server(&self) -> String {
        shown(&self.base)
    }

    pub(super) fn no_answer(&self, error: reqwest::Error) -> Error {
        Error::NoAnswer {
            server: self.server(),
            cause: why(error, ANSWER_TIMEOUT),
        }
    }

    pub(super) fn url(&self, path: &[&str]) -> Url {
        self.url_of("actions", path)
    }

    pub(super) fn url_of(&self, what: &str, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "v1", what])
                .extend(path);
        }
        url.set_query(None);
        url
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.unlimited(method, url).timeout(ANSWER_TIMEOUT)
    }

    pub(super) fn unlimited(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Answer<T>, Error> {
        let text = self.ask(request).await?;
        self.answer(text)
    }

    /// The text of the answer to a request, if it is not a refusal.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<String, Error> {
        let response = request
            .send()
            .await
            .map_err(|error| self.no_answer(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(self.refusal(response).await);
        }
        let text = text_up_to(response, LONGEST_ANSWER, ANSWER_TIMEOUT).await;
        let text = text.map_err(|cause| Error::NoAnswer {
            server: self.server(),
            cause,
        })?;
        if text.trim_start().starts_with('<') {
            return Err(foreign(self.server(), status, &headers));
        }
        self.found();
        Ok(text)
    }

    pub(super) async fn refusal(&self, response: Response) -> Error {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = text_up_to(response, LONGEST_REFUSAL, ANSWER_TIMEOUT);
        // A stream has no time of its own.
        let text = match tokio::time::timeout(ANSWER_TIMEOUT, text).await {
            Ok(Ok(text)) => text,
            _ => String::new(),
        };
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Error::Refused(Box::new(problem)),
            Err(_) => foreign(self.server(), status, &headers),
        }
    }
}
