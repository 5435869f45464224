//! Operations from the command line: listed, launched with a checked input, and run by a child.

use serde_json::{Value, json};

use crate::command::{JOBHOOK, shell, text};
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
        (
            broken(json!({"id": "A", "permision": "name = 'ops'"}), json!({})),
            "the operation `A` has a member `permision`, which means nothing; did you mean `permission`? \
             Correct it, or call it something else: without its permission everybody may launch it",
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

#[test]
fn a_member_that_is_nearly_another_is_told_and_one_that_others_read_is_not() {
    let odd = json!({"id": "A", "inptu": "s", "service": "Any", "method": "any"});
    let (folder, config) = definitions(&json!({"operations": {"A": odd}}));
    std::fs::write(folder.path("jobhook.toml"), config).unwrap();
    let ended = folder.run(&["check"]);
    let said = ended.err.replace(&*folder.path("").to_string_lossy(), "@/");
    assert_eq!(
        (ended.code, said.as_str()),
        (
            Some(0),
            "warning: operations: @/operations.json: the operation `A` has a member `inptu`, \
             which means nothing; did you mean `input`?\n"
        )
    );
}

#[test]
fn what_the_server_refuses_of_a_launch_is_said_in_the_words_of_the_command_line() {
    let (_folder, config) = definitions(&doubling());
    let limits = "[limits]\narguments = \"1KiB\"\n";
    let server = Server::start(&(config + limits + &shell("Any", "true", "")));
    let long = format!("\"{}\"", "x".repeat(2000));
    for (args, says) in [
        (
            &["launch", "Number.Double"][..],
            "error: `Number.Double` is an operation: launch it with `--operation` and `--input` \
             instead of a type and `--arguments`, so that its input is checked (",
        ),
        (
            &["launch", "--operation", ""],
            "error: `--operation` is invalid: it must be a text that is not empty (invalid_field)",
        ),
        (
            &["launch", "Any", "--at", "tomorrow"],
            "error: `--at` cannot be `tomorrow`: it must be milliseconds since 1970",
        ),
        (
            &["launch", "Any", "--arguments", &long],
            "error: `--arguments` have 2002 bytes; at most 1024 are taken (body_too_large)",
        ),
    ] {
        let ended = server.run(args);
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(64), ""),
            "{ended:?}"
        );
        assert!(ended.err.starts_with(says), "{}", ended.err);
    }
}
