//! Every operation that a server knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobhook_protocol::Json;
use jobhook_protocol::operation::{Application, Definition, Definitions};

use super::catalogue_error::{CatalogueError, CatalogueFault};
use super::claims::Claims;
use super::definitions_file;
use super::mismatch::Mismatch;
use super::operation::Operation;
use super::permission::Permission;
use super::schema::Schema;
use super::slip::PERMISSION;

/// The original's type of an action that is an operation; in a runner's `actions` it stands for
/// every operation there is.
pub const EVERY_OPERATION: &str = "AsyncOperationAction";

/// The operations of a server, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    operations: BTreeMap<String, Operation>,
    schemas: BTreeMap<String, Named>,
    /// Those that have a name, each once.
    applications: Vec<Application>,
    /// Whether any operation says what it gives back.
    has_outputs: bool,
    /// What is odd, and refuses nothing.
    warnings: Vec<String>,
}

/// A schema, and who defined it.
#[derive(Clone, Debug)]
struct Named {
    schema: Arc<Schema>,
    origin: String,
}

impl Catalogue {
    /// Reads definitions files.
    ///
    /// - `directory`: where relative paths begin.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`], for the first thing that is wrong.
    pub fn load(files: &[PathBuf], directory: &Path) -> Result<Catalogue, CatalogueError> {
        let mut catalogue = Catalogue::default();
        for path in files {
            let origin = path.display().to_string();
            let refused = |fault| CatalogueError {
                origin: origin.clone(),
                fault,
            };
            let (definitions, slips) = definitions_file::read(&directory.join(path))
                .map_err(|error| refused(CatalogueFault::Unreadable(error)))?;
            for slip in slips {
                if slip.meant == PERMISSION {
                    return Err(refused(CatalogueFault::NearPermission(slip.to_string())));
                }
                let warning = format!("operations: {origin}: {slip}");
                catalogue.warnings.push(warning);
            }
            catalogue.add(definitions, &origin)?;
        }
        Ok(catalogue)
    }

    /// Adds definitions: all of them, or none.
    ///
    /// - `origin`: whose they are, in complaints: a file, or `this program`.
    ///
    /// # Errors
    ///
    /// [`CatalogueError`], for the first thing that is wrong.
    pub fn add(&mut self, definitions: Definitions, origin: &str) -> Result<(), CatalogueError> {
        let mut grown = self.clone();
        grown
            .take(definitions, origin)
            .map_err(|fault| CatalogueError {
                origin: origin.to_owned(),
                fault,
            })?;
        *self = grown;
        Ok(())
    }

    fn take(&mut self, definitions: Definitions, origin: &str) -> Result<(), CatalogueFault> {
        let mut own = BTreeMap::new();
        for (name, source) in &definitions.schemas {
            let schema = Schema::compile(source).map_err(|error| CatalogueFault::Schema {
                schema: name.clone(),
                error,
            })?;
            own.insert(name.clone(), Arc::new(schema));
        }
        for (key, definition) in definitions.operations {
            let operation = self.operation(key, definition, &own, origin)?;
            let named = operation.schemas();
            for (name, schema) in named {
                self.name(name, schema, origin)?;
            }
            self.has_outputs |= operation.output.is_some();
            self.operations
                .insert(operation.definition.id.clone(), operation);
        }
        let application = definitions.application;
        if !application.name.is_empty() && !self.applications.contains(&application) {
            self.applications.push(application);
        }
        Ok(())
    }

    fn operation(
        &self,
        key: String,
        definition: Definition,
        schemas: &BTreeMap<String, Arc<Schema>>,
        origin: &str,
    ) -> Result<Operation, CatalogueFault> {
        if !is_id(&key) {
            return Err(CatalogueFault::BadId(key.chars().take(128).collect()));
        }
        if definition.id != key {
            let id = definition.id;
            return Err(CatalogueFault::OtherId { key, id });
        }
        if let Some(other) = self.operations.get(&key) {
            let other = other.origin.clone();
            return Err(CatalogueFault::Twice { id: key, other });
        }
        let find = |member, name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => match schemas.get(name) {
                Some(schema) => Ok(Some(Arc::clone(schema))),
                None => Err(CatalogueFault::UnknownSchema {
                    operation: key.clone(),
                    member,
                    schema: name.clone(),
                }),
            },
        };
        let permission = definition.permission.as_deref().map(Permission::read);
        let output = find("output", &definition.output)?;
        Ok(Operation {
            input: find("input", &definition.input)?,
            needs_results: output
                .as_ref()
                .is_some_and(|output| output.check(None).is_err()),
            output,
            permission: permission.transpose().map_err(|error| {
                let operation = key.clone();
                CatalogueFault::Permission { operation, error }
            })?,
            origin: origin.to_owned(),
            definition,
        })
    }

    /// Keeps a schema under its name, where the list of operations shows it.
    fn name(
        &mut self,
        name: String,
        schema: Arc<Schema>,
        origin: &str,
    ) -> Result<(), CatalogueFault> {
        match self.schemas.get(&name) {
            Some(other) if other.schema.source() != schema.source() => {
                Err(CatalogueFault::OtherSchema {
                    schema: name,
                    other: other.origin.clone(),
                })
            }
            Some(_) => Ok(()),
            None => {
                let origin = origin.to_owned();
                self.schemas.insert(name, Named { schema, origin });
                Ok(())
            }
        }
    }

    /// What is odd about the files it was read from, in sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The operation with this id.
    pub fn get(&self, id: &str) -> Option<&Operation> {
        self.operations.get(id)
    }

    /// The ids of all operations, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Whether the results of any operation are judged.
    pub fn has_outputs(&self) -> bool {
        self.has_outputs
    }

    /// The operations that somebody with these claims may launch, and know of.
    pub fn permitted(&self, claims: &Claims) -> impl Iterator<Item = &Operation> {
        let operations = self.operations.values();
        operations.filter(|operation| operation.permits(claims))
    }

    /// What somebody with these claims may launch: without permissions, and with the schemas
    /// that are used.
    pub fn definitions(&self, claims: &Claims) -> Definitions {
        let mut seen = Definitions {
            application: self.application(),
            ..Definitions::default()
        };
        for operation in self.permitted(claims) {
            for (name, schema) in operation.schemas() {
                seen.schemas.insert(name, schema.source().clone());
            }
            let definition = Definition {
                permission: None,
                ..operation.definition.clone()
            };
            seen.operations.insert(definition.id.clone(), definition);
        }
        seen
    }

    /// The application that the operations are of; where there are several, this server.
    fn application(&self) -> Application {
        match self.applications.as_slice() {
            [only] => only.clone(),
            _ => Application {
                name: "jobhook".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        }
    }

    /// Judges what an operation gave back; an operation that is not known here, or says nothing
    /// of its output, gives back what it likes.
    ///
    /// - `results`: `None` if there are none; judged as `null` then.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] names what is wrong.
    pub fn check_output(&self, id: &str, results: Option<&Json>) -> Result<(), Mismatch> {
        match self.get(id).and_then(|operation| operation.output.as_ref()) {
            Some(schema) => schema.check(results),
            None => Ok(()),
        }
    }

    /// Whether an operation cannot succeed without results.
    pub fn needs_results(&self, id: &str) -> bool {
        self.get(id)
            .is_some_and(|operation| operation.needs_results)
    }

    /// Judges what is launched without anybody asking, by the configuration: permissions do not
    /// apply.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn check_launch(
        &self,
        action_type: &str,
        operation: bool,
        input: Option<&Json>,
    ) -> Result<(), String> {
        match (self.get(action_type), operation) {
            (Some(known), true) => known.check_input(input).map_err(|mismatch| {
                format!("the input of `{action_type}` does not fit: {mismatch}")
            }),
            (Some(_), false) => Err(format!(
                "`{action_type}` is an operation: give `operation` and `input` instead of `type` and `arguments`, so that its input is checked"
            )),
            (None, true) => Err(format!("there is no operation `{action_type}`")),
            (None, false) => Ok(()),
        }
    }

    /// Puts every operation in the place of [`EVERY_OPERATION`] in a runner's list of types.
    pub fn expand(&self, actions: &mut Vec<String>) {
        let Some(place) = actions.iter().position(|action| action == EVERY_OPERATION) else {
            return;
        };
        actions.retain(|action| action != EVERY_OPERATION);
        let missing = |id: &&str| !actions.iter().any(|action| action == id);
        let missing: Vec<String> = self.ids().filter(missing).map(str::to_owned).collect();
        let place = place.min(actions.len());
        actions.splice(place..place, missing);
    }
}

/// Whether an operation may have this id.
fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.as_bytes()[0].is_ascii_alphabetic()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definitions(value: serde_json::Value) -> Definitions {
        serde_json::from_value(value).unwrap()
    }

    fn one(id: &str) -> Definitions {
        definitions(json!({
            "application": {"name": "reports", "version": "1.2.3"},
            "operations": {id: {"id": id, "input": "in", "output": "out", "permission": "scope = 'admin'"}},
            "schemas": {"in": {"type": "object"}, "out": {"type": "integer"}, "unused": {}},
        }))
    }

    #[track_caller]
    fn refused(value: serde_json::Value, says: &str) {
        let mut catalogue = Catalogue::default();
        catalogue.add(one("Known"), "a.json").unwrap();
        let error = catalogue.add(definitions(value), "b.json").unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("operations: b.json: "), "{error}");
        assert!(error.contains(says), "{error}");
        assert_eq!(catalogue.ids().collect::<Vec<_>>(), ["Known"]);
    }

    #[test]
    fn who_may_not_launch_does_not_see_it_and_nobody_sees_permissions() {
        let mut catalogue = Catalogue::default();
        catalogue.add(one("Report.Generate"), "a.json").unwrap();
        let admin = catalogue.definitions(&Claims::new("x", "admin", &Default::default()));
        assert_eq!(
            serde_json::to_value(admin).unwrap(),
            json!({
                "application": {"name": "reports", "version": "1.2.3"},
                "operations": {"Report.Generate": {"id": "Report.Generate", "input": "in", "output": "out"}},
                "schemas": {"in": {"type": "object"}, "out": {"type": "integer"}},
            })
        );
        let reader = catalogue.definitions(&Claims::new("x", "read", &Default::default()));
        assert!(reader.operations.is_empty() && reader.schemas.is_empty());
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_origin_and_nothing_is_kept() {
        let with = |id: &str, definition| json!({"operations": {id: definition}});
        for id in ["", "1a", "_a", "a b", "a/b", "é", &"a".repeat(129)] {
            refused(with(id, json!({"id": id})), "is no operation's id");
        }
        refused(
            with("A", json!({"id": "B"})),
            "at `A` says that its id is `B`",
        );
        refused(
            with("Known", json!({"id": "Known"})),
            "defined by a.json, too",
        );
        refused(
            with("A", json!({"id": "A", "input": "in"})),
            "the schema `in`, which is not there",
        );
        refused(
            with("A", json!({"id": "A", "permission": "roles CONTAINS ops"})),
            "`A` is not understood: line 1, column 16: ",
        );
        refused(
            json!({"operations": {}, "schemas": {"s": {"properties": {"a": {"type": 3}}}}}),
            "the schema `s` is invalid at /properties/a/type: ",
        );
        refused(
            json!({"operations": {"A": {"id": "A", "input": "in"}}, "schemas": {"in": {"type": "array"}}}),
            "the schema `in` is not that of a.json",
        );
    }

    #[test]
    fn results_are_judged_where_a_schema_says_what_they_are() {
        let mut catalogue = Catalogue::default();
        assert!(!catalogue.has_outputs());
        catalogue.add(one("A"), "a.json").unwrap();
        let json = |text: &str| Json::from_text(text.to_owned()).unwrap();
        assert!(catalogue.has_outputs());
        assert!(catalogue.check_output("A", Some(&json("3"))).is_ok());
        assert!(catalogue.check_output("A", Some(&json("\"3\""))).is_err());
        assert!(catalogue.check_output("A", None).is_err());
        assert!(catalogue.check_output("B", None).is_ok());
    }

    #[test]
    fn every_operation_is_put_where_a_runner_says_so() {
        let mut catalogue = Catalogue::default();
        for id in ["B", "A"] {
            catalogue
                .add(definitions(json!({"operations": {id: {"id": id}}})), id)
                .unwrap();
        }
        let expanded = |actions: &[&str]| {
            let mut actions: Vec<String> = actions.iter().map(|a| (*a).to_owned()).collect();
            catalogue.expand(&mut actions);
            actions
        };
        assert_eq!(expanded(&["X", EVERY_OPERATION, "A"]), ["X", "B", "A"]);
        assert_eq!(expanded(&[EVERY_OPERATION]), ["A", "B"]);
        assert_eq!(expanded(&["X"]), ["X"]);
    }
}
