//! `--wait`, `--follow`: to the end of an action, through whatever happens to the server.

use std::sync::mpsc;

use jobhook_protocol::{Code, Problem};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::{action, line};
use crate::command::{ended, first_line, jobhook};
use crate::standin::{StandIn, Then, events, json, problem};

fn log(number: u64) -> String {
    let line = line(number, &format!("line {number}"));
    format!("id: {number}\nevent: log\ndata: {line}\n\n")
}

fn logs(numbers: std::ops::RangeInclusive<u64>) -> String {
    numbers.map(log).collect()
}

fn status(word: &str) -> String {
    format!("event: status\ndata: {}\n\n", action(word, false))
}

fn end(word: &str) -> String {
    format!("event: end\ndata: {}\n\n", action(word, true))
}

fn printed(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers
        .into_iter()
        .map(|number| format!("2025-11-24T16:00:00.003Z stdout line {number}\n"))
        .collect()
}

#[test]
fn the_exit_code_is_the_actions() {
    for (word, code) in [
        ("SUCCESS", 0),
        ("ERROR", 1),
        ("TIMEOUT", 2),
        ("CANCELLED", 3),
    ] {
        let server = StandIn::start(move |_, request| match request.line.as_str() {
            "POST /api/v1/actions" => json(201, action("QUEUED", false)),
            line if line.ends_with("/logs") => events(end(word), Then::Ends),
            _ => json(200, action(word, true)),
        });
        for arguments in [
            &["launch", "T", "--wait"][..],
            &["launch", "T", "--follow"],
            &["logs", "-f", "a-1"],
        ] {
            let ended = jobhook(arguments).at(&server.url).run();
            assert_eq!(ended.code, code, "{arguments:?} {ended:?}");
        }
        // To look at an action that failed is no failure.
        assert_eq!(jobhook(&["show", "a-1"]).at(&server.url).run().code, 0);
    }
}

#[test]
fn wait_ends_once_the_action_is_final_and_closed() {
    let server = StandIn::start(|before, request| {
        match (request.line.as_str(), before) {
            ("POST /api/v1/actions", _) => json(201, action("QUEUED", false)),
            (_, 1) => json(200, action("RUNNING", false)),
            (_, 2) => json(200, action("SUCCESS", false)),
            // The server is away for a moment.
            (_, 3) => problem(Problem::new(Code::StoreUnavailable, "busy")),
            _ => json(200, action("SUCCESS", true)),
        }
    });
    let ended = jobhook(&["launch", "WordCount", "--wait"])
        .at(&server.url)
        .run();
    assert_eq!((ended.code, ended.out.as_str()), (0, "a-1\n"));
    assert_eq!(
        ended.err,
        "busy (store_unavailable); trying again\n\
         the server is back\n\
         SUCCESS  WordCount  after 2.1 s\n\
         results  {\"words\":12345678901234567890}\n"
    );
}

#[test]
fn wait_with_json_prints_the_action_as_it_ended_and_nothing_else() {
    let server = StandIn::start(|before, _| match before {
        0 => json(201, action("QUEUED", false)),
        _ => json(200, action("ERROR", true)),
    });
    let ended = jobhook(&["launch", "T", "--wait", "--json"])
        .at(&server.url)
        .run();
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    assert_eq!(ended.out, format!("{}\n", action("ERROR", true)));
}

#[test]
fn follow_shows_lines_and_progress_on_standard_error() {
    let running = action("RUNNING", false).replace(
        "\"later\"",
        "\"statusDetails\":{\"progress\":50,\"message\":\"half\"},\"later\"",
    );
    let stream = [
        ": hello\n\n".to_owned(),
        status("RUNNING"),
        status("RUNNING"),
        log(1),
        format!("event: status\ndata: {running}\n\n"),
        log(2),
        end("SUCCESS"),
    ]
    .concat();
    let server = StandIn::start(move |before, _| match before {
        0 => json(201, action("QUEUED", false)),
        _ => events(stream.clone(), Then::Ends),
    });
    let ended = jobhook(&["launch", "WordCount", "--follow"])
        .at(&server.url)
        .run();
    assert_eq!((ended.code, ended.out.as_str()), (0, "a-1\n"));
    assert_eq!(
        ended.err,
        [
            "RUNNING\n",
            &printed([1]),
            "RUNNING    50 %  half\n",
            &printed([2]),
            "SUCCESS  WordCount  after 2.1 s\nresults  {\"words\":12345678901234567890}\n",
        ]
        .concat()
    );
}

#[test]
fn a_stream_that_breaks_goes_on_after_the_last_line() {
    let server = StandIn::start(|before, _| match before {
        // The fourth line is cut in the middle.
        0 => events(logs(1..=3) + &log(4)[..40], Then::Breaks),
        1 => problem(Problem::new(Code::StoreUnavailable, "starting")),
        // A server that sends one line again.
        2 => events(logs(3..=5), Then::Ends),
        _ => events(log(6) + &end("SUCCESS"), Then::Hangs),
    });
    let ended = jobhook(&["logs", "--follow", "a-1"]).at(&server.url).run();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.out, printed(1..=6));
    assert!(
        ended
            .err
            .starts_with("starting (store_unavailable); trying again\nthe server is back\n"),
        "{}",
        ended.err
    );
    let resumed: Vec<_> = server
        .seen()
        .iter()
        .map(|request| request.header("last-event-id").map(str::to_owned))
        .collect();
    let after = |number: &str| Some(number.to_owned());
    assert_eq!(resumed, [None, after("3"), after("3"), after("5")]);
}

#[test]
fn a_server_that_is_gone_and_comes_back_is_followed_on() {
    let (sender, receiver) = mpsc::channel();
    let server = StandIn::start(move |_, _| {
        sender.send(()).expect("the test listens");
        events(logs(1..=2), Then::Hangs)
    });
    let address = server.address();
    let child = jobhook(&["logs", "-f", "a-1"]).at(&server.url).start();
    receiver.recv().expect("the stream is asked for");
    server.stop();
    // Whatever of the two lines arrived, the next server is asked for what comes after.
    let _server = StandIn::start_at(address, |_, request| {
        let seen: u64 = request
            .header("last-event-id")
            .map_or(0, |number| number.parse().expect("a number"));
        events(logs(seen + 1..=4) + &end("SUCCESS"), Then::Ends)
    });
    let ended = ended(child);
    assert_eq!((ended.code, ended.out), (0, printed(1..=4)));
}

#[test]
fn where_nothing_streams_it_is_asked_again_and_again() {
    for refuse in [false, true] {
        let server = StandIn::start(move |before, request| {
            let last_line_asked = request.line.contains("after=2");
            match request.header("accept") {
                Some("text/event-stream") if refuse => json(406, ""),
                Some("text/event-stream") => json(200, "{\"lines\":[]}"),
                _ if request.line.contains("after=0") => json(
                    200,
                    format!(
                        "{{\"lines\":[{},{}]}}",
                        line(1, "line 1"),
                        line(2, "line 2")
                    ),
                ),
                // The third line comes between the question for lines and that for the action.
                _ if last_line_asked && before < 4 => json(200, "{\"lines\":[]}"),
                _ if last_line_asked => json(200, format!("{{\"lines\":[{}]}}", line(3, "line 3"))),
                _ if request.line.contains("after=3") => json(200, "{\"lines\":[]}"),
                _ => json(
                    200,
                    action("SUCCESS", true).replace("\"lines\":0", "\"lines\":3"),
                ),
            }
        });
        let ended = jobhook(&["logs", "-f", "a-1"]).at(&server.url).run();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.out, printed(1..=3));
    }
}

#[test]
fn streams_that_bring_nothing_are_given_up_for_asking() {
    let server = StandIn::start(|_, request| match request.header("accept") {
        Some("text/event-stream") => events(": nothing\n\n", Then::Ends),
        _ if request.line.contains("after=0") => {
            json(200, format!("{{\"lines\":[{}]}}", line(1, "line 1")))
        }
        _ if request.line.contains("after=") => json(200, "{\"lines\":[]}"),
        _ => json(200, action("SUCCESS", true)),
    });
    let ended = jobhook(&["logs", "-f", "a-1"]).at(&server.url).run();
    assert_eq!((ended.code, ended.out), (0, printed([1])));
}

#[test]
fn lines_that_were_dropped_are_told_once() {
    let stream = [
        "event: gap\ndata: {\"dropped\":2}\n\n".to_owned(),
        log(3),
        log(5),
        end("SUCCESS"),
    ]
    .concat();
    let server = StandIn::start(move |_, _| events(stream.clone(), Then::Ends));
    let ended = jobhook(&["logs", "-f", "a-1"]).at(&server.url).run();
    assert_eq!(ended.out, printed([3, 5]));
    assert!(
        ended
            .err
            .starts_with("… 2 older lines were dropped\n… 1 older line was dropped\nSUCCESS"),
        "{}",
        ended.err
    );
}

#[test]
fn lines_as_json_are_as_they_came() {
    let server = StandIn::start(|_, _| events(logs(1..=2) + &end("SUCCESS"), Then::Ends));
    let ended = jobhook(&["logs", "-f", "--json", "a-1"])
        .at(&server.url)
        .run();
    assert_eq!(
        ended.out,
        format!("{}\n{}\n", line(1, "line 1"), line(2, "line 2"))
    );
}

#[test]
fn what_waiting_does_not_mend_ends_the_following() {
    let server = StandIn::start(|before, _| match before {
        0 => events(log(1), Then::Breaks),
        _ => problem(Problem::new(Code::Unauthenticated, "revoked")),
    });
    let ended = jobhook(&["logs", "-f", "a-1"]).at(&server.url).run();
    assert_eq!((ended.code, ended.out), (77, printed([1])));
}

#[test]
fn ctrl_c_leaves_the_action_running_and_says_so() {
    let server = StandIn::start(|_, _| events(log(1), Then::Hangs));
    let mut child = jobhook(&["logs", "-f", "a-1"]).at(&server.url).start();
    assert_eq!(first_line(&mut child), printed([1]));
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(id, Signal::SIGINT).unwrap();
    let ended = ended(child);
    assert_eq!(ended.code, 130, "{ended:?}");
    assert_eq!(
        ended.err,
        "no longer watching; the action goes on: `jobhook logs -f a-1` watches again, `jobhook cancel a-1` ends it\n"
    );
}

#[test]
fn follow_says_why_an_attempt_was_not_the_last() {
    let second = action("RUNNING", false).replace(
        "\"attempt\":1,\"attempts\":1",
        "\"attempt\":2,\"attempts\":3",
    );
    let with_history = second.replace(
        "\"later\"",
        "\"history\":[{\"attempt\":1,\"runner\":\"any\",\"claimedAt\":\"2025-11-24T16:00:00.500Z\",\"outcome\":\"error\",\"errorMessage\":\"it exited\\nwith code 3\",\"witness\":{}}],\"later\"",
    );
    let of_the_second = line(2, "two").replace("\"attempt\":1", "\"attempt\":2");
    let stream = [
        status("RUNNING"),
        log(1),
        format!("event: status\ndata: {second}\n\n"),
        format!("id: 2\nevent: log\ndata: {of_the_second}\n\n"),
        end("SUCCESS"),
    ]
    .concat();
    let server = StandIn::start(move |_, request| match request.line.as_str() {
        "POST /api/v1/actions" => json(201, action("QUEUED", false)),
        line if line.ends_with("/logs") => events(stream.clone(), Then::Ends),
        _ => json(200, with_history.clone()),
    });
    let told = "attempt 1 of 3 failed: it exited\\nwith code 3; trying again\n";
    let second = "2025-11-24T16:00:00.003Z stdout/2 two\n";
    let ended = jobhook(&["launch", "T", "--follow"]).at(&server.url).run();
    assert!(
        ended
            .err
            .starts_with(&["RUNNING\n", &printed([1]), told, second].concat()),
        "{}",
        ended.err
    );
    let ended = jobhook(&["logs", "-f", "a-1"]).at(&server.url).run();
    assert_eq!(ended.out, printed([1]) + second);
    assert!(ended.err.starts_with(told), "{}", ended.err);
}
