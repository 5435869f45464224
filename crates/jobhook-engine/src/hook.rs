//! Who may report (clauses `SIG-*`, `HOOK-*`): the order of checks before a body is believed.
//!
//! ```text
//! headers ─▶ Hook::recognise ─▶ Caller ─▶ Caller::prove(body) ─▶ Proven ─▶ Engine::report
//!  (401)      hash 403, time 401          signature 403
//! ```
//!
//! Without a [`Proven`] there is no way to report. Keys are derived, so an attempt's key is
//! cached without harm; whether the attempt may still speak is judged by the ledger, inside
//! the transaction. Nothing here knows HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jobhook_protocol::signature::HashKind;
use jobhook_protocol::{SecretKey, SignedHeaders};

use crate::action::ActionId;
use crate::attempt::AttemptRef;
use crate::clock::{Clock, Timestamp};
use crate::keyring::Keyring;
use crate::store::{Store, StoreError};

/// How far a job's clock may be off, unless it is configured.
pub const DEFAULT_SKEW: Duration = Duration::from_secs(300);

/// How many actions' keys are remembered.
const REMEMBERED: usize = 16_384;

/// Recognises jobs by their signatures.
#[derive(Debug)]
pub struct Hook {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    max_skew: Option<Duration>,
    known: Mutex<HashMap<ActionId, Arc<[Known]>>>,
    stranger: SecretKey,
}

/// What is remembered of an attempt; newest first in a list.
#[derive(Clone, Debug)]
struct Known {
    at: AttemptRef,
    key: SecretKey,
    signature_required: bool,
    closed: bool,
}

/// A sender whose hash was right, before its body is read.
#[derive(Debug)]
pub struct Caller {
    at: AttemptRef,
    key: SecretKey,
    headers: SignedHeaders,
}

/// The proof that a request comes from the job of an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Proven {
    at: AttemptRef,
    job_time_ms: i64,
    signed: bool,
}

impl Proven {
    /// Which attempt's job it is.
    pub fn attempt(&self) -> AttemptRef {
        self.at
    }

    /// The time by the job's own clock, milliseconds since the Unix epoch.
    pub fn job_time_ms(&self) -> i64 {
        self.job_time_ms
    }

    /// Whether the whole request was signed, and not its time alone.
    pub fn is_signed(&self) -> bool {
        self.signed
    }
}

/// Why a sender is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Disbelief {
    /// Unknown id, wrong hash or wrong signature: all alike, so that a stranger learns nothing.
    #[error("the request is not signed with the key of this action's job")]
    BadSignature,
    /// The key of an older attempt.
    #[error(
        "attempt {current} of the action has begun; the job of attempt {own} should end itself"
    )]
    Superseded {
        /// The attempt whose key it is.
        own: u32,
        /// The newest.
        current: u32,
    },
    /// The key of an attempt that is over.
    #[error("attempt {own} of the action is closed; its job should end itself")]
    Closed {
        /// The attempt whose key it is.
        own: u32,
    },
    /// Signed too far from now.
    #[error("the request was signed {} ms {} the server's time; up to {max_ms} ms are accepted", off_ms.abs(), if *off_ms < 0 { "before" } else { "after" })]
    ClockSkew {
        /// How far, milliseconds; negative if before.
        off_ms: i64,
        /// How far at most, milliseconds.
        max_ms: i64,
        /// The server's time.
        now: Timestamp,
    },
    /// This request counts only with a `v1` signature.
    #[error("this request counts only with an X-Job-Signature over method, path and body")]
    SignatureRequired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Hook {
    /// A hook that believes clocks within `max_skew`, or any if `None`. A `v1` request is
    /// always held to a window.
    pub fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        max_skew: Option<Duration>,
    ) -> Hook {
        // Drawn from nothing secret: it only costs what a real key costs.
        let stranger = SecretKey::from_text("nobody")
            .unwrap_or_else(|_| unreachable!("`nobody` is latin-1 text"));
        Hook {
            store,
            keyring,
            clock,
            max_skew,
            known: Mutex::default(),
            stranger,
        }
    }

    /// Finds whose hash it is: before any body is read.
    ///
    /// # Errors
    ///
    /// [`Disbelief`], in the order of its checks.
    pub async fn recognise(&self, headers: SignedHeaders) -> Result<Caller, Disbelief> {
        let Some((known, kind, current)) = self.find(&headers).await? else {
            return Err(Disbelief::BadSignature);
        };
        if known.at.number < current {
            return Err(Disbelief::Superseded {
                own: known.at.number,
                current,
            });
        }
        if known.closed {
            return Err(Disbelief::Closed {
                own: known.at.number,
            });
        }
        let signed = headers.has_signature();
        let v1 = signed || kind == HashKind::V1;
        let window = if v1 {
            Some(self.max_skew.unwrap_or(DEFAULT_SKEW))
        } else {
            self.max_skew
        };
        if let Some(window) = window {
            let now = self.clock.now();
            let max_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
            if !headers.is_current(now.0, max_ms) {
                return Err(Disbelief::ClockSkew {
                    off_ms: headers.time_ms.saturating_sub(now.0),
                    max_ms,
                    now,
                });
            }
        }
        if !signed && (kind == HashKind::V1 || known.signature_required) {
            return Err(Disbelief::SignatureRequired);
        }
        Ok(Caller {
            at: known.at,
            key: known.key,
            headers,
        })
    }

    /// Lets go of what is remembered of an action, because an attempt of it has closed.
    pub(crate) fn forget(&self, id: ActionId) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    /// The attempt whose key made the hash, which hash it is, and the newest attempt's number.
    async fn find(
        &self,
        headers: &SignedHeaders,
    ) -> Result<Option<(Known, HashKind, u32)>, StoreError> {
        let Ok(id) = headers.id.parse::<ActionId>() else {
            let _ = headers.hash_kind(&self.stranger);
            return Ok(None);
        };
        let remembered = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        if let Some(found) = remembered.and_then(|known| match_hash(&known, headers))
            && !found.0.closed
        {
            return Ok(Some(found));
        }
        // Maybe there is a newer attempt than those remembered.
        let known: Arc<[Known]> = self.read(id).await?.into();
        if known.is_empty() {
            let _ = headers.hash_kind(&self.stranger);
            return Ok(None);
        }
        let found = match_hash(&known, headers);
        let mut remembered = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(id, known);
        Ok(found)
    }

    async fn read(&self, id: ActionId) -> Result<Vec<Known>, StoreError> {
        let attempts = self.store.attempts(id).await?;
        let known = attempts.into_iter().rev().filter_map(|attempt| match self.keyring.key_of(&attempt) {
            Ok(key) => Some(Known {
                at: attempt.at,
                key,
                signature_required: attempt.signature_required,
                closed: !attempt.is_open(),
            }),
            Err(error) => {
                tracing::error!(action.id = %id, attempt = attempt.at.number, %error, "An attempt has no key");
                None
            }
        });
        Ok(known.collect())
    }
}

fn match_hash(known: &[Known], headers: &SignedHeaders) -> Option<(Known, HashKind, u32)> {
    let current = known.first()?.at.number;
    known
        .iter()
        .find_map(|known| Some((known.clone(), headers.hash_kind(&known.key)?, current)))
}

impl Caller {
    /// Believes the request, now that its body is known.
    ///
    /// - `target`: path and query after the hook's own address, as sent.
    ///
    /// # Errors
    ///
    /// [`Disbelief::BadSignature`] if there is a signature and it is not over this request.
    pub fn prove(self, method: &str, target: &str, body: &[u8]) -> Result<Proven, Disbelief> {
        if self.headers.has_signature()
            && !self.headers.signature_fits(&self.key, method, target, body)
        {
            return Err(Disbelief::BadSignature);
        }
        Ok(Proven {
            at: self.at,
            job_time_ms: self.headers.time_ms,
            signed: self.headers.has_signature(),
        })
    }
}
