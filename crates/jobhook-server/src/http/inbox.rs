//! A request's body: read within limits, or let go of without harm to the connection.
//!
//! A server that answers and closes while the other side still sends makes it lose the
//! answer. So a body that nobody read is drained beside the answer, into nothing and within
//! bounds; what goes beyond them costs the connection.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use jobhook_protocol::Code;
use tokio::time::{Instant, timeout, timeout_at};

use super::refusal::{Answered, Refused};

/// How much of an unwanted body is taken, in bytes.
const DRAIN: usize = 32 << 20;

/// How long an unwanted body may pause.
const DRAIN_STALL: Duration = Duration::from_secs(5);

/// The least that must come within a [`Pace`]'s window, in bytes.
const LEAST: u64 = 32 << 10;

/// How much is set aside for a body on its sender's word, in bytes.
const TRUSTED: usize = 64 << 10;

/// The body of one request.
#[derive(Debug)]
pub(super) struct Inbox {
    /// `None` once there is nothing left to read, or nothing worth it.
    body: Option<BodyDataStream>,
    /// The sender waits to be asked for it, so it does not come unless it is read.
    asked_for: bool,
}

impl Inbox {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Inbox {
        Inbox {
            body: (!body.is_end_stream()).then(|| body.into_data_stream()),
            asked_for: !headers.contains_key(header::EXPECT),
        }
    }

    pub(super) fn of(request: Request) -> Inbox {
        let (parts, body) = request.into_parts();
        Inbox::new(&parts.headers, body)
    }

    /// Whether there may be something to read.
    pub(super) fn may_hold_something(&self) -> bool {
        self.body.is_some()
    }

    /// Reads all of it.
    ///
    /// - `limit`: in bytes; a longer body is refused as soon as that is known.
    /// - `stall`: how long it may pause.
    pub(super) async fn read(&mut self, limit: usize, stall: Duration) -> Answered<Vec<u8>> {
        let Some(body) = &mut self.body else {
            return Ok(Vec::new());
        };
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large(limit));
        }
        self.asked_for = true;
        let mut bytes = Vec::with_capacity(announced.min(TRUSTED));
        loop {
            let chunk = match timeout(stall, body.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(None) => {
                    self.body = None;
                    return Ok(bytes);
                }
                Ok(Some(Err(_))) => {
                    self.body = None;
                    return Err(cut(
                        "the body ended before its end, or its chunks are malformed",
                    ));
                }
                Err(_) => {
                    self.body = None;
                    let seconds = stall.as_secs_f64();
                    return Err(cut(&format!("the body paused for more than {seconds} s")));
                }
            };
            if bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    /// How many bytes there are, if that was said.
    pub(super) fn announced(&self) -> Option<u64> {
        match &self.body {
            Some(body) => body.size_hint().exact(),
            None => Some(0),
        }
    }

    /// The next piece of it, and nothing at its end.
    pub(super) async fn next(&mut self, pace: &mut Pace) -> Answered<Option<Bytes>> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        self.asked_for = true;
        loop {
            match timeout_at(pace.until, body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    pace.came += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Ok(None) => {
                    self.body = None;
                    return Ok(None);
                }
                Ok(Some(Err(_))) => {
                    self.body = None;
                    return Err(cut(
                        "the body ended before its end, or its chunks are malformed",
                    ));
                }
                Err(_) if pace.came >= LEAST => pace.begin_again(),
                Err(_) => {
                    self.body = None;
                    let (came, seconds) = (pace.came, pace.window.as_secs_f64());
                    let detail = format!(
                        "{came} bytes came within {seconds} s; {LEAST} are the least that is waited for"
                    );
                    return Err(Refused::new(Code::TooSlow, detail).closing());
                }
            }
        }
    }
}

/// How fast a body must come that is read piece by piece (clause `UP-8`).
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    until: Instant,
    came: u64,
}

impl Pace {
    /// At least [`LEAST`] bytes within each `window`, unless the body ends.
    pub(super) fn within(window: Duration) -> Pace {
        Pace {
            window,
            until: Instant::now() + window,
            came: 0,
        }
    }

    fn begin_again(&mut self) {
        *self = Pace::within(self.window);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|_| self.asked_for) else {
            return;
        };
        // Without a runtime nobody waits for an answer any more.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(DRAIN_TIME, drain(body)));
        }
    }
}

/// How long a body that nobody reads is taken in all.
const DRAIN_TIME: Duration = Duration::from_secs(30);

async fn drain(mut body: BodyDataStream) {
    let mut taken = 0;
    while taken < DRAIN
        && let Ok(Some(Ok(chunk))) = timeout(DRAIN_STALL, body.next()).await
    {
        taken += chunk.len();
    }
}

fn too_large(limit: usize) -> Refused {
    let detail = format!("the body has more than {limit} bytes, which is the limit here");
    Refused::new(Code::BodyTooLarge, detail)
}

fn cut(detail: &str) -> Refused {
    Refused::new(Code::MalformedBody, detail).closing()
}

/// The charset that a content type names: the first that is not UTF-8, if one is not.
pub(super) fn foreign_charset(headers: &HeaderMap) -> Option<String> {
    let types = headers.get_all(header::CONTENT_TYPE).iter();
    for value in types {
        let text = String::from_utf8_lossy(value.as_bytes());
        for parameter in text.split(';').skip(1) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
                return Some(value.to_owned());
            }
        }
    }
    None
}

/// Whether the body is said to be JSON; `None` if nothing is said.
pub(super) fn says_json(headers: &HeaderMap) -> Option<bool> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let essence = |value: &[u8]| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
    };
    let first = types.next()?;
    Some(essence(first.as_bytes()) && types.all(|value| essence(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(content_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())])
    }

    #[test]
    fn utf_8_is_taken_in_any_spelling_and_nothing_else() {
        for utf_8 in [
            "application/json",
            "text/plain; charset=utf-8",
            "application/json;charset=UTF-8",
            "x; a=b; Charset=\"Utf-8\"",
            "nonsense",
        ] {
            assert_eq!(foreign_charset(&headers(utf_8)), None, "{utf_8}");
        }
        for (other, charset) in [
            ("application/json; charset=latin1", "latin1"),
            ("a; charset=utf-8; charset=utf-16", "utf-16"),
            ("a; charset=", ""),
            ("a; charset=utf8", "utf8"),
        ] {
            assert_eq!(foreign_charset(&headers(other)).as_deref(), Some(charset));
        }
        assert_eq!(foreign_charset(&HeaderMap::new()), None);
    }

    #[test]
    fn json_is_json_whatever_its_parameters() {
        assert_eq!(
            says_json(&headers("Application/JSON; charset=utf-8")),
            Some(true)
        );
        assert_eq!(says_json(&headers("text/plain")), Some(false));
        assert_eq!(says_json(&headers("application/jsonp")), Some(false));
        assert_eq!(says_json(&HeaderMap::new()), None);
    }
}
