//! Whether a request to the hook is believed, in the order of the checks (clauses `SIG-*`).
//!
//! For those who hold the whole request. A server that reads the body last may use the parts,
//! [`SignedHeaders`](crate::SignedHeaders), in the same order.

use crate::key::SecretKey;
use crate::problem::Code;
use crate::signature::{HashKind, HeaderError, SignedHeaders};

/// How far apart the clocks may be for `v1` where the server checks no time (clause `SIG-25`).
pub const V1_MAX_CLOCK_SKEW_MS: i64 = 300_000;

/// What a server knows of a job and of the time.
#[derive(Clone, Debug)]
pub struct Verifier<'a> {
    /// The job's action.
    pub id: &'a str,
    /// The attempt's key; `None` if there is no such job.
    pub key: Option<&'a SecretKey>,
    /// The server's clock, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// How far apart the clocks may be, both ways; `None` if that is not checked.
    pub max_clock_skew_ms: Option<i64>,
    /// Whether the hash of the original is not enough.
    pub requires_signature: bool,
}

impl Verifier<'_> {
    /// Believes a request, or says with which code it is refused.
    ///
    /// - `headers`: as [`SignedHeaders::read`] found them.
    /// - `target`: path and query after the hook's own address, as sent.
    ///
    /// # Errors
    ///
    /// `missing_header`, `repeated_header`, `malformed_header`, `bad_signature`, `clock_skew`,
    /// `signature_required`.
    pub fn verify(
        &self,
        headers: Result<SignedHeaders, HeaderError>,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Result<SignedHeaders, Code> {
        let headers = headers.map_err(|error| error.code())?;
        let key = self
            .key
            .filter(|_| headers.id == self.id)
            .ok_or(Code::BadSignature)?;
        let kind = headers.hash_kind(key).ok_or(Code::BadSignature)?;
        let is_v1 = headers.has_signature() || kind == HashKind::V1;
        let skew = self
            .max_clock_skew_ms
            .or(is_v1.then_some(V1_MAX_CLOCK_SKEW_MS));
        if skew.is_some_and(|skew| !headers.is_current(self.now_ms, skew)) {
            return Err(Code::ClockSkew);
        }
        let required = kind == HashKind::V1 || self.requires_signature;
        if required && !headers.has_signature() {
            return Err(Code::SignatureRequired);
        }
        if headers.has_signature() && !headers.signature_fits(key, method, target, body) {
            return Err(Code::BadSignature);
        }
        Ok(headers)
    }
}
