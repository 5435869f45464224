//! The schedules of the configuration, over the starts of a server on one data directory.
//!
//! None of them fires in a test: each begins in a hundred years.

use std::fs;

use serde_json::{Value, json};

use crate::command::{shell, text};
use crate::server::Server;

/// A schedule of the configuration.
fn configured(name: &str, cron: &str, more: &str) -> String {
    format!(
        "[schedules.{name}]\ncron = \"{cron}\"\ntype = \"Any\"\n\
         start = \"2126-01-01T00:00:00Z\"\n{more}\n"
    )
}

fn config(schedules: &[String]) -> String {
    shell("Any", "true", "") + &schedules.concat()
}

impl Server {
    /// Ends it, and starts it on its data directory with another configuration.
    fn start_anew_with(&mut self, schedules: &[String]) {
        assert!(self.stop().success());
        fs::write(self.folder.path("jobhook.toml"), config(schedules)).unwrap();
        self.start_again();
    }

    /// All schedules, by name.
    fn schedules(&self) -> Vec<Value> {
        let (status, page) = self.get("/api/v1/schedules");
        assert_eq!(status, 200, "{page}");
        page["schedules"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn schedule(&self, name: &str) -> Value {
        let schedules = self.schedules();
        let found = schedules.iter().find(|schedule| schedule["name"] == name);
        found
            .unwrap_or_else(|| panic!("no `{name}`: {schedules:?}"))
            .clone()
    }

    /// Makes a schedule over the API.
    fn put_schedule(&self, name: &str, cron: &str) -> (u16, Value) {
        let definition = json!({"cron": cron, "type": "Any", "start": "2126-01-01T00:00:00Z"});
        self.put(&format!("/api/v1/schedules/{name}"), &definition)
    }
}

/// Name, revision, origin and expression of each.
fn short(schedules: &[Value]) -> Vec<(&str, u64, &str, &str)> {
    let short = |schedule| {
        let field = |name| text(schedule, name);
        let revision = schedule["revision"].as_u64().unwrap();
        (field("name"), revision, field("source"), field("cron"))
    };
    schedules.iter().map(short).collect()
}

#[test]
fn each_start_puts_changes_and_removes_as_the_configuration_says_and_leaves_what_the_api_made() {
    let kept = configured("kept", "30 2 * * *", "arguments = { days = 1 }");
    let first = [
        configured("changed", "@daily", ""),
        configured("gone", "@weekly", ""),
        kept.clone(),
    ];
    let mut server = Server::start(&config(&first));
    assert_eq!(server.put_schedule("by-hand", "@monthly").0, 200);
    let before = server.schedules();
    assert_eq!(
        short(&before),
        [
            ("by-hand", 1, "api", "@monthly"),
            ("changed", 1, "config", "@daily"),
            ("gone", 1, "config", "@weekly"),
            ("kept", 1, "config", "30 2 * * *"),
        ]
    );
    assert_eq!(before[3]["arguments"], json!({"days": 1}));

    server.start_anew_with(&first);
    assert_eq!(server.schedules(), before, "the same again changes nothing");

    server.start_anew_with(&[
        configured("changed", "30 * * * *", ""),
        kept.clone(),
        configured("new", "@yearly", ""),
    ]);
    let after = server.schedules();
    assert_eq!(
        short(&after),
        [
            ("by-hand", 1, "api", "@monthly"),
            ("changed", 2, "config", "30 * * * *"),
            ("kept", 1, "config", "30 2 * * *"),
            ("new", 1, "config", "@yearly"),
        ]
    );
    assert_eq!((&after[0], &after[2]), (&before[0], &before[3]));
    assert_eq!(after[1]["next"]["at"], "2126-01-01T00:30:00.000Z");
    let (status, problem) = server.get("/api/v1/schedules/gone");
    assert_eq!(
        (status, &problem["code"]),
        (404, &json!("schedule_not_found"))
    );

    // A configuration without any takes all of its own away.
    server.start_anew_with(&[]);
    assert_eq!(
        short(&server.schedules()),
        [("by-hand", 1, "api", "@monthly")]
    );
    server.start_anew_with(&[kept]);
    assert_eq!(
        server.schedule("kept")["revision"],
        2,
        "it goes on counting"
    );
}

#[test]
fn a_configured_schedule_that_is_paused_stays_so_whatever_a_restart_does() {
    let mut server = Server::start(&config(&[configured("nightly", "@daily", "")]));
    assert_eq!(server.put_schedule("by-hand", "@monthly").0, 200);
    for name in ["nightly", "by-hand"] {
        let paused = server.run(&["schedules", "pause", name, "--note", "we count"]);
        assert_eq!(paused.code, Some(0), "{paused:?}");
    }
    let before = server.schedules();
    for schedule in &before {
        assert_eq!(
            (&schedule["paused"]["note"], &schedule["next"]),
            (&json!("we count"), &Value::Null)
        );
    }

    server.kill();
    server.start_again();
    assert_eq!(server.schedules(), before);

    server.start_anew_with(&[configured("nightly", "30 * * * *", "")]);
    let changed = server.schedule("nightly");
    assert_eq!(
        (&changed["cron"], &changed["paused"]),
        (&json!("30 * * * *"), &before[1]["paused"])
    );
    let resumed = server.run(&["schedules", "resume", "nightly"]);
    assert_eq!(
        (resumed.code, resumed.out.as_str()),
        (Some(0), "next 2126-01-01 00:30:00 UTC\n"),
        "{resumed:?}"
    );
    server.kill();
    server.start_again();
    assert_eq!(server.schedule("nightly")["paused"], Value::Null);
    assert_eq!(server.schedule("by-hand"), before[0]);
}

#[test]
fn what_the_configuration_names_is_its_own_and_not_the_apis() {
    let nightly = configured("nightly", "@daily", "");
    let mut server = Server::start(&config(&[]));
    assert_eq!(server.put_schedule("nightly", "@daily").0, 200);

    // The configuration takes over what the API made, and nothing begins anew.
    server.start_anew_with(&[nightly]);
    let taken = server.schedule("nightly");
    assert_eq!(
        (&taken["source"], &taken["revision"]),
        (&json!("config"), &json!(1))
    );
    let path = "/api/v1/schedules/nightly";
    for (status, problem) in [
        server.put_schedule("nightly", "@hourly"),
        server.delete(path),
    ] {
        assert_eq!(
            (status, &problem["code"]),
            (409, &json!("schedule_configured")),
            "{problem}"
        );
    }
    assert_eq!(server.schedule("nightly"), taken);

    server.start_anew_with(&[]);
    assert_eq!(server.get(path).0, 404);
}

#[test]
fn a_schedule_that_cannot_launch_keeps_the_server_from_starting_and_changes_none() {
    let good = [configured("nightly", "@daily", "")];
    let mut server = Server::start(&config(&good));
    let before = server.schedules();
    assert!(server.stop().success());

    let nobodys = "[schedules.weekly]\ncron = \"@weekly\"\ntype = \"Other\"\n";
    let unknown = "[schedules.weekly]\ncron = \"@weekly\"\noperation = \"No.Such\"\n";
    for (bad, says) in [(nobodys, "`Other`"), (unknown, "`No.Such`")] {
        let changed = configured("nightly", "@hourly", "");
        let path = server.folder.path("jobhook.toml");
        fs::write(path, config(&[changed, bad.to_owned()])).unwrap();
        let ended = server.folder.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(ended.code, Some(70), "{ended:?}");
        let last = ended.err.lines().last().unwrap();
        assert!(last.starts_with("error: schedules.weekly: "), "{last}");
        assert!(last.contains(says), "{last}");
    }

    fs::write(server.folder.path("jobhook.toml"), config(&good)).unwrap();
    server.start_again();
    assert_eq!(server.schedules(), before);
}
