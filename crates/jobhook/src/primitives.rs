//! The original's primitives: one report, sent as it is given, and its answer as it came.
//!
//! For programs that were written for the original's `job.py`, whose functions other faces of
//! this crate offer under their names. Nothing is numbered, gathered or sent again here; a
//! [`Job`](crate::Job) does all of that.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jobhook_protocol::signature::{JOB_HASH, JOB_ID, JOB_TIME};
use jobhook_protocol::{FileFields, JobEnvironment, Json, sign_webda};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};

use crate::Error;
use crate::files::{
    Downloaded, Fetching, Files, Place, Sending, Source, Target, Uploaded, file_of,
};
use crate::hook::{Hook, LONGEST_ANSWER, TARGET, now_ms, signed};
use crate::http::{self, shown, text_up_to, why};
use crate::sender::Pace;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends what it is given, once each time, over one connection.
#[derive(Clone)]
pub struct Primitives {
    environment: JobEnvironment,
    http: Client,
    url: Url,
    files: Arc<Files>,
}

/// What the hook answered, whatever that is.
#[derive(Clone, Debug)]
pub struct PlainAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
}

impl Primitives {
    /// Speaks for the job of this environment.
    ///
    /// # Errors
    ///
    /// `invalid_variable` if the hook is no address; `certificates_unusable`.
    pub fn new(environment: JobEnvironment) -> Result<Primitives, Error> {
        let url = Hook::url(&environment)?;
        let ca_file = http::ca_file();
        Ok(Primitives {
            http: http::client(&url, ca_file.as_deref())?,
            files: Arc::new(Files::new(
                environment.clone(),
                ca_file,
                Pace::of_one_try(),
                ANSWER_TIMEOUT,
            )?),
            environment,
            url,
        })
    }

    /// The job that it speaks for.
    pub fn environment(&self) -> &JobEnvironment {
        &self.environment
    }

    /// The address of the hook, without what may be secret in it.
    pub fn server(&self) -> String {
        shown(&self.url)
    }

    /// The headers that sign a request of the original, with the time of now.
    pub fn headers(environment: &JobEnvironment) -> [(&'static str, String); 3] {
        let time = now_ms().to_string();
        let hash = sign_webda(&environment.secret_key, &time);
        [
            (JOB_ID, environment.id.clone()),
            (JOB_TIME, time),
            (JOB_HASH, hash),
        ]
    }

    /// Posts `body` to the hook; `None` is a request without a body. It is signed as the
    /// server knows it: the body too, where the environment has an attempt.
    ///
    /// # Errors
    ///
    /// `no_answer`, and then it may have been applied. An answer that says no is no error.
    pub async fn send_status(&self, body: Option<&Json>) -> Result<PlainAnswer, Error> {
        let body = body.map_or("", Json::as_str);
        let request = self.http.post(self.url.clone()).timeout(ANSWER_TIMEOUT);
        let request = signed(
            request,
            &self.environment,
            now_ms(),
            ("POST", TARGET),
            body.as_bytes(),
        );
        let request = if body.is_empty() {
            request
        } else {
            request
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_owned())
        };
        let no_answer = |cause| Error::NoAnswer {
            server: self.server(),
            cause,
        };
        let response = request
            .send()
            .await
            .map_err(|error| no_answer(why(error, ANSWER_TIMEOUT)))?;
        let status = response.status().as_u16();
        let text = text_up_to(response, LONGEST_ANSWER, ANSWER_TIMEOUT).await;
        Ok(PlainAnswer {
            status,
            text: text.map_err(no_answer)?,
        })
    }
}

impl Primitives {
    /// Fetches a file into the directory `dirpath`, where it is named after its MD5, and tells
    /// where it is. If such a file is there, nothing is fetched. A file has its name once all of it
    /// is there and is what the server announced.
    ///
    /// # Errors
    ///
    /// The server's refusal; `no_answer`; `file_unwritable`; `content_mismatch`.
    pub async fn download_from(
        &self,
        store: &str,
        uuid: &str,
        property: &str,
        index: u64,
        dirpath: &Path,
    ) -> Result<Downloaded, Error> {
        let fetching = Fetching {
            place: Place::new(store, uuid, property),
            index,
            watcher: None,
        };
        let target = Target::ByHash(dirpath.to_owned());
        file_of(fetching.run(self.files.clone(), target).await?)
    }

    /// Leaves a file with the server, without a name, unless the server has it already.
    ///
    /// # Errors
    ///
    /// The server's refusal; `no_answer`; `file_unreadable`; `file_changed`.
    pub async fn upload_to(
        &self,
        store: &str,
        uuid: &str,
        property: &str,
        filepath: impl Into<PathBuf>,
        metadata: Option<Json>,
    ) -> Result<Uploaded, Error> {
        let sending = Sending {
            place: Place::new(store, uuid, property),
            source: Source::Path(filepath.into()),
            fields: FileFields {
                metadata,
                ..FileFields::default()
            },
            watcher: None,
        };
        sending.run(self.files.clone()).await
    }
}

impl fmt::Debug for Primitives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Primitives")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Behaviour, FakeHook};

    fn send(primitives: &Primitives, body: Option<&str>) -> Result<PlainAnswer, Error> {
        let body = body.map(|text| Json::from_text(text.to_owned()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(primitives.send_status(body.as_ref()))
    }

    #[test]
    fn a_report_goes_as_it_is_given_in_both_profiles() {
        for attempt in [None, Some(1)] {
            let hook = FakeHook::start().unwrap();
            let environment = JobEnvironment {
                attempt,
                ..hook.environment()
            };
            hook.set_environment(environment.clone());
            let primitives = Primitives::new(environment).unwrap();
            let body = r#"{"status":"RUNNING","results":{"text":"<&é"},"logs":["a"]}"#;
            let answer = send(&primitives, Some(body)).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(hook.lines(), ["a"]);
            assert_eq!(hook.results().unwrap()["text"], "<&é");
        }
    }

    #[test]
    fn a_refusal_is_an_answer_and_silence_an_error() {
        let hook = FakeHook::start().unwrap();
        let primitives = Primitives::new(hook.environment()).unwrap();
        let refused = send(&primitives, Some(r#"{"status":"TIMEOUT"}"#)).unwrap();
        assert!(refused.status >= 400, "{refused:?}");
        assert!(refused.text.contains("\"code\""), "{refused:?}");
        hook.behave(Behaviour::CutBefore);
        assert_eq!(send(&primitives, None).unwrap_err().code(), "no_answer");
    }

    #[test]
    fn the_headers_are_those_of_the_original() {
        let hook = FakeHook::start().unwrap();
        let headers = Primitives::headers(&hook.environment());
        let names = headers.each_ref().map(|(name, _)| *name);
        assert_eq!(names, ["X-Job-Id", "X-Job-Time", "X-Job-Hash"]);
        let [_, (_, time), (_, hash)] = &headers;
        assert_eq!(*hash, sign_webda(&hook.environment().secret_key, time));
    }
}
