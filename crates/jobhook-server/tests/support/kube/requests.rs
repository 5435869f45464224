//! Who asked the API server for what, and when.

use std::time::Instant;

use serde_json::Value;

use super::target::Target;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    /// As roles name it: `get`, `list`, `watch`, `create`, …
    pub(crate) verb: &'static str,
    /// As roles name it: `pods`, `pods/log`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: Option<String>,
    pub(crate) query: String,
    /// What was sent; null if nothing was.
    pub(crate) body: Value,
    /// The status of the answer; none before it, and where there was none.
    pub(crate) code: Option<u16>,
    /// Whether the answer is still under way: that of a watch or of a log that is followed.
    pub(crate) open: bool,
}

/// All requests, in their order.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<Request>);

impl Requests {
    /// Notes one, and returns its place.
    pub(crate) fn note(&mut self, target: &Target, query: &str, body: &[u8]) -> usize {
        self.0.push(Request {
            at: Instant::now(),
            verb: target.verb,
            resource: target.role_resource(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            query: query.to_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            code: None,
            open: true,
        });
        self.0.len() - 1
    }

    pub(crate) fn answered(&mut self, place: usize, code: u16) {
        self.0[place].code = Some(code);
    }

    pub(crate) fn ended(&mut self, place: usize) {
        self.0[place].open = false;
    }

    pub(crate) fn all(&self) -> &[Request] {
        &self.0
    }
}
