//! Time, as Kubernetes writes it.

use jiff::{SignedDuration, Timestamp};

/// Whole seconds: `2026-11-30T01:02:03Z`, the form of `metav1.Time`.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// With nine digits behind the second, as a log has it.
pub(crate) fn nanoseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

pub(crate) fn now() -> String {
    seconds(Timestamp::now())
}

/// In so many seconds.
pub(crate) fn in_seconds(count: u64) -> String {
    let ahead = SignedDuration::from_secs(count.cast_signed());
    seconds(Timestamp::now().checked_add(ahead).unwrap())
}

/// Milliseconds until `time` and `more` seconds; none if that is past.
pub(crate) fn until(time: &str, more: u64) -> u64 {
    let time: Timestamp = time.parse().unwrap();
    let end = time.as_millisecond() + more.cast_signed() * 1000;
    u64::try_from(end - Timestamp::now().as_millisecond()).unwrap_or(0)
}
