//! What the addresses of transfers carry (clauses `UP-5`, `UP-12`, `DOWN-3`): a sealed text that
//! says what it is good for.
//!
//! Nothing about a transfer is kept before its bytes are there, so an address works on every
//! server that has the master key, and after a restart.

use std::time::Duration;

use jobhook_protocol::{Json, Md5Sum};
use serde::{Deserialize, Serialize};

use super::error::FilesError;
use super::{Files, TO_BEGIN};
use crate::action::ActionId;
use crate::attempt::AttemptRef;
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{FileFields, ObjectRef, PropertyRef};

/// What the seal of these tokens is made under.
const LABEL: &str = "jobhook transfer-token";

/// What a token is good for. Each kind is for one use: another one is no token there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// To send the bytes of one upload.
    Put(Put),
    /// To fetch one file.
    Get(Get),
    /// To close an upload in one pass.
    Close(Receipt),
    /// To launch with what was uploaded.
    Launch(Receipt),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Put {
    pub(super) by: By,
    pub(super) to: Place,
    pub(super) create: bool,
    /// `None` for an upload in one pass.
    pub(super) handshake: Option<(Md5Sum, Md5Sum)>,
    pub(super) size: Option<u64>,
    pub(super) name: Option<String>,
    pub(super) mimetype: String,
    pub(super) metadata: Option<Json>,
}

impl Put {
    pub(super) fn fields(&self) -> FileFields {
        FileFields {
            name: self.name.clone(),
            mimetype: self.mimetype.clone(),
            metadata: self.metadata.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Get {
    pub(super) by: By,
    pub(super) from: Place,
    pub(super) index: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Receipt {
    /// Whose job may use it; `None` for who launches.
    pub(super) by: Option<By>,
    pub(super) blob: String,
}

/// An attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct By(ActionId, u32);

/// A property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place(String, String, String);

impl From<AttemptRef> for By {
    fn from(at: AttemptRef) -> By {
        By(at.action, at.number)
    }
}

impl From<By> for AttemptRef {
    fn from(By(action, number): By) -> AttemptRef {
        AttemptRef { action, number }
    }
}

impl From<PropertyRef> for Place {
    fn from(at: PropertyRef) -> Place {
        Place(at.object.store, at.object.id, at.property)
    }
}

impl From<Place> for PropertyRef {
    fn from(Place(store, id, property): Place) -> PropertyRef {
        ObjectRef { store, id }.property(property)
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    until: Timestamp,
    to: Purpose,
}

impl Files {
    /// An address for one transfer, and the last moment at which it may begin.
    ///
    /// - `path`: what follows the hook's address.
    /// - `by`: whose job will use it.
    pub(super) async fn address(
        &self,
        path: &str,
        by: AttemptRef,
        to: Purpose,
    ) -> Result<(String, Timestamp), FilesError> {
        let (token, until) = self.seal(to, TO_BEGIN);
        let hook = self.hook_url_of(by).await?;
        Ok((format!("{hook}{path}?token={token}"), until))
    }

    pub(super) fn seal(&self, to: Purpose, lasts: Duration) -> (String, Timestamp) {
        let until = self.now().plus(lasts);
        let payload = serde_json::to_vec(&Sealed { until, to }).unwrap_or_default();
        (self.0.keyring.seal(LABEL, &payload), until)
    }

    /// What a token is good for, if it is one of this server and not too old.
    pub(super) fn unseal(&self, token: &str) -> Result<Purpose, FilesError> {
        let payload = self.0.keyring.unseal(LABEL, token);
        let payload = payload.ok_or(FilesError::InvalidToken)?;
        let Sealed { until, to } =
            serde_json::from_slice(&payload).map_err(|_| FilesError::InvalidToken)?;
        if self.now() > until {
            return Err(FilesError::TokenExpired);
        }
        Ok(to)
    }
}

impl Receipt {
    pub(super) fn blob(&self) -> BlobName {
        BlobName(self.blob.clone())
    }
}
