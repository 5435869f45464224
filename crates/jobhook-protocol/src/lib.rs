//! The words that a job and its server exchange, and nothing that acts on them.
//!
//! Read in this order: [`environment`] is what a job is started with, [`key`] and
//! [`signature`] prove who speaks, [`verifier`] who is believed, [`report`] is what a job says, [`status`] is what may
//! follow from it, [`action`] is what the server answers, [`problem`] how it refuses; [`operation`] is what
//! can be launched by name; [`mod@file`] and [`upload`] are what is said about files, [`digester`] computes what
//! names their contents.
//!
//! Nothing here reads a clock, opens a socket or touches a file: times and bytes are
//! arguments. The written form of all this is `docs/protocol.md`; the clause a rule comes
//! from is named beside it. The files in `conformance/vectors/` hold both to the same facts.

pub mod action;
pub mod digest;
pub mod digester;
pub mod environment;
pub mod file;
pub mod json;
pub mod key;
mod md5;
pub mod operation;
pub mod problem;
pub mod report;
pub mod schedule;
pub mod signature;
pub mod status;
pub mod upload;
pub mod verifier;

pub use action::{
    ActionAnswer, ActionBody, AttemptBody, CancelBody, LineSource, LogLineBody, WitnessBody,
};
pub use digest::{CHALLENGE_PREFIX, Md5Sum, NotASum, Sha256Sum};
pub use digester::{Digester, Digests, Handshake, HandshakeDigester, Md5Digester, Sha256Digester};
pub use environment::{EnvironmentError, JobEnvironment};
pub use file::{
    Access, DownloadAnswer, FileBody, FileError, FileFields, FileMap, GrantBody, StagedBody,
};
pub use json::{Json, JsonError};
pub use key::{KeyError, SecretKey, attempt_key};
pub use operation::{Application, Definition, Definitions};
pub use problem::{Code, Problem};
pub use report::{Delivery, Progress, Report, ReportError};
pub use schedule::{FiringBody, PauseBody, ScheduleBody, TickBody};
pub use signature::{HeaderError, SignedHeaders, sign_v1, sign_webda};
pub use status::{Event, IllegalTransition, Status};
pub use upload::{ReceiptAnswer, UploadAnswer, UploadRequest};
pub use verifier::Verifier;
