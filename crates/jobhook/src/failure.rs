//! Why an operation did not do what it should, as its action shows it.
//!
//! Whatever error a function returns becomes one: the name is for programs, the message, with
//! all its causes, for people.

use std::any::{Any, type_name};
use std::borrow::Cow;
use std::error::Error as StdError;

use jobhook_protocol::Code;

/// The input is not what the function takes.
pub(crate) const INVALID_INPUT: &str = Code::InvalidInput.as_str();
/// What the function returned cannot be its results.
pub(crate) const INVALID_OUTPUT: &str = Code::InvalidOutput.as_str();
/// The program does not have the operation.
pub(crate) const UNKNOWN_OPERATION: &str = Code::UnknownOperation.as_str();
/// The function panicked.
pub(crate) const PANICKED: &str = "panicked";

/// How many bytes of a message are reported: whatever an error has to say, its report must fit a
/// server.
const LONGEST: usize = 64 << 10;

/// How an operation failed: `errorName` and `errorMessage` of its action.
///
/// A function that wants to choose the name returns one; it may come through `anyhow` with
/// context added. Every other error is named after its type.
///
/// ```
/// use anyhow::Context;
/// use jobhook::Failure;
///
/// fn month(text: &str) -> anyhow::Result<u8> {
///     let month = text.parse().context("no month")?;
///     if month > 12 {
///         return Err(Failure::new("NoSuchMonth", format!("{month} is not 1 to 12")))
///             .context("the calendar");
///     }
///     Ok(month)
/// }
///
/// let failure = Failure::of(month("13").unwrap_err());
/// assert_eq!(failure.name, "NoSuchMonth");
/// assert_eq!(failure.message, "the calendar: 13 is not 1 to 12");
///
/// let failure = Failure::of("x".parse::<u8>().unwrap_err());
/// assert_eq!(failure.name, "ParseIntError");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong, for programs, such as `FileNotFound`.
    pub name: String,
    /// What went wrong, for people.
    pub message: String,
}

impl Failure {
    /// - `name`: what went wrong, for programs, such as `FileNotFound`.
    /// - `message`: what went wrong, for people.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Failure {
        Failure {
            name: name.into(),
            message: message.into(),
        }
    }

    /// What an error says, with all its causes. It is named after its type, without the path;
    /// a text, a `Box<dyn Error>` and an `anyhow::Error`, whose types tell nothing, have the
    /// name of the first [`Failure`] among their causes, else `Error`.
    pub fn of<E>(error: E) -> Failure
    where
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        let name = name_of::<E>();
        if let Some(error) = (&error as &dyn Any).downcast_ref::<anyhow::Error>() {
            return Failure::read(name, error.as_ref());
        }
        let error: Box<dyn StdError + Send + Sync> = error.into();
        Failure::read(name, &*error)
    }

    fn read(type_name: Option<&str>, error: &(dyn StdError + 'static)) -> Failure {
        let (mut name, mut message) = (type_name, error.to_string());
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(Failure { name: chosen, .. }) = cause.downcast_ref() {
                name = name.or(Some(chosen));
            }
            let text = cause.to_string();
            // Many an error tells its cause itself.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            next = cause.source();
        }
        Failure::new(name.unwrap_or("Error"), message)
    }

    /// Its message, cut where it is too long for a report.
    pub(crate) fn brief(&self) -> Cow<'_, str> {
        let message = self.message.as_str();
        if message.len() <= LONGEST {
            return message.into();
        }
        let kept = &message[..message.floor_char_boundary(LONGEST)];
        format!("{kept}… ({} bytes in all)", message.len()).into()
    }

    /// Whether the function panicked.
    pub fn is_panic(&self) -> bool {
        self.name == PANICKED
    }

    /// What a panic says.
    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Failure {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Failure::new(PANICKED, text.unwrap_or("it did not say why"))
    }
}

/// The name of an error's type; none if it tells nothing, or is chosen by the error.
fn name_of<E>() -> Option<&'static str> {
    let whole = type_name::<E>();
    let path = whole.split('<').next().unwrap_or(whole);
    let name = path.rsplit("::").next().unwrap_or(path);
    let tells = whole != type_name::<anyhow::Error>() && whole != type_name::<Failure>();
    let is_name = name.starts_with(|first: char| first.is_alphabetic());
    (tells && is_name && !matches!(name, "Box" | "String" | "str")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_no_report_could_hold_is_cut_between_two_characters() {
        let long = "ü".repeat(10_000_000);
        let brief = Failure::new("E", format!("x{long}")).brief().into_owned();
        assert!(brief.len() < LONGEST + 50, "{}", brief.len());
        assert!(
            brief.ends_with("ü… (20000001 bytes in all)"),
            "{}",
            &brief[LONGEST - 9..]
        );
        assert_eq!(Failure::new("E", "short").brief(), "short");
    }
    use anyhow::Context;

    #[derive(Debug, thiserror::Error)]
    #[error("the report of {year} is not there")]
    struct NoReport<T> {
        year: T,
        #[source]
        cause: std::num::ParseIntError,
    }

    #[track_caller]
    fn check<E>(error: E, name: &str, message: &str)
    where
        E: Into<Box<dyn StdError + Send + Sync>> + 'static,
    {
        assert_eq!(Failure::of(error), Failure::new(name, message));
    }

    #[test]
    fn an_error_is_named_after_its_type_and_tells_its_causes() {
        let cause = "x".parse::<u8>().unwrap_err();
        check(
            NoReport { year: 1999, cause },
            "NoReport",
            "the report of 1999 is not there: invalid digit found in string",
        );
    }

    #[test]
    fn a_failure_chooses_its_name_whatever_it_travels_in() {
        let failure = || Failure::new("TooOld", "made in 1999");
        check(failure(), "TooOld", "made in 1999");
        check(anyhow::Error::from(failure()), "TooOld", "made in 1999");
        let inside = Err::<(), _>(failure()).context("reading").context("work");
        check(inside.unwrap_err(), "TooOld", "work: reading: made in 1999");
        let boxed: Box<dyn StdError + Send + Sync> = failure().into();
        check(boxed, "TooOld", "made in 1999");
    }

    #[test]
    fn errors_whose_type_tells_nothing_are_just_errors() {
        check(anyhow::anyhow!("a").context("b"), "Error", "b: a");
        check("a text".to_owned(), "Error", "a text");
        check("a text", "Error", "a text");
    }

    #[test]
    fn a_cause_that_is_told_already_is_not_told_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read: {0}")]
        struct CannotRead(#[from] std::num::ParseIntError);
        let error = CannotRead("".parse::<u8>().unwrap_err());
        let told = "cannot read: cannot parse integer from empty string";
        check(error, "CannotRead", told);
    }
}
