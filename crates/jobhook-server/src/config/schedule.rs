//! `[schedules.NAME]`: what is launched when.

use std::time::Duration;

use jobhook_engine::EngineError;
use jobhook_engine::action::Timeouts;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::cron::Cron;
use jobhook_engine::schedule::{CatchUp, Overlap, ScheduleDefinition, is_name};
use jobhook_protocol::Json;
use serde::{Deserialize, Deserializer};

use super::measure::read_a_duration;
use super::read::{Fault, read};
use super::section::Judged;
use super::tree::Node;
use crate::moment::{self, NoMoment};

/// A schedule and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name, unique in the file.
    pub name: String,
    /// When it launches what.
    pub definition: ScheduleDefinition,
}

/// The keys of a schedule. It launches either a `type` with `arguments` or an `operation` with
/// its `input`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    /// When: a cron expression of 5 fields, of 6 (seconds first), or a name such as `@daily`.
    cron: String,
    /// The IANA time zone that `cron` is read in. Default: `"UTC"`.
    #[serde(default = "utc")]
    timezone: String,
    /// The type of the actions that it launches.
    #[serde(default, rename = "type")]
    action_type: Option<String>,
    /// What they are launched with: any value. Default: none.
    #[serde(default)]
    arguments: Option<serde_json::Value>,
    /// The operation that it launches, by its id.
    #[serde(default)]
    operation: Option<String>,
    /// The operation's input. Default: none.
    #[serde(default)]
    input: Option<serde_json::Value>,
    /// How many tries each action has. Default: 1.
    #[serde(default = "one")]
    attempts: u32,
    /// How long each try may run. Default: without end.
    #[serde(default, deserialize_with = "read_some_duration")]
    timeout: Option<Duration>,
    /// What a tick does while the action before it is not over: `"skip"`, `"queue"`,
    /// `"cancel-running"` or `"allow"`. Default: `"skip"`.
    #[serde(default)]
    overlap: Overlap,
    /// What becomes of ticks that were missed while no server ran: `"none"`, `"one"` or
    /// `"all"` of them are launched. Default: `"one"`.
    #[serde(default)]
    catch_up: CatchUp,
    /// How old a missed tick may be to be launched all the same. Default: `"1h"`.
    #[serde(default = "one_hour", deserialize_with = "read_a_duration")]
    catch_up_window: Duration,
    /// How much later than its moment a tick is launched at most. Default: `"0s"`.
    #[serde(default, deserialize_with = "read_a_duration")]
    jitter: Duration,
    /// The first moment that counts, such as `"2026-03-29T00:00:00Z"`. Default: none.
    #[serde(default, deserialize_with = "read_a_moment")]
    start: Option<Timestamp>,
    /// The last moment that counts. Default: none.
    #[serde(default, deserialize_with = "read_a_moment")]
    end: Option<Timestamp>,
}

impl Schedule {
    pub(super) fn read(name: &str, node: &Node) -> Result<Schedule, Fault> {
        let at = |key: &str, what: &str| {
            let fault = Fault::new(what).under(key);
            match node.get(key) {
                Some(value) => fault.at(&value.origin),
                None => fault,
            }
        };
        if !is_name(name) {
            return Err(Fault::new(
                "a schedule's name is 1 to 128 letters, digits and `_.-`, a letter first, and not `preview`",
            ));
        }
        let keys: Keys = read(node)?;
        // A zone is found without an expression, so each error has its own place.
        Cron::parse("@daily", &keys.timezone)
            .map_err(|error| at("timezone", &error.to_string()))?;
        Cron::parse(&keys.cron, &keys.timezone).map_err(|error| at("cron", &error.to_string()))?;
        if keys.attempts == 0 {
            return Err(at("attempts", "0 would never run; 1 is the least"));
        }
        let (operation, action_type, arguments) = match (keys.action_type, keys.operation) {
            (Some(_), Some(_)) => {
                return Err(at(
                    "operation",
                    "a schedule has a `type` or an `operation`, not both",
                ));
            }
            (None, None) => {
                return Err(Fault::new("the key `type` or `operation` is missing"));
            }
            (Some(_), None) if keys.input.is_some() => {
                return Err(at(
                    "input",
                    "only an `operation` has an input; a `type` has `arguments`",
                ));
            }
            (None, Some(_)) if keys.arguments.is_some() => {
                return Err(at(
                    "arguments",
                    "only a `type` has arguments; an `operation` has an `input`",
                ));
            }
            (Some(action_type), None) => (false, action_type, keys.arguments),
            (None, Some(operation)) => (true, operation, keys.input),
        };
        if action_type.is_empty() {
            let key = if operation { "operation" } else { "type" };
            return Err(at(key, "it is empty"));
        }
        let definition = ScheduleDefinition {
            cron: keys.cron,
            timezone: keys.timezone,
            action_type,
            operation,
            arguments: arguments.as_ref().map(Json::of),
            attempts: keys.attempts,
            timeouts: Timeouts {
                run: keys.timeout,
                ..Timeouts::default()
            },
            overlap: keys.overlap,
            catch_up: keys.catch_up,
            catch_up_window: keys.catch_up_window,
            jitter: keys.jitter,
            start: keys.start,
            end: keys.end,
        };
        if definition.ends_first() {
            return Err(at("end", &EngineError::ScheduleEndsFirst.to_string()));
        }
        Ok(Schedule {
            name: name.to_owned(),
            definition,
        })
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

fn one() -> u32 {
    1
}

fn one_hour() -> Duration {
    Duration::from_secs(3600)
}

fn read_some_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Duration>, D::Error> {
    read_a_duration(source).map(Some)
}

fn read_a_moment<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Timestamp>, D::Error> {
    source.deserialize_str(Judged {
        expected: "a time such as \"2026-03-29T00:00:00Z\"",
        judge: |text| match moment::read(text) {
            Ok(at) => Ok(Some(at)),
            Err(NoMoment::TooFar) => Err(format!(
                "`{text}` lies too far ahead: at most \"{}\"",
                moment::LAST
            )),
            Err(NoMoment::Nonsense) => Err(format!(
                "`{text}` is not a time with its offset, such as \"2026-03-29T00:00:00Z\""
            )),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};

    #[test]
    fn a_schedule_is_read_whole() {
        let config = load(
            r#"
            [schedules.nightly]
            cron = "30 2 * * *"
            timezone = "Europe/Berlin"
            type = "Report"
            arguments = { days = 7 }
            attempts = 3
            timeout = "5m"
            overlap = "cancel-running"
            catch_up = "all"
            catch_up_window = "2h"
            jitter = "30s"
            start = "2026-01-01T00:00:00Z"
            [schedules.sweep]
            cron = "@hourly"
            operation = "Sweep.All"
            input = [1, "two"]
            "#,
            &[],
        )
        .unwrap();
        let [nightly, sweep] = &config.schedules[..] else {
            panic!("{:?}", config.schedules);
        };
        let one = &nightly.definition;
        assert_eq!(nightly.name, "nightly");
        assert_eq!((one.action_type.as_str(), one.operation), ("Report", false));
        assert_eq!(one.arguments.as_ref().unwrap().as_str(), r#"{"days":7}"#);
        assert_eq!((one.attempts, one.jitter.as_secs()), (3, 30));
        assert_eq!(one.catch_up_window.as_secs(), 7200);
        assert_eq!(one.start.unwrap().0, 1_767_225_600_000);
        let other = &sweep.definition;
        assert_eq!(
            (other.action_type.as_str(), other.operation),
            ("Sweep.All", true)
        );
        assert_eq!(
            (other.timezone.as_str(), other.catch_up_window.as_secs()),
            ("UTC", 3600)
        );
        assert_eq!(other.arguments.as_ref().unwrap().as_str(), r#"[1,"two"]"#);
    }

    #[test]
    fn a_schedule_that_makes_no_sense_is_told_where_it_stands() {
        let place = |text: &str| {
            let error = load(&format!("[schedules.x]\n{text}\n"), &[]).unwrap_err();
            error.to_string()
        };
        for (text, start, part) in [
            (
                "cron = \"* * * *\"\ntype = \"A\"",
                "jobhook.toml:2:8: schedules.x.cron: ",
                "4 fields",
            ),
            (
                "cron = \"* * * * * * * *\"\ntype = \"A\"",
                "jobhook.toml:2:8: schedules.x.cron: ",
                "8 fields",
            ),
            (
                "cron = \"* * 31 2 *\"\ntype = \"A\"",
                "jobhook.toml:2:8: schedules.x.cron: ",
                "",
            ),
            (
                "cron = \"@daily\"\ntimezone = \"Mars/X\"\ntype = \"A\"",
                "jobhook.toml:3:12: schedules.x.timezone: ",
                "Mars/X",
            ),
            (
                "cron = \"@daily\"",
                "jobhook.toml:1:12: schedules.x: ",
                "`type` or `operation`",
            ),
            (
                "cron = \"@daily\"\ntype = \"A\"\noperation = \"B\"",
                "jobhook.toml:4:13: schedules.x.operation: ",
                "not both",
            ),
            (
                "cron = \"@daily\"\ntype = \"A\"\nstart = \"tomorrow\"",
                "jobhook.toml:4:9: schedules.x.start: ",
                "tomorrow",
            ),
            (
                "cron = \"@daily\"\ntype = \"A\"\nend = \"9999-12-31T23:59:59Z\"",
                "jobhook.toml:4:7: schedules.x.end: ",
                "lies too far ahead: at most \"9999-12-30T22:00:00Z\"",
            ),
            (
                "cron = \"@daily\"\ntype = \"A\"\nstart = \"2027-01-01T00:00:00Z\"\nend = \"2026-12-31T00:00:00Z\"",
                "jobhook.toml:5:7: schedules.x.end: ",
                "`start` lies after its `end`",
            ),
            (
                "cron = \"@daily\"\ntimezone = \"localtime\"\ntype = \"A\"",
                "jobhook.toml:3:12: schedules.x.timezone: ",
                "not the same time zone on every machine",
            ),
            (
                "cron = \"@daily\"\ntype = \"A\"\noverlap = \"maybe\"",
                "jobhook.toml:4:11: schedules.x.overlap: ",
                "cancel-running",
            ),
            ("type = \"A\"", "jobhook.toml:1:1: schedules.x: ", "`cron`"),
        ] {
            let error = place(text);
            assert!(
                error.starts_with(start) && error.contains(part),
                "{text}: {error}"
            );
        }
        let name = load(
            "[schedules.preview]\ncron = \"@daily\"\ntype = \"A\"\n",
            &[],
        );
        let name = name.unwrap_err().to_string();
        assert!(name.contains("a schedule's name is"), "{name}");
        refused(
            "[schedules.x]\ncron = \"@daily\"\ntype = \"A\"\n[schedules.x]\n",
            "jobhook.toml:4:12: two schedules are named `x`; each needs a name of its own",
        );
    }
}
