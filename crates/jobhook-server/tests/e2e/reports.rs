//! What jobs say, under strain: many at once, again and again, too late, with our own commands.

use serde_json::json;

use crate::client::{Connection, End, Event};
use crate::command::{JOBHOOK, finish, shell, text};
use crate::job::{Job, TELLING};
use crate::server::Server;

const REPORTERS: usize = 32;
const LINES: usize = 500;

fn report_all(server: &Server, job: &Job<'_>, reporter: usize) {
    let mut connection = Connection::open(server.address());
    for seq in 1..=LINES {
        let body =
            format!(r#"{{"logs":["{reporter} {seq}"],"reporter":"r-{reporter}","seq":{seq}}}"#);
        let request = job.request(&body);
        if seq % 3 == 0 {
            // Sent, and cut before the answer: nobody knows whether it landed.
            connection.send(&request);
            connection = Connection::open(server.address());
        }
        let (status, answer) = connection.ask(&request);
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn lines_of_32_reporters_land_once_and_in_order_though_every_third_request_is_cut() {
    let server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell"}));
    let job = Job::of(&server, &id, 1);
    std::thread::scope(|scope| {
        for reporter in 0..REPORTERS {
            let (server, job) = (&server, &job);
            scope.spawn(move || report_all(server, job, reporter));
        }
    });
    job.exit(0);
    let End { action, lines } = server.end_of(&id);
    assert_eq!(action["status"], "SUCCESS", "{action}");
    assert_eq!(lines.len(), REPORTERS * LINES);
    let mut next = [1; REPORTERS];
    for line in lines {
        let (reporter, seq) = line.split_once(' ').unwrap();
        let next = &mut next[reporter.parse::<usize>().unwrap()];
        assert_eq!(seq.parse(), Ok(*next), "{line}");
        *next += 1;
    }
}

#[test]
fn three_processes_that_log_in_a_row_land_three_lines() {
    let script = format!(
        "{JOBHOOK} log one; {JOBHOOK} log two; {JOBHOOK} log three; \
         printf 'from\\nstandard input' | {JOBHOOK} log; \
         {JOBHOOK} report --status running --progress 50 --message half; \
         {JOBHOOK} report --status success --results '{{\"n\": 1.50}}'"
    );
    let server = Server::start(&shell("T", &script, ""));
    let action = server.outcome("T", &[]);
    assert_eq!(action["status"], "SUCCESS", "{action}");
    assert_eq!(action["witness"]["said"], "SUCCESS");
    assert_eq!(action["results"], json!({"n": 1.5}));
    assert_eq!(
        action["statusDetails"],
        json!({"progress": 50, "message": "half"})
    );
    let lines = server.log(&action);
    let said: Vec<&str> = lines.iter().map(|line| text(line, "text")).collect();
    assert_eq!(said, ["one", "two", "three", "from", "standard input"]);
    assert!(lines.iter().all(|line| line["source"] == "job"));
}

#[test]
fn a_zombie_of_the_first_attempt_is_told_to_stop_and_changes_nothing_once_the_second_has_begun() {
    let server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell", "attempts": 2}));
    let zombie = Job::of(&server, &id, 1);
    assert_eq!(zombie.report(&json!({"logs": ["one"]})).0, 200);
    zombie.exit(1);
    let second = Job::of(&server, &id, 2);
    assert_eq!(second.report(&json!({"logs": ["two"]})).0, 200);

    // Nothing of the server's own may change it between the two looks.
    let has_begun = |event: &Event| event.data["status"] == "RUNNING" && event.data["attempt"] == 2;
    server.events(&id, 0).find(has_begun).unwrap();
    let before = server.action(&id);
    for body in [
        json!({"status": "SUCCESS", "results": "stale"}),
        json!({"logs": ["late"], "reporter": "r", "seq": 1}),
        json!({"progress": {"percent": 99.0}}),
        json!({}),
    ] {
        for (status, answer) in [zombie.report(&body), zombie.report_webda(&body)] {
            assert_eq!(status, 403, "{answer}");
            assert_eq!(answer["code"], "attempt_superseded", "{answer}");
            assert_eq!(answer["action"], "STOP", "{answer}");
        }
    }
    assert_eq!(server.action(&id), before);

    assert_eq!(second.report(&json!({"status": "SUCCESS"})).0, 200);
    second.exit(0);
    let End { action, lines } = server.end_of(&id);
    assert_eq!(action["status"], "SUCCESS", "{action}");
    assert_eq!(action["history"][0]["outcome"], "error", "{action}");
    assert_eq!(lines, ["one", "two"]);
    let codes = [&zombie, &second].map(|job| job.report(&json!({})).1["code"].clone());
    assert_eq!(codes, ["attempt_superseded", "attempt_closed"]);
}

#[test]
fn a_job_with_a_zombies_environment_hears_that_it_should_stop() {
    let server = Server::start(TELLING);
    let id = server.launch(&json!({"type": "Tell", "attempts": 2}));
    let first = Job::of(&server, &id, 1);
    let key = std::fs::read_to_string(server.folder.path(&format!("key-{id}-1"))).unwrap();
    first.exit(1);
    Job::of(&server, &id, 2);
    let mut command = server.folder.command(JOBHOOK, &["log", "late"]);
    command
        .env("JOB_ID", &id)
        .env("JOB_ATTEMPT", "1")
        .env("JOB_SECRET_KEY", key.trim())
        .env("JOB_HOOK", format!("http://{}/async", server.address()));
    let ended = finish(command, "");
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{ended:?}");
    assert_eq!(server.action(&id)["attempt"], 2);
}
