//! Commands that ask once and print what they are told.

use jobhook_protocol::{Code, Problem};

use crate::command::{first_line, jobhook};
use crate::standin::{StandIn, json, problem};

/// An action as a server shows it, with a field that we do not know and a number that no
/// float can hold.
pub(crate) fn action(status: &str, closed: bool) -> String {
    format!(
        r#"{{"uuid":"a-1", "type":"WordCount","status":"{status}","attempt":1,"attempts":1,"results":{{"words":12345678901234567890}},"createdAt":"2025-11-24T16:00:00.000Z","startedAt":"2025-11-24T16:00:01.000Z","finishedAt":"2025-11-24T16:00:03.100Z","closed":{closed},"lines":0,"later":true}}"#
    )
}

pub(crate) fn line(number: u64, text: &str) -> String {
    format!(
        r#"{{"number":{number},"time":"2025-11-24T16:00:00.003Z","attempt":1,"source":"stdout","text":"{text}"}}"#
    )
}

#[test]
fn launch_sends_what_was_said_and_prints_the_id_alone() {
    let server = StandIn::start(|_, _| json(201, action("QUEUED", false)));
    let ended = jobhook(&[
        "launch",
        "WordCount",
        "--arguments",
        "{\"n\": 1.50}",
        "--attempts",
        "3",
        "--timeout",
        "1m30s",
    ])
    .at(&server.url)
    .env("JOBHOOK_TOKEN", "jh_secret")
    .run();
    assert_eq!((ended.code, ended.out.as_str()), (0, "a-1\n"));
    assert_eq!(ended.err, "");

    let request = &server.seen()[0];
    assert_eq!(request.line, "POST /api/v1/actions");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), Some("Bearer jh_secret"));
    assert_eq!(
        request.body,
        r#"{"type":"WordCount","arguments":{"n": 1.50},"attempts":3,"timeout":90}"#
    );
}

#[test]
fn an_operation_is_launched_with_its_input_and_its_time() {
    let server = StandIn::start(|_, _| json(201, action("SCHEDULED", false)));
    let sent = |more: &[&str]| {
        let ended = jobhook(&[&["launch"][..], more].concat())
            .at(&server.url)
            .run();
        assert_eq!(ended.code, 0, "{ended:?}");
        server.seen().pop().unwrap().body
    };
    let operation = ["--operation", "A.B", "--input", "{\"n\": 1.50}"];
    assert_eq!(
        sent(&[&operation[..], &["--at", "2026-01-31T08:00:00Z"]].concat()),
        r#"{"operationId":"A.B","input":{"n": 1.50},"scheduled":"2026-01-31T08:00:00Z"}"#
    );
    assert_eq!(
        sent(&["T", "--at", "1764000000000"]),
        r#"{"type":"T","scheduled":"1764000000000"}"#
    );
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let body = sent(&["T", "--at", "+10m"]);
    let text: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let ms: u128 = text["scheduled"].as_str().unwrap().parse().unwrap();
    let ahead = ms - before.unwrap().as_millis();
    assert!((600_000..660_000).contains(&ahead), "{ahead}");
    for wrong in [
        &["launch"][..],
        &["launch", "T", "--operation", "A"],
        &["launch", "T", "--input", "1"],
        &["launch", "--operation", "A", "--arguments", "1"],
        &["launch", "--operation", "A", "--input", "{"],
        &["launch", "T", "--at", "+soon"],
    ] {
        let ended = jobhook(wrong).at(&server.url).run();
        assert_eq!(ended.code, 64, "{ended:?}");
    }
}

#[test]
fn arguments_may_come_from_a_file_or_standard_input() {
    let server = StandIn::start(|_, _| json(201, action("QUEUED", false)));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.json");
    std::fs::write(&file, "[1]\n").unwrap();
    let at_file = format!("@{}", file.display());
    let run = |arguments: &str, input: &[u8]| {
        let ended = jobhook(&["launch", "T", "--arguments", arguments])
            .at(&server.url)
            .run_with(input);
        assert_eq!(ended.code, 0, "{ended:?}");
    };
    run(&at_file, b"");
    run("-", b"{\"a\":2}\n");
    run("-5", b"");
    let sent: Vec<_> = server
        .seen()
        .iter()
        .map(|request| request.json()["arguments"].clone())
        .collect();
    assert_eq!(
        sent,
        [
            serde_json::json!([1]),
            serde_json::json!({"a": 2}),
            serde_json::json!(-5)
        ]
    );
}

#[test]
fn json_is_exactly_the_body_of_the_api() {
    let body = action("SUCCESS", true);
    let list = format!("{{\"actions\":[{body}], \"next\":\"c\"}}");
    let (one, many) = (body.clone(), list.clone());
    let server = StandIn::start(move |_, request| match request.line.contains("a-1") {
        true => json(200, one.clone()),
        false => json(200, many.clone()),
    });
    for (arguments, expected) in [
        (&["show", "a-1", "--json"][..], &body),
        (&["cancel", "a-1", "--json"], &body),
        (&["retry", "a-1", "--json"], &body),
        (&["list", "--json"], &list),
    ] {
        let ended = jobhook(arguments).at(&server.url).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.out, format!("{expected}\n"));
    }
}

#[test]
fn list_narrows_by_status_and_type() {
    let body = format!("{{\"actions\":[{}]}}", action("SUCCESS", true));
    let server = StandIn::start(move |_, _| json(200, body.clone()));
    let ended = jobhook(&[
        "list",
        "--status",
        "success",
        "ERROR",
        "--type",
        "Word Count",
        "--limit",
        "5",
    ])
    .at(&server.url)
    .run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.out,
        "ID   STATUS     TYPE       TRY  LAUNCHED\n\
         a-1  SUCCESS    WordCount  1/1  2025-11-24 16:00:00 UTC\n"
    );
    assert_eq!(
        server.seen()[0].line,
        "GET /api/v1/actions?status=SUCCESS%2CERROR&type=Word+Count&limit=5"
    );
}

#[test]
fn an_address_may_have_a_path_of_its_own() {
    let server = StandIn::start(|_, _| json(200, action("SUCCESS", true)));
    let ended = jobhook(&["show", "a-1", "--url", &format!("{}/jobs/", server.url)])
        .at("http://ignored.invalid")
        .run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.starts_with("WordCount  a-1\n"), "{}", ended.out);
    assert_eq!(server.seen()[0].line, "GET /jobs/api/v1/actions/a-1");
}

#[test]
fn cancel_and_retry_say_what_became_of_it() {
    let server = StandIn::start(|_, request| {
        let status = match request.line.ends_with("cancel") {
            true => "RUNNING",
            false => "QUEUED",
        };
        json(200, action(status, false))
    });
    let ended = jobhook(&["cancel", "a-1", "--reason", "-too slow"])
        .at(&server.url)
        .run();
    assert_eq!(ended.out, "RUNNING  the job was asked to stop\n");
    let ended = jobhook(&["retry", "a-1"]).at(&server.url).run();
    assert_eq!(ended.out, "a-1\n");

    let seen = server.seen();
    assert_eq!(seen[0].line, "POST /api/v1/actions/a-1/cancel");
    assert_eq!(seen[0].body, r#"{"reason":"-too slow"}"#);
    assert_eq!(seen[1].line, "POST /api/v1/actions/a-1/retry");
}

#[test]
fn an_action_that_is_over_at_once_is_told_with_its_reason() {
    let refused = action("ERROR", true).replace(
        "\"later\"",
        "\"errorMessage\":\"no runner takes T\",\"later\"",
    );
    let server = StandIn::start(move |_, _| json(201, refused.clone()));
    for arguments in [&["launch", "T"][..], &["retry", "a-0"]] {
        let ended = jobhook(arguments).at(&server.url).run();
        assert_eq!((ended.code, ended.out.as_str()), (1, "a-1\n"));
        assert!(ended.err.contains("no runner takes T\n"), "{}", ended.err);
    }
    let ended = jobhook(&["launch", "T", "--json"]).at(&server.url).run();
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
}

#[test]
fn text_of_a_job_cannot_pass_for_another_line() {
    let hostile = action("ERROR", true).replace(
        "\"later\"",
        "\"errorMessage\":\"no\\na-2  SUCCESS\\u001b[2J\",\"later\"",
    );
    let server = StandIn::start(move |_, request| {
        if request.line.contains("a-1") {
            json(200, hostile.clone())
        } else {
            json(200, format!("{{\"actions\":[{hostile}]}}"))
        }
    });
    let shown = "no\\na-2  SUCCESS\\u{1b}[2J\n";
    let list = jobhook(&["list"]).at(&server.url).run();
    assert_eq!(list.out.lines().count(), 2, "{}", list.out);
    assert!(list.out.ends_with(shown), "{}", list.out);
    let show = jobhook(&["show", "a-1"]).at(&server.url).run();
    assert!(show.out.contains(shown), "{}", show.out);
}

#[test]
fn logs_prints_every_line_that_is_stored() {
    let server = StandIn::start(|_, request| {
        let after: u64 = request.line.split("after=").nth(1).map_or(0, |rest| {
            rest.split('&')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        });
        let lines = match after {
            0 => [line(3, "three"), line(4, "\\u001b[2J<four>")].join(","),
            4 => line(5, "five"),
            _ => String::new(),
        };
        json(200, format!("{{\"lines\":[{lines}],\"next\":9}}"))
    });
    let ended = jobhook(&["logs", "a-1"]).at(&server.url).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.out,
        "2025-11-24T16:00:00.003Z stdout three\n\
         2025-11-24T16:00:00.003Z stdout \\u{1b}[2J<four>\n\
         2025-11-24T16:00:00.003Z stdout five\n"
    );
    assert_eq!(ended.err, "… 2 older lines were dropped\n");

    let ended = jobhook(&["logs", "a-1", "--json"]).at(&server.url).run();
    assert_eq!(
        ended.out,
        format!(
            "{}\n{}\n{}\n",
            line(3, "three"),
            line(4, "\\u001b[2J<four>"),
            line(5, "five")
        )
    );
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let server = StandIn::start(|_, request| {
        let after = request.line.contains("after=0");
        let lines: Vec<String> = (1..=1_000)
            .map(|number| line(number, &"x".repeat(1_000)))
            .collect();
        let lines = if after {
            lines.join(",")
        } else {
            String::new()
        };
        json(200, format!("{{\"lines\":[{lines}]}}"))
    });
    let mut child = jobhook(&["logs", "a-1"]).at(&server.url).start();
    assert!(first_line(&mut child).contains("stdout x"));
    let ended = crate::command::ended(child);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn a_refusal_is_one_line_with_its_code() {
    let cases = [
        (
            Code::ActionNotFound,
            70,
            "error: no such (action_not_found)\n",
        ),
        (Code::AlreadyFinal, 70, "error: no such (already_final)\n"),
        (Code::ScopeRequired, 77, "error: no such (scope_required)\n"),
        (
            Code::Unauthenticated,
            77,
            "error: no such (unauthenticated); the token is read from JOBHOOK_TOKEN\n",
        ),
        (
            Code::StoreUnavailable,
            70,
            "error: no such (store_unavailable)\n",
        ),
    ];
    for (code, exit, message) in cases {
        let server = StandIn::start(move |_, _| problem(Problem::new(code, "no such")));
        let ended = jobhook(&["cancel", "a-1"]).at(&server.url).run();
        assert_eq!((ended.code, ended.err.as_str()), (exit, message));
        assert_eq!(ended.out, "");
    }
}

#[test]
fn what_the_server_finds_wrong_in_a_request_is_64_as_wrong_usage_is() {
    let ends = |arguments: &[&str], code: Code| {
        let server = StandIn::start(move |_, _| problem(Problem::new(code, "not so")));
        let ended = jobhook(arguments).at(&server.url).run();
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
        ended.code
    };
    let expression = ["schedules", "preview", "--cron", "BAD"];
    for code in Code::ALL {
        let expected = match code.status() {
            400 | 413 | 422 => 64,
            401 | 403 => 77,
            _ => 70,
        };
        assert_eq!(ends(&expression, *code), expected, "{code}");
    }
    for arguments in [
        &["launch", "T"][..],
        &["launch", "T", "--wait"],
        &["list"],
        &["show", "a-1"],
        &["logs", "a-1"],
        &["cancel", "a-1"],
        &["retry", "a-1"],
        &["operations"],
        &["schedules", "run", "n"],
    ] {
        assert_eq!(ends(arguments, Code::InvalidField), 64, "{arguments:?}");
    }
    // A 400 that is not in the words of the protocol says nothing of what was written.
    let server = StandIn::start(|_, _| json(400, "{}"));
    let ended = jobhook(&expression).at(&server.url).run();
    assert_eq!(ended.code, 70, "{ended:?}");
}

#[test]
fn a_server_of_another_kind_is_told_apart() {
    let server = StandIn::start(|_, _| json(404, "<html>"));
    let ended = jobhook(&["show", "a-1"]).at(&server.url).run();
    assert_eq!(ended.code, 70);
    assert_eq!(
        ended.err,
        format!(
            "error: {} answered 404 with application/json, and not as a jobhook server does: check the address\n",
            server.url
        )
    );
    let server = StandIn::start(|_, _| json(200, "{\"hello\":1}"));
    let ended = jobhook(&["show", "a-1"]).at(&server.url).run();
    assert_eq!(ended.code, 70);
    assert!(
        ended
            .err
            .contains("answered 200 with something unexpected (missing field `uuid`"),
        "{}",
        ended.err
    );
}

#[test]
fn a_server_that_is_not_there_is_69_with_the_whole_cause_and_a_way_out() {
    let server = StandIn::start(|_, _| json(200, ""));
    let url = server.url.clone();
    server.stop();
    for arguments in [
        &["list"][..],
        &["launch", "T", "--wait"],
        &["logs", "-f", "a-1"],
    ] {
        let ended = jobhook(arguments).at(&url).run();
        assert_eq!(ended.code, 69, "{ended:?}");
        assert!(
            ended
                .err
                .starts_with(&format!("error: cannot reach {url}: ")),
            "{}",
            ended.err
        );
        assert!(ended.err.contains("Connection refused"), "{}", ended.err);
        assert!(ended.err.ends_with(
            "start a server with `jobhook serve`, or name another one in JOBHOOK_URL\n"
        ));
    }
}

#[test]
fn a_proxy_is_not_asked_for_what_is_on_this_machine() {
    let server = StandIn::start(|_, _| json(200, action("SUCCESS", true)));
    let ended = jobhook(&["show", "a-1"])
        .at(&server.url)
        .env("http_proxy", "http://127.0.0.1:1")
        .run();
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_redirect_is_not_followed_with_the_token() {
    let server = StandIn::start(|_, _| {
        let mut response = json(302, "");
        let elsewhere = "http://127.0.0.1:1/".parse().expect("a header");
        response.headers_mut().insert("location", elsewhere);
        response
    });
    let ended = jobhook(&["show", "a-1"]).at(&server.url).run();
    assert_eq!(ended.code, 70, "{ended:?}");
    assert!(
        ended.err.contains("points to http://127.0.0.1:1: "),
        "{}",
        ended.err
    );
    assert_eq!(server.seen().len(), 1);
}
