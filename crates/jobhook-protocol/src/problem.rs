//! How a server refuses (clauses `ERR-*`): RFC 9457 problem details with a stable code.
//!
//! A code is a promise: it is listed in `docs/protocol.md` and never changes its meaning.
//! The texts are for people and may change.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = ($status:literal, $word:literal, $title:literal);)+) => {
        /// A stable code of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word,)+ }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)+ }
            }

            /// What it means, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }
        }
    };
}

codes! {
    /// A signing header is not there.
    MissingHeader = (401, "missing_header", "A signing header is missing");
    /// A signing header came twice.
    RepeatedHeader = (401, "repeated_header", "A signing header was sent more than once");
    /// A signing header has the wrong form.
    MalformedHeader = (401, "malformed_header", "A signing header is malformed");
    /// The time of signing is too far from the server's.
    ClockSkew = (401, "clock_skew", "The time of signing is outside the window");
    /// Unknown id, wrong hash or wrong signature: all alike.
    BadSignature = (403, "bad_signature", "The request is not signed by a job of this action");
    /// This request counts only with a `v1` signature.
    SignatureRequired = (403, "signature_required", "The request needs a v1 signature");
    /// A newer attempt has begun.
    AttemptSuperseded = (403, "attempt_superseded", "A newer attempt of the action has begun");
    /// The attempt is closed.
    AttemptClosed = (403, "attempt_closed", "The attempt is closed");
    /// The body is over the limit.
    BodyTooLarge = (413, "body_too_large", "The body is too large");
    /// The body is not in UTF-8.
    UnsupportedCharset = (415, "unsupported_charset", "The body must be UTF-8");
    /// The body is not a JSON object within the depth limit.
    MalformedBody = (400, "malformed_body", "The body is malformed");
    /// No such status.
    UnknownStatus = (400, "unknown_status", "There is no such status");
    /// A status that only the server sets.
    StatusNotAllowed = (400, "status_not_allowed", "A job may not report this status");
    /// A field has a value it cannot have.
    InvalidField = (400, "invalid_field", "A field is invalid");
    /// The state machine does not allow it.
    IllegalTransition = (409, "illegal_transition", "The action's status does not allow this");
    /// Too far from what was applied of this reporter.
    SeqOutOfWindow = (409, "seq_out_of_window", "The report's seq is outside the window");
    /// No such file, or none that this job may use.
    FileNotFound = (404, "file_not_found", "There is no such file for this job");
    /// No token, or none for this request.
    InvalidToken = (403, "invalid_token", "The address has no token for this request");
    /// The address is too old.
    TokenExpired = (403, "token_expired", "The address has expired");
    /// The bytes are not those that were announced.
    ContentMismatch = (400, "content_mismatch", "The bytes are not those that were announced");
    /// The bytes came too slowly.
    TooSlow = (408, "too_slow", "The bytes came too slowly");
    /// The uploaded bytes are not there any more.
    UploadGone = (410, "upload_gone", "The uploaded bytes are not there any more");
    /// One file is over the limit.
    FileTooLarge = (413, "file_too_large", "The file is too large");
    /// Too many files, or bytes, in one object.
    QuotaExceeded = (413, "quota_exceeded", "The files are too many or too large");
    /// A range beyond the end.
    UnsatisfiableRange = (416, "unsatisfiable_range", "The range lies beyond the end");
    /// The server has no room for files.
    StorageFull = (507, "storage_full", "The server has no room");
    /// No, or no known, token.
    Unauthenticated = (401, "unauthenticated", "A valid token is required");
    /// The token lacks the scope.
    ScopeRequired = (403, "scope_required", "The token lacks the scope");
    /// Without tokens only loopback names are served.
    ForeignHost = (403, "foreign_host", "The Host header is not a loopback name");
    /// Without tokens no web page is served.
    OriginRefused = (403, "origin_refused", "Requests from web pages are refused");
    /// The API takes JSON.
    UnsupportedMediaType = (415, "unsupported_media_type", "The body must be application/json");
    /// A field that the API does not know.
    UnknownField = (400, "unknown_field", "A field is unknown");
    /// A query parameter is wrong.
    InvalidParameter = (400, "invalid_parameter", "A parameter is invalid");
    /// No such action.
    ActionNotFound = (404, "action_not_found", "There is no such action");
    /// No such operation.
    UnknownOperation = (404, "unknown_operation", "There is no such operation");
    /// The claims of who asks do not fit the operation's permission.
    NotPermitted = (403, "not_permitted", "The operation's permission forbids this");
    /// The input does not fit the operation's schema.
    InvalidInput = (400, "invalid_input", "The input does not fit the operation's schema");
    /// The results do not fit the operation's schema.
    InvalidOutput = (422, "invalid_output", "The results do not fit the operation's schema");
    /// An operation was launched as a plain type.
    OperationNeedsInput = (400, "operation_needs_input", "An operation is launched with operationId and input");
    /// Not a time that an action can be scheduled for.
    InvalidTime = (400, "invalid_time", "The scheduled time is invalid");
    /// Cancel of a final action.
    AlreadyFinal = (409, "already_final", "The action is already final");
    /// Retry of a live action.
    NotFinal = (409, "not_final", "The action is not final yet");
    /// No such schedule.
    ScheduleNotFound = (404, "schedule_not_found", "There is no such schedule");
    /// A schedule whose times or name make no sense.
    InvalidSchedule = (400, "invalid_schedule", "The schedule is invalid");
    /// A schedule that stands in the configuration.
    ScheduleConfigured = (409, "schedule_configured", "The schedule is the configuration's");
    /// Resume of a schedule that is not paused.
    ScheduleNotPaused = (409, "schedule_not_paused", "The schedule is not paused");
    /// Run of a schedule whose last action is not over.
    ScheduleOverlap = (409, "schedule_overlap", "An action of the schedule is not over");
    /// No runner takes the type.
    NoRunner = (409, "no_runner", "No runner takes the type");
    /// No such address.
    NotFound = (404, "not_found", "There is nothing at this address");
    /// The address does not know the method.
    MethodNotAllowed = (405, "method_not_allowed", "The method is not allowed here");
    /// The store did not answer.
    StoreUnavailable = (503, "store_unavailable", "The store is unavailable");
    /// A fault of the server.
    Internal = (500, "internal", "The server failed");
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The body of a refusal, `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `https://jobhook.dev/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code; a client branches on this and on nothing else.
    pub code: String,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// Members that some codes add, such as `serverTime` or `action`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// A refusal with `code`, explained by `detail`.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("https://jobhook.dev/problems/{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code: code.as_str().to_owned(),
            detail: detail.into(),
            more: Map::new(),
        }
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}
