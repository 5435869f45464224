//! What is known of somebody who asks: the claims that permissions are about (clause `OP-17`).

use serde_json::{Map, Value};

/// The claims of a caller: `name` and `scope` of the token, and what its configuration adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// The claims of the holder of a token.
    ///
    /// - `custom`: claims beside `name` and `scope`, which are the server's to say.
    pub fn new(name: &str, scope: &str, custom: &Map<String, Value>) -> Claims {
        let mut claims = custom.clone();
        claims.insert("name".to_owned(), name.into());
        claims.insert("scope".to_owned(), scope.into());
        Claims(claims)
    }

    /// The claim that these names lead to, outermost first.
    pub(super) fn get(&self, names: &[String]) -> Option<&Value> {
        let (first, rest) = names.split_first()?;
        rest.iter().try_fold(self.0.get(first)?, |claim, name| {
            claim.as_object()?.get(name)
        })
    }
}
