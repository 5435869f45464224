//! One operation: who may launch it, and with what.

use std::sync::Arc;

use jobhook_protocol::Json;
use jobhook_protocol::operation::Definition;

use super::claims::Claims;
use super::mismatch::Mismatch;
use super::permission::Permission;
use super::schema::Schema;

/// One operation, ready to be launched.
#[derive(Clone, Debug)]
pub struct Operation {
    pub(super) definition: Definition,
    pub(super) input: Option<Arc<Schema>>,
    pub(super) output: Option<Arc<Schema>>,
    pub(super) permission: Option<Permission>,
    /// Whether nothing does not fit its output.
    pub(super) needs_results: bool,
    pub(super) origin: String,
}

impl Operation {
    /// Its definition, with its permission.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Who defined it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether somebody with these claims may launch it, and know of it.
    pub fn permits(&self, claims: &Claims) -> bool {
        let permission = self.permission.as_ref();
        permission.is_none_or(|permission| permission.permits(claims))
    }

    /// Judges an input; without a schema anything is fine, also nothing.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] names what is wrong with it.
    pub fn check_input(&self, input: Option<&Json>) -> Result<(), Mismatch> {
        match &self.input {
            Some(schema) => schema.check(input),
            None => Ok(()),
        }
    }

    pub(super) fn schemas(&self) -> Vec<(String, Arc<Schema>)> {
        let pairs = [
            (&self.definition.input, &self.input),
            (&self.definition.output, &self.output),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, schema)| Some((name.clone()?, Arc::clone(schema.as_ref()?))))
            .collect()
    }
}
