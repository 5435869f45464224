//! Who speaks (clauses `SIG-*`): reading, making and checking the `X-Job-*` headers.
//!
//! ```text
//! profile webda   X-Job-Hash      = HMAC(key, time)                       signs the time only
//! profile v1      X-Job-Hash      = HMAC(key, "v1\n{time}")               worthless without
//!                 X-Job-Signature = v1=HMAC(key, "v1\n{id}\n{time}\n{METHOD}\n{target}\n{sha256(body)}")
//! ```
//!
//! HMAC is HMAC-SHA256 (RFC 2104), written as lower-case hex. Comparisons take the same time
//! wherever the first difference lies. Nothing here knows which keys exist or what time it is.

use hmac::Mac;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::key::{SecretKey, hex, unhex};

/// Header naming the action.
pub const JOB_ID: &str = "X-Job-Id";
/// Header with the time of signing, milliseconds since the Unix epoch.
pub const JOB_TIME: &str = "X-Job-Time";
/// Header with the hash over the time.
pub const JOB_HASH: &str = "X-Job-Hash";
/// Header with the signature over the whole request (profile `v1`).
pub const JOB_SIGNATURE: &str = "X-Job-Signature";

/// The headers of one request, well-formed but not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// The action that the sender claims to be the job of; 1–64 of `[A-Za-z0-9._-]`.
    pub id: String,
    /// When it was signed, milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The time exactly as sent: that text is what is signed.
    time: String,
    /// `None` if the text cannot be a hash, which is as wrong as a wrong one.
    hash: Option<[u8; 32]>,
    signature: Option<[u8; 32]>,
}

/// Why headers were not read (401; the code is [`HeaderError::code`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not there, or empty.
    #[error(
        "the header {0} is missing; a job signs every request with X-Job-Id, X-Job-Time and X-Job-Hash"
    )]
    Missing(&'static str),
    /// Sent more than once.
    #[error("the header {0} was sent more than once")]
    Repeated(&'static str),
    /// Not of the form it must have.
    #[error("the header {name} is malformed: {expected}")]
    Malformed {
        /// Which header.
        name: &'static str,
        /// What it must look like.
        expected: &'static str,
    },
}

impl HeaderError {
    /// The code of the answer.
    pub fn code(&self) -> crate::Code {
        match self {
            HeaderError::Missing(_) => crate::Code::MissingHeader,
            HeaderError::Repeated(_) => crate::Code::RepeatedHeader,
            HeaderError::Malformed { .. } => crate::Code::MalformedHeader,
        }
    }
}

/// What the hash turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashKind {
    /// The original's hash: enough by itself.
    Webda,
    /// The `v1` hash: worth nothing without a signature.
    V1,
}

impl SignedHeaders {
    /// Reads the four headers; `values` returns every value sent under a name.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], for the first of id, time, hash, signature that is wrong.
    pub fn read<'a, V>(
        mut values: impl FnMut(&'static str) -> V,
    ) -> Result<SignedHeaders, HeaderError>
    where
        V: IntoIterator<Item = &'a [u8]>,
    {
        let id = required(JOB_ID, values(JOB_ID))?;
        if !is_id(id) {
            return Err(HeaderError::Malformed {
                name: JOB_ID,
                expected: "1 to 64 of A-Z a-z 0-9 . _ -",
            });
        }
        let time = required(JOB_TIME, values(JOB_TIME))?;
        let (time, time_ms) = read_time(time).ok_or(HeaderError::Malformed {
            name: JOB_TIME,
            expected: "milliseconds since the Unix epoch, 1 to 15 decimal digits",
        })?;
        let hash = unhex(required(JOB_HASH, values(JOB_HASH))?);
        let signature = optional(JOB_SIGNATURE, values(JOB_SIGNATURE))?
            .map(|text| {
                text.strip_prefix(b"v1=")
                    .and_then(unhex)
                    .ok_or(HeaderError::Malformed {
                        name: JOB_SIGNATURE,
                        expected: "`v1=` and 64 lower-case hexadecimal digits",
                    })
            })
            .transpose()?;
        Ok(SignedHeaders {
            id: String::from_utf8_lossy(id).into_owned(),
            time_ms,
            time,
            hash,
            signature,
        })
    }

    /// Whether a `v1` signature came with the request.
    pub fn has_signature(&self) -> bool {
        self.signature.is_some()
    }

    /// Tells which hash, if any, was made with `key`. Both are always computed, so the time
    /// taken says nothing about the answer.
    pub fn hash_kind(&self, key: &SecretKey) -> Option<HashKind> {
        let given = self.hash.unwrap_or_default();
        let webda = mac_of(key, &[self.time.as_bytes()]).ct_eq(&given);
        let v1 = mac_of(key, &[b"v1\n", self.time.as_bytes()]).ct_eq(&given);
        let sent = Choice::from(u8::from(self.hash.is_some()));
        if bool::from(webda & sent) {
            Some(HashKind::Webda)
        } else if bool::from(v1 & sent) {
            Some(HashKind::V1)
        } else {
            None
        }
    }

    /// Whether `now_ms` lies within `max_skew_ms` of the time of signing, both ways.
    pub fn is_current(&self, now_ms: i64, max_skew_ms: i64) -> bool {
        now_ms.abs_diff(self.time_ms) <= max_skew_ms.unsigned_abs()
    }

    /// Checks the `v1` signature over the request; without one the answer is `false`.
    ///
    /// - `target`: path and query after the hook's own address, as sent.
    pub fn signature_fits(&self, key: &SecretKey, method: &str, target: &str, body: &[u8]) -> bool {
        let wanted = request_mac(key, &self.id, &self.time, method, target, body);
        let given = self.signature.unwrap_or_default();
        bool::from(wanted.ct_eq(&given) & Choice::from(u8::from(self.signature.is_some())))
    }
}

/// Signs for profile `webda`: the value of `X-Job-Hash`.
///
/// - `time`: the text of `X-Job-Time`, milliseconds since the Unix epoch.
pub fn sign_webda(key: &SecretKey, time: &str) -> String {
    hex(&mac_of(key, &[time.as_bytes()]))
}

/// Signs for profile `v1`: the values of `X-Job-Hash` and `X-Job-Signature`.
///
/// - `time`: the text of `X-Job-Time`, milliseconds since the Unix epoch.
/// - `method`: upper case.
/// - `target`: path and query after the hook's own address; empty for the hook itself.
pub fn sign_v1(
    key: &SecretKey,
    id: &str,
    time: &str,
    method: &str,
    target: &str,
    body: &[u8],
) -> (String, String) {
    let hash = hex(&mac_of(key, &[b"v1\n", time.as_bytes()]));
    let signature = format!(
        "v1={}",
        hex(&request_mac(key, id, time, method, target, body))
    );
    (hash, signature)
}

/// Whether `id` has the form of an action's id (clause `SIG-2`).
pub fn is_id(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

fn request_mac(
    key: &SecretKey,
    id: &str,
    time: &str,
    method: &str,
    target: &str,
    body: &[u8],
) -> [u8; 32] {
    let digest = hex(&Sha256::digest(body));
    let parts = ["v1", id, time, method, target, &digest].join("\n");
    mac_of(key, &[parts.as_bytes()])
}

fn mac_of(key: &SecretKey, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.mac();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn required<'a>(
    name: &'static str,
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<&'a [u8], HeaderError> {
    optional(name, values)?.ok_or(HeaderError::Missing(name))
}

fn optional<'a>(
    name: &'static str,
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<&'a [u8]>, HeaderError> {
    let mut values = values.into_iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(HeaderError::Repeated(name));
    }
    Ok(first.filter(|value| !value.is_empty()))
}

fn read_time(text: &[u8]) -> Option<(String, i64)> {
    if !(1..=15).contains(&text.len()) || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = String::from_utf8_lossy(text).into_owned();
    let time_ms = text.parse().ok()?;
    Some((text, time_ms))
}
