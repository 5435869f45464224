//! Moments as people write them: RFC 3339 with an offset.

use jobhook_engine::clock::Timestamp;

/// The last moment that can be written.
pub(crate) const LAST: &str = "9999-12-30T22:00:00Z";

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMoment {
    Nonsense,
    /// It lies after [`LAST`].
    TooFar,
}

/// The moment that a text names.
pub(crate) fn read(text: &str) -> Result<Timestamp, NoMoment> {
    // A zone behind the offset is beyond RFC 3339, and might disagree with it.
    if text.contains('[') {
        return Err(NoMoment::Nonsense);
    }
    let parse = |text: &str| text.parse::<jiff::Timestamp>();
    if let Ok(at) = parse(text) {
        return Ok(Timestamp(at.as_millisecond()));
    }
    // What would be right a year earlier is the end of the last year.
    match text.strip_prefix("9999-") {
        Some(rest) if parse(&format!("9998-{rest}")).is_ok() => Err(NoMoment::TooFar),
        _ => Err(NoMoment::Nonsense),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_last_year_is_too_far_and_not_nonsense() {
        assert!(read(LAST).is_ok());
        for (text, why) in [
            ("9999-12-31T23:59:59Z", NoMoment::TooFar),
            ("9999-12-31T23:59:59.999+01:00", NoMoment::TooFar),
            ("9999-13-31T23:59:59Z", NoMoment::Nonsense),
            ("9999-12-31", NoMoment::Nonsense),
            ("2026-01-01T00:00:00Z[Europe/Paris]", NoMoment::Nonsense),
            ("tomorrow", NoMoment::Nonsense),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
    }
}
