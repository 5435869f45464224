//! The management API, as typed calls (clauses `API-*`).
//!
//! Every answer comes with its text as it was sent, because `--json` prints that and nothing
//! else. What goes wrong is told apart by what the caller can do about it; nothing is tried
//! again here.

use std::time::Duration;

use clap::Args;
use jobhook_protocol::{ActionBody, Code, Json, LogLineBody, Problem};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::exit::{Exit, Failure};
use super::http::{chain, client, is_loopback, shown};
use crate::config::Surroundings;

const DEFAULT_URL: &str = "http://127.0.0.1:8088";
/// How long an answer may take, streams excepted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the server is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServerOptions {
    /// The server's address [env: JOBHOOK_URL] [default: http://127.0.0.1:8088]
    ///
    /// A token, if the server wants one, is read from the variable JOBHOOK_TOKEN.
    #[arg(long, value_name = "URL", global = false)]
    pub(crate) url: Option<String>,
}

/// A server's management API.
#[derive(Debug)]
pub(crate) struct Api {
    http: Client,
    base: Url,
    token: Option<HeaderValue>,
}

/// An answer, read and as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer<T> {
    pub(crate) body: T,
    pub(crate) text: String,
}

/// What to launch.
#[derive(Debug, Serialize)]
pub(crate) struct LaunchBody {
    #[serde(rename = "type")]
    pub(crate) action_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arguments: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u32>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<serde_json::Number>,
}

/// Which actions to list.
#[derive(Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) statuses: Vec<String>,
    pub(crate) action_type: Option<String>,
    pub(crate) limit: Option<u32>,
    pub(crate) cursor: Option<String>,
}

/// A page of the list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListBody {
    pub(crate) actions: Vec<ActionBody>,
    #[serde(default)]
    pub(crate) next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LinesBody {
    lines: Vec<Json>,
}

/// A log line, read and as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) body: LogLineBody,
    pub(crate) text: String,
}

/// Why a call did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No answer, or one that broke off.
    #[error("cannot reach {server}: {cause}\n{}", how_to_reach(server, *.local))]
    Unreachable {
        server: String,
        /// The whole chain of causes.
        cause: String,
        local: bool,
    },
    /// A refusal in the words of the protocol.
    #[error("{} ({})", .0.detail, .0.code)]
    Refused(Box<Problem>),
    /// A refusal in other words: a proxy's, or another kind of server's.
    #[error("{server} answered {status}, and not as a jobhook server does: check the address")]
    Foreign { server: String, status: StatusCode },
    /// An answer that cannot be read.
    #[error("{server} answered something unexpected: {what}")]
    Unexpected { server: String, what: String },
}

fn how_to_reach(server: &str, local: bool) -> String {
    if local {
        "start a server with `jobhook serve`, or name another one in JOBHOOK_URL".to_owned()
    } else {
        format!("see whether it answers at all: `curl -sS {server}/healthz`")
    }
}

impl ApiError {
    /// Whether the same call may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        let later = |status: u16| status >= 500 || status == 408 || status == 429;
        match self {
            ApiError::Unreachable { .. } => true,
            ApiError::Refused(problem) => later(problem.status),
            ApiError::Foreign { status, .. } => later(status.as_u16()),
            ApiError::Unexpected { .. } => false,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        let exit = match &error {
            ApiError::Unreachable { .. } => Exit::Unreachable,
            ApiError::Refused(problem) => denied(problem.status),
            ApiError::Foreign { status, .. } => denied(status.as_u16()),
            ApiError::Unexpected { .. } => Exit::Other,
        };
        let no_token = matches!(&error, ApiError::Refused(problem) if problem.code == Code::Unauthenticated.as_str());
        if no_token {
            return Failure::new(
                exit,
                format_args!("{error}; the token is read from JOBHOOK_TOKEN"),
            );
        }
        Failure::new(exit, error)
    }
}

fn denied(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        _ => Exit::Other,
    }
}

impl Api {
    /// The API of the server that is named by the flag, by `JOBHOOK_URL`, or by nobody.
    ///
    /// # Errors
    ///
    /// [`Exit::Usage`] if an address or a token cannot be one.
    pub(crate) fn new(
        options: &ServerOptions,
        surroundings: &Surroundings,
    ) -> Result<Api, Failure> {
        let (source, text) = match (&options.url, surroundings.get("JOBHOOK_URL")) {
            (Some(url), _) => ("--url", url.as_str()),
            (None, Some(url)) => ("JOBHOOK_URL", url),
            (None, None) => ("the default", DEFAULT_URL),
        };
        let base = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Failure::usage(format_args!(
                    "{source}: this is not an http or https address, such as {DEFAULT_URL}"
                ))
            })?;
        let token = surroundings.get("JOBHOOK_TOKEN").map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| Failure::usage("JOBHOOK_TOKEN has characters that no token has"))?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        });
        Ok(Api {
            http: client(&base).map_err(|error| Failure::new(Exit::Other, error))?,
            base,
            token: token.transpose()?,
        })
    }

    /// The server's address, for messages.
    pub(crate) fn server(&self) -> String {
        shown(&self.base)
    }

    pub(crate) async fn launch(&self, body: &LaunchBody) -> Result<Answer<ActionBody>, ApiError> {
        let url = self.url(&[]);
        self.call(self.request(Method::POST, url).json(body)).await
    }

    pub(crate) async fn action(&self, id: &str) -> Result<Answer<ActionBody>, ApiError> {
        self.call(self.request(Method::GET, self.url(&[id]))).await
    }

    pub(crate) async fn list(&self, query: &ListQuery) -> Result<Answer<ListBody>, ApiError> {
        let mut url = self.url(&[]);
        {
            let mut pairs = url.query_pairs_mut();
            if !query.statuses.is_empty() {
                pairs.append_pair("status", &query.statuses.join(","));
            }
            if let Some(action_type) = &query.action_type {
                pairs.append_pair("type", action_type);
            }
            if let Some(limit) = query.limit {
                pairs.append_pair("limit", &limit.to_string());
            }
            if let Some(cursor) = &query.cursor {
                pairs.append_pair("cursor", cursor);
            }
        }
        self.call(self.request(Method::GET, url)).await
    }

    /// The lines after number `after`, at most `limit`.
    pub(crate) async fn lines(
        &self,
        id: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Line>, ApiError> {
        let mut url = self.url(&[id, "logs"]);
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("limit", &limit.to_string());
        let page: Answer<LinesBody> = self.call(self.request(Method::GET, url)).await?;
        page.body
            .lines
            .iter()
            .map(|line| self.line(line.as_str()))
            .collect()
    }

    /// Opens the stream of events after line `after`. `None` if the server, or something
    /// between, does not stream.
    pub(crate) async fn events(&self, id: &str, after: u64) -> Result<Option<Response>, ApiError> {
        let mut request = self
            .unlimited(Method::GET, self.url(&[id, "logs"]))
            .header(ACCEPT, "text/event-stream");
        if after > 0 {
            request = request.header("Last-Event-ID", after);
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        if response.status() == StatusCode::NOT_ACCEPTABLE {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let streams = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        Ok(streams.then_some(response))
    }

    pub(crate) async fn cancel(
        &self,
        id: &str,
        reason: Option<&str>,
    ) -> Result<Answer<ActionBody>, ApiError> {
        #[derive(Serialize)]
        struct Cancel<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
        }
        let url = self.url(&[id, "cancel"]);
        self.call(self.request(Method::POST, url).json(&Cancel { reason }))
            .await
    }

    pub(crate) async fn retry(&self, id: &str) -> Result<Answer<ActionBody>, ApiError> {
        let url = self.url(&[id, "retry"]);
        self.call(self.request(Method::POST, url)).await
    }

    /// Reads the text of a line.
    pub(crate) fn line(&self, text: &str) -> Result<Line, ApiError> {
        Ok(Line {
            body: self.read(text)?,
            text: text.to_owned(),
        })
    }

    /// Reads the text of an answer or an event.
    pub(crate) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, ApiError> {
        serde_json::from_str(text).map_err(|error| ApiError::Unexpected {
            server: self.server(),
            what: error.to_string(),
        })
    }

    pub(crate) fn unreachable(&self, error: reqwest::Error) -> ApiError {
        ApiError::Unreachable {
            server: self.server(),
            cause: chain(&error.without_url()),
            local: is_loopback(&self.base),
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "v1", "actions"])
                .extend(path);
        }
        url.set_query(None);
        url
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.unlimited(method, url).timeout(ANSWER_TIMEOUT)
    }

    fn unlimited(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<Answer<T>, ApiError> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let text = response
            .text()
            .await
            .map_err(|error| self.unreachable(error))?;
        Ok(Answer {
            body: self.read(&text)?,
            text,
        })
    }

    async fn refusal(&self, response: Response) -> ApiError {
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => ApiError::Refused(Box::new(problem)),
            Err(_) => ApiError::Foreign {
                server: self.server(),
                status,
            },
        }
    }
}

/// Takes a word from the command line as an action's id.
pub(crate) fn action_id(text: &str) -> Result<String, String> {
    let dots = text.bytes().all(|byte| byte == b'.');
    if !dots && jobhook_protocol::signature::is_id(text.as_bytes()) {
        Ok(text.to_owned())
    } else {
        Err("an id is 1 to 64 of A-Z a-z 0-9 . _ -".to_owned())
    }
}
