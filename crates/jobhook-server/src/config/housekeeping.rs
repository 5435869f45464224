//! What is kept, and when the rest is cleared away. The comments on the fields are the
//! reference.

use std::time::Duration;

use jobhook_engine::cron::Cron;
use jobhook_engine::retention;
use serde::{Deserialize, Deserializer};

use super::measure::read_a_duration_or_off;
use super::section::Judged;

const DAY: Duration = Duration::from_secs(86_400);

/// `[retention]`: how long finished actions are kept, with their logs and results.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// For actions that succeeded. Default: as `default`, and `{ age = "30d" }` without that.
    pub success: Option<Keep>,
    /// For actions that failed. Default: as `default`.
    pub error: Option<Keep>,
    /// For actions that took too long. Default: as `default`.
    pub timeout: Option<Keep>,
    /// For actions that were cancelled. Default: as `default`.
    pub cancelled: Option<Keep>,
    /// For those that have no rule of their own. Default: `{ age = "90d" }`. `{}` keeps
    /// everything.
    pub default: Option<Keep>,
}

/// What is kept of one status; all of it if neither is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// How long, from the end of an action; `"off"`: as long as there is. Default: `"off"`.
    #[serde(deserialize_with = "read_a_duration_or_off")]
    pub age: Option<Duration>,
    /// How many, the last launched. Default: all.
    pub count: Option<u64>,
}

impl Retention {
    /// The rule of every status.
    pub fn rules(&self) -> retention::Retention {
        let rule = |own: Option<Keep>, days: u32| match own.or(self.default) {
            Some(keep) => retention::Keep {
                age: keep.age,
                count: keep.count,
            },
            None => retention::Keep {
                age: Some(DAY * days),
                count: None,
            },
        };
        retention::Retention {
            success: rule(self.success, 30),
            error: rule(self.error, 90),
            timeout: rule(self.timeout, 90),
            cancelled: rule(self.cancelled, 90),
        }
    }
}

/// `[housekeeping]`: when a server clears up, as cron expressions in UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Housekeeping {
    /// When finished actions beyond `[retention]` are removed; `"off"`: never. Default:
    /// `"17 * * * *"`.
    #[serde(deserialize_with = "read_a_cron_or_off")]
    pub prune: Option<Cron>,
    /// When directories of runs that are over, left by a server that died, are removed; that
    /// is done at every start, too. `"off"`: at the start only. Default: `"47 * * * *"`.
    #[serde(deserialize_with = "read_a_cron_or_off")]
    pub runs: Option<Cron>,
    /// When bytes of files that nothing needs any more are deleted; that is done at every start,
    /// too. `"off"`: at the start only. Default: `"37 * * * *"`.
    #[serde(deserialize_with = "read_a_cron_or_off")]
    pub files: Option<Cron>,
}

impl Default for Housekeeping {
    fn default() -> Housekeeping {
        Housekeeping {
            prune: utc("17 * * * *").ok(),
            runs: utc("47 * * * *").ok(),
            files: utc("37 * * * *").ok(),
        }
    }
}

fn utc(expression: &str) -> Result<Cron, String> {
    Cron::parse(expression, "UTC").map_err(|error| error.to_string())
}

fn read_a_cron_or_off<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Cron>, D::Error> {
    source.deserialize_str(Judged {
        expected: "a cron expression such as \"17 * * * *\", or \"off\"",
        judge: |text| match text {
            "off" => Ok(None),
            text => match utc(text)? {
                cron if crate::housekeeping::understands(&cron) => Ok(Some(cron)),
                _ => Err(format!(
                    "`{text}` is more than housekeeping understands; name days by numbers, as in \"17 3 1 * *\""
                )),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{load, refused};
    use super::*;

    #[test]
    fn without_a_rule_successes_are_kept_a_month_and_failures_three() {
        let days = |rule: retention::Keep| {
            assert_eq!(rule.count, None);
            rule.age.map(|age| age.as_secs() / 86_400)
        };
        let rules = |text| load(text, &[]).unwrap().retention.rules();
        let built_in = rules("");
        assert_eq!(days(built_in.success), Some(30));
        for rule in [built_in.error, built_in.timeout, built_in.cancelled] {
            assert_eq!(days(rule), Some(90));
        }
        let own = rules(r#"retention = { default = { age = "7d" }, error = {} }"#);
        assert_eq!(days(own.success), Some(7));
        assert_eq!(days(own.error), None);
        let everything = rules("retention.default = {}");
        assert_eq!(everything, retention::Retention::default());
    }

    #[test]
    fn an_expression_that_is_none_is_refused() {
        refused(
            "[housekeeping]\nprune = \"0 0 * *\"",
            "jobhook.toml:2:9: housekeeping.prune: the cron expression has 4 fields; it takes 5 (minute, hour, day of month, month, day of week) or 6 (second first)",
        );
        refused(
            "[housekeeping]\nruns = \"0 3 LW * *\"",
            "jobhook.toml:2:8: housekeeping.runs: `0 3 LW * *` is more than housekeeping understands; name days by numbers, as in \"17 3 1 * *\"",
        );
    }

    #[test]
    fn a_rule_with_a_negative_count_is_refused() {
        let error = load("[retention]\nsuccess = { count = -1 }", &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("jobhook.toml:2:21: retention.success.count: "),
            "{error}"
        );
    }
}
