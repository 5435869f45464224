//! The files of actions and of other objects, as they are stored (clauses `FILE-*`).
//!
//! ```text
//! store / object / property / index ──▶ File ──▶ Content ──▶ blob
//!                    what is uploaded, until it is attached: Staged ──▶ blob
//! ```
//!
//! A content is stored once, however many files have it. One that no file has any more is
//! unused from then on, and is forgotten after a while.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jobhook_protocol::{Json, Md5Sum, Sha256Sum};

use crate::action::ActionId;
use crate::attempt::AttemptRef;
use crate::blob::BlobName;
use crate::clock::Timestamp;

/// The store whose objects are the actions.
pub const ACTIONS: &str = "actions";
/// The property with what an action was launched with.
pub const INPUTS: &str = "inputs";
/// The property with what its job leaves.
pub const OUTPUTS: &str = "outputs";

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The store, as it is spelt in the configuration; [`ACTIONS`] for actions.
    pub store: String,
    /// Its id.
    pub id: String,
}

impl ObjectRef {
    /// The action that it is, if it is one.
    pub fn action(&self) -> Option<ActionId> {
        (self.store == ACTIONS)
            .then(|| self.id.parse().ok())
            .flatten()
    }

    /// The object that an action is.
    pub fn of_action(id: ActionId) -> ObjectRef {
        ObjectRef {
            store: ACTIONS.to_owned(),
            id: id.to_string(),
        }
    }

    /// One of its properties.
    pub fn property(self, property: impl Into<String>) -> PropertyRef {
        PropertyRef {
            object: self,
            property: property.into(),
        }
    }
}

/// Names a property of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyRef {
    /// Whose.
    pub object: ObjectRef,
    /// Which.
    pub property: String,
}

/// Names a property in messages.
impl fmt::Display for PropertyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectRef { store, id } = &self.object;
        write!(f, "{store}/{id}/{}", self.property)
    }
}

/// An object that has, or had, or may have files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Which.
    pub at: ObjectRef,
    /// When it was made; an action, when it was launched.
    pub created_at: Timestamp,
    /// How many files each of its properties has.
    pub files: BTreeMap<String, u64>,
    /// The bytes of all of them.
    pub bytes: u64,
}

impl Object {
    /// An object without files.
    pub fn new(at: ObjectRef, created_at: Timestamp) -> Object {
        Object {
            at,
            created_at,
            files: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// How many files a property has: the index of the next one.
    pub fn count(&self, property: &str) -> u64 {
        self.files.get(property).copied().unwrap_or(0)
    }
}

/// Bytes that are stored, and what names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Of the bytes: two contents with one SHA-256 are one.
    pub sha256: Sha256Sum,
    /// Of the bytes.
    pub md5: Md5Sum,
    /// Of `WEBDA` and the bytes. Never answered to anybody.
    pub challenge: Md5Sum,
    /// How many bytes.
    pub size: u64,
    /// Where they are.
    pub blob: BlobName,
}

/// A content as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptContent {
    /// What it is.
    pub content: Content,
    /// Since when no file has it; `None` as long as one does.
    pub idle_since: Option<Timestamp>,
}

/// Bytes that were uploaded and belong to nothing yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The bytes.
    pub content: Content,
    /// When they were complete.
    pub at: Timestamp,
}

/// Bytes that have just come.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrived {
    /// What they are.
    pub content: Content,
    /// They themselves, if their blob is small: the store keeps them with the row that names it.
    pub bytes: Option<Bytes>,
}

/// Says how many bytes there are, and not which.
impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrived")
            .field("content", &self.content)
            .field("bytes", &self.bytes.as_ref().map(Bytes::len))
            .finish()
    }
}

impl From<Content> for Arrived {
    /// Bytes that a blob store has.
    fn from(content: Content) -> Arrived {
        Arrived {
            content,
            bytes: None,
        }
    }
}

/// What a client says about a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileFields {
    /// Its name, for people.
    pub name: Option<String>,
    /// Its media type.
    pub mimetype: String,
    /// Anything, a JSON object.
    pub metadata: Option<Json>,
}

/// A file of a property.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Where it is attached.
    pub at: PropertyRef,
    /// Its number within the property, from 0.
    pub index: u64,
    /// Its bytes.
    pub content: Content,
    /// What was said about it.
    pub fields: FileFields,
    /// The attempt whose job left it; `None` if it came from outside.
    pub attempt: Option<u32>,
    /// When it was attached.
    pub attached_at: Timestamp,
}

/// Attaches a content to a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Attach {
    /// Where to.
    pub to: PropertyRef,
    /// What.
    pub origin: Origin,
    /// What was said about it.
    pub fields: FileFields,
    /// The attempt whose job does it: it must be open, and its action not final.
    pub by: Option<AttemptRef>,
    /// How much the object may have, with this file.
    pub most: ObjectLimits,
    /// Whether the object is made where it is not there. An action is an object as long as it
    /// is there, and is never made.
    pub create: bool,
}

/// Where the bytes of a new file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They are a content already.
    Stored(Sha256Sum),
    /// They have just arrived, and nothing refers to their blob.
    Arrived(Arrived),
    /// They are staged.
    Staged(BlobName),
}

/// A file that an action is launched with.
///
/// Where its content is stored already, as another blob, the staged bytes are surplus: they
/// stay staged, to be [unstaged](crate::write::Write::Unstage) by the engine that launched.
#[derive(Clone, Debug, PartialEq)]
pub struct InputFile {
    /// Its bytes, staged.
    pub staged: BlobName,
    /// What was said about it.
    pub fields: FileFields,
}

/// How much one object may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectLimits {
    /// Files, of all properties.
    pub files: u64,
    /// Bytes, of all files.
    pub bytes: u64,
}

impl ObjectLimits {
    /// No limits.
    pub const NONE: ObjectLimits = ObjectLimits {
        files: u64::MAX,
        bytes: u64::MAX,
    };
}

/// How much is stored, or on its way: contents, each once, and what is staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many there are.
    pub count: u64,
    /// The bytes of all of them.
    pub bytes: u64,
    /// The bytes of those whose blobs are small.
    pub small: u64,
}

/// What attaching came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Attached {
    /// The file; the one of before, if this content was attached under this name already.
    pub file: File,
    /// A blob that nothing refers to: its content was stored already. It is to be deleted, unless
    /// it is small.
    pub surplus: Option<BlobName>,
}
