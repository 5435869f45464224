//! The management API, as typed calls (clauses `API-*`): launching and watching from outside.
//!
//! What goes wrong is told apart by what the caller can do about it. Nothing is tried again
//! here, since a launch that was not answered may have happened; only following goes on through
//! restarts of the server, see [`Follower`]. What is given back has its text as it was sent
//! beside it, see [`Answer`].

mod calls;
mod files;
mod schedules;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use jobhook_protocol::operation::Definitions;
use jobhook_protocol::{ActionBody, Status};
use reqwest::header::HeaderValue;
use reqwest::{Client, Method, Url};
use serde::Serialize;

use crate::Error;
use crate::answer::Answer;
use crate::files::Watcher;
use crate::follow::Follower;
use crate::http;
use crate::launch::Launch;
use crate::page::{LinesPage, ListPage, ListQuery};

const JOBHOOK_URL: &str = "JOBHOOK_URL";
const JOBHOOK_TOKEN: &str = "JOBHOOK_TOKEN";
const DEFAULT_URL: &str = "http://127.0.0.1:8088";

/// Speaks to a server's management API. Needs a tokio runtime with its timer.
///
/// ```no_run
/// # async fn example() -> Result<(), jobhook::Error> {
/// use jobhook::{Launch, Launcher};
///
/// let launcher = Launcher::from_env()?;
/// let action = launcher.launch(&Launch::new("Resize").arguments(&["a.png"])?).await?;
/// let action = launcher.wait(&action.uuid).await?;
/// println!("{}: {:?}", action.status, action.results);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Launcher {
    http: Client,
    base: Url,
    token: Option<HeaderValue>,
    ca_file: Option<PathBuf>,
    /// Whether the server ever answered.
    met: Arc<AtomicBool>,
    /// Of the bytes that are moved.
    watcher: Option<Watcher>,
}

impl Launcher {
    /// Speaks to the server at `url`, such as `http://127.0.0.1:8088`.
    ///
    /// # Errors
    ///
    /// `invalid_setting` if it is no http or https address; `certificates_unusable`.
    pub fn new(url: &str) -> Result<Launcher, Error> {
        Launcher::at("the server's address", url, http::ca_file())
    }

    /// Speaks to the server that `JOBHOOK_URL` names, by default `http://127.0.0.1:8088`, with
    /// the token in `JOBHOOK_TOKEN` if there is one.
    ///
    /// # Errors
    ///
    /// As [`Launcher::from_variables`].
    pub fn from_env() -> Result<Launcher, Error> {
        let lookup = |name: &str| std::env::var(name).ok();
        Launcher::named_by(lookup, http::ca_file())
    }

    /// Takes `JOBHOOK_URL`, `JOBHOOK_TOKEN` and `JOBHOOK_CA_FILE` from `lookup` instead of the
    /// environment of the process. An empty value counts as none.
    ///
    /// # Errors
    ///
    /// `invalid_setting` names the variable, and does not show the token;
    /// `certificates_unusable` names the file.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Launcher, Error> {
        let ca_file = lookup(http::CA_FILE).filter(|value| !value.is_empty());
        Launcher::named_by(lookup, ca_file.map(PathBuf::from))
    }

    fn named_by(
        lookup: impl Fn(&str) -> Option<String>,
        ca_file: Option<PathBuf>,
    ) -> Result<Launcher, Error> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let url = set(JOBHOOK_URL);
        let mut launcher =
            Launcher::at(JOBHOOK_URL, url.as_deref().unwrap_or(DEFAULT_URL), ca_file)?;
        if let Some(token) = set(JOBHOOK_TOKEN) {
            launcher.set_token(JOBHOOK_TOKEN, &token)?;
        }
        Ok(launcher)
    }

    /// - `name`: what the token is called in a complaint.
    fn set_token(&mut self, name: &'static str, token: &str) -> Result<(), Error> {
        self.token = Some(bearer(name, token)?);
        // Two would be sent otherwise: a name and password in the address is one as well. Only an
        // address without a host can have none.
        let _ = self.base.set_username("");
        let _ = self.base.set_password(None);
        Ok(())
    }

    /// - `name`: what the address is called in a complaint.
    fn at(name: &'static str, url: &str, ca_file: Option<PathBuf>) -> Result<Launcher, Error> {
        let base = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Error::Setting {
                name,
                reason: format!("it must be an http or https address, such as {DEFAULT_URL}"),
            })?;
        Ok(Launcher {
            http: http::client(&base, ca_file.as_deref())?,
            base,
            token: None,
            ca_file,
            met: Arc::default(),
            watcher: None,
        })
    }

    /// Shows this token to the server.
    ///
    /// # Errors
    ///
    /// `invalid_setting` if it has characters that no token has; the token is not shown.
    pub fn token(mut self, token: &str) -> Result<Launcher, Error> {
        self.set_token("the token", token)?;
        Ok(self)
    }

    /// Trusts the certificates in this file (PEM) beside those of the machine. Without it the
    /// variable `JOBHOOK_CA_FILE` is asked.
    ///
    /// # Errors
    ///
    /// `certificates_unusable` names the file.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Result<Launcher, Error> {
        self.http = http::client(&self.base, Some(path.as_ref()))?;
        self.ca_file = Some(path.as_ref().to_owned());
        Ok(self)
    }

    /// Launches an action. It is stored when this returns.
    ///
    /// # Errors
    ///
    /// The server's refusal; `no_answer`, and then it may have been launched.
    pub async fn launch(&self, launch: &Launch) -> Result<Answer<ActionBody>, Error> {
        let url = self.url(&[]);
        self.call(self.request(Method::POST, url).json(launch))
            .await
    }

    /// Launches up to 1,000 actions: all of them, or none.
    ///
    /// # Errors
    ///
    /// As [`Launcher::launch`].
    pub async fn launch_many(&self, launches: &[Launch]) -> Result<Answer<Vec<ActionBody>>, Error> {
        let url = self.url(&[]);
        self.call(self.request(Method::POST, url).json(launches))
            .await
    }

    /// An action, with its history.
    ///
    /// # Errors
    ///
    /// `action_not_found`; as for every call.
    pub async fn show(&self, id: &str) -> Result<Answer<ActionBody>, Error> {
        let url = self.url(&[checked(id)?]);
        self.call(self.request(Method::GET, url)).await
    }

    /// The operations that may be launched, and the schemas of their inputs and outputs.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn operations(&self) -> Result<Answer<Definitions>, Error> {
        let mut url = self.url(&[]);
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop().push("operations");
        }
        self.call(self.request(Method::GET, url)).await
    }

    /// A page of the actions, newest first.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn list(&self, query: &ListQuery) -> Result<Answer<ListPage>, Error> {
        let mut url = self.url(&[]);
        {
            let mut pairs = url.query_pairs_mut();
            if !query.statuses.is_empty() {
                let words: Vec<_> = query.statuses.iter().map(Status::to_string).collect();
                pairs.append_pair("status", &words.join(","));
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

    /// The lines of an action's log with numbers above `after`, at most `limit` of them (1 to
    /// 10,000).
    ///
    /// # Errors
    ///
    /// As [`Launcher::show`].
    pub async fn lines(&self, id: &str, after: u64, limit: u32) -> Result<LinesPage, Error> {
        let mut url = self.url(&[checked(id)?, "logs"]);
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("limit", &limit.to_string());
        let text = self.ask(self.request(Method::GET, url)).await?;
        self.read(&text)
    }

    /// Waits until an action is final and its attempt closed, through restarts of the server.
    ///
    /// # Errors
    ///
    /// As [`Follower::next`].
    pub async fn wait(&self, id: &str) -> Result<Answer<ActionBody>, Error> {
        self.follow_end(id)?.end().await
    }

    /// Follows the log and the status of an action until it is over, from the first line on.
    ///
    /// # Errors
    ///
    /// `invalid_setting` if `id` cannot be one. Nothing is asked yet.
    pub fn follow(&self, id: &str) -> Result<Follower, Error> {
        Follower::after(self.clone(), id, 0)
    }

    /// The same from the line after number `after` on.
    ///
    /// # Errors
    ///
    /// As [`Launcher::follow`].
    pub fn follow_after(&self, id: &str, after: u64) -> Result<Follower, Error> {
        Follower::after(self.clone(), id, after)
    }

    /// Follows the status of an action until it is over, without its lines.
    ///
    /// # Errors
    ///
    /// As [`Launcher::follow`].
    pub fn follow_end(&self, id: &str) -> Result<Follower, Error> {
        Follower::of_the_end(self.clone(), id)
    }

    /// Asks for the end of an action.
    ///
    /// # Errors
    ///
    /// `already_final`; as [`Launcher::show`].
    pub async fn cancel(
        &self,
        id: &str,
        reason: Option<&str>,
    ) -> Result<Answer<ActionBody>, Error> {
        #[derive(Serialize)]
        struct Cancel<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
        }
        let url = self.url(&[checked(id)?, "cancel"]);
        self.call(self.request(Method::POST, url).json(&Cancel { reason }))
            .await
    }

    /// Launches a final action again, as a new one.
    ///
    /// # Errors
    ///
    /// `not_final`; as [`Launcher::show`].
    pub async fn retry(&self, id: &str) -> Result<Answer<ActionBody>, Error> {
        let url = self.url(&[checked(id)?, "retry"]);
        self.call(self.request(Method::POST, url)).await
    }
}

impl fmt::Debug for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launcher")
            .field("server", &self.server())
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// The header that shows a token.
///
/// - `name`: what the token is called in a complaint.
fn bearer(name: &'static str, token: &str) -> Result<HeaderValue, Error> {
    let token = token.trim();
    let refused = || Error::Setting {
        name,
        reason: "it has characters that no token has".to_owned(),
    };
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| refused())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Refuses what would be another address.
pub(crate) fn checked(id: &str) -> Result<&str, Error> {
    let dots = id.bytes().all(|byte| byte == b'.');
    if !dots && jobhook_protocol::signature::is_id(id.as_bytes()) {
        return Ok(id);
    }
    Err(Error::Setting {
        name: "the action's id",
        reason: "an id is 1 to 64 of A-Z a-z 0-9 . _ -".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["", "localhost:8088", "ftp://x", "http://"] {
            let error = Launcher::new(url).unwrap_err();
            assert_eq!(error.code(), "invalid_setting", "{url}");
        }
    }

    #[test]
    fn a_variable_that_is_wrong_is_named_and_a_token_not_shown() {
        for (wrong, value) in [
            ("JOBHOOK_URL", "localhost:8088"),
            ("JOBHOOK_TOKEN", "jh_secret\n2"),
        ] {
            let lookup = |name: &str| (name == wrong).then(|| value.to_owned());
            let error = Launcher::from_variables(lookup).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong} is invalid")), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let none = Launcher::from_variables(|_| Some(String::new())).unwrap();
        assert_eq!(none.server(), DEFAULT_URL);
    }

    #[test]
    fn an_id_that_leads_elsewhere_is_refused() {
        assert!(checked("..").is_err() && checked("a/b").is_err() && checked("").is_err());
        assert!(checked("019ab697-e800-7a3e-8b21-4d6f0e9c1a57").is_ok());
    }

    #[test]
    fn an_address_with_a_token_has_no_password() {
        let lookup = |name: &str| match name {
            "JOBHOOK_URL" => Some("http://me:pw@127.0.0.1:1".to_owned()),
            "JOBHOOK_TOKEN" => Some("jh_secret".to_owned()),
            _ => None,
        };
        let launcher = Launcher::from_variables(lookup).unwrap();
        assert_eq!(launcher.base.as_str(), "http://127.0.0.1:1/");
    }

    #[test]
    fn a_token_is_not_shown() {
        let launcher = Launcher::new("http://me:pw@127.0.0.1:1").unwrap();
        let launcher = launcher.token("jh_secret").unwrap();
        let shown = format!("{launcher:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("pw"),
            "{shown}"
        );
        let error = launcher.token("jh_secret\n2").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
