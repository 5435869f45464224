//! Why definitions are not taken: whose they are, and what is wrong with them.

use std::io;

use super::permission::PermissionError;
use super::schema::SchemaError;

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
#[error("operations: {origin}: {fault}")]
pub struct CatalogueError {
    /// Whose definitions are at fault: a file, or a registry.
    pub origin: String,
    /// What is wrong with them.
    pub fault: CatalogueFault,
}

/// What is wrong with definitions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueFault {
    /// There is no such file, or it is none of operations.
    #[error("it cannot be read as a file of operations: {0}")]
    Unreadable(io::Error),
    /// Not of the form.
    #[error(
        "`{0}` is no operation's id: it is 1 to 128 of A-Z a-z 0-9 _ . - and begins with a letter"
    )]
    BadId(String),
    /// The member and the definition in it disagree.
    #[error("the operation at `{key}` says that its id is `{id}`")]
    OtherId {
        /// The member's name.
        key: String,
        /// What the definition says.
        id: String,
    },
    /// Somebody else defines it.
    #[error("the operation `{id}` is defined by {other}, too; one id is one operation")]
    Twice {
        /// Which.
        id: String,
        /// By whom.
        other: String,
    },
    /// There is no such schema.
    #[error(
        "the {member} of the operation `{operation}` is the schema `{schema}`, which is not there"
    )]
    UnknownSchema {
        /// Whose.
        operation: String,
        /// `input` or `output`.
        member: &'static str,
        /// Its name.
        schema: String,
    },
    /// Two schemas have one name.
    #[error("the schema `{schema}` is not that of {other}, which has the same name")]
    OtherSchema {
        /// Its name.
        schema: String,
        /// Who defines the other.
        other: String,
    },
    /// A schema cannot be used.
    #[error("the schema `{schema}` is invalid {error}")]
    Schema {
        /// Its name.
        schema: String,
        /// What is wrong.
        error: SchemaError,
    },
    /// A member is nearly a permission.
    #[error(
        "{0} Correct it, or call it something else: without its permission everybody may launch it"
    )]
    NearPermission(String),
    /// A permission is not understood.
    #[error("the permission of the operation `{operation}` is not understood: {error}")]
    Permission {
        /// Whose.
        operation: String,
        /// What is wrong.
        error: PermissionError,
    },
}
