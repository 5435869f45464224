//! `jobhook check`: it finds what a start would refuse, in the same words, and all of it.

use serde_json::json;

use crate::command::shell;
use crate::refusals::check;
use crate::server::Folder;

/// A folder with one operation, `Sum`, whose input has a number `n`, and a runner for `Long`.
fn folder(more: &str) -> Folder {
    let folder = Folder::new(&format!(
        "[operations]\nfiles = [\"ops.json\"]\n{}{more}",
        shell("Long", "exec sleep 1000", "")
    ));
    let operations = json!({
        "operations": {"Sum": {"id": "Sum", "input": "in"}},
        "schemas": {"in": {"type": "object", "required": ["n"]}},
    });
    std::fs::write(folder.path("ops.json"), operations.to_string()).unwrap();
    folder
}

fn schedule(name: &str, rest: &str) -> String {
    format!("[schedules.{name}]\ncron = \"@daily\"\n{rest}\n")
}

#[test]
fn a_schedule_that_a_start_would_refuse_is_found() {
    for (rest, says) in [
        (
            "type = \"Lost\"",
            "no runner takes the type `Lost`: the configured runners take `Long`; \
             add it to the `actions` of one",
        ),
        ("operation = \"Nope\"", "there is no operation `Nope`"),
        (
            "operation = \"Sum\"\ninput = {}",
            "the input of `Sum` does not fit: \"n\" is a required property",
        ),
        (
            "operation = \"Sum\"\ninput = { n = 1 }",
            "no runner takes the type `Sum`: the configured runners take `Long`; \
             add it to the `actions` of one",
        ),
        (
            "type = \"Sum\"",
            "`Sum` is an operation: give `operation` and `input` instead of `type` and \
             `arguments`, so that its input is checked",
        ),
    ] {
        let expected = format!("error: schedules.nightly: {says}");
        check(&folder(&schedule("nightly", rest)), &[], 70, &expected);
    }
}

#[test]
fn a_service_runner_that_cannot_be_is_found() {
    let service = "[runners.inside]\ntype = \"ServiceRunner\"\nactions = [\"Sum\"]\n";
    check(
        &folder(service),
        &[],
        70,
        "error: runners.inside: actions: `Sum` is no operation of this program, and a \
         ServiceRunner runs nothing else; it has none",
    );
}

#[test]
fn every_schedule_that_is_wrong_is_told_and_every_one_that_is_right() {
    let folder = folder(
        &[
            schedule("a", "type = \"Lost\""),
            schedule("b", "type = \"Long\"\ntimezone = \"Europe/Berlin\""),
            schedule("c", "operation = \"Nope\""),
        ]
        .concat(),
    );
    let ended = folder.run(&["check"]);
    assert_eq!(ended.code, Some(70), "{ended:?}");
    let errors: Vec<&str> = ended.err.lines().collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("error: schedules.a: "), "{errors:?}");
    assert!(errors[1].starts_with("error: schedules.c: "), "{errors:?}");
    assert!(
        ended
            .out
            .contains("schedule   b: @daily Europe/Berlin → Long\n"),
        "{}",
        ended.out
    );
}
