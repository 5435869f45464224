//! The only place where a refusal becomes HTTP (clauses `ERR-*`).
//!
//! Errors come in by meaning and go out as problem details with a code that clients may branch
//! on. What only the operator needs is logged here, once; the client learns nothing of it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobhook_engine::EngineError;
use jobhook_engine::blob::BlobError;
use jobhook_engine::files::FilesError;
use jobhook_engine::hook::Disbelief;
use jobhook_engine::store::StoreError;
use jobhook_engine::write::Refusal;
use jobhook_protocol::action::STOP;
use jobhook_protocol::{Code, FileError, HeaderError, JsonError, Problem, ReportError};

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Refused {
    code: Code,
    problem: Box<Problem>,
    closes: bool,
}

/// What a handler gives.
pub(super) type Answered<T = Response> = Result<T, Refused>;

impl Refused {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Refused {
        Refused {
            code,
            problem: Box::new(Problem::new(code, detail)),
            closes: false,
        }
    }

    /// A fault of the server that has been logged.
    pub(super) fn internal() -> Refused {
        Refused::new(Code::Internal, "the server failed; its log says why")
    }

    /// Tells the job to end itself.
    fn with_stop(self) -> Refused {
        self.with("action", STOP)
    }

    /// Adds a member.
    pub(super) fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Refused {
        *self.problem = self.problem.with(name, value);
        self
    }

    /// Ends the connection as well: what follows on it cannot be read any more.
    pub(super) fn closing(mut self) -> Refused {
        self.closes = true;
        self
    }

    /// Refuses a report. Unlike at the API, nobody learns here that an action is not there.
    pub(super) fn of_report(error: EngineError) -> Refused {
        match error {
            EngineError::Refused(Refusal::NotFound) => Disbelief::BadSignature.into(),
            error => error.into(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        let mut say = |name, value| {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value))
        };
        match (self.code, status) {
            (Code::Unauthenticated, _) => say(header::WWW_AUTHENTICATE, "Bearer"),
            (_, StatusCode::UNAUTHORIZED) => say(header::WWW_AUTHENTICATE, "Jobhook"),
            (_, StatusCode::SERVICE_UNAVAILABLE) => say(header::RETRY_AFTER, "1"),
            _ => None,
        };
        if self.closes {
            say(header::CONNECTION, "close");
        }
        response
    }
}

impl From<HeaderError> for Refused {
    fn from(error: HeaderError) -> Refused {
        Refused::new(error.code(), error.to_string())
    }
}

impl From<Disbelief> for Refused {
    fn from(error: Disbelief) -> Refused {
        let text = error.to_string();
        match error {
            Disbelief::BadSignature => Refused::new(Code::BadSignature, text),
            Disbelief::Superseded { .. } => Refused::new(Code::AttemptSuperseded, text).with_stop(),
            Disbelief::Closed { .. } => Refused::new(Code::AttemptClosed, text).with_stop(),
            Disbelief::ClockSkew { now, .. } => {
                Refused::new(Code::ClockSkew, text).with("serverTime", now.0)
            }
            Disbelief::SignatureRequired => Refused::new(Code::SignatureRequired, text),
            Disbelief::Store(error) => error.into(),
        }
    }
}

impl From<ReportError> for Refused {
    fn from(error: ReportError) -> Refused {
        Refused::new(error.code(), error.to_string())
    }
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Refused {
        Refused::new(error.code(), error.to_string())
    }
}

impl From<FilesError> for Refused {
    fn from(error: FilesError) -> Refused {
        let text = error.to_string();
        match error {
            FilesError::NotFound | FilesError::Refused(Refusal::NotFound | Refusal::NoObject) => {
                Refused::new(Code::FileNotFound, FilesError::NotFound.to_string())
            }
            FilesError::SignatureRequired => Refused::new(Code::SignatureRequired, text),
            FilesError::InvalidToken => Refused::new(Code::InvalidToken, text),
            FilesError::TokenExpired => Refused::new(Code::TokenExpired, text),
            FilesError::Over(disbelief) => disbelief.into(),
            FilesError::Mismatch(_) => Refused::new(Code::ContentMismatch, text),
            FilesError::TooLarge { .. } => Refused::new(Code::FileTooLarge, text),
            FilesError::NoRoom(_) => Refused::new(Code::StorageFull, text),
            FilesError::Busy => Refused::new(Code::StoreUnavailable, text),
            FilesError::Gone => Refused::new(Code::UploadGone, text),
            FilesError::Refused(refusal) => refusal.into(),
            FilesError::Blob(error) => error.into(),
            FilesError::Store(error) => error.into(),
            // Logged where the batch failed.
            FilesError::Write(failure) => unlogged(failure.error()),
        }
    }
}

impl From<BlobError> for Refused {
    fn from(error: BlobError) -> Refused {
        tracing::error!(error = %chain(&error), "The file storage failed a request");
        match error {
            BlobError::Full(_) => Refused::new(Code::StorageFull, error.to_string()),
            BlobError::Unavailable(_) => Refused::new(
                Code::StoreUnavailable,
                "the file storage did not answer; send the request again later",
            ),
            _ => Refused::internal(),
        }
    }
}

impl From<JsonError> for Refused {
    fn from(error: JsonError) -> Refused {
        Refused::new(Code::MalformedBody, error.to_string())
    }
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Refused {
        match error {
            EngineError::Refused(refusal) => refusal.into(),
            EngineError::Cron(_)
            | EngineError::ScheduleName(_)
            | EngineError::ScheduleEndsFirst => {
                Refused::new(Code::InvalidSchedule, error.to_string())
            }
            EngineError::NoRunner(_) => Refused::new(Code::NoRunner, error.to_string()),
            EngineError::NotFinal(_) => Refused::new(Code::NotFinal, error.to_string()),
            EngineError::Store(error) => error.into(),
            // Logged where the batch failed.
            EngineError::Write(failure) => unlogged(failure.error()),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        let text = refusal.to_string();
        match refusal {
            Refusal::NotFound => Refused::new(Code::ActionNotFound, "there is no such action"),
            Refusal::Illegal(_) | Refusal::SaidOtherwise { .. } => {
                Refused::new(Code::IllegalTransition, text)
            }
            Refusal::Superseded { .. } => Refused::new(Code::AttemptSuperseded, text).with_stop(),
            Refusal::Closed => Refused::new(Code::AttemptClosed, text).with_stop(),
            Refusal::SeqOutOfWindow { .. } => Refused::new(Code::SeqOutOfWindow, text),
            Refusal::AlreadyFinal(_) => Refused::new(Code::AlreadyFinal, text),
            Refusal::NoSchedule => Refused::new(Code::ScheduleNotFound, text),
            Refusal::Configured => Refused::new(Code::ScheduleConfigured, text),
            Refusal::NotPaused => Refused::new(Code::ScheduleNotPaused, text),
            Refusal::Overlaps { .. } | Refusal::QueueFull { .. } => {
                Refused::new(Code::ScheduleOverlap, text)
            }
            Refusal::NoContent => Refused::new(Code::UploadGone, text),
            Refusal::NoObject => Refused::new(Code::FileNotFound, text),
            Refusal::TooManyFiles { .. } | Refusal::TooManyBytes { .. } => {
                Refused::new(Code::QuotaExceeded, text)
            }
            Refusal::ScheduleMoved
            | Refusal::Exists
            | Refusal::NotGone
            | Refusal::StaleOffset { .. } => {
                tracing::error!(
                    error = text,
                    "A request was refused for what only the server does"
                );
                Refused::internal()
            }
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Refused {
        tracing::error!(error = %chain(&error), "The store failed a request");
        unlogged(&error)
    }
}

fn unlogged(error: &StoreError) -> Refused {
    match error {
        StoreError::Full(_) => Refused::new(
            Code::StorageFull,
            "the disk of the server's database is full",
        ),
        StoreError::Unavailable(_) => Refused::new(
            Code::StoreUnavailable,
            "the store did not answer; send the request again later",
        ),
        _ => Refused::internal(),
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
