//! The time that an action is scheduled for (clauses `OP-19` to `OP-21`).
//!
//! Milliseconds since 1970 or RFC 3339, in JSON or in a query; nonsense is refused with what
//! would be right. No clock is read here.

use std::time::Duration;

use jobhook_engine::clock::Timestamp;
use jobhook_protocol::Code;

use super::fields::shortened;
use super::refusal::{Answered, Refused};
use crate::moment::{self, NoMoment};

/// How long ago a scheduled time may be: clocks differ, and requests take their time.
const PAST: Duration = Duration::from_secs(60);

/// How far ahead it may lie: ten years and their leap days.
const AHEAD: Duration = Duration::from_secs(3653 * 86_400);

/// Below this a number is rather one of seconds.
const SECONDS: i64 = 100_000_000_000;

const EXPECTED: &str =
    "it must be milliseconds since 1970, or RFC 3339 such as 2026-01-31T08:00:00Z";

/// By what a scheduled time is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    pub(super) now: Timestamp,
    /// A time is rounded down to a multiple of this.
    pub(super) resolution: Duration,
}

impl Horizon {
    /// Reads a JSON value.
    ///
    /// - `field`: what it is called in a refusal.
    pub(super) fn read_json(self, field: &str, raw: &str) -> Answered<Timestamp> {
        match serde_json::from_str::<String>(raw) {
            Ok(text) => self.read(field, &text),
            // A number with a fraction or an exponent is no count of milliseconds.
            Err(_) if is_whole(raw) => self.read(field, raw),
            Err(_) => Err(refused(field, raw, EXPECTED)),
        }
    }

    /// Reads the text of a query, or of a field.
    pub(super) fn read(self, field: &str, text: &str) -> Answered<Timestamp> {
        let at = if is_whole(text) {
            // What has more digits lies as far away as can be.
            let far = if text.starts_with('-') {
                i64::MIN
            } else {
                i64::MAX
            };
            text.parse().unwrap_or(far)
        } else {
            match moment::read(text) {
                Ok(at) => at.0,
                Err(NoMoment::TooFar) => i64::MAX,
                Err(NoMoment::Nonsense) => return Err(refused(field, text, EXPECTED)),
            }
        };
        let behind = self.now.since(Timestamp(at));
        if behind > PAST {
            let why = match at {
                1..SECONDS => "it lies before now; is it in seconds? It must be in milliseconds",
                _ => "it lies before now",
            };
            return Err(refused(field, text, why));
        }
        if Timestamp(at).since(self.now) > AHEAD {
            return Err(refused(field, text, "it lies more than ten years ahead"));
        }
        let step = i64::try_from(self.resolution.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        Ok(Timestamp(at - at.rem_euclid(step)))
    }
}

/// Digits, with a sign or without.
fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn refused(field: &str, text: &str, why: &str) -> Refused {
    let detail = format!("`{field}` cannot be `{}`: {why}", shortened(text));
    Refused::new(Code::InvalidTime, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_000_000_500;

    fn read(raw: &str, resolution_ms: u64) -> Option<i64> {
        let horizon = Horizon {
            now: Timestamp(NOW),
            resolution: Duration::from_millis(resolution_ms),
        };
        horizon.read_json("scheduled", raw).ok().map(|at| at.0)
    }

    #[test]
    fn a_time_is_milliseconds_or_rfc_3339_and_is_rounded_down() {
        for (raw, at) in [
            ("1764000012345", 1_764_000_012_000),
            (r#""1764000012345""#, 1_764_000_012_000),
            (r#""2025-11-24T16:00:12.345Z""#, 1_764_000_012_000),
            (r#""2025-11-24T17:00:12+01:00""#, 1_764_000_012_000),
            (r#""2025-11-24 16:00:12z""#, 1_764_000_012_000),
            ("1764000000500", 1_764_000_000_000),
            ("1763999940500", 1_763_999_940_000),
            (r#""2035-11-24T00:00:00Z""#, 2_079_475_200_000),
        ] {
            assert_eq!(read(raw, 1000), Some(at), "{raw}");
        }
        assert_eq!(read("1764000012345", 1), Some(1_764_000_012_345));
        assert_eq!(read("1764000012345", 60_000), Some(1_764_000_000_000));
    }

    #[test]
    fn nonsense_is_no_time() {
        for raw in [
            r#""tomorrow""#,
            r#""""#,
            r#"" 1764000012345""#,
            r#""2026-01-01""#,
            r#""2026-01-01T00:00:00""#,
            r#""2026-01-01T00:00:00Z[Europe/Paris]""#,
            r#""2026-13-01T00:00:00Z""#,
            r#""9999-01-01T00:00:00Z""#,
            r#""-000001-01-01T00:00:00Z""#,
            "-5",
            "0",
            "-0",
            "1764000012",
            "1763999940499",
            "1764000012345.5",
            "1.764e12",
            "253370764800000",
            "99999999999999999999999999",
            "-99999999999999999999999999",
            r#""1e12""#,
            r#""0x10""#,
            r#""NaN""#,
            "true",
            "[]",
            "{}",
        ] {
            assert_eq!(read(raw, 1000), None, "{raw}");
        }
    }
}
