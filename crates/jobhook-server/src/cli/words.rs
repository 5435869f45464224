//! An action in plain words: the parts that several commands show.
//!
//! Only text is made here. Whatever came from elsewhere is [`shown`], never put in as it is.

use jiff::Timestamp;
use jobhook_protocol::{ActionBody, LogLineBody, WitnessBody};

use super::output::{Style, shown};

/// One line of a log: time, source, text; the source with the attempt if it is not the first:
/// `stdout/2`, one word, so that no text can pass for it.
pub(crate) fn line(line: &LogLineBody, style: &Style) -> String {
    let source = match line.attempt {
        ..=1 => line.source.as_str().to_owned(),
        attempt => format!("{}/{attempt}", line.source.as_str()),
    };
    format!(
        "{} {} {}",
        style.dim(&shown(&line.time)),
        style.dim(&format!("{source:6}")),
        shown(&line.text)
    )
}

/// What is said where lines are missing.
pub(crate) fn dropped(count: u64) -> String {
    match count {
        1 => "… 1 older line was dropped".to_owned(),
        count => format!("… {count} older lines were dropped"),
    }
}

/// How far an action is: `42 %  3/10  counting`; empty if nobody said.
pub(crate) fn progress(action: &ActionBody) -> String {
    let Some(details) = &action.status_details else {
        return String::new();
    };
    let details = details.value();
    let number = |key: &str| details.get(key).and_then(serde_json::Value::as_f64);
    let mut parts = Vec::new();
    if let Some(percent) = number("progress") {
        parts.push(format!("{} %", percent.trunc()));
    }
    match (number("done"), number("total")) {
        (Some(done), Some(total)) => parts.push(format!("{done}/{total}")),
        (Some(done), None) => parts.push(format!("{done} done")),
        _ => {}
    }
    if let Some(message) = details.get("message").and_then(serde_json::Value::as_str) {
        parts.push(shown(message).into_owned());
    }
    parts.join("  ")
}

/// What went wrong, name and sentence; empty if nothing did.
pub(crate) fn error(name: Option<&str>, message: Option<&str>) -> String {
    let parts: Vec<_> = [name, message].into_iter().flatten().map(shown).collect();
    parts.join(": ")
}

/// The two witnesses where they contradict each other.
pub(crate) fn contradiction(witness: &WitnessBody) -> Option<String> {
    let (Some(said), Some(saw)) = (witness.said, &witness.saw) else {
        return None;
    };
    witness
        .disagree
        .then(|| format!("the job said {said}, but its runner saw: {}", shown(saw)))
}

/// Why an attempt was not the last one: `attempt 1 of 3 failed: the job exited with code 1;
/// trying again`.
pub(crate) fn failed_attempt(number: u32, action: &ActionBody) -> String {
    let attempt = action.history.iter().find(|past| past.attempt == number);
    let reason = attempt.and_then(|past| past.error_message.as_deref().or(past.outcome.as_deref()));
    let reason = reason.map(|reason| format!(": {}", shown(reason)));
    let reason = reason.unwrap_or_default();
    format!(
        "attempt {number} of {} failed{reason}; trying again",
        action.attempts
    )
}

/// How an action ended, for the end of `launch` and `logs -f`.
pub(crate) fn ending(action: &ActionBody, style: &Style) -> Vec<String> {
    let mut first = format!(
        "{}  {}",
        style.status(action.status, 0),
        shown(&action.action_type)
    );
    if let Some(span) = between(action.started_at.as_deref(), action.finished_at.as_deref()) {
        first.push_str(&format!("  after {span}"));
    }
    let mut lines = vec![first];
    if let Some(results) = &action.results {
        lines.push(format!("results  {}", shown(results.as_str())));
    }
    let error = error(
        action.error_name.as_deref(),
        action.error_message.as_deref(),
    );
    if !error.is_empty() {
        lines.push(format!("error    {error}"));
    }
    let contradiction = action.witness.as_ref().and_then(contradiction);
    lines.extend(contradiction.map(|text| format!("witness  {text}")));
    lines
}

/// A time to the second, as people read it; in UTC, as it came.
pub(crate) fn time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => shown(text).into_owned(),
    }
}

/// The time from one moment to another: `2.1 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn between(from: Option<&str>, to: Option<&str>) -> Option<String> {
    let millisecond = |text: Option<&str>| {
        let time: Timestamp = text?.parse().ok()?;
        Some(time.as_millisecond())
    };
    let ms = u64::try_from(millisecond(to)? - millisecond(from)?).ok()?;
    let s = ms / 1_000;
    Some(match s {
        0..60 => format!("{}.{} s", s, ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units() {
        let span = |to: &str| between(Some("2025-11-24T16:00:00.000Z"), Some(to)).unwrap();
        assert_eq!(span("2025-11-24T16:00:00.050Z"), "0.0 s");
        assert_eq!(span("2025-11-24T16:00:02.199Z"), "2.1 s");
        assert_eq!(span("2025-11-24T16:03:20.000Z"), "3 min 20 s");
        assert_eq!(span("2025-11-24T18:05:59.000Z"), "2 h 5 min");
        assert_eq!(span("2025-11-27T20:30:00.000Z"), "3 d 4 h");
        assert_eq!(between(Some("x"), Some("y")), None);
        assert_eq!(between(Some("2025-11-24T16:00:00Z"), None), None);
    }

    #[test]
    fn a_time_that_cannot_be_read_is_shown_as_it_came() {
        assert_eq!(time("2025-11-24T16:00:00.123Z"), "2025-11-24 16:00:00 UTC");
        assert_eq!(time("soon"), "soon");
    }
}
