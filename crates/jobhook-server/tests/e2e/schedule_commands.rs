//! `jobhook schedules`: what each of its commands prints, and how it ends.

use serde_json::{Value, json};

use crate::command::{Ended, TOKEN_SHA256, shell, text};
use crate::server::Server;

/// A schedule far in the future, one that is over, and a runner whose jobs end when they are
/// stopped.
const SCHEDULES: &str = r#"
[schedules.nightly]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
type = "Long"
start = "2126-01-01T00:00:00Z"

[schedules.over]
cron = "@hourly"
type = "Short"
overlap = "allow"
end = "2020-01-01T00:00:00Z"
"#;

const NOT_FOUND: &str = "error: there is no such schedule (schedule_not_found)\n";

fn server() -> Server {
    let runners = [
        shell("Long", "exec sleep 1000", ""),
        shell("Short", "echo done", ""),
    ];
    Server::start(&(runners.concat() + SCHEDULES))
}

impl Server {
    fn schedules_command(&self, args: &[&str]) -> Ended {
        self.run(&[&["schedules"], args].concat())
    }

    /// What a command prints that does what it should.
    #[track_caller]
    fn printed(&self, args: &[&str]) -> String {
        let ended = self.schedules_command(args);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
        ended.out
    }

    /// What a command says that ends with `code`.
    #[track_caller]
    fn refused(&self, code: i32, args: &[&str]) -> String {
        let ended = self.schedules_command(args);
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(code), ""),
            "{ended:?}"
        );
        ended.err
    }
}

/// The lines of a command's answer without their times, which a test does not know.
fn without_times(printed: &str) -> Vec<String> {
    let line = |line: &str| match line.find(" UTC  ") {
        Some(end) => line[end + 6..].to_owned(),
        None => line.to_owned(),
    };
    printed.lines().map(line).collect()
}

#[test]
fn list_and_show_tell_when_each_fires_next_or_why_not() {
    let server = Server::start("");
    let ended = server.schedules_command(&["list"]);
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (Some(0), "", "no schedules\n")
    );

    let server = self::server();
    assert_eq!(
        server.printed(&["list"]),
        "NAME     CRON        TIMEZONE       LAUNCHES  NEXT\n\
         nightly  30 2 * * *  Europe/Berlin  Long      2126-01-01 01:30:00 UTC\n\
         over     @hourly     UTC            Short     never\n"
    );
    assert_eq!(
        server.printed(&["show", "nightly"]),
        "schedule  nightly\n\
         cron      30 2 * * *  Europe/Berlin\n\
         launches  Long\n\
         next      2126-01-01 01:30:00 UTC\n\
         overlap   skip\n\
         catch up  one\n\
         made by   config, revision 1\n"
    );
    for (args, path) in [
        (&["list", "--json"][..], "/api/v1/schedules"),
        (&["show", "over", "--json"], "/api/v1/schedules/over"),
    ] {
        let printed: Value = serde_json::from_str(&server.printed(args)).unwrap();
        assert_eq!(printed, server.get(path).1);
    }
}

#[test]
fn preview_names_the_next_moments_of_a_schedule_or_an_expression() {
    let server = self::server();
    assert_eq!(
        server.printed(&["preview", "nightly", "-n", "2"]),
        "LOCAL                UTC\n\
         2126-01-01 02:30:00  2126-01-01 01:30:00 UTC\n\
         2126-01-02 02:30:00  2126-01-02 01:30:00 UTC\n"
    );
    let over = server.schedules_command(&["preview", "over"]);
    assert_eq!(
        (over.code, over.out.as_str(), over.err.as_str()),
        (Some(0), "", "no moments: it does not fire from now on\n")
    );

    // From now on; a leap day is the same for a long time.
    let leap_day = ["preview", "--cron", "15 30 2 29 2 *", "--json", "--limit"];
    let page = server.printed(&[&leap_day[..], &["3", "--timezone", "asia/tokyo"]].concat());
    let page: Value = serde_json::from_str(&page).unwrap();
    let firings = page["firings"].as_array().unwrap();
    assert_eq!(firings.len(), 3);
    for firing in firings {
        assert!(text(firing, "local").ends_with("-02-29T02:30:15"), "{page}");
        assert!(
            text(firing, "at").ends_with("-02-28T17:30:15.000Z"),
            "{page}"
        );
    }
    let ten = server.printed(&["preview", "--cron", "@daily"]);
    assert_eq!(ten.lines().count(), 1 + 10, "{ten}");
}

#[test]
fn an_expression_or_a_zone_that_makes_no_sense_is_64_and_said_in_words() {
    let server = self::server();
    let fields = |found: &str| {
        format!(
            "the cron expression has {found}; it takes 5 (minute, hour, day of month, month, \
             day of week) or 6 (second first)"
        )
    };
    let no_zone = |name: &str| {
        format!("`{name}` is not a time zone of the IANA database, as Europe/Berlin or UTC are")
    };
    for (cron, zone, says) in [
        ("BAD", "UTC", fields("1 field")),
        ("* * * *", "UTC", fields("4 fields")),
        // The seventh would be a year.
        ("0 0 0 1 1 * 2030", "UTC", fields("7 fields")),
        ("* * * * * * * *", "UTC", fields("8 fields")),
        (
            "",
            "UTC",
            "the cron expression is empty; every day at 02:30 is `30 2 * * *`".to_owned(),
        ),
        (
            "61 * * * *",
            "UTC",
            "`61` is out of range: minute takes 0 to 59".to_owned(),
        ),
        (
            "0 0 30 2 *",
            "UTC",
            "`0 0 30 2 *` never fires: no date matches its day and month".to_owned(),
        ),
        ("@daily", "Mars/Olympus", no_zone("Mars/Olympus")),
        ("@daily", "+02:00", no_zone("+02:00")),
        (
            "@daily",
            "Europe/Berlni",
            no_zone("Europe/Berlni") + "; did you mean Europe/Berlin?",
        ),
    ] {
        assert_eq!(
            server.refused(64, &["preview", "--cron", cron, "--timezone", zone]),
            format!("error: {says} (invalid_schedule)\n")
        );
    }
}

#[test]
fn wrong_usage_is_64_and_an_unknown_name_70() {
    let server = self::server();
    for (args, says) in [
        (&["preview"][..], "required arguments were not provided"),
        (
            &["preview", "over", "--cron", "@daily"],
            "cannot be used with '--cron",
        ),
        (
            &["preview", "over", "--timezone", "UTC"],
            "cannot be used with '--timezone",
        ),
        (&["preview", "over", "-n", "0"], "0 is not in 1..=1000"),
        (
            &["show", "over", "--ticks", "1001"],
            "1001 is not in 1..=1000",
        ),
        (&["stop", "over"], "'stop'"),
    ] {
        let said = server.refused(64, args);
        assert!(said.contains(says), "{args:?}: {said}");
    }
    for command in ["show", "preview", "run", "pause", "resume"] {
        assert_eq!(server.refused(70, &[command, "constructor"]), NOT_FOUND);
        // What cannot be a name is not sent.
        let said = server.refused(64, &[command, "../over"]);
        assert!(
            said.starts_with("error: the schedule's name is invalid: a name is 1 to 128 of"),
            "{said}"
        );
    }
}

#[test]
fn run_launches_at_once_and_obeys_the_overlap() {
    let server = self::server();
    let id = server.printed(&["run", "nightly"]).trim_end().to_owned();
    let (status, action) = server.get(&format!("/api/v1/actions/{id}"));
    assert_eq!(
        (status, text(&action, "schedule"), text(&action, "type")),
        (200, "nightly", "Long")
    );
    let said = server.refused(70, &["run", "nightly"]);
    assert!(
        said.contains(&id) && said.contains("(schedule_overlap)"),
        "{said}"
    );
    let shown = server.printed(&["show", "nightly"]);
    assert_eq!(
        without_times(&shown)[7..],
        [
            "",
            "TICK                     WHAT BECAME OF IT       ACTION",
            &format!("launched, run by local  {id}"),
        ]
    );

    let tick: Value = serde_json::from_str(&server.printed(&["run", "over", "--json"])).unwrap();
    assert_eq!(
        (&tick["outcome"], &tick["runBy"]),
        (&json!("launched"), &json!("local"))
    );
    let end = server.end_of(text(&tick, "action"));
    assert_eq!(end.lines, ["done"]);
    server.printed(&["run", "over"]);
    let newest = server.printed(&["show", "over", "--ticks", "1"]);
    assert_eq!(newest.lines().skip(9).count(), 1, "{newest}");
}

#[test]
fn a_paused_schedule_says_who_and_why_runs_by_hand_and_is_resumed_once() {
    let token = |name: &str, scope: &str, sha256: &str| {
        format!("[[auth.tokens]]\nname = \"{name}\"\nscope = \"{scope}\"\nsha256 = \"{sha256}\"\n")
    };
    // printf %s jh_reader | sha256sum
    let reader = "4f77720066390c7d0e5463e8540465627e0d72b795724d577e1a206e6f1b566d";
    let tokens = token("ann", "operate", TOKEN_SHA256) + &token("reader", "read", reader);
    let server = Server::start(
        &(shell("Long", "exec sleep 1000", "") + &shell("Short", "true", "") + SCHEDULES + &tokens),
    );

    let pause = ["pause", "nightly", "--note", "-two\nlines"];
    assert_eq!(server.printed(&pause), "paused\n");
    let list = server.printed(&["list"]);
    let line = list.lines().nth(1).unwrap();
    assert!(line.ends_with("  paused by ann: -two\\nlines"), "{list}");
    let id = server.printed(&["run", "nightly"]);
    assert_eq!(id.trim_end().len(), 36, "{id}");

    for command in ["pause", "resume", "run"] {
        let mut command = server.command(&["schedules", command, "nightly"]);
        command.env("JOBHOOK_TOKEN", "jh_reader");
        let ended = crate::command::finish(command, "");
        assert_eq!(
            (ended.code, ended.out.as_str()),
            (Some(77), ""),
            "{ended:?}"
        );
        assert!(ended.err.contains("(scope_required)"), "{}", ended.err);
    }

    let next = "next 2126-01-01 01:30:00 UTC\n";
    assert_eq!(server.printed(&["resume", "nightly"]), next);
    assert_eq!(
        server.refused(70, &["resume", "nightly"]),
        "error: the schedule is not paused (schedule_not_paused)\n"
    );
    server.printed(&["pause", "over"]);
    assert!(server.printed(&["list"]).ends_with("  paused by ann\n"));
    assert_eq!(server.printed(&["resume", "over"]), "next never\n");
}

#[test]
fn a_schedule_whose_type_no_runner_takes_any_more_says_so() {
    let long = shell("Long", "exec sleep 1000", "");
    let mut server = Server::start(&(shell("Gone", "true", "") + &long));
    let body = json!({"cron": "* * * * * *", "type": "Gone"});
    let (status, put) = server.put("/api/v1/schedules/left", &body);
    assert_eq!((status, put.get("blocked")), (200, None), "{put}");
    server.stop();
    std::fs::write(server.folder.path("jobhook.toml"), &long).unwrap();
    server.start_again();

    let why = "no runner takes the type `Gone`: the configured runners take `Long`; \
               add it to the `actions` of one";
    let (_, shown) = server.get("/api/v1/schedules/left");
    assert_eq!((text(&shown, "blocked"), shown.get("next")), (why, None));
    let list = server.printed(&["list"]);
    assert!(
        list.ends_with(&format!("Gone      never: {why}\n")),
        "{list}"
    );
    server.printed(&["pause", "left"]);
    let shown = server.printed(&["show", "left"]);
    for line in [
        "next      paused by local".to_owned(),
        format!("blocked   {why}"),
    ] {
        assert!(shown.lines().any(|one| one == line), "{shown}");
    }
    let resumed = server.printed(&["resume", "left"]);
    assert_eq!(resumed, format!("next never: {why}\n"));
    let said = server.refused(70, &["run", "left"]);
    assert!(said.contains("(no_runner)"), "{said}");
}

#[test]
fn a_run_that_waits_has_no_id_yet_and_goes_on_also_in_a_pause() {
    let server = Server::start(&shell("Long", "exec sleep 1000", ""));
    let body = json!({"cron": "@yearly", "type": "Long", "overlap": "queue", "start": "2126-01-01T00:00:00Z"});
    assert_eq!(server.put("/api/v1/schedules/one", &body).0, 200);
    let first = server.printed(&["run", "one"]).trim_end().to_owned();
    server.printed(&["pause", "one"]);
    let waits = server.schedules_command(&["run", "one"]);
    assert_eq!(
        (waits.code, waits.out.as_str(), waits.err.as_str()),
        (
            Some(0),
            "",
            "it waits for the action before it, and has no id yet; \
             `jobhook schedules show one` says what becomes of it\n"
        )
    );
    let newest = || server.get("/api/v1/schedules/one/ticks?limit=1").1["ticks"][0].clone();
    let tick = newest();
    assert_eq!(
        (text(&tick, "outcome"), tick.get("action")),
        ("queued", None)
    );
    server.cancel(&first);
    crate::processes::until("it is launched", || {
        text(&newest(), "outcome") == "launched"
    });
    let action = server.action(text(&newest(), "action"));
    assert_eq!(text(&action, "schedule"), "one");
}
