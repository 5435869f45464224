//! What an operation promises, kept by every program that runs it.

use std::fs;

use serde_json::{Value, json};

use crate::command::{JOBHOOK, shell, text};
use crate::server::Server;

/// An operation `Count` that takes a text and gives back a whole number.
const OPERATIONS: &str = r#"{
    "operations": {"Count": {"id": "Count", "input": "text", "output": "number"}},
    "schemas": {"text": {"type": "string"}, "number": {"type": "integer"}}
}"#;

impl Server {
    /// Ends it, and starts it with [`OPERATIONS`] beside its configuration.
    fn start_with_operations(&mut self, config: &str) {
        assert!(self.stop().success());
        let file = self.folder.path("operations.json");
        fs::write(&file, OPERATIONS).unwrap();
        let files = format!(
            "[operations]\nfiles = [{:?}]\n{config}",
            file.to_str().unwrap()
        );
        fs::write(self.folder.path("jobhook.toml"), files).unwrap();
        self.start_again();
    }

    fn count(&self, input: &Value) -> Value {
        let id = self.launch(&json!({"operationId": "Count", "input": input}));
        self.end_of(&id);
        self.action(&id)
    }
}

#[test]
fn a_program_that_exits_0_without_the_results_its_operation_promises_has_failed() {
    let script =
        format!("case $SAY in nothing) ;; *) {JOBHOOK} report --results \"$SAY\" ;; esac; exit 0");
    let config = shell("Count", &script, "env = { SAY = \"${arguments}\" }");
    let mut server = Server::start(&config);
    server.start_with_operations(&config);
    let silent = server.count(&json!("nothing"));
    assert_eq!(text(&silent, "status"), "ERROR", "{silent}");
    assert_eq!(text(&silent, "errorName"), "invalid_output");
    assert!(text(&silent, "errorMessage").contains("without the results"));
    let right = server.count(&json!("3"));
    assert_eq!(text(&right, "status"), "SUCCESS", "{right}");
    assert_eq!(right["results"], 3);
    // The report is refused, and so nothing was given back.
    let wrong = server.count(&json!("\"three\""));
    assert_eq!(text(&wrong, "status"), "ERROR", "{wrong}");
    assert_eq!(text(&wrong, "errorName"), "invalid_output");
}

#[test]
fn what_was_launched_before_its_type_was_an_operation_does_not_start_unjudged() {
    let config = shell(
        "Count",
        "echo ran >> \"$RAN\"; echo started; until [ -e go ]; do sleep 0.01; done",
        "concurrency = 1\nenv = { RAN = \"ran\" }",
    );
    let mut server = Server::start(&config);
    let launch = json!({"type": "Count", "arguments": {"not": "judged"}});
    let first = server.launch(&launch);
    server.line(&first, "started");
    let second = server.launch(&launch);
    server.start_with_operations(&config);
    fs::write(server.dir().join("go"), "").unwrap();
    server.end_of(&first);
    server.end_of(&second);
    // One that runs is left alone.
    assert_eq!(text(&server.action(&first), "status"), "SUCCESS");
    let refused = server.action(&second);
    assert_eq!(text(&refused, "status"), "ERROR", "{refused}");
    assert_eq!(text(&refused, "errorName"), "not_started");
    assert!(
        text(&refused, "errorMessage").contains("launched as a plain action"),
        "{refused}"
    );
    let ran = fs::read_to_string(server.dir().join("ran")).unwrap();
    assert_eq!(ran, "ran\n");
}
