//! Durations (`"30s"`) and sizes (`"64MiB"`), as they are written in the configuration and
//! on the command line.

use std::fmt;
use std::time::Duration;

use serde::Deserializer;
use serde::de::{self, Visitor};

const DURATION: &str = "a duration such as \"250ms\", \"30s\", \"5m\", \"1h\" or \"2d\"";
const SIZE: &str = "a size such as \"512KiB\", \"64MiB\" or a number of bytes";

/// Why a text is no duration or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct MeasureError {
    text: String,
    expected: &'static str,
}

/// Reads a duration: whole numbers, each with a unit `ms`, `s`, `m`, `h` or `d`, largest
/// first (`1m30s`).
///
/// # Errors
///
/// [`MeasureError`] shows the text and what a duration looks like.
pub fn duration(text: &str) -> Result<Duration, MeasureError> {
    read_duration(text).ok_or_else(|| MeasureError {
        text: text.to_owned(),
        expected: DURATION,
    })
}

fn read_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        if unit_ms >= last {
            return None;
        }
        last = unit_ms;
        rest = &rest[letters..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
    }
    Some(total)
}

/// Reads a size in bytes: a whole number with a unit `B`, `KiB`, `MiB`, `GiB`, `TiB`
/// (powers of 1024), `kB`, `MB`, `GB` or `TB` (powers of 1000), or none for bytes.
///
/// # Errors
///
/// [`MeasureError`] shows the text and what a size looks like.
pub fn size(text: &str) -> Result<u64, MeasureError> {
    read_size(text).ok_or_else(|| MeasureError {
        text: text.to_owned(),
        expected: SIZE,
    })
}

fn read_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// For `deserialize_with`: a duration.
pub(super) fn read_a_duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    source.deserialize_str(Text {
        expected: DURATION,
        read: |text| duration(text).map_err(|error| error.to_string()),
    })
}

/// For `deserialize_with`: a duration, or `"off"`.
pub(super) fn read_a_duration_or_off<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<Duration>, D::Error> {
    source.deserialize_str(Text {
        expected: "a duration such as \"5m\", or \"off\"",
        read: |text| match text {
            "off" => Ok(None),
            text => duration(text)
                .map(Some)
                .map_err(|error| format!("{error}, and not \"off\"")),
        },
    })
}

/// For `deserialize_with`: a size.
pub(super) fn read_a_size<'de, D: Deserializer<'de>>(source: D) -> Result<u64, D::Error> {
    source.deserialize_any(Size)
}

/// For `deserialize_with`: a size that may be absent.
pub(super) fn read_some_size<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<u64>, D::Error> {
    read_a_size(source).map(Some)
}

struct Text<T> {
    expected: &'static str,
    read: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

struct Size;

impl Visitor<'_> for Size {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SIZE)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        size(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_no_duration() {
        for text in [
            "30",
            "",
            "s",
            "5 m",
            "-1s",
            "1.5s",
            "1s1m",
            "99999999999999999999s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(
            duration("30").unwrap_err().to_string(),
            "`30` is not a duration such as \"250ms\", \"30s\", \"5m\", \"1h\" or \"2d\""
        );
    }

    #[test]
    fn a_size_is_bytes_or_has_a_unit() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("10 MB", 10_000_000),
            ("1024", 1024),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1 mile", "-1", "1.5MiB", "99999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
