//! What is asked of a launch, read from a body (clauses `API-5`, `API-6`, `LIM-3`, `OP-*`).
//!
//! A launch is a plain one, `type` and `arguments`, or one of an operation, `operationId` and
//! `input`. An operation is judged here, before anything is stored.

use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use jobhook_engine::Launch;
use jobhook_engine::action::Timeouts;
use jobhook_engine::files::Files;
use jobhook_protocol::{Code, Json, JsonError, json};
use serde_json::value::RawValue;

use super::Surface;
use super::auth::Grant;
use super::fields::Fields;
use super::file_fields;
use super::operations;
use super::refusal::{Answered, Refused};
use super::scheduled::Horizon;
use crate::operations::Catalogue;

/// What a launch may have.
const FIELDS: [&str; 9] = [
    "type",
    "arguments",
    "operationId",
    "input",
    "attempts",
    "timeout",
    "scheduled",
    "files",
    "grants",
];

/// The longest timeout, in seconds: some three hundred years.
const MAX_TIMEOUT_S: f64 = 1e10;

/// The longest type, in characters (clause `LIM-8`).
const LONGEST_TYPE: usize = 256;

/// How many launches one request may hold: they share a transaction, and everybody waits for it
/// (clause `LIM-6`).
const MOST_LAUNCHES: usize = 1000;

/// How long the launches of one request may take to be judged, each on its own bounded already
/// (clause `LIM-10`).
const LONGEST_JUDGED: Duration = Duration::from_secs(10);

/// By what launches are judged.
#[derive(Debug)]
pub(super) struct Terms<'a> {
    /// The longest arguments, in bytes of JSON text.
    most: usize,
    catalogue: &'a Catalogue,
    files: &'a Files,
    /// Who launches.
    grant: &'a Grant,
    horizon: Horizon,
    /// The trace context of the request.
    traceparent: Option<String>,
}

impl<'a> Terms<'a> {
    pub(super) fn of(
        surface: &'a Surface,
        grant: &'a Grant,
        traceparent: Option<String>,
    ) -> Terms<'a> {
        Terms {
            most: surface.limits.arguments,
            catalogue: &surface.catalogue,
            files: surface.engine.files(),
            grant,
            horizon: Horizon {
                now: surface.engine.clock().now(),
                resolution: surface.resolution,
            },
            traceparent,
        }
    }
}

/// One launch, or several that are stored together.
#[derive(Debug)]
pub(super) enum Launches {
    /// An object.
    One(Launch),
    /// An array of objects.
    Many(Vec<Launch>),
}

/// Reads the body of `POST /actions`.
pub(super) fn read(body: Vec<u8>, terms: &Terms<'_>) -> Answered<Launches> {
    let text = json::clean(body)?;
    let read = |text: &str, place: String| read_one(text, &place, terms);
    if !text.trim_ascii_start().starts_with('[') {
        return read(&text, String::new()).map(Launches::One);
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(&text).map_err(|error| JsonError::Malformed(error.to_string()))?;
    if items.len() > MOST_LAUNCHES {
        let detail = format!(
            "the array has {} launches; at most {MOST_LAUNCHES} are taken at once",
            items.len()
        );
        return Err(Refused::new(Code::BodyTooLarge, detail));
    }
    let begun = Instant::now();
    let read = |item: &RawValue, place| read(item.get(), place);
    read_all(&items, read, || begun.elapsed()).map(Launches::Many)
}

/// Reads launches one after the other, as long as there is time.
///
/// - `taken`: how much time it took until now.
fn read_all<T, L>(
    items: &[&T],
    read: impl Fn(&T, String) -> Answered<L>,
    taken: impl Fn() -> Duration,
) -> Answered<Vec<L>>
where
    T: ?Sized,
{
    let launches = items.iter().enumerate().map(|(at, item)| {
        if taken() > LONGEST_JUDGED {
            let detail = format!(
                "after {at} of {} launches the array takes too long to judge; send fewer at once",
                items.len()
            );
            return Err(Refused::new(Code::BodyTooLarge, detail));
        }
        read(item, format!(" of launch {}", at + 1))
    });
    launches.collect()
}

fn read_one(text: &str, place: &str, terms: &Terms<'_>) -> Answered<Launch> {
    let fields = Fields::read(text, &FIELDS, place.to_owned())?;
    Ok(Launch {
        files: file_fields::read_files(&fields, place, terms.files)?,
        grants: file_fields::read_grants(&fields, place, terms.files)?,
        ..from_fields(&fields, place, terms)?
    })
}

/// What to launch, from the fields of an object that may have others too. Schedules are
/// read by it as launches are.
pub(super) fn from_fields(fields: &Fields<'_>, place: &str, terms: &Terms<'_>) -> Answered<Launch> {
    let of_plain = ["type", "arguments"].map(|name| fields.get(name));
    let of_operation = ["operationId", "input"].map(|name| fields.get(name));
    let operation = of_operation.iter().any(Option::is_some);
    let (name, noun) = match operation {
        true if of_plain.iter().any(Option::is_some) => {
            let expected = "a launch has `type` and `arguments`, or `operationId` and `input`, and not some of both";
            return Err(fields.invalid("operationId", expected));
        }
        true => ("operationId", "input"),
        false => ("type", "arguments"),
    };
    let expected = "it must be a text that is not empty";
    let action_type = fields
        .parsed::<String>(name, expected)?
        .filter(|action_type| !action_type.is_empty())
        .ok_or_else(|| fields.invalid(name, expected))?;
    if action_type.chars().count() > LONGEST_TYPE || action_type.contains(char::is_control) {
        let expected =
            format!("it must have at most {LONGEST_TYPE} characters, and no control characters");
        return Err(fields.invalid(name, &expected));
    }
    let arguments = fields.get(noun);
    if let Some(raw) = arguments {
        fitting(raw.get().len(), terms.most, noun)?;
    }
    let arguments = arguments.map(Json::from);
    if operation {
        let input = arguments.as_ref();
        operations::judge(terms.catalogue, &action_type, input, terms.grant, place)?;
    } else if terms.catalogue.get(&action_type).is_some() {
        let detail = format!(
            "`{action_type}`{place} is an operation: send `operationId` and `input` instead of `type` and `arguments`, so that its input is checked"
        );
        return Err(Refused::new(Code::OperationNeedsInput, detail));
    }
    let scheduled = fields
        .get("scheduled")
        .map(|raw| {
            let field = format!("scheduled{place}");
            terms.horizon.read_json(&field, raw.get())
        })
        .transpose()?;
    let expected = "it must be a whole number from 1 to 4294967295";
    let attempts: u32 = fields.parsed("attempts", expected)?.unwrap_or(1);
    if attempts == 0 {
        return Err(fields.invalid("attempts", expected));
    }
    let run = fields
        .get("timeout")
        .map(|raw| {
            duration(raw.get()).ok_or_else(|| {
                fields.invalid(
                    "timeout",
                    "it must be a number of seconds above 0, or a text such as \"30s\", \"5m\", \"1h\"",
                )
            })
        })
        .transpose()?;
    Ok(Launch {
        action_type,
        operation,
        arguments,
        attempts,
        scheduled,
        traceparent: terms.traceparent.clone(),
        timeouts: Timeouts {
            run,
            ..Timeouts::default()
        },
        ..Launch::default()
    })
}

/// Refuses arguments or an input of more than `most` bytes.
pub(super) fn fitting(size: usize, most: usize, noun: &str) -> Answered<()> {
    if size <= most {
        return Ok(());
    }
    let verb = if noun == "input" { "has" } else { "have" };
    let detail = format!("the {noun} {verb} {size} bytes; at most {most} are taken");
    Err(Refused::new(Code::BodyTooLarge, detail))
}

/// A number of seconds, or a text with a unit.
pub(super) fn duration(raw: &str) -> Option<Duration> {
    let seconds = match serde_json::from_str::<f64>(raw) {
        Ok(seconds) => seconds,
        Err(_) => {
            let text: String = serde_json::from_str(raw).ok()?;
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let factor = match &text[digits.len()..] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
            let plain = digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.');
            digits.parse::<f64>().ok().filter(|_| plain)? * factor
        }
    };
    // Kept in milliseconds, so less than one would be none.
    (0.001..=MAX_TIMEOUT_S)
        .contains(&seconds)
        .then(|| Duration::from_secs_f64(seconds))
}

/// The trace context that a request carries.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    is_traceparent(value).then(|| value.to_owned())
}

/// Whether `text` is a W3C trace context of the version that is known.
fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hex = |length: usize| {
        parts.next().is_some_and(|part| {
            part.len() == length
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    text.starts_with("00-") && hex(2) && hex(32) && hex(16) && hex(2) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn launches_that_take_long_to_judge_all_together_are_refused() {
        let taken = Cell::new(Duration::ZERO);
        let read = |seconds: &u64, place: String| {
            taken.set(taken.get() + Duration::from_secs(*seconds));
            Ok(place)
        };
        let quick = read_all(&[&1, &9, &2], read, || taken.get());
        assert_eq!(
            quick.unwrap(),
            [" of launch 1", " of launch 2", " of launch 3"]
        );
        taken.set(Duration::ZERO);
        let slow = read_all(&[&1, &10, &2, &1], read, || taken.get());
        let refused = slow.unwrap_err().into_response();
        assert_eq!(refused.status(), 413);
        assert_eq!(taken.get(), Duration::from_secs(11), "it went on");
    }

    #[test]
    fn a_duration_is_seconds_or_a_text_with_a_unit() {
        for (raw, ms) in [
            ("30", 30_000),
            ("0.5", 500),
            ("1e2", 100_000),
            (r#""30s""#, 30_000),
            (r#""1.5m""#, 90_000),
            (r#""250ms""#, 250),
            (r#""1h""#, 3_600_000),
            (r#""2d""#, 172_800_000),
        ] {
            assert_eq!(duration(raw), Some(Duration::from_millis(ms)), "{raw}");
        }
        for raw in [
            "0",
            "-1",
            "1e300",
            "0.0001",
            "true",
            "[]",
            r#""""#,
            r#""30""#,
            r#""s""#,
            r#""-3s""#,
            r#""1e3s""#,
            r#""3 s""#,
            r#""infs""#,
            r#""3S""#,
        ] {
            assert_eq!(duration(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_trace_context_has_four_parts_of_hex() {
        let right = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(right));
        for wrong in [
            "",
            "00",
            &right.to_uppercase(),
            &right[1..],
            &format!("{right}-00"),
        ] {
            assert!(!is_traceparent(wrong), "{wrong}");
        }
    }
}
