//! What operations there are: the definitions file of the original (clauses `OP-*`).
//!
//! A program that holds operations prints it, a server reads it, `GET {url}` answers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The operations of an application, and the schemas that they refer to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Definitions {
    /// Whose they are.
    #[serde(default)]
    pub application: Application,
    /// By their ids.
    #[serde(default)]
    pub operations: BTreeMap<String, Definition>,
    /// JSON Schemas, by the names that definitions refer to them with.
    #[serde(default)]
    pub schemas: BTreeMap<String, Value>,
}

/// The application that operations belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// One operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name, such as `Report.Generate`.
    pub id: String,
    /// The name of the schema that its input must fit; anything goes without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The name of the schema that its results fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Who may launch it: an expression over the claims of who asks; everybody without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
}
