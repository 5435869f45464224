//! Reads a definitions file: the original's JSON, each name in it once.
//!
//! One of two definitions of a name would be ignored, and with it maybe a permission: see
//! [`once`](super::once).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use jobhook_protocol::operation::{Application, Definition, Definitions};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::once::Once;
use super::slip::Slip;

/// The largest file, in bytes: some hundred thousand operations.
const MAX_SIZE: u64 = 64 << 20;

/// Reads a file.
///
/// # Errors
///
/// That of the system; `InvalidData` names the line and column.
pub(super) fn read(path: &Path) -> io::Result<(Definitions, Vec<Slip>)> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE {
        let what = format!("it has more than {MAX_SIZE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn parse(bytes: &[u8]) -> serde_json::Result<(Definitions, Vec<Slip>)> {
    /// A file with other members is fine: the original's may have more.
    #[derive(Deserialize)]
    #[serde(expecting = "an object with operations")]
    struct Members {
        #[serde(default)]
        application: Application,
        operations: Once<Written>,
        #[serde(default)]
        schemas: Once<Value>,
    }
    /// So is a definition, but a slip of the hand is told.
    #[derive(Deserialize)]
    struct Written {
        #[serde(flatten)]
        definition: Definition,
        #[serde(flatten)]
        others: BTreeMap<String, IgnoredAny>,
    }
    let members: Members = serde_json::from_slice(bytes)?;
    let mut slips = Vec::new();
    let operations = members.operations.0.into_iter().map(|(id, written)| {
        let others = written.others.keys();
        slips.extend(others.filter_map(|other| Slip::of(&id, other)));
        (id, written.definition)
    });
    let definitions = Definitions {
        application: members.application,
        operations: operations.collect(),
        schemas: members.schemas.0,
    };
    Ok((definitions, slips))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_webda_answers_is_read() {
        let text = br#"{"application":{"name":"peer-remote","version":"0.1.0"},"operations":{"User.Revoke":{"id":"User.Revoke","input":"userservice.revoke.input","service":"UserService","method":"revoke"},"User.Ping":{"id":"User.Ping"}},"schemas":{"userservice.revoke.input":{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}},"other":1}"#;
        let (definitions, slips) = parse(text).unwrap();
        assert_eq!(slips, []);
        assert_eq!(definitions.application.name, "peer-remote");
        assert_eq!(definitions.operations.len(), 2);
        assert_eq!(definitions.schemas.len(), 1);
    }

    #[test]
    fn what_is_no_definitions_file_is_refused_with_its_place() {
        for (text, says) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("[]", "expected an object with operations"),
            ("{}", "missing field `operations`"),
            (
                r#"{"operations":[]}"#,
                "expected an object at line 1 column 14",
            ),
            (r#"{"operations":{"A":{}}}"#, "missing field `id`"),
            (r#"{"operations":{"A":{"id":"A","input":3}}}"#, "column"),
            (
                r#"{"operations":{"A":{"id":"A"},"A":{"id":"A"}}}"#,
                "`A` is there twice at line 1 column",
            ),
            (
                r#"{"operations":{},"schemas":{"x":{},"x":{}}}"#,
                "`x` is there twice",
            ),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        let deep = "[".repeat(10_000);
        let deep = format!(r#"{{"operations":{{}},"schemas":{{"x":{deep}"#);
        let error = parse(deep.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
