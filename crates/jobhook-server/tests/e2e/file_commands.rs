//! Files by the command line: into an action, out of it, and inside its job.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command::{JOBHOOK, shell};
use crate::server::Server;

/// A server whose job runs `script`, with `jobhook` on its PATH.
fn server(script: &str) -> Server {
    let programs = Path::new(JOBHOOK).parent().unwrap().display().to_string();
    let path = format!("env = {{ PATH = \"{programs}:/usr/bin:/bin\" }}");
    let stores = "[stores.images]\nproperties = [\"files\"]\n";
    Server::start(&(stores.to_owned() + &shell("Script", &format!("set -eu\n{script}"), &path)))
}

#[test]
fn a_document_goes_in_and_a_table_comes_out() {
    let server = server(
        "jobhook download --out in\n\
         tr -s ' ' '\\n' < in/words.txt | sort | uniq -c > counts.csv\n\
         jobhook upload counts.csv --mimetype text/csv --metadata '{\"by\":\"sh\"}'\n\
         jobhook upload - --name counts.csv < in/words.txt\n",
    );
    fs::write(server.folder.path("words.txt"), "a b a\n").unwrap();
    let launched = server.run(&["launch", "Script", "--file", "words.txt", "--wait"]);
    assert_eq!(launched.code, Some(0), "{launched:?}");
    let id = launched.out.trim();

    let listed = server.run(&["files", id]);
    let expected = "\
FILE       SIZE  TYPE                      NAME
inputs/0    6 B  application/octet-stream  words.txt
outputs/0  20 B  text/csv                  counts.csv
outputs/1   6 B  application/octet-stream  counts.csv
";
    assert_eq!(listed.out, expected);
    let listed = server.run(&["files", id, "--json"]);
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed["files"][1]["metadata"]["by"], "sh");

    let came = server.run(&["files", id, "--download", "out"]);
    let paths: Vec<&str> = came.out.lines().collect();
    let here = |name: &str| server.folder.path(&format!("out/{name}"));
    assert_eq!(paths.len(), 2, "{came:?}");
    assert!(paths[0].ends_with("out/0-counts.csv") && paths[1].ends_with("out/1-counts.csv"));
    let counts = fs::read_to_string(here("0-counts.csv")).unwrap();
    assert_eq!(
        counts.split_whitespace().collect::<Vec<_>>(),
        ["2", "a", "1", "b"]
    );
    assert_eq!(fs::read(here("1-counts.csv")).unwrap(), b"a b a\n");
    assert_eq!(
        fs::read_dir(server.folder.path("out")).unwrap().count(),
        2,
        "no part is left"
    );
}

#[test]
fn a_name_that_somebody_else_chose_replaces_nothing() {
    let server = server(
        "jobhook download 1 --out one/\n\
         cat one/a\n\
         jobhook download --out in\n\
         jobhook download --out in > again\n\
         echo mine > in/1-a\n\
         jobhook download --out in 2> refused && exit 1\n\
         cat in/0-a in/1-a refused\n\
         jobhook upload in/0-a --name b\n",
    );
    for (folder, content) in [("first", "1\n"), ("second", "2\n")] {
        fs::create_dir(server.folder.path(folder)).unwrap();
        fs::write(server.folder.path(folder).join("a"), content).unwrap();
    }
    let files = ["--file", "first/a", "--file", "second/a"];
    let launched = server.run(&[&["launch", "Script"][..], &files, &["--wait"]].concat());
    assert_eq!(launched.code, Some(0), "{launched:?}");
    let id = launched.out.trim();
    let said = server.end_of(id).lines;
    let place = server.folder.path("in/1-a").display().to_string();
    let found: Vec<_> = said.iter().filter(|line| !line.starts_with('/')).collect();
    let (last, found) = found.split_last().unwrap();
    assert_eq!(found, ["2", "1", "mine"]);
    assert!(
        last.contains(&format!(
            "{place} is there already, and is not the same file; it was left alone"
        )),
        "{said:?}"
    );

    fs::write(server.folder.path("b"), "of the person\n").unwrap();
    let refused = server.run(&["files", id, "--download", "."]);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.err.contains("left alone"), "{refused:?}");
    let there = fs::read_to_string(server.folder.path("b")).unwrap();
    assert_eq!(there, "of the person\n");
    let refused = server.run(&["files", id, "--download", "b"]);
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.err.contains("no directory"), "{refused:?}");
    let other = server.run(&["files", id, "--property", "pictures"]);
    assert!(
        other
            .err
            .contains("no pictures; there are inputs and outputs"),
        "{other:?}"
    );
}

#[test]
fn what_cannot_be_moved_ends_with_a_code_that_says_why() {
    let server = server(
        "say() { shift; \"$@\" 2>/dev/null && code=0 || code=$?; echo \"$code\"; }\n\
         say no-file jobhook upload nowhere\n\
         say directory jobhook upload .\n\
         say no-number jobhook download 7\n\
         say no-inputs jobhook download\n\
         say not-granted jobhook upload jobhook.toml --to images/a/files\n\
         say granted jobhook upload jobhook.toml --to images/b/files\n\
         say no-place jobhook upload jobhook.toml --to images\n\
         say bad-name jobhook upload jobhook.toml --name a/b\n\
         say unwritable jobhook download 0 --from images/b/files --out no/where\n",
    );
    let launched = server.run(&["launch", "Script", "--grant", "images/b/*:write", "--wait"]);
    assert_eq!(launched.code, Some(0), "{launched:?}");
    let codes = server.end_of(launched.out.trim()).lines;
    assert_eq!(codes, ["64", "64", "1", "1", "1", "0", "64", "64", "64"]);
    for (args, code) in [
        (&["launch", "Script", "--file", "nowhere"][..], 64),
        (&["launch", "Script", "--grant", "images"], 64),
        (&["launch", "Script", "--grant", "pictures/a/files"], 64),
        (
            &["launch", "Script", "--grant", "actions/a/outputs:write"],
            64,
        ),
        (&["files", "nowhere"], 70),
    ] {
        let ended = server.run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
    }
}
