//! The text of a cron expression: what is allowed in each field, and what is said when it is not.
//!
//! ```text
//! field   = item *("," item)
//! item    = "*" ["/" step] | value ["-" value ["/" step]]
//!         | "L" | "LW" | value "W"                           day of month
//!         | value "#" 1..5 | value ["#"] "L"                 day of week
//! ```
//!
//! croner is handed numbers only, of an expression that has passed here. What it would accept
//! beyond (years, `?`, names of weekdays as hours) does not reach it.

use std::fmt::Write as _;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil;

/// Longer than any expression somebody writes.
const MAX_LENGTH: usize = 256;

/// Why an expression or a time zone is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// Nothing, or white space.
    #[error("the cron expression is empty; every day at 02:30 is `30 2 * * *`")]
    Empty,
    /// More than 256 bytes.
    #[error("the cron expression is {length} bytes long; at most {MAX_LENGTH} are read")]
    TooLong {
        /// In bytes.
        length: usize,
    },
    /// Neither 5 nor 6 fields.
    #[error(
        "the cron expression has {found} field{}; it takes 5 (minute, hour, day of month, month, day of week) or 6 (second first)",
        if *found == 1 { "" } else { "s" }
    )]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// An `@name` that is none.
    #[error(
        "`{name}` is not a known name; the names are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
    )]
    UnknownName {
        /// As it was written.
        name: String,
    },
    /// A number outside what the field takes.
    #[error("`{text}` is out of range: {field} takes {low} to {high}")]
    OutOfRange {
        /// Which field, in words.
        field: &'static str,
        /// As it was written.
        text: String,
        /// The least value.
        low: u16,
        /// The greatest value.
        high: u16,
    },
    /// What the field does not understand.
    #[error("`{text}` is not understood as {field}: {reason}")]
    Syntax {
        /// Which field, in words.
        field: &'static str,
        /// As it was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No date of the calendar matches.
    #[error("`{expression}` never fires: no date matches its day and month")]
    NeverFires {
        /// As it was written.
        expression: String,
    },
    /// Not in the time zone database.
    #[error(
        "`{name}` is not a time zone of the IANA database, as Europe/Berlin or UTC are{}",
        .nearest.as_ref().map(|zone| format!("; did you mean {zone}?")).unwrap_or_default()
    )]
    UnknownTimezone {
        /// The first 64 characters of it.
        name: String,
        /// The zone that was perhaps meant.
        nearest: Option<String>,
    },
    /// A name that is not the same zone everywhere.
    #[error(
        "`{name}` is not the same time zone on every machine; name one of the IANA database, as Europe/Berlin or UTC are"
    )]
    MachineTimezone {
        /// The first 64 characters of it.
        name: String,
    },
}

impl CronError {
    /// A stable name of the reason, the `code` of `conformance/vectors/cron.json`.
    pub fn code(&self) -> &'static str {
        match self {
            CronError::Empty => "empty",
            CronError::TooLong { .. } => "too_long",
            CronError::FieldCount { .. } => "field_count",
            CronError::UnknownName { .. } => "unknown_name",
            CronError::OutOfRange { .. } => "out_of_range",
            CronError::Syntax { .. } => "syntax",
            CronError::NeverFires { .. } => "never_fires",
            CronError::UnknownTimezone { .. } => "unknown_timezone",
            CronError::MachineTimezone { .. } => "machine_timezone",
        }
    }
}

/// An expression that was understood.
pub(super) struct Read {
    pub(super) pattern: croner::Cron,
    pub(super) fixed: bool,
}

/// One of the fields: its name, its numbers, its words.
struct Field {
    name: &'static str,
    low: u16,
    high: u16,
    words: &'static [&'static str],
}

const DAY_OF_MONTH: &str = "day of month";
const DAY_OF_WEEK: &str = "day of week";

const FIELDS: [Field; 6] = [
    Field::new("second", 0, 59, &[]),
    Field::new("minute", 0, 59, &[]),
    Field::new("hour", 0, 23, &[]),
    Field::new(DAY_OF_MONTH, 1, 31, &[]),
    Field::new(
        "month",
        1,
        12,
        &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    ),
    Field::new(
        DAY_OF_WEEK,
        0,
        7,
        &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    ),
];

pub(super) fn read(expression: &str) -> Result<Read, CronError> {
    if expression.len() > MAX_LENGTH {
        return Err(CronError::TooLong {
            length: expression.len(),
        });
    }
    let trimmed = expression.trim();
    if trimmed.is_empty() {
        return Err(CronError::Empty);
    }
    let plain = if trimmed.starts_with('@') {
        named(trimmed)?
    } else {
        trimmed
    };

    let mut texts: Vec<&str> = plain.split_ascii_whitespace().collect();
    match texts.len() {
        5 => texts.insert(0, "0"),
        6 => {}
        found => return Err(CronError::FieldCount { found }),
    }
    let mut numbers = String::with_capacity(plain.len() + 2);
    for (field, text) in FIELDS.iter().zip(&texts) {
        if !numbers.is_empty() {
            numbers.push(' ');
        }
        field.read(text, &mut numbers)?;
    }
    let pattern = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Disallowed)
        .build()
        .parse(&numbers)
        .map_err(|error| CronError::Syntax {
            field: "a cron expression",
            text: trimmed.to_owned(),
            reason: error.to_string(),
        })?;
    if !fires(&pattern) {
        return Err(CronError::NeverFires {
            expression: trimmed.to_owned(),
        });
    }
    let fixed = !texts[..3].iter().any(|text| text.contains(['*', '/']));
    Ok(Read { pattern, fixed })
}

fn named(text: &str) -> Result<&'static str, CronError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            return Err(CronError::UnknownName {
                name: text.to_owned(),
            });
        }
    })
}

/// The calendar repeats after 400 years, so what has no date in these has none in any.
fn fires(pattern: &croner::Cron) -> bool {
    let start = civil::date(croner::YEAR_UPPER_LIMIT as i16 - 401, 1, 1).at(0, 0, 0, 0);
    pattern.find_next_occurrence(&start, true).is_ok()
}

impl Field {
    const fn new(name: &'static str, low: u16, high: u16, words: &'static [&'static str]) -> Field {
        Field {
            name,
            low,
            high,
            words,
        }
    }

    /// Appends `text` to `numbers`, its words as numbers.
    fn read(&self, text: &str, numbers: &mut String) -> Result<(), CronError> {
        let mut items = text;
        if self.name == DAY_OF_WEEK
            && let Some(rest) = text.strip_prefix('+')
        {
            numbers.push('+');
            items = rest;
        }
        let last_twice = |item: &str| item.eq_ignore_ascii_case("LW");
        if items.split(',').any(last_twice) && items.contains(',') {
            return Err(self.syntax(text, "LW stands alone"));
        }
        for (index, item) in items.split(',').enumerate() {
            if index > 0 {
                numbers.push(',');
            }
            self.item(item, numbers)?;
        }
        Ok(())
    }

    fn item(&self, item: &str, numbers: &mut String) -> Result<(), CronError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        if range == "*" {
            numbers.push('*');
        } else if let Some((from, to)) = range.split_once('-') {
            let from_number = self.value(from, item)?;
            let mut to_number = self.value(to, item)?;
            // A week may be said to end with Sunday.
            if self.name == DAY_OF_WEEK && to_number == 0 && from_number > 0 {
                to_number = 7;
            }
            if from_number > to_number {
                return Err(
                    self.syntax(item, "the range runs backwards; write two, as in 22-23,0-3")
                );
            }
            // Writing to a String does not fail.
            let _ = write!(numbers, "{from_number}-{to_number}");
        } else if step.is_some() {
            return Err(self.syntax(item, "a step follows `*` or a range, as in */15 or 0-30/15"));
        } else {
            return self.single(item, numbers);
        }
        if let Some(step) = step {
            let number = number(step)
                .ok_or_else(|| self.syntax(item, "after `/` comes a number of steps"))?;
            let widest = self.high - self.low;
            if !(1..=widest).contains(&number) {
                return Err(self.syntax(item, &format!("a step is 1 to {widest} here")));
            }
            let _ = write!(numbers, "/{number}");
        }
        Ok(())
    }

    /// One value, or one of the words for days that have no fixed number.
    fn single(&self, item: &str, numbers: &mut String) -> Result<(), CronError> {
        let upper = item.to_ascii_uppercase();
        if self.name == DAY_OF_MONTH {
            if upper == "L" || upper == "LW" {
                numbers.push_str(&upper);
                return Ok(());
            }
            if let Some(day) = upper.strip_suffix('W') {
                let day = self.value(day, item)?;
                let _ = write!(numbers, "{day}W");
                return Ok(());
            }
        }
        if self.name == DAY_OF_WEEK {
            if let Some((day, nth)) = upper.split_once('#') {
                let day = self.value(day, item)?;
                if !matches!(nth, "1" | "2" | "3" | "4" | "5" | "L") {
                    return Err(self.syntax(item, "after `#` comes 1 to 5, or L for the last"));
                }
                let _ = write!(numbers, "{day}#{nth}");
                return Ok(());
            }
            if let Some(day) = upper.strip_suffix('L')
                && !day.is_empty()
            {
                let day = self.value(day, item)?;
                let _ = write!(numbers, "{day}#L");
                return Ok(());
            }
        }
        let value = self.value(item, item)?;
        let _ = write!(numbers, "{value}");
        Ok(())
    }

    fn value(&self, text: &str, item: &str) -> Result<u16, CronError> {
        if let Some(index) = self
            .words
            .iter()
            .position(|word| word.eq_ignore_ascii_case(text))
        {
            let index = u16::try_from(index).unwrap_or_default();
            return Ok(self.low + index);
        }
        if text.is_empty() {
            return Err(self.syntax(item, "a value is missing"));
        }
        if text == "?" && matches!(self.name, DAY_OF_MONTH | DAY_OF_WEEK) {
            return Err(self.syntax(item, "write `*`; note that 0 and 7 are Sunday here"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let reason = if self.words.is_empty() {
                format!("it takes numbers of {} to {}", self.low, self.high)
            } else {
                let (first, last) = (self.words[0], self.words[self.words.len() - 1]);
                format!(
                    "it takes {} to {}, or {first} to {last}",
                    self.low, self.high
                )
            };
            return Err(self.syntax(item, &reason));
        }
        match number(text) {
            Some(number) if (self.low..=self.high).contains(&number) => Ok(number),
            _ => Err(CronError::OutOfRange {
                field: self.name,
                text: item.to_owned(),
                low: self.low,
                high: self.high,
            }),
        }
    }

    fn syntax(&self, text: &str, reason: &str) -> CronError {
        CronError::Syntax {
            field: self.name,
            text: text.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// Digits only: no sign.
fn number(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
