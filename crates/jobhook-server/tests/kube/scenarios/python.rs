//! Python with the wheel `jobhook`, from inside its pod.
//!
//! On a real cluster JOBHOOK_TEST_PYTHON_IMAGE names an image whose `python3` has the wheel; on the
//! one of these tests JOBHOOK_TEST_PYTHON is such a `python3`. They are not run with the others, which
//! need no wheel.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Pod};

const COUNT: &str = r#"
from dataclasses import dataclass

import jobhook
from jobhook import Job


@dataclass
class Input:
    least: int


@dataclass
class Output:
    words: int


@jobhook.operation("Words.Count")
def count(job: Job, input: Input) -> Output:
    words = job.inputs[0].download().read_text().split()
    kept = [word for word in job.progress(words) if len(word) >= input.least]
    job.log(f"{len(kept)} of {len(words)}")
    job.outputs.upload("\n".join(kept).encode(), name="kept.txt")
    return Output(len(kept))


jobhook.run()
"#;

const FAIL: &str = r#"
from jobhook import Job

with Job.from_env() as job:
    job.log("so far")
    raise LookupError("nothing is there")
"#;

const STOP: &str = r#"
import threading

from jobhook import Job

with Job.from_env() as job:
    job.log("waiting")
    for _ in job.progress(iter(int, 1)):
        threading.Event().wait(0.05)
"#;

fn definitions() -> Value {
    let schema = |name: &str| {
        json!({
            "type": "object",
            "properties": {name: {"type": "integer"}},
            "required": [name],
        })
    };
    json!({
        "application": {"name": "words", "version": "1.0"},
        "operations": {"Words.Count": {"id": "Words.Count", "input": "in", "output": "out"}},
        "schemas": {"in": schema("least"), "out": schema("words")},
    })
}

#[test]
#[ignore = "needs the wheel: `./just test-python-kube`"]
fn an_operation_takes_its_input_and_file_and_leaves_results_and_a_file() {
    let cluster = Cluster::open();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("operations.json");
    std::fs::write(&file, definitions().to_string()).unwrap();
    let runner = cluster.runner("Words.Count", &Pod::python(COUNT));
    let server = cluster.serve(&format!("[operations]\nfiles = [{file:?}]\n{runner}"));
    std::fs::write(server.folder.path("words.txt"), "a word or two").unwrap();

    let input = r#"{"least": 2}"#;
    let what = ["launch", "--operation", "Words.Count", "--input", input];
    let launched = server.run(&[&what[..], &["--file", "words.txt"]].concat());
    assert_eq!(launched.code, Some(0), "{launched:?}");
    let ended = server.known(launched.out.trim()).end();
    ended.succeeded(&["3 of 4"]);
    let action = &ended.action;
    assert_eq!(action["results"], json!({"words": 3}), "{action}");
    assert_eq!(action["statusDetails"]["progress"], 100, "{action}");
    let came = server.run(&["files", launched.out.trim(), "--download", "out"]);
    assert_eq!(came.code, Some(0), "{came:?}");
    let kept = std::fs::read_to_string(server.folder.path("out/kept.txt")).unwrap();
    assert_eq!(kept, "word\nor\ntwo");
}

#[test]
#[ignore = "needs the wheel: `./just test-python-kube`"]
fn an_exception_is_an_error_with_its_name_and_its_traceback_in_the_log() {
    let cluster = Cluster::open();
    let ended = cluster.serve_one(&Pod::python(FAIL)).whole(&[]);
    let action = &ended.action;
    assert_eq!(action["status"], "ERROR", "{ended:#?}");
    assert_eq!(action["errorName"], "LookupError", "{ended:#?}");
    assert_eq!(action["errorMessage"], "nothing is there", "{ended:#?}");
    assert_eq!(
        ended.lines.first().map(String::as_str),
        Some("so far"),
        "{ended:#?}"
    );
    // Reported, and then printed by Python.
    let traceback = ended
        .lines
        .iter()
        .filter(|line| *line == "LookupError: nothing is there");
    assert_eq!(traceback.count(), 2, "{ended:#?}");
}

#[test]
#[ignore = "needs the wheel: `./just test-python-kube`"]
fn a_cancelled_one_ends_within_its_grace() {
    let cluster = Cluster::open();
    let server = cluster.serve_one(&Pod::python(STOP));
    let launched = server.begin(&[]);
    launched.line("waiting");
    launched.cancel();
    let ended = launched.end();
    assert_eq!(ended.action["status"], "CANCELLED", "{ended:#?}");
    cluster.until_none("pods");
}
