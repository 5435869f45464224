//! Operations from the command line: listed, launched with a checked input, and run by a child.

use serde_json::{Value, json};

use crate::command::{JOBHOOK, text};
use crate::server::{Folder, Server};

/// A folder that holds a definitions file, and a configuration with a runner for it.
fn definitions(operations: &Value) -> (Folder, String) {
    let folder = Folder::new("");
    let file = folder.path("operations.json");
    std::fs::write(&file, operations.to_string()).unwrap();
    let config = format!("[operations]\nfiles = [{:?}]\n", file.to_str().unwrap());
    (folder, config)
}

fn doubling() -> Value {
    json!({
        "application": {"name": "numbers", "version": "1"},
        "operations": {
            "Number.Double": {"id": "Number.Double", "input": "in", "output": "out"},
            "Hidden": {"id": "Hidden", "permission": "name = 'somebody else'"},
        },
        "schemas": {
            "in": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": false},
            "out": {"type": "integer"},
        },
    })
}

#[test]
fn an_operation_is_listed_launched_and_run_by_a_child() {
    let (_folder, config) = definitions(&doubling());
    let script = format!("{JOBHOOK} report --status SUCCESS --results $(($N * 2))");
    let runner = format!(
        "[runners.all]\ntype = \"LocalRunner\"\nactions = [\"AsyncOperationAction\"]\ncommand = \"sh\"\nargs = [\"-c\", '{script}']\nenv = {{ N = \"${{arguments.n}}\" }}\n"
    );
    let server = Server::start(&(config + &runner));
    let listed = server.run(&["operations"]);
    assert_eq!(
        (listed.code, listed.out.as_str()),
        (Some(0), "Number.Double  in → out\n")
    );
    let listed: Value = serde_json::from_str(&server.run(&["operations", "--json"]).out).unwrap();
    assert_eq!(listed["schemas"]["out"], json!({"type": "integer"}));
    assert!(
        server
            .run(&["operations", "--full"])
            .out
            .contains("\"additionalProperties\": false")
    );

    let launch = [
        "launch",
        "--operation",
        "Number.Double",
        "--wait",
        "--json",
        "--input",
    ];
    let launched = server.run(&[&launch[..], &[r#"{"n":21}"#]].concat());
    let action: Value =
        serde_json::from_str(&launched.out).unwrap_or_else(|_| panic!("{launched:?}"));
    assert_eq!(
        (
            text(&action, "status"),
            text(&action, "operationId"),
            &action["results"]
        ),
        ("SUCCESS", "Number.Double", &json!(42))
    );
    let refused = server.run(&[&launch[..], &[r#"{"n":"21"}"#]].concat());
    assert_eq!((refused.code, refused.out.as_str()), (Some(64), ""));
    assert!(refused.err.contains("/n: "), "{}", refused.err);
    let denied = server.run(&["launch", "--operation", "Hidden"]);
    assert_eq!(denied.code, Some(77), "{}", denied.err);
    let later = ["--at", "+1h", "--input", r#"{"n":1}"#, "--json"];
    let later = server.run(&[&launch[..3], &later].concat());
    assert!(later.out.contains(r#""status":"SCHEDULED""#), "{later:?}");
    let tomorrow = server.run(&["launch", "Any", "--at", "tomorrow"]);
    assert_eq!(tomorrow.code, Some(64));
    assert!(tomorrow.err.contains("RFC 3339"), "{}", tomorrow.err);
}

#[test]
fn a_server_does_not_start_with_a_definition_that_is_wrong() {
    let broken = |operation: Value, schema: Value| json!({"operations": {"A": operation}, "schemas": {"s": schema}});
    for (operations, says) in [
        (
            broken(
                json!({"id": "A", "permission": "name =\n 'a' OR"}),
                json!({}),
            ),
            "line 2, column 8: ",
        ),
        (
            broken(
                json!({"id": "A"}),
                json!({"properties": {"p": {"$ref": "file:///etc/passwd"}}}),
            ),
            "the schema `s` is invalid at /properties/p/$ref: `file:///etc/passwd` is not a part",
        ),
        (
            broken(json!({"id": "A"}), json!({"$ref": "http://127.0.0.1:1/s"})),
            "at /$ref: `http://127.0.0.1:1/s` is not a part",
        ),
        (
            broken(json!({"id": "A"}), json!({"type": "strnig"})),
            "the schema `s` is invalid at /type: ",
        ),
        (
            broken(json!({"id": "A", "input": "t"}), json!({})),
            "the schema `t`, which is not there",
        ),
    ] {
        let (folder, config) = definitions(&operations);
        let file = folder.path("jobhook.toml");
        std::fs::write(&file, config).unwrap();
        for command in ["serve", "check"] {
            let ended = folder.run(&[command]);
            assert_eq!(ended.code, Some(70), "{ended:?}");
            assert!(ended.err.contains("/operations.json: "), "{}", ended.err);
            assert!(ended.err.contains(says), "{}", ended.err);
        }
        assert!(!folder.path("data").exists(), "nothing was made");
    }
}

#[test]
fn two_files_may_not_define_one_operation() {
    let folder = Folder::new("[operations]\nfiles = [\"a.json\", \"b.json\"]\n");
    for name in ["a.json", "b.json"] {
        let one = json!({"operations": {"A": {"id": "A"}}});
        std::fs::write(folder.path(name), one.to_string()).unwrap();
    }
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(70), "{ended:?}");
    assert_eq!(
        ended.err.lines().last(),
        Some(
            "error: operations: b.json: the operation `A` is defined by a.json, too; one id is one operation"
        )
    );
    std::fs::write(folder.path("b.json"), r#"{"operations":{"B":{"id":"B"}}}"#).unwrap();
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.out.contains("operations 2, from a.json, b.json\n"),
        "{}",
        ended.out
    );
}
