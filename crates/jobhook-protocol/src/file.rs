//! What is said about a file (clauses `FILE-*`, `DOWN-*`): its fields, and how it is shown.
//!
//! The fields are checked in one place, here, whether they come with an upload
//! ([`crate::upload`]) or with a launch. What a client reads of an answer it takes as servers of
//! the original send it, too.

use serde::{Deserialize, Serialize};

use crate::Code;
use crate::digest::{Md5Sum, Sha256Sum};
use crate::json::{Json, JsonError};
use crate::report::MAX_SEQ;

/// How many bytes a file's name may have.
pub const MAX_NAME: usize = 255;
/// How many characters a media type may have.
pub const MAX_MIMETYPE: usize = 255;
/// How many bytes the text of a file's metadata may have.
pub const MAX_METADATA: usize = 4096;
/// The largest size that every language's numbers hold exactly, 2^53 − 1 bytes.
pub const MAX_SIZE: u64 = MAX_SEQ;
/// The media type of what has none.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// What a client says about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFields {
    /// Its name, for people.
    pub name: Option<String>,
    /// Its media type; [`OCTET_STREAM`] if absent.
    pub mimetype: Option<String>,
    /// How many bytes its content has.
    pub size: Option<u64>,
    /// Anything, a JSON object.
    pub metadata: Option<Json>,
}

/// Why a body asks for no upload, or a field is none of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not a JSON object within the limits.
    #[error(transparent)]
    Body(#[from] JsonError),
    /// A field has a value it cannot have, or is missing.
    #[error("the field `{field}` is invalid: {expected}")]
    Field {
        /// Its name on the wire.
        field: &'static str,
        /// What it must be.
        expected: String,
    },
}

impl FileError {
    /// The code of the answer.
    pub fn code(&self) -> Code {
        match self {
            FileError::Body(_) => Code::MalformedBody,
            FileError::Field { .. } => Code::InvalidField,
        }
    }
}

pub(crate) const SIZE: &str = "it must be a whole number of bytes from 0 to 9007199254740991";

impl FileFields {
    /// Checks what is there.
    ///
    /// # Errors
    ///
    /// [`FileError::Field`], for the first that cannot be.
    pub fn check(&self) -> Result<(), FileError> {
        self.name.as_deref().map_or(Ok(()), check_name)?;
        self.mimetype.as_deref().map_or(Ok(()), check_mimetype)?;
        if self.size.is_some_and(|size| size > MAX_SIZE) {
            return Err(invalid("size", SIZE));
        }
        self.metadata.as_ref().map_or(Ok(()), check_metadata)
    }
}

/// Checks that `name` can be a file's: no path, and nothing that a terminal obeys.
///
/// # Errors
///
/// [`FileError::Field`].
pub fn check_name(name: &str) -> Result<(), FileError> {
    let fits = (1..=MAX_NAME).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'));
    fits.then_some(()).ok_or_else(|| {
        invalid(
            "name",
            "it must be 1 to 255 bytes without control characters, `/` and `\\`, and not `.` or `..`",
        )
    })
}

/// Checks that `metadata` is a JSON object, and not too long.
///
/// # Errors
///
/// [`FileError::Field`].
pub fn check_metadata(metadata: &Json) -> Result<(), FileError> {
    let text = metadata.as_str();
    (text.starts_with('{') && text.len() <= MAX_METADATA)
        .then_some(())
        .ok_or_else(|| {
            invalid(
                "metadata",
                "it must be a JSON object of at most 4096 bytes of text",
            )
        })
}

/// Checks that `mimetype` is a media type (RFC 9110, 8.3.1), such as `text/csv; charset=utf-8`.
///
/// # Errors
///
/// [`FileError::Field`].
pub fn check_mimetype(mimetype: &str) -> Result<(), FileError> {
    (mimetype.len() <= MAX_MIMETYPE && is_media_type(mimetype))
        .then_some(())
        .ok_or_else(|| {
            invalid(
                "mimetype",
                "it must be a media type such as `text/csv; charset=utf-8`, of at most 255 characters",
            )
        })
}

fn is_media_type(text: &str) -> bool {
    let is_space = |c: char| matches!(c, ' ' | '\t');
    let (kind, mut rest) = token(text);
    let Some((subtype, after)) = rest.strip_prefix('/').map(token) else {
        return false;
    };
    rest = after;
    while !rest.is_empty() {
        let Some(parameter) = rest.trim_start_matches(is_space).strip_prefix(';') else {
            return false;
        };
        let (name, after) = token(parameter.trim_start_matches(is_space));
        rest = after;
        if name.is_empty() {
            continue; // The grammar lets a parameter be empty.
        }
        let Some(value) = rest.strip_prefix('=').and_then(after_value) else {
            return false;
        };
        rest = value;
    }
    !kind.is_empty() && !subtype.is_empty()
}

/// The token that `text` begins with, maybe empty, and what follows.
fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_token(c)).unwrap_or(text.len()))
}

/// What follows the value of a parameter, a token or a quoted string.
fn after_value(text: &str) -> Option<&str> {
    let Some(mut quoted) = text.strip_prefix('"') else {
        let (value, rest) = token(text);
        return (!value.is_empty()).then_some(rest);
    };
    loop {
        let mut chars = quoted.chars();
        match chars.next()? {
            '"' => return Some(chars.as_str()),
            '\\' if matches!(chars.next()?, '\t' | ' '..='~') => {}
            '\t' | ' '..='[' | ']'..='~' => {}
            _ => return None,
        }
        quoted = chars.as_str();
    }
}

pub(crate) fn invalid(field: &'static str, expected: impl Into<String>) -> FileError {
    FileError::Field {
        field,
        expected: expected.into(),
    }
}

/// Where a file is (clause `DOWN-1`): the answer to `GET {hook}/download/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownloadAnswer {
    /// The address of the bytes, good for a short while.
    #[serde(rename = "Location")]
    pub location: String,
    /// What the file is.
    #[serde(rename = "Map")]
    pub map: FileMap,
    /// Until when the address must be used, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// A file as its job is told of it. It has no challenge: that is answered to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SentMap")]
pub struct FileMap {
    /// The content's MD5.
    pub hash: Md5Sum,
    /// Its media type.
    pub mimetype: String,
    /// A JSON object, maybe empty.
    pub metadata: Json,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many bytes it has; servers of the original do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The content's SHA-256; servers of the original have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Sum>,
}

/// A map as servers send it, those of the original among them.
#[derive(Deserialize)]
struct SentMap {
    hash: Md5Sum,
    mimetype: Option<String>,
    metadata: Option<Json>,
    name: Option<String>,
    size: Option<u64>,
    sha256: Option<Sha256Sum>,
}

impl From<SentMap> for FileMap {
    fn from(sent: SentMap) -> FileMap {
        FileMap {
            hash: sent.hash,
            mimetype: sent.mimetype.unwrap_or_else(|| OCTET_STREAM.to_owned()),
            metadata: sent.metadata.unwrap_or_else(no_metadata),
            name: sent.name,
            size: sent.size,
            sha256: sent.sha256,
        }
    }
}

/// The metadata of a file that has none, `{}`.
pub fn no_metadata() -> Json {
    Json::of(&serde_json::json!({}))
}

/// A file as the management API shows it (clauses `API-*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileBody {
    /// The property that it is in, such as `outputs`.
    pub property: String,
    /// Its number there, from 0.
    pub index: u64,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type.
    pub mimetype: String,
    /// How many bytes it has.
    pub size: u64,
    /// The content's MD5.
    pub md5: Md5Sum,
    /// The content's SHA-256.
    pub sha256: Sha256Sum,
    /// A JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    /// The attempt whose job left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When it was attached, RFC 3339.
    pub created_at: String,
}

/// The answer to bytes that a launch, or an object, is to have (clause `API-20`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedBody {
    /// What it takes to use them.
    pub receipt: String,
    /// How many came.
    pub size: u64,
    /// Of what came.
    pub sha256: Sha256Sum,
}

/// What a launch lets its job use beside its own files (clause `FILE-4`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantBody {
    /// The store.
    pub store: String,
    /// The id of an object, or `*` for any.
    pub uuid: String,
    /// The property, or `*` for any.
    pub property: String,
    /// What for.
    pub access: Access,
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// To download.
    Read,
    /// To upload, and to download: who may write may read.
    Write,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_nothing_that_a_terminal_obeys() {
        for name in [
            "a",
            "…",
            "a b.csv",
            ".hidden",
            "...",
            "CON",
            "%2e%2e",
            &"x".repeat(255),
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            "..\\b",
            "a\0b",
            "a\n",
            "\u{1b}[2J",
            "\u{85}",
            &"é".repeat(128),
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_media_type_is_one_of_rfc_9110() {
        for mimetype in [
            "text/plain",
            "application/vnd.oasis.opendocument.text",
            "text/csv; charset=utf-8",
            "text/csv;charset=\"utf-8\" ;\theader=present",
            "a/b;q=\"\\\"; /\"",
            "a/b;",
        ] {
            assert_eq!(check_mimetype(mimetype), Ok(()), "{mimetype}");
        }
        for mimetype in [
            "",
            "text",
            "/",
            "text/",
            "/plain",
            "text/plain ",
            "text /plain",
            "text/plain/x",
            "text/plain x",
            "text/plain; charset",
            "text/plain; charset=",
            "text/plain; a=\"",
            "text/plain; a=\"\n\"",
            "text/plain\r\nX-A: b",
            "text/é",
            &format!("a/{}", "b".repeat(254)),
        ] {
            assert!(check_mimetype(mimetype).is_err(), "{mimetype:?}");
        }
    }

    #[test]
    fn metadata_is_an_object_of_4096_bytes_at_most() {
        let of = |text: &str| check_metadata(&Json::from_text(text.to_owned()).unwrap());
        let long = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert_eq!(of("{}"), Ok(()));
        assert_eq!(of(&long(MAX_METADATA)), Ok(()));
        assert!(of(&long(MAX_METADATA + 1)).is_err());
        for wrong in ["[]", "null", "1", "\"{\""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_map_of_the_original_is_read_and_its_challenge_forgotten() {
        let answer: DownloadAnswer = serde_json::from_str(
            r#"{"Location":"http://a/b?token=c","Map":{"challenge":"1","hash":"5eb63bbbe01eeed093cb22bb8f5acdc3","mimetype":null,"name":"a"}}"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"Location":"http://a/b?token=c","Map":{"hash":"5eb63bbbe01eeed093cb22bb8f5acdc3","mimetype":"application/octet-stream","metadata":{},"name":"a"}}"#,
        );
    }
}
