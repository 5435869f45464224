//! Servers and supervisors are killed; jobs run once and end with the truth.

use serde_json::{Value, json};

use crate::client::End;
use crate::processes::{belonging_to, carriers, end, is_alive, until};
use crate::server::Server;

/// Children that write numbered lines until the file `go-N` is there, and end with code N.
const WRITERS: &str = r#"
[runners.writers]
type = "LocalRunner"
actions = ["Write"]
command = "sh"
args = ["-c", '''
echo $1 >> ran
i=0
until [ -e go-$1 ]; do i=$((i+1)); echo line $i; sleep 0.02; done
echo last $i
exit $1
''', "sh", "${arguments.code}"]

[runners.parents]
type = "LocalRunner"
actions = ["Parent"]
command = "sh"
args = ["-c", "echo parent $PPID"]
"#;

const CODES: [i64; 10] = [0, 1, 2, 3, 42, 77, 100, 125, 200, 255];

struct Writers(Vec<(i64, String)>);

impl Writers {
    fn launch(server: &Server) -> Writers {
        let launch = |code: &i64| {
            let launch = json!({"type": "Write", "arguments": {"code": code}});
            (*code, server.launch(&launch))
        };
        Writers(CODES.iter().map(launch).collect())
    }

    /// Waits until the writer at `index` has written more.
    fn wait_for_more(&self, server: &Server, index: usize) {
        let id = &self.0[index].1;
        let seen = server.action(id)["lines"].as_u64().unwrap();
        let lines = server.events(id, seen).filter(|event| event.name == "log");
        assert_eq!(lines.take(5).count(), 5);
    }

    fn let_go(server: &Server, codes: &[i64]) {
        for code in codes {
            std::fs::write(server.dir().join(format!("go-{code}")), "").unwrap();
        }
    }

    fn check(&self, server: &Server) {
        for (code, id) in &self.0 {
            check_writer(*code, &server.end_of(id));
        }
        let ran = std::fs::read_to_string(server.dir().join("ran")).unwrap();
        let mut ran: Vec<i64> = ran.lines().map(|line| line.parse().unwrap()).collect();
        ran.sort_unstable();
        assert_eq!(ran, CODES);
    }
}

#[track_caller]
fn check_writer(code: i64, end: &End) {
    let End { action, lines } = end;
    let written = lines.len() - 1;
    let mut expected: Vec<String> = (1..=written).map(|n| format!("line {n}")).collect();
    expected.push(format!("last {written}"));
    assert_eq!(lines, &expected, "{action}");
    let status = if code == 0 { "SUCCESS" } else { "ERROR" };
    assert_eq!(action["status"], status, "{action}");
    assert_eq!(
        action["witness"]["saw"],
        format!("the program exited with code {code}"),
        "{action}"
    );
    assert_eq!(
        action["history"].as_array().map(Vec::len),
        Some(1),
        "{action}"
    );
}

#[test]
fn ten_children_outlive_a_server_that_is_killed_again_and_again() {
    let mut server = Server::start(WRITERS);
    let writers = Writers::launch(&server);
    // Right away: some have been taken, some have not.
    server.kill();
    server.start_again();
    for round in 0..9 {
        if round % 3 != 0 {
            writers.wait_for_more(&server, round);
        }
        server.kill();
        server.start_again();
    }
    // Half of them end while no server is there.
    server.kill();
    let (early, late) = CODES.split_at(5);
    Writers::let_go(&server, early);
    let ids = writers.0.iter().filter(|(code, _)| early.contains(code));
    for (_, id) in ids {
        until("a child ends by itself", || carriers(id).is_empty());
    }
    server.start_again();
    Writers::let_go(&server, late);
    writers.check(&server);
}

#[test]
fn ten_children_outlive_a_server_whose_program_is_replaced_between_starts() {
    let mut server = Server::start(WRITERS);
    let parent = |server: &Server| -> i32 {
        let id = server.launch(&json!({"type": "Parent"}));
        let end = server.end_of(&id);
        end.lines[0]
            .strip_prefix("parent ")
            .unwrap()
            .parse()
            .unwrap()
    };
    let first = parent(&server);
    let writers = Writers::launch(&server);
    for index in 0..CODES.len() {
        writers.wait_for_more(&server, index);
    }
    let mut latest = first;
    for round in 0..8_usize {
        server.kill();
        if round.is_multiple_of(2) {
            server.replace_program();
        }
        server.start_again();
        let parent = parent(&server);
        if round.is_multiple_of(2) {
            assert_ne!(parent, latest, "a new build has a supervisor of its own");
        } else {
            assert_eq!(parent, latest, "the same build has the same supervisor");
        }
        latest = parent;
        assert!(is_alive(first), "the first supervisor has children");
        writers.wait_for_more(&server, round);
    }
    Writers::let_go(&server, &CODES);
    writers.check(&server);
}

/// The first attempt hangs, with descendants; the second is over at once.
const HANGING: &str = r#"
[runners.hanging]
type = "LocalRunner"
command = "sh"
args = ["-c", '''
echo $JOB_ID $JOB_ATTEMPT >> ran
if [ $JOB_ATTEMPT = 2 ]; then echo second; exit 0; fi
sleep 1000 &
setsid sh -c "sleep 1001 & wait" &
echo supervisor $PPID
wait
''']
"#;

fn ran(server: &Server, id: &str) -> Vec<String> {
    let ran = std::fs::read_to_string(server.dir().join("ran")).unwrap();
    let own = ran.lines().filter_map(|line| line.strip_prefix(id));
    own.map(|attempt| attempt.trim().to_owned()).collect()
}

#[track_caller]
fn check_lost(attempt: &Value) {
    assert_eq!(attempt["outcome"], "error", "{attempt}");
    assert_eq!(attempt["failure"], "infrastructure", "{attempt}");
    assert_eq!(attempt["errorName"], "lost", "{attempt}");
    let message = attempt["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("infrastructure failure: "), "{attempt}");
    assert!(message.contains("supervisor"), "{attempt}");
}

/// Launches one action of each count of attempts, kills the supervisor, and checks them.
fn check_a_killed_supervisor(around: impl FnOnce(&mut Server, &dyn Fn())) {
    let mut server = Server::start(HANGING);
    let once = server.launch(&json!({"type": "Hang"}));
    let twice = server.launch(&json!({"type": "Hang", "attempts": 2}));
    let supervisor: i32 = server.line(&once, "supervisor ").parse().unwrap();
    assert_eq!(server.line(&twice, "supervisor "), supervisor.to_string());
    for id in [&once, &twice] {
        until("its descendants are there", || carriers(id).len() >= 4);
    }
    around(&mut server, &|| end(supervisor));

    let End { action, .. } = server.end_of(&once);
    assert_eq!(action["status"], "ERROR", "{action}");
    assert_eq!(action["errorName"], "lost", "{action}");
    assert_eq!(
        action["history"].as_array().map(Vec::len),
        Some(1),
        "{action}"
    );
    check_lost(&action["history"][0]);
    assert_eq!(ran(&server, &once), ["1"]);

    let End { action, lines } = server.end_of(&twice);
    assert_eq!(action["status"], "SUCCESS", "{action}");
    assert_eq!(lines.last().map(String::as_str), Some("second"));
    check_lost(&action["history"][0]);
    assert_eq!(action["history"][1]["outcome"], "success", "{action}");
    assert_eq!(ran(&server, &twice), ["1", "2"]);
    for id in [&once, &twice] {
        assert_eq!(carriers(id), [0; 0], "nothing of it is left");
    }
}

#[test]
fn a_killed_supervisor_takes_its_children_along_and_their_actions_say_so() {
    check_a_killed_supervisor(|_, kill_supervisor| kill_supervisor());
}

#[test]
fn a_supervisor_killed_while_no_server_is_there_is_found_out_by_the_next_server() {
    check_a_killed_supervisor(|server, kill_supervisor| {
        server.kill();
        kill_supervisor();
        server.start_again();
    });
}

#[test]
fn a_job_that_a_new_server_takes_up_keeps_its_place_among_those_that_may_run_at_once() {
    let config = WRITERS.replacen("[runners.writers]", "[runners.writers]\nconcurrency = 1", 1);
    let mut server = Server::start(&config);
    let launch = |server: &Server, code: i64| {
        server.launch(&json!({"type": "Write", "arguments": {"code": code}}))
    };
    let (first, second) = (launch(&server, 1), launch(&server, 2));
    server.line(&first, "line 1");
    server.kill();
    server.start_again();
    // By now everything that waits has been looked at.
    let parent = server.launch(&json!({"type": "Parent"}));
    server.end_of(&parent);
    server.line(&first, "line 5");
    assert_eq!(server.action(&second)["status"], "QUEUED");
    Writers::let_go(&server, &[1, 2]);
    for (code, id) in [(1, first), (2, second)] {
        check_writer(code, &server.end_of(&id));
    }
}

/// Short jobs, each with its own exit code.
const SHORT: &str = r#"
[runners.short]
type = "LocalRunner"
command = "sh"
args = ["-c", "echo $JOB_ID >> ran; echo begun; sleep 0.0${arguments.code}; echo done; exit ${arguments.code}"]
"#;

#[test]
fn whatever_is_killed_when_ever_no_program_runs_twice_and_every_action_ends_with_the_truth() {
    let mut server = Server::start(SHORT);
    let mut ids = Vec::new();
    for round in 0..30_usize {
        for code in 1..=4 {
            let launch = json!({"type": "Short", "arguments": {"code": code}});
            ids.push((code, server.launch(&launch)));
        }
        if round.is_multiple_of(3) {
            // So that not all kills meet a start.
            let (_, id) = &ids[round];
            server.end_of(id);
        }
        if round % 5 == 4 {
            supervisors(&server).into_iter().for_each(end);
        }
        if round % 5 != 3 {
            server.kill();
            server.start_again();
        }
    }
    let mut lost = 0;
    for (code, id) in &ids {
        let End { action, lines } = server.end_of(id);
        let ran = std::fs::read_to_string(server.dir().join("ran")).unwrap();
        let runs = ran.lines().filter(|line| line == id).count();
        let tries = action["history"].as_array().unwrap();
        assert_eq!(tries.len(), 1, "{action}");
        assert_eq!(action["status"], "ERROR", "{action}");
        if action["errorName"] == "lost" {
            check_lost(&tries[0]);
            assert!(runs <= 1, "{id} ran {runs} times");
            lost += 1;
        } else {
            let saw = format!("the program exited with code {code}");
            assert_eq!(action["witness"]["saw"], saw, "{action}");
            assert_eq!(lines, ["begun", "done"], "{action}");
            assert_eq!(runs, 1, "{action}");
        }
        assert_eq!(carriers(id), [0; 0], "nothing of it is left");
    }
    // The supervisor died six times, with at most the jobs of a round or two.
    assert!(lost <= 60, "{lost}");
}

fn supervisors(server: &Server) -> Vec<i32> {
    let is_one = |pid: &i32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains("__jobhook-supervisor")
    };
    let all = belonging_to(server.dir()).into_iter();
    all.filter(is_one).collect()
}
