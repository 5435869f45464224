//! Cancelling, at every moment of an action's life.

use std::sync::Barrier;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jobhook_protocol::SecretKey;
use jobhook_protocol::signature::sign_webda;
use serde_json::{Value, json};

use crate::client::End;
use crate::processes::{carriers, until};
use crate::server::Server;

/// `stubborn` jobs hear SIGTERM and go on, with descendants that ignore it too. `sleeping` ones
/// end when they are asked; `telling` ones write their key to a file and wait.
const RUNNERS: &str = r#"
[runners.stubborn]
type = "LocalRunner"
actions = ["Stubborn"]
grace = "1s"
command = "sh"
args = ["-c", '''
echo ran $JOB_ID >> ran
trap "" TERM
sleep 1000 &
sh -c "sleep 1001 & wait" &
setsid sh -c "sleep 1002 & wait" &
trap "echo asked" TERM
echo ready
while :; do wait; done
''']

[runners.sleeping]
type = "LocalRunner"
actions = ["Sleep"]
grace = "1s"
command = "sh"
args = ["-c", "echo ran $JOB_ID >> ran; exec sleep 1000"]

[runners.quick]
type = "LocalRunner"
actions = ["Quick"]
command = "true"

[runners.telling]
type = "LocalRunner"
actions = ["Tell"]
linger = "1s"
command = "sh"
args = ["-c", '''
echo ran $JOB_ID >> ran
umask 077
echo $JOB_SECRET_KEY > key-$JOB_ID
echo ready
exec sleep 1000
''']
"#;

/// How often anything of `id` began.
fn runs(server: &Server, id: &str) -> usize {
    let ran = std::fs::read_to_string(server.dir().join("ran")).unwrap_or_default();
    ran.lines().filter(|line| line.ends_with(id)).count()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[track_caller]
fn check_cancelled(action: &Value) {
    assert_eq!(action["status"], "CANCELLED", "{action}");
    let tries = action["history"].as_array().map_or(0, Vec::len);
    assert!(tries <= 1, "it was tried again: {action}");
}

#[test]
fn a_cancelled_child_that_ignores_sigterm_goes_with_its_descendants_after_its_grace() {
    let server = Server::start(RUNNERS);
    let id = server.launch(&json!({"type": "Stubborn", "attempts": 5}));
    server.line(&id, "ready");
    until("its descendants are there", || carriers(&id).len() >= 6);
    let (status, action) = server.cancel(&id);
    assert_eq!(status, 200, "{action}");

    let End { action, lines } = server.end_of(&id);
    assert_eq!(carriers(&id), [0; 0], "nothing of it is left");
    check_cancelled(&action);
    assert_eq!(lines, ["ready", "asked"], "it is asked before it is killed");
    assert_eq!(
        action["witness"]["saw"],
        "the program was killed by signal 9 (SIGKILL) after it was asked to stop"
    );
    let closed_at = time(&action["history"][0]["closedAt"]);
    let took = closed_at.duration_since(time(&action["cancel"]["at"]));
    assert!((1000..2000).contains(&took.as_millis()), "it took {took:?}");
    assert_eq!(runs(&server, &id), 1);
}

#[test]
fn actions_that_are_cancelled_while_they_start_end_cancelled_and_are_not_tried_again() {
    let server = Server::start(RUNNERS);
    let pair = |number: usize| {
        let id = server.launch(&json!({"type": "Sleep", "attempts": 5}));
        if number.is_multiple_of(2) {
            // Between the claim and the start, or thereabouts.
            let taken = |event: &crate::client::Event| event.data["status"] != "QUEUED";
            server.events(&id, 0).find(taken).unwrap();
        }
        let (status, action) = server.cancel(&id);
        assert_eq!(status, 200, "{action}");
        id
    };
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads = (0..4).map(|_| scope.spawn(|| (0..50).map(pair).collect::<Vec<_>>()));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(ids.len(), 200);
    for id in &ids {
        check_cancelled(&server.end_of(id).action);
        assert!(runs(&server, id) <= 1);
    }
    for id in &ids {
        assert_eq!(carriers(id), [0; 0], "nothing of it is left");
    }
}

#[test]
fn a_cancel_that_meets_the_end_of_a_job_wins_or_is_refused() {
    let server = Server::start(RUNNERS);
    for _ in 0..50 {
        let id = server.launch(&json!({"type": "Quick", "attempts": 5}));
        let (status, answer) = server.cancel(&id);
        let End { action, .. } = server.end_of(&id);
        match status {
            200 => check_cancelled(&action),
            409 => {
                assert_eq!(answer["code"], "already_final", "{answer}");
                assert_eq!(action["status"], "SUCCESS", "{action}");
            }
            _ => panic!("{answer}"),
        }
        assert!(
            action["history"].as_array().map_or(0, Vec::len) <= 1,
            "{action}"
        );
    }
}

/// Reports SUCCESS in the name of a job that told its key; whether that was taken.
fn report_success(server: &Server, id: &str) -> bool {
    let key = std::fs::read_to_string(server.dir().join(format!("key-{id}"))).unwrap();
    let key = SecretKey::from_text(key.trim()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_millis().to_string();
    let hash = sign_webda(&key, &now);
    let headers = [
        ("X-Job-Id", id),
        ("X-Job-Time", now.as_str()),
        ("X-Job-Hash", hash.as_str()),
    ];
    let body = json!({"status": "SUCCESS", "results": "done"});
    let (status, answer) = server.post("/async/status", &headers, &body);
    assert!(status == 200 || status == 403, "{answer}");
    status == 200
}

#[test]
fn a_success_said_before_the_end_stands_against_a_simultaneous_cancel() {
    let server = Server::start(RUNNERS);
    let ids: Vec<String> = (0..20)
        .map(|_| server.launch(&json!({"type": "Tell", "attempts": 5})))
        .collect();
    for id in &ids {
        server.line(id, "ready");
        let at_once = Barrier::new(2);
        let (was_taken, (status, answer)) = std::thread::scope(|scope| {
            let report = scope.spawn(|| {
                at_once.wait();
                report_success(&server, id)
            });
            at_once.wait();
            let cancel = server.cancel(id);
            (report.join().unwrap(), cancel)
        });
        assert!(
            status == 200 || answer["code"] == "already_final",
            "{answer}"
        );
        let End { action, .. } = server.end_of(id);
        let expected = if was_taken { "SUCCESS" } else { "CANCELLED" };
        assert_eq!(action["status"], expected, "{action}");
        assert_eq!(
            action["history"].as_array().map(Vec::len),
            Some(1),
            "{action}"
        );
        assert_eq!(runs(&server, id), 1);
        assert_eq!(carriers(id), [0; 0], "nothing of it is left");
    }
}

#[test]
fn a_cancel_is_carried_out_by_the_next_server_if_the_first_dies_over_it_even_after_an_upgrade() {
    let mut server = Server::start(RUNNERS);
    let ids: Vec<String> = (0..4)
        .map(|_| server.launch(&json!({"type": "Stubborn", "attempts": 5})))
        .collect();
    for id in &ids {
        server.line(id, "ready");
    }
    for id in &ids[..3] {
        assert_eq!(server.cancel(id).0, 200);
        server.kill();
        server.start_again();
    }
    // The next build talks to the supervisor of the one before.
    server.kill();
    server.replace_program();
    server.start_again();
    assert_eq!(server.cancel(&ids[3]).0, 200);
    for id in &ids {
        let End { action, .. } = server.end_of(id);
        check_cancelled(&action);
        assert_eq!(carriers(id), [0; 0], "nothing of it is left");
        assert_eq!(runs(&server, id), 1);
    }
}
