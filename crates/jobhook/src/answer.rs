//! What a server sent, read and as it was sent.

use std::ops::Deref;

use jobhook_protocol::Json;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

/// What the server sent: as a value, and as its text.
///
/// It can be used like the value. The text has what this version does not know of, and numbers
/// that no `f64` can hold.
///
/// ```no_run
/// # async fn example(launcher: jobhook::Launcher) -> Result<(), jobhook::Error> {
/// let action = launcher.show("019ab697-e800-7a3e-8b21-4d6f0e9c1a57").await?;
/// println!("{} is {}", action.uuid, action.status);
/// println!("{}", action.text);
/// let results = action.body.results;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer<T> {
    /// What was sent, read.
    pub body: T,
    /// What was sent: JSON, byte for byte.
    pub text: String,
}

impl<T: DeserializeOwned> Answer<T> {
    /// Reads a text, and keeps it.
    pub(crate) fn read(text: String) -> Result<Answer<T>, serde_json::Error> {
        let body = serde_json::from_str(&text)?;
        Ok(Answer { body, text })
    }
}

impl<T> Deref for Answer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// For a part of an answer that is given on by itself.
impl<'de, T: DeserializeOwned> Deserialize<'de> for Answer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Answer<T>, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Answer::read(json.as_str().to_owned()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_part_is_kept_byte_for_byte() {
        #[derive(Deserialize)]
        struct Part {
            n: f64,
        }
        let whole = r#"[{"n": 1.50, "later": 12345678901234567890}, {"n":2}]"#;
        let parts: Answer<Vec<Answer<Part>>> = Answer::read(whole.to_owned()).unwrap();
        assert_eq!(parts.text, whole);
        assert_eq!(
            parts[0].text,
            r#"{"n": 1.50, "later": 12345678901234567890}"#
        );
        assert_eq!(parts[0].n + parts[1].n, 3.5);
    }

    #[test]
    fn a_part_that_is_something_else_is_refused() {
        #[derive(Debug, Deserialize)]
        struct Part {
            #[allow(dead_code, reason = "only its absence is looked at")]
            n: f64,
        }
        let error = Answer::<Vec<Answer<Part>>>::read("[{}]".to_owned()).unwrap_err();
        assert!(error.to_string().contains("missing field `n`"), "{error}");
    }
}
