//! What operations a server knows, who may launch them, and with what (clauses `OP-*`).
//!
//! ```text
//! files, registries ─▶ Definitions ─▶ Catalogue ─┬─ Permission  may they?
//!                                     compiled   ├─ Schema      does the input fit?
//!                                                └─ Schema      do the results?
//! ```
//!
//! All of it is read, judged and compiled once, when a server starts: what is wrong with a
//! definition is told then, with its origin and place, and no server starts with half of them.
//! A schema never refers to anything outside of itself, and nothing is fetched.
//!
//! Nothing here knows HTTP, the engine or a store.

mod catalogue;
mod catalogue_error;
mod claims;
mod definitions_file;
mod mismatch;
mod once;
mod operation;
mod permission;
mod schema;
mod slip;

pub use catalogue::{Catalogue, EVERY_OPERATION};
pub use catalogue_error::{CatalogueError, CatalogueFault};
pub use claims::Claims;
pub use mismatch::{Fault, Mismatch};
pub use operation::Operation;
pub use permission::{Permission, PermissionError};
pub use schema::{Schema, SchemaError};
