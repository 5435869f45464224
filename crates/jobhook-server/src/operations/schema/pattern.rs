//! Patterns that may go back over their text.
//!
//! Most patterns are matched in one pass. One with look-around or back-references is not: it may
//! try as many ways as it likes. Three things bound it: how long its text may be, how many steps
//! back it may take over one text, and the clock, which is asked after each.
//!
//! A text that is not finished is no reason to say that it fits, nor that it does not: below a
//! `not`, one is as good for a caller as the other. The whole value is refused then.

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{Keyword, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::meter::{give_up, look};
use super::metered::{Metered, Part};

/// How many steps a pattern may go back over one text.
pub(super) const MAX_STEPS: usize = 100_000;

/// The longest text that a pattern may go back over, in bytes: each step may read all of it.
const LONGEST: usize = 64 << 10;

/// The keyword `pattern`, for a schema that has patterns which go back.
#[derive(Debug)]
pub(super) struct Pattern {
    judge: Validator<Metered>,
    goes_back: bool,
}

impl Pattern {
    /// Compiles a pattern; what is no text is no pattern.
    pub(super) fn compile<'a>(
        _: &'a Map<String, Value>,
        pattern: &'a Value,
        _: Location,
    ) -> Result<Box<dyn for<'i> Keyword<'i, Metered>>, ValidationError<'a>> {
        let schema = json!({"pattern": pattern});
        let options = || jsonschema::options_for::<Metered>();
        let forward = options().with_pattern_options(PatternOptions::regex());
        let (judge, goes_back) = match forward.build(&schema) {
            Ok(judge) => (judge, false),
            Err(_) => {
                let back = PatternOptions::fancy_regex().backtrack_limit(MAX_STEPS);
                (options().with_pattern_options(back).build(&schema)?, true)
            }
        };
        Ok(Box::new(Pattern { judge, goes_back }))
    }
}

impl<'i> Keyword<'i, Metered> for Pattern {
    fn validate(&self, instance: Part<'i>) -> Result<(), ValidationError<'i>> {
        if self.goes_back && instance.0.as_str().is_some_and(|text| text.len() > LONGEST) {
            give_up();
        }
        let judged = self.judge.validate(instance);
        if self.goes_back && instance.0.is_string() {
            look();
        }
        if let Err(error) = &judged
            && let ValidationErrorKind::BacktrackLimitExceeded { .. } = error.kind()
        {
            give_up();
        }
        judged
    }

    fn is_valid(&self, instance: Part<'i>) -> bool {
        self.validate(instance).is_ok()
    }
}
