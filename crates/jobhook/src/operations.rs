//! The operations of a program.
//!
//! ```text
//! Operations ─run─────────▶ a program of its own: `prog operations`, or a child of a server
//!            ─definitions─▶ what a server knows of them before any runs
//!            ─get, call───▶ a server that runs them itself; a test
//! ```
//!
//! What is wrong with one is found when it is added, and told where there is somebody to tell:
//! by [`Operations::check`], and so by [`Operations::definitions`], by `run` and by a server.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;

use jobhook_protocol::{Application, Definitions};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Job, Operation};

/// The longest id.
const LONGEST_ID: usize = 128;

/// Functions that are launched by name. Cloning is cheap.
///
/// ```
/// use jobhook::{Job, Operations, schemars::JsonSchema};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, JsonSchema)]
/// # #[schemars(crate = "jobhook::schemars")]
/// struct Input {
///     year: u16,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// # #[schemars(crate = "jobhook::schemars")]
/// struct Output {
///     pages: u32,
/// }
///
/// async fn generate(job: Job, input: Input) -> Result<Output, jobhook::Error> {
///     job.log(format!("the report of {}", input.year))?;
///     Ok(Output { pages: 12 })
/// }
///
/// let operations = Operations::new()
///     .application("reports", "0.1.0")
///     .operation("Report.Generate", generate);
/// let definitions = operations.definitions()?;
/// assert_eq!(definitions.schemas["report.generate.input"]["required"][0], "year");
/// # Ok::<(), jobhook::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "operations do nothing until they are run"]
pub struct Operations {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    application: Application,
    operations: BTreeMap<Arc<str>, Operation>,
    /// The first thing that is wrong.
    fault: Option<Error>,
}

impl Operations {
    /// None yet.
    pub fn new() -> Operations {
        Operations::default()
    }

    /// Whose operations they are, such as `env!("CARGO_PKG_NAME")` and
    /// `env!("CARGO_PKG_VERSION")`.
    pub fn application(
        mut self,
        name: impl Into<String>,
        version: impl Into<String>,
    ) -> Operations {
        self.inner_mut().application = Application {
            name: name.into(),
            version: version.into(),
        };
        self
    }

    /// Adds an async function; see [`Operation::new`].
    pub fn operation<F, Fut, I, O, E>(self, id: impl Into<String>, function: F) -> Operations
    where
        F: Fn(Job, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        self.with(Operation::new(id, function))
    }

    /// Adds a function that computes or blocks; see [`Operation::blocking`].
    pub fn blocking_operation<F, I, O, E>(self, id: impl Into<String>, function: F) -> Operations
    where
        F: Fn(Job, I) -> Result<O, E> + Send + Sync + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        self.with(Operation::blocking(id, function))
    }

    /// Adds an operation that has more than a name and a function.
    ///
    /// ```
    /// # use jobhook::{Error, Job, Operation, Operations};
    /// async fn purge(_: Job, _: ()) -> Result<(), Error> {
    ///     Ok(())
    /// }
    ///
    /// let operations = Operations::new()
    ///     .with(Operation::new("Report.Purge", purge).permission("role = 'admin'"));
    /// # assert!(operations.check().is_ok());
    /// ```
    pub fn with(mut self, operation: Operation) -> Operations {
        let inner = self.inner_mut();
        match inner.place_for(operation.id()) {
            Ok(()) => {
                inner.operations.insert(operation.id().into(), operation);
            }
            Err(reason) => {
                let name = "an operation";
                inner.fault.get_or_insert(Error::Setting { name, reason });
            }
        }
        self
    }

    /// Whether all that was added is here.
    ///
    /// # Errors
    ///
    /// `invalid_setting`, for the first id that cannot be one or is there twice; also twice but
    /// for capital letters, since the schemas would have one name. Only the first of two stays.
    pub fn check(&self) -> Result<(), Error> {
        self.inner.fault.clone().map_or(Ok(()), Err)
    }

    /// Whose they are, what they are called, and the schemas of their inputs and outputs.
    ///
    /// # Errors
    ///
    /// As [`Operations::check`].
    pub fn definitions(&self) -> Result<Definitions, Error> {
        self.check()?;
        let mut definitions = Definitions {
            application: self.inner.application.clone(),
            ..Definitions::default()
        };
        for (id, operation) in &self.inner.operations {
            let schemas = [
                (operation.schema_name("input"), operation.input_schema()),
                (operation.schema_name("output"), operation.output_schema()),
            ];
            definitions.schemas.extend(schemas);
            let definition = operation.definition();
            definitions.operations.insert(id.to_string(), definition);
        }
        Ok(definitions)
    }

    /// Their ids, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.inner.operations.keys().map(|id| &**id)
    }

    /// The operation of that name.
    pub fn get(&self, id: &str) -> Option<&Operation> {
        self.inner.operations.get(id)
    }

    fn inner_mut(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.inner)
    }
}

impl Inner {
    /// Why the id cannot be added, if it cannot.
    fn place_for(&self, id: &str) -> Result<(), String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if !id.starts_with(|first: char| first.is_ascii_alphabetic())
            || id.len() > LONGEST_ID
            || !id.bytes().all(fits)
        {
            return Err(format!(
                "`{id}` is no id: 1 to {LONGEST_ID} of A-Z a-z 0-9 _ . -, the first a letter"
            ));
        }
        let mut ids = self.operations.keys();
        match ids.find(|other| other.eq_ignore_ascii_case(id)) {
            None => Ok(()),
            Some(other) if **other == *id => Err(format!("`{id}` is there twice")),
            Some(other) => Err(format!(
                "`{id}` and `{other}` differ in capital letters only, which the names of their schemas do not"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn nothing(_: Job, _: ()) -> Result<(), Error> {
        Ok(())
    }

    #[track_caller]
    fn refused(operations: Operations, says: &str) {
        let error = operations.definitions().unwrap_err();
        assert_eq!(error.code(), "invalid_setting");
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn an_id_that_cannot_be_is_named() {
        for id in [
            "",
            "1a",
            "_a",
            "__proto__",
            "a b",
            "a/b",
            "é",
            &"a".repeat(129),
        ] {
            let operations = Operations::new().operation(id, nothing);
            assert!(operations.get(id).is_none());
            refused(operations, &format!("`{id}` is no id"));
        }
        for id in ["a", "constructor", "A.b-c_9", &"a".repeat(128)] {
            assert!(Operations::new().operation(id, nothing).check().is_ok());
        }
    }

    #[test]
    fn of_two_with_one_id_only_the_first_is_there_and_that_is_told() {
        let one = || Operations::new().operation("A.b", nothing);
        refused(one().operation("A.b", nothing), "`A.b` is there twice");
        let twins = one().operation("a.B", nothing);
        assert!(twins.ids().eq(["A.b"]));
        refused(twins, "differ in capital letters only");
    }

    #[test]
    fn a_clone_does_not_see_what_is_added_later() {
        let first = Operations::new().operation("A", nothing);
        let second = first.clone().operation("B", nothing);
        assert!(first.ids().eq(["A"]));
        assert!(second.ids().eq(["A", "B"]));
    }

    #[test]
    fn definitions_have_the_originals_shape() {
        let operations = Operations::new()
            .application("reports", "1.2.3")
            .with(Operation::new("Report.Purge", nothing).permission("role = 'admin'"));
        let definitions = operations.definitions().unwrap();
        assert_eq!(
            serde_json::to_value(definitions).unwrap(),
            serde_json::json!({
                "application": {"name": "reports", "version": "1.2.3"},
                "operations": {
                    "Report.Purge": {
                        "id": "Report.Purge",
                        "input": "report.purge.input",
                        "output": "report.purge.output",
                        "permission": "role = 'admin'",
                    },
                },
                "schemas": {
                    "report.purge.input": {"title": "null", "type": "null"},
                    "report.purge.output": {"title": "null", "type": "null"},
                },
            })
        );
    }
}
