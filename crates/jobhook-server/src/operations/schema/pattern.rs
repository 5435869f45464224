//! Patterns that may go back over their text.
//!
//! Most patterns are matched in one pass, and so are those that only look ahead from the start,
//! such as `^(?!\s*$).+`: what they look for is split off, and each part is matched by itself.
//!
//! Other look-around and back-references may try as many ways as they like. Three things bound
//! that: how long a text may be, how many steps back are taken over one text, and the clock, which
//! is asked after each. A text that is not finished is no reason to say that it fits, nor that it
//! does not: below a `not`, one is as good for a caller as the other. The whole value is refused.

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::meter::{give_up, look};
use super::metered::{Metered, Part};

/// How many steps a pattern may go back over one text.
pub(super) const MAX_STEPS: usize = 100_000;

/// The longest text that a pattern may go back over, in bytes: there are patterns that read all of
/// it from each of its places, which takes some tenths of a second for so many.
pub(super) const LONGEST: usize = 8 << 10;

/// The keyword `pattern`, for a schema that has patterns which look around or refer back.
#[derive(Debug)]
pub(super) enum Pattern {
    /// What must match and what must not, each in one pass.
    Forward(String, Vec<(bool, Validator<Metered>)>),
    Back(Validator<Metered>),
}

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn compile<'a>(
        _: &'a Map<String, Value>,
        pattern: &'a Value,
        _: Location,
    ) -> Result<Box<dyn for<'i> Keyword<'i, Metered>>, ValidationError<'a>> {
        let text = pattern.as_str().unwrap_or_default();
        if let Some(parts) = forward(text) {
            return Ok(Box::new(Pattern::Forward(text.to_owned(), parts)));
        }
        let back = PatternOptions::fancy_regex().backtrack_limit(MAX_STEPS);
        Ok(Box::new(Pattern::Back(judge(text, back)?)))
    }
}

impl<'i> Keyword<'i, Metered> for Pattern {
    fn validate(&self, instance: Part<'i>) -> Result<(), ValidationError<'i>> {
        let Some(text) = instance.0.as_str() else {
            return Ok(());
        };
        match self {
            Pattern::Forward(pattern, parts) => {
                let fits = |(must, part): &(bool, Validator<_>)| part.is_valid(instance) == *must;
                if parts.iter().all(fits) {
                    return Ok(());
                }
                let message = format!("this does not match {pattern:?}");
                Err(ValidationError::custom(message))
            }
            Pattern::Back(judge) => {
                if text.len() > LONGEST {
                    give_up();
                }
                // Before as well, so that no text is free of charge.
                look();
                let judged = judge.validate(instance);
                look();
                if let Err(error) = &judged
                    && !matches!(error.kind(), ValidationErrorKind::Pattern { .. })
                {
                    give_up();
                }
                judged
            }
        }
    }

    fn is_valid(&self, instance: Part<'i>) -> bool {
        self.validate(instance).is_ok()
    }
}

fn judge<E>(
    pattern: &str,
    options: PatternOptions<E>,
) -> Result<Validator<Metered>, ValidationError<'static>> {
    let schema = json!({"pattern": pattern});
    let settings = jsonschema::options_for::<Metered>();
    settings.with_pattern_options(options).build(&schema)
}

/// The parts of a pattern that are matched in one pass, and whether they must match.
fn forward(pattern: &str) -> Option<Vec<(bool, Validator<Metered>)>> {
    let parts = split(pattern).unwrap_or_else(|| vec![(true, pattern.to_owned())]);
    let judges = parts.into_iter().map(|(must, part)| {
        let judge = judge(&part, PatternOptions::regex()).ok()?;
        Some((must, judge))
    });
    judges.collect()
}

/// Splits off what a pattern looks for from the start of the text.
fn split(pattern: &str) -> Option<Vec<(bool, String)>> {
    let mut rest = pattern.strip_prefix('^')?;
    let mut parts = Vec::new();
    loop {
        let must = match rest.get(..3) {
            Some("(?=") => true,
            Some("(?!") => false,
            _ => break,
        };
        let end = closing(rest)?;
        parts.push((must, format!("^(?:{})", &rest[3..end])));
        rest = &rest[end + 1..];
    }
    // A look that is repeated is none, and `^a|b` begins with `^` only here and there.
    let repeated = rest.starts_with(['*', '+', '?', '{']);
    let branches = closing(&format!("({rest})"))? != rest.len() + 1 || branches(rest);
    parts.push((true, format!("^(?:{rest})")));
    (!repeated && !branches).then_some(parts)
}

/// Where the group ends that `pattern` begins with.
fn closing(pattern: &str) -> Option<usize> {
    let ends = |(_, byte, depth): &(usize, u8, usize)| *byte == b')' && *depth == 0;
    let (at, ..) = signs(pattern).find(ends)?;
    Some(at)
}

/// Whether a pattern is one or another.
fn branches(pattern: &str) -> bool {
    signs(pattern).any(|(_, byte, depth)| byte == b'|' && depth == 0)
}

/// The bytes that are neither escaped nor in a class, and in how many groups each is.
fn signs(pattern: &str) -> impl Iterator<Item = (usize, u8, usize)> {
    let (mut escaped, mut class, mut depth) = (false, false, 0_usize);
    pattern.bytes().enumerate().filter_map(move |(at, byte)| {
        match byte {
            _ if escaped => {
                escaped = false;
                return None;
            }
            b'\\' => escaped = true,
            b']' => class = false,
            _ if class => return None,
            b'[' => class = true,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((at, byte, depth))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pattern: &str) -> Option<Vec<(bool, String)>> {
        split(pattern)
    }

    #[test]
    fn what_is_looked_for_from_the_start_is_split_off() {
        let expected = vec![
            (true, r"^(?:.*[)(]\))".to_owned()),
            (false, "^(?:a|(b))".to_owned()),
            (true, "^(?:(c|d)+$)".to_owned()),
        ];
        assert_eq!(parts(r"^(?=.*[)(]\))(?!a|(b))(c|d)+$"), Some(expected));
        for other in ["(?=a)b", "^(?=a)b|c", "^(?=a)*b", "^(?=a", "^a)(b", "^a|b"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_split_means_what_it_meant() {
        let back = || PatternOptions::fancy_regex();
        for pattern in [
            r"^(?!\s*$).+$",
            r"^(?=.*\d)(?=.*[a-z]).{3,}$",
            "^(?!con|nul$)[a-z]+",
            "^(?=a)",
            "^(?!)x",
            r"^(?![\]a])(?=[^\]])b|\|",
        ] {
            let whole = judge(pattern, back()).unwrap();
            let keyword = Pattern::compile(&Map::new(), &json!(pattern), Location::new()).unwrap();
            for text in [
                "", " ", "a", "ab1", "con", "null", "nul", "x", "b", "]", "|", "é1a",
            ] {
                let text = json!(text);
                let whole = whole.is_valid(Part(&text));
                assert_eq!(keyword.is_valid(Part(&text)), whole, "{pattern} {text}");
            }
        }
    }

    #[test]
    fn only_what_cannot_be_split_goes_back() {
        assert!(forward(r"^(?!\s*$).+$").is_some());
        assert!(forward("^a+$").is_some());
        for back in [r"(a)\1", r"^(?!(a)\1)b", "^(?:(?!--).)*$", "(?<=a)b"] {
            assert!(forward(back).is_none(), "{back}");
        }
    }
}
