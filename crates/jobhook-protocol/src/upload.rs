//! What is said to upload a file (clauses `UP-*`): the requests that open and close it, and
//! their answers.
//!
//! ```text
//! hash, challenge ──▶ done                                 onePass ──▶ url
//!                 └─▶ url ──PUT──▶ 204                                  └──PUT──▶ receipt
//!                                                          receipt, size, sha256 ──▶ done
//! ```
//!
//! [`UploadRequest::read`] refuses what cannot be, so nothing behind it meets a hash that is none.
//! Fields it does not know are ignored.

use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::digest::{Md5Sum, NotASum, Sha256Sum};
use crate::file::{FileError, FileFields, SIZE, invalid};
use crate::json::{self, Json, JsonError};

/// How many characters a receipt may have (clause `UP-12`).
pub const MAX_RECEIPT: usize = 512;

/// The body of `PUT {hook}/upload/{store}/{uuid}/{property}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadRequest {
    /// Opens an upload of content whose hashes are known (clause `UP-1`).
    Handshake {
        /// The content's MD5.
        hash: Md5Sum,
        /// The MD5 of `WEBDA` and the content.
        challenge: Md5Sum,
        /// What the file is.
        fields: FileFields,
    },
    /// Opens an upload in one pass (clause `UP-11`).
    OnePass {
        /// What the file is; its size where that is known.
        fields: FileFields,
    },
    /// Closes an upload in one pass (clause `UP-13`).
    Close {
        /// What the bytes were answered with.
        receipt: String,
        /// The content's SHA-256.
        sha256: Sha256Sum,
        /// What the file is. Its `size` is there.
        fields: FileFields,
        /// How many bytes were sent.
        size: u64,
    },
}

/// The answer to what opens or closes an upload (clauses `UP-3`, `UP-11`, `UP-13`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadAnswer {
    /// Whether the file is attached; if not, its bytes are sent to `url`.
    pub done: bool,
    /// Where the bytes go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How they are sent there: `PUT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The content's MD5 in base64, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    /// Until when `url` must be used, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// The answer to bytes that came in one pass (clause `UP-12`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptAnswer {
    /// Names them in the closing request.
    pub receipt: String,
    /// How many came.
    pub size: u64,
}

/// The object as sent; each field is judged by itself, so that an error can name it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow, default)]
    hash: Option<&'a RawValue>,
    #[serde(borrow, default)]
    challenge: Option<&'a RawValue>,
    #[serde(borrow, default)]
    one_pass: Option<&'a RawValue>,
    #[serde(borrow, default)]
    receipt: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sha256: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    mimetype: Option<&'a RawValue>,
    #[serde(borrow, default)]
    size: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

impl UploadRequest {
    /// Reads the bytes of a body.
    ///
    /// # Errors
    ///
    /// [`FileError`], for the first thing that is wrong.
    pub fn read(body: Vec<u8>) -> Result<UploadRequest, FileError> {
        let text = json::clean(body)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(JsonError::Malformed("an upload is a JSON object".into()).into());
        }
        let body: Body<'_> =
            serde_json::from_str(&text).map_err(|error| JsonError::Malformed(error.to_string()))?;
        let one_pass = body.one_pass.map(read_one_pass).transpose()?;
        if body.receipt.is_none() && !one_pass.unwrap_or(false) {
            return Ok(UploadRequest::Handshake {
                hash: read_sum("hash", body.hash)?,
                challenge: read_sum("challenge", body.challenge)?,
                fields: read_fields(&body)?,
            });
        }
        for (field, sent) in [("hash", body.hash), ("challenge", body.challenge)] {
            if sent.is_some() {
                return Err(invalid(field, "an upload in one pass has none"));
            }
        }
        let fields = read_fields(&body)?;
        let Some(receipt) = body.receipt else {
            return Ok(UploadRequest::OnePass { fields });
        };
        Ok(UploadRequest::Close {
            receipt: read_text("receipt", receipt)
                .ok()
                .filter(|receipt| (1..=MAX_RECEIPT).contains(&receipt.chars().count()))
                .ok_or_else(|| invalid("receipt", "it must be the text that was answered"))?,
            sha256: read_sum("sha256", body.sha256)?,
            size: fields.size.ok_or_else(|| invalid("size", SIZE))?,
            fields,
        })
    }

    /// What the file is.
    pub fn fields(&self) -> &FileFields {
        match self {
            UploadRequest::Handshake { fields, .. }
            | UploadRequest::OnePass { fields }
            | UploadRequest::Close { fields, .. } => fields,
        }
    }
}

fn read_one_pass(raw: &RawValue) -> Result<bool, FileError> {
    serde_json::from_str(raw.get()).map_err(|_| invalid("onePass", "it must be true or absent"))
}

fn read_sum<S>(field: &'static str, raw: Option<&RawValue>) -> Result<S, FileError>
where
    S: FromStr<Err = NotASum>,
{
    // What is missing is told what it must be, like what is wrong.
    let text = raw.map_or(Ok(String::new()), |raw| read_text(field, raw))?;
    text.parse()
        .map_err(|error: NotASum| invalid(field, error.to_string()))
}

fn read_text(field: &'static str, raw: &RawValue) -> Result<String, FileError> {
    serde_json::from_str(raw.get()).map_err(|_| invalid(field, "it must be a text"))
}

fn read_fields(body: &Body<'_>) -> Result<FileFields, FileError> {
    let fields = FileFields {
        name: body.name.map(|raw| read_text("name", raw)).transpose()?,
        mimetype: body
            .mimetype
            .map(|raw| read_text("mimetype", raw))
            .transpose()?,
        size: body
            .size
            .map(|raw| serde_json::from_str(raw.get()).map_err(|_| invalid("size", SIZE)))
            .transpose()?,
        metadata: body.metadata.map(Json::from),
    };
    fields.check()?;
    Ok(fields)
}

/// A request as it is written; each kind has its own part of this.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Md5Sum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<Md5Sum>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    one_pass: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Sum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mimetype: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Json>,
}

impl Serialize for UploadRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields();
        let mut written = Written {
            name: fields.name.as_deref(),
            mimetype: fields.mimetype.as_deref(),
            size: fields.size,
            metadata: fields.metadata.as_ref(),
            ..Written::default()
        };
        match self {
            UploadRequest::Handshake {
                hash, challenge, ..
            } => {
                written.hash = Some(*hash);
                written.challenge = Some(*challenge);
            }
            UploadRequest::OnePass { .. } => written.one_pass = true,
            UploadRequest::Close {
                receipt,
                size,
                sha256,
                ..
            } => {
                written.receipt = Some(receipt);
                written.sha256 = Some(*sha256);
                written.size = Some(*size);
            }
        }
        written.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;
    use crate::digester::{Digester, HandshakeDigester};
    use crate::file::MAX_SIZE;

    const HASH: &str = "5eb63bbbe01eeed093cb22bb8f5acdc3";

    fn read(body: &str) -> Result<UploadRequest, FileError> {
        UploadRequest::read(body.into())
    }

    #[track_caller]
    fn refused(body: &str, field: &str) {
        let error = read(body).unwrap_err();
        assert_eq!(error.code(), Code::InvalidField, "{body}");
        assert!(
            matches!(&error, FileError::Field { field: named, .. } if *named == field),
            "{error}"
        );
    }

    fn fields() -> FileFields {
        FileFields {
            name: Some("a.csv".into()),
            mimetype: Some("text/csv".into()),
            size: Some(11),
            metadata: Some(Json::from_text(r#"{"n":1.50}"#.into()).unwrap()),
        }
    }

    #[test]
    fn every_request_reads_back_as_it_was_written() {
        let digests = Digester::of(b"hello world");
        for fields in [
            FileFields {
                size: Some(11),
                ..FileFields::default()
            },
            fields(),
        ] {
            for request in [
                UploadRequest::Handshake {
                    hash: digests.md5,
                    challenge: digests.challenge,
                    fields: fields.clone(),
                },
                UploadRequest::OnePass {
                    fields: fields.clone(),
                },
                UploadRequest::Close {
                    receipt: "r".into(),
                    sha256: digests.sha256,
                    size: 11,
                    fields,
                },
            ] {
                let text = serde_json::to_string(&request).unwrap();
                assert_eq!(read(&text), Ok(request), "{text}");
            }
        }
    }

    #[test]
    fn what_the_original_sends_is_read() {
        let challenge = HandshakeDigester::of(b"hello world").challenge;
        let request = read(&format!(
            r#"{{"hash":"{HASH}","challenge":"{challenge}","metadata":{{}},"name":null,"x":[]}}"#
        ))
        .unwrap();
        assert!(matches!(
            request,
            UploadRequest::Handshake { fields, .. } if fields.metadata == Some(crate::file::no_metadata())
        ));
    }

    #[test]
    fn what_is_not_an_object_is_malformed() {
        for body in [
            "",
            " ",
            "null",
            "[]",
            "1",
            "{",
            "{\"name\":\"a\",\"name\":\"b\"}",
            "{}x",
        ] {
            assert_eq!(
                read(body).unwrap_err().code(),
                Code::MalformedBody,
                "{body}"
            );
        }
    }

    #[test]
    fn hash_and_challenge_are_there_and_in_lower_case_hex() {
        refused("{}", "hash");
        refused(r#"{"onePass":false}"#, "hash");
        refused(&format!(r#"{{"hash":"{HASH}"}}"#), "challenge");
        for hash in [
            &HASH.to_uppercase(),
            &HASH[1..],
            &format!("{HASH}0"),
            "../../escape",
        ] {
            refused(
                &format!(r#"{{"hash":"{hash}","challenge":"{HASH}"}}"#),
                "hash",
            );
            refused(
                &format!(r#"{{"hash":"{HASH}","challenge":"{hash}"}}"#),
                "challenge",
            );
        }
        refused(&format!(r#"{{"hash":1,"challenge":"{HASH}"}}"#), "hash");
    }

    #[test]
    fn one_pass_has_no_hash_and_its_close_has_all() {
        refused(r#"{"onePass":1}"#, "onePass");
        refused(&format!(r#"{{"onePass":true,"hash":"{HASH}"}}"#), "hash");
        refused(
            &format!(r#"{{"receipt":"a","challenge":"{HASH}"}}"#),
            "challenge",
        );
        let sha256 = Digester::of(b"").sha256;
        refused(r#"{"receipt":"a","size":1}"#, "sha256");
        refused(&format!(r#"{{"receipt":"a","sha256":"{sha256}"}}"#), "size");
        refused(
            &format!(r#"{{"receipt":"","size":1,"sha256":"{sha256}"}}"#),
            "receipt",
        );
        let long = "r".repeat(MAX_RECEIPT + 1);
        refused(
            &format!(r#"{{"receipt":"{long}","size":1,"sha256":"{sha256}"}}"#),
            "receipt",
        );
    }

    #[test]
    fn a_field_that_cannot_be_is_named() {
        for (field, values) in [
            (
                "size",
                &["-1", "1.5", "1e2", "\"1\"", "9007199254740992"][..],
            ),
            ("name", &["1", "\"\"", "\"..\"", "\"a/b\""]),
            ("mimetype", &["{}", "\"text\"", "\"text/html\\r\\nX: y\""]),
            ("metadata", &["[]", "\"{}\"", "1"]),
        ] {
            for value in values {
                refused(&format!(r#"{{"onePass":true,"{field}":{value}}}"#), field);
            }
        }
        assert!(read(&format!(r#"{{"onePass":true,"size":{MAX_SIZE}}}"#)).is_ok());
    }
}
