//! The files that a fake hook has: uploads in both ways, downloads with ranges, all in memory.
//!
//! What it believes is what a server does: both MD5s and SHA-256 are those of the bytes that came.
//! It knows no grants and no quotas, and any store, object and property is there.

use std::collections::{BTreeMap, HashMap};

use jobhook_protocol::file::{OCTET_STREAM, no_metadata};
use jobhook_protocol::{
    Code, Digester, Digests, DownloadAnswer, FileFields, FileMap, Handshake, Json, Problem,
    ReceiptAnswer, UploadAnswer, UploadRequest,
};

use super::request::{Answer, Request};

/// How long an address may be used, in milliseconds.
const FRESH_MS: i64 = 60_000;

/// A file that was uploaded to a fake hook, or given to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FakeFile {
    /// Its name.
    pub name: Option<String>,
    /// Its media type.
    pub mimetype: String,
    /// A JSON object, maybe empty.
    pub metadata: Json,
    /// Its content.
    pub bytes: Vec<u8>,
    digests: Digests,
}

/// Store, object and property; the store in lower case.
pub(crate) type At = (String, String, String);

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    files: BTreeMap<At, Vec<FakeFile>>,
    /// What each token is good for.
    tokens: HashMap<String, Use>,
    /// What was uploaded in one pass, by its receipt; gone once it is closed.
    received: HashMap<String, Vec<u8>>,
    /// What the closing of each receipt was answered with.
    closed: HashMap<String, UploadAnswer>,
    count: u64,
}

#[derive(Clone, Debug)]
enum Use {
    Handshake(At, Handshake, FileFields),
    OnePass,
    Download(At, usize),
}

type Judged = Result<Answer, Box<Problem>>;

impl FakeFile {
    /// A file of these bytes.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> FakeFile {
        let name = Some(name.into());
        FakeFile::of(
            &FileFields {
                name,
                ..FileFields::default()
            },
            bytes.into(),
        )
    }

    fn of(fields: &FileFields, bytes: Vec<u8>) -> FakeFile {
        let mimetype = fields.mimetype.as_deref();
        FakeFile {
            name: fields.name.clone(),
            mimetype: mimetype.unwrap_or(OCTET_STREAM).to_owned(),
            metadata: fields.metadata.clone().unwrap_or_else(no_metadata),
            digests: Digester::of(&bytes),
            bytes,
        }
    }

    fn map(&self, is_v1: bool) -> FileMap {
        FileMap {
            hash: self.digests.md5,
            mimetype: self.mimetype.clone(),
            metadata: self.metadata.clone(),
            name: self.name.clone(),
            size: is_v1.then_some(self.digests.size),
            sha256: is_v1.then_some(self.digests.sha256),
        }
    }
}

/// Where a property is, whichever of its names the store is given (`FILE-1`).
pub(crate) fn at(store: &str, uuid: &str, property: &str) -> At {
    let mut store = store.to_ascii_lowercase();
    if store == "asyncactions" {
        store = "actions".to_owned();
    }
    (store, uuid.to_owned(), property.to_owned())
}

impl Shelf {
    /// Puts a file there; the same content under the same name once.
    pub(crate) fn attach(&mut self, at: At, file: FakeFile) {
        let files = self.files.entry(at).or_default();
        let is_same = |known: &FakeFile| {
            known.digests.sha256 == file.digests.sha256 && known.name == file.name
        };
        if !files.iter().any(is_same) {
            files.push(file);
        }
    }

    pub(crate) fn files(&self, at: &At) -> Vec<FakeFile> {
        self.files.get(at).cloned().unwrap_or_default()
    }

    /// Answers `PUT /upload/…`, which was signed.
    ///
    /// - `base`: the hook's own address.
    pub(crate) fn upload(
        &mut self,
        at: At,
        request: &Request,
        (base, now_ms, is_v1): (&str, i64, bool),
    ) -> Judged {
        let read = UploadRequest::read(request.body.clone())
            .map_err(|error| Problem::new(error.code(), error.to_string()))?;
        let (what, md5) = match read {
            UploadRequest::Handshake {
                hash,
                challenge,
                fields,
            } => {
                let known =
                    self.files.values().flatten().find(|file| {
                        (file.digests.md5, file.digests.challenge) == (hash, challenge)
                    });
                let md5 = Some(hash.to_base64());
                if let Some(known) = known {
                    let file = FakeFile::of(&fields, known.bytes.clone());
                    self.attach(at, file);
                    let done = true;
                    let answer = UploadAnswer {
                        done,
                        md5,
                        ..UploadAnswer::default()
                    };
                    return json(200, &answer);
                }
                let handshake = Handshake {
                    md5: hash,
                    challenge,
                    size: fields.size.unwrap_or_default(),
                };
                (Use::Handshake(at, handshake, fields), md5)
            }
            UploadRequest::OnePass { .. } => (Use::OnePass, None),
            UploadRequest::Close {
                receipt,
                sha256,
                size,
                fields,
            } => {
                if let Some(answer) = self.closed.get(&receipt) {
                    return json(200, answer);
                }
                let Some(bytes) = self.received.remove(&receipt) else {
                    return Err(Problem::new(Code::UploadGone, "it is not here any more").into());
                };
                let file = FakeFile::of(&fields, bytes);
                if (file.digests.sha256, file.digests.size) != (sha256, size) {
                    return Err(mismatch());
                }
                let answer = UploadAnswer {
                    done: true,
                    md5: Some(file.digests.md5.to_base64()),
                    ..UploadAnswer::default()
                };
                self.attach(at, file);
                self.closed.insert(receipt, answer.clone());
                return json(200, &answer);
            }
        };
        let answer = UploadAnswer {
            done: false,
            url: Some(format!("{base}/data/{}", self.token(what))),
            method: Some("PUT".to_owned()),
            md5,
            expires: is_v1.then_some(now_ms + FRESH_MS),
        };
        json(200, &answer)
    }

    /// Answers `GET /download/…`, which was signed.
    pub(crate) fn locate(
        &mut self,
        at: At,
        index: &str,
        (base, now_ms, is_v1): (&str, i64, bool),
    ) -> Judged {
        let index = index.parse().unwrap_or(usize::MAX);
        let file = self.files.get(&at).and_then(|files| files.get(index));
        let Some(map) = file.map(|file| file.map(is_v1)) else {
            return Err(Problem::new(Code::FileNotFound, "there is no such file").into());
        };
        let answer = DownloadAnswer {
            location: format!("{base}/data/{}", self.token(Use::Download(at, index))),
            map,
            expires: is_v1.then_some(now_ms + FRESH_MS),
        };
        json(200, &answer)
    }

    /// Answers `PUT` and `GET /data/{token}`, which need no signature and must not have one.
    pub(crate) fn data(&mut self, token: &str, request: &Request) -> Judged {
        let invalid = || Problem::new(Code::InvalidToken, "the address is not for this request");
        if request.values("x-job-hash").next().is_some() {
            return Err(Problem::new(Code::InvalidToken, "a signature is not for here").into());
        }
        let wanted = self.tokens.get(token).cloned().ok_or_else(invalid)?;
        match (request.method.as_str(), wanted) {
            ("PUT", Use::Handshake(at, announced, fields)) => {
                let file = FakeFile::of(&fields, request.body.clone());
                let digests = file.digests;
                let is_size = fields.size.is_none_or(|size| size == digests.size);
                let is_same = digests.md5 == announced.md5
                    && digests.challenge == announced.challenge
                    && is_size;
                if !is_same {
                    return Err(mismatch());
                }
                self.attach(at, file);
                Ok(Answer::empty(204))
            }
            ("PUT", Use::OnePass) => {
                let (receipt, size) = (format!("r-{token}"), request.body.len() as u64);
                self.received.insert(receipt.clone(), request.body.clone());
                json(200, &ReceiptAnswer { receipt, size })
            }
            ("GET", Use::Download(at, index)) => {
                let file = self.files.get(&at).and_then(|files| files.get(index));
                let file = file.ok_or_else(invalid)?;
                Ok(send(file, request))
            }
            _ => Err(invalid().into()),
        }
    }

    fn token(&mut self, what: Use) -> String {
        self.count += 1;
        let token = format!("t{}", self.count);
        self.tokens.insert(token.clone(), what);
        token
    }

    /// Forgets what was uploaded and not closed.
    pub(crate) fn forget_uploads(&mut self) {
        self.received.clear();
    }
}

/// The bytes of a file, or those from an offset on.
fn send(file: &FakeFile, request: &Request) -> Answer {
    let tag = format!("\"{}\"", file.digests.sha256);
    let size = file.bytes.len();
    let mut headers = vec![
        ("Content-Type", file.mimetype.clone()),
        ("Accept-Ranges", "bytes".to_owned()),
        ("ETag", tag.clone()),
    ];
    let wants_part = request.values("if-range").all(|wanted| wanted == tag);
    let range = request.values("range").next().filter(|_| wants_part);
    let from = range.and_then(|range| {
        let from = range.strip_prefix("bytes=")?.strip_suffix('-')?;
        from.parse::<usize>().ok()
    });
    let (status, bytes) = match from {
        None => (200, &file.bytes[..]),
        Some(from) if from < size => {
            headers.push(("Content-Range", format!("bytes {from}-{}/{size}", size - 1)));
            (206, &file.bytes[from..])
        }
        Some(_) => {
            headers.push(("Content-Range", format!("bytes */{size}")));
            (416, &[][..])
        }
    };
    Answer {
        status,
        headers,
        body: bytes.to_vec(),
    }
}

fn mismatch() -> Box<Problem> {
    Problem::new(Code::ContentMismatch, "these are not the announced bytes").into()
}

fn json<T: serde::Serialize>(status: u16, answer: &T) -> Judged {
    let body = serde_json::to_string(answer).unwrap_or_default();
    Ok(Answer::json(status, body))
}
