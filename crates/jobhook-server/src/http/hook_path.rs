//! Where the hook is served, and what of a request's address is signed there.

use std::str::FromStr;

use axum::http::Uri;

/// The hook's own path, such as `/async`: it begins with a slash and does not end with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookPath(String);

/// Why a text is no path for the hook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHookPath {
    /// Not of the form.
    #[error(
        "`{0}` is no path for the hook: it must be segments of A-Z a-z 0-9 . _ ~ - that each begin with a slash, such as `/async`"
    )]
    Malformed(String),
    /// The server answers something else there.
    #[error("`{0}` cannot be the hook's path: the server answers something else there")]
    Taken(String),
}

/// The first segments of what else is served.
const TAKEN: [&str; 4] = ["api", "healthz", "readyz", ".well-known"];

impl HookPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where reports go.
    pub(super) fn status(&self) -> String {
        format!("{}/status", self.0)
    }

    /// Where an upload is opened and closed.
    pub(super) fn upload(&self) -> String {
        format!("{}/upload/{{store}}/{{uuid}}/{{property}}", self.0)
    }

    /// Where the bytes of an upload go.
    pub(super) fn upload_data(&self) -> String {
        format!("{}/upload/data", self.0)
    }

    /// Where a job asks for a file.
    pub(super) fn download(&self) -> String {
        format!(
            "{}/download/{{store}}/{{uuid}}/{{property}}/{{index}}",
            self.0
        )
    }

    /// Where the bytes of a file are.
    pub(super) fn download_data(&self) -> String {
        format!("{}/download/data", self.0)
    }

    /// Where an operation is launched.
    pub(super) fn operation(&self) -> String {
        format!("{}/{{operation}}", self.0)
    }

    /// The part of a request's address that is signed: path and query after the hook's own
    /// path, as sent (clause `SIG-10`).
    pub(super) fn target<'a>(&self, uri: &'a Uri) -> &'a str {
        let sent = uri.path_and_query().map_or("", |target| target.as_str());
        sent.strip_prefix(&self.0).unwrap_or(sent)
    }
}

impl Default for HookPath {
    fn default() -> HookPath {
        HookPath("/async".into())
    }
}

impl FromStr for HookPath {
    type Err = BadHookPath;

    fn from_str(text: &str) -> Result<HookPath, BadHookPath> {
        let plain = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
        };
        let mut segments = text.split('/');
        let rest = segments.clone().skip(1);
        if segments.next() != Some("") || rest.clone().next().is_none() || !rest.clone().all(plain)
        {
            return Err(BadHookPath::Malformed(text.to_owned()));
        }
        if rest
            .clone()
            .next()
            .is_some_and(|first| TAKEN.contains(&first))
        {
            return Err(BadHookPath::Taken(text.to_owned()));
        }
        Ok(HookPath(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_plain_segments_and_is_free() {
        assert_eq!("/async".parse(), Ok(HookPath::default()));
        assert!("/jobs/v-1/hook".parse::<HookPath>().is_ok());
        for text in [
            "", "/", "async", "/async/", "//async", "/a/{b}", "/a?b", "/a/../b", "/é",
        ] {
            let malformed = BadHookPath::Malformed(text.to_owned());
            assert_eq!(text.parse::<HookPath>(), Err(malformed));
        }
        for text in ["/api", "/api/v2", "/healthz", "/.well-known/x"] {
            let taken = BadHookPath::Taken(text.to_owned());
            assert_eq!(text.parse::<HookPath>(), Err(taken));
        }
    }

    #[test]
    fn the_target_is_what_follows_the_hook_as_it_was_sent() {
        let hook = HookPath::default();
        for (uri, target) in [
            ("/async/status", "/status"),
            ("/async", ""),
            ("/async?a=%2F", "?a=%2F"),
            ("http://server/async/status?x", "/status?x"),
        ] {
            assert_eq!(hook.target(&uri.parse().unwrap()), target);
        }
    }
}
