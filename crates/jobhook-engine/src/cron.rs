//! When a schedule fires: a cron expression in a time zone.
//!
//! ```text
//! "30 2 * * *" ─ expression.rs ─▶ croner ─▶ wall times that match, one by one
//! "Europe/Berlin" ─ zone.rs ─▶ offsets, and where they change ─┐
//!                                       next_after, last_in ◀──┴─▶ Firing
//! ```
//!
//! croner knows which wall times match. What becomes of a wall time that a zone leaves out or
//! has twice is decided in `search.rs`, by the rules of `docs/concepts/scheduling.md`;
//! `conformance/vectors/cron.json` holds them, computed without this code.
//!
//! Nothing here reads a clock.

mod expression;
mod jitter;
mod search;
mod zone;

use std::fmt;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;

pub use expression::CronError;
pub use jitter::jitter;

/// A cron expression in a time zone.
#[derive(Clone)]
pub struct Cron {
    expression: String,
    timezone: String,
    pattern: croner::Cron,
    /// Whether second, minute and hour are plain numbers: no `*`, no `/`.
    fixed: bool,
    zone: TimeZone,
}

/// One moment at which a schedule fires.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Firing {
    /// The moment, a whole second.
    pub at: Timestamp,
    /// The wall time that the expression names, `2026-03-29T02:30:00`. Where the zone leaves
    /// this time out, `at` is the first moment after the gap and `local` is still the time named.
    pub local: String,
    /// 0; 1 the second time that the zone's clocks show `local`.
    pub fold: u8,
}

impl Cron {
    /// Reads an expression of 5 fields, of 6 (seconds first), or a name: `@yearly`,
    /// `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`.
    ///
    /// `timezone` is a name of the IANA time zone database, in any case.
    ///
    /// # Errors
    ///
    /// [`CronError`] names the field and what it takes, or the zone; also if the expression
    /// can never fire, as on the 30th of February.
    pub fn parse(expression: &str, timezone: &str) -> Result<Cron, CronError> {
        let read = expression::read(expression)?;
        let (zone, timezone) = zone::find(timezone)?;
        Ok(Cron {
            expression: expression.trim().to_owned(),
            timezone,
            pattern: read.pattern,
            fixed: read.fixed,
            zone,
        })
    }

    /// The first firing strictly after `after`; none from the year 5000 on.
    pub fn next_after(&self, after: Timestamp) -> Option<Firing> {
        search::forward(self, after)
    }

    /// The newest firing at or before `until` and strictly after `after`. It is looked for
    /// from `until` backwards, so a long stretch costs no more than a short one.
    pub fn last_in(&self, after: Timestamp, until: Timestamp) -> Option<Firing> {
        search::backward(self, after, until)
    }

    /// The expression as it was written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The same in six fields, second first, all of them in numbers.
    pub fn six_fields(&self) -> &str {
        self.pattern.as_str()
    }

    /// The time zone as the database spells it.
    pub fn timezone(&self) -> &str {
        &self.timezone
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Cron) -> bool {
        (&self.expression, &self.timezone) == (&other.expression, &other.timezone)
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cron")
            .field("expression", &self.expression)
            .field("timezone", &self.timezone)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
