//! How an upload goes: announced by its hashes, or in one pass.
//!
//! A server that speaks v1 gets what is small by its hashes, which takes two requests, and all
//! else in one pass, which reads it once. A server of the original gets everything by its hashes.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use jobhook_protocol::file::OCTET_STREAM;
use jobhook_protocol::{
    Code, Digester, FileFields, Md5Sum, ReceiptAnswer, UploadAnswer, UploadRequest,
};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::content::{Content, Fed, Feed, Kept, Source};
use super::tries::{Tries, Trouble};
use super::upload::Uploaded;
use super::{Files, IDLE, Moved, Place, Watcher};
use crate::Error;
use crate::http::why;

/// What is uploaded, and where to.
pub(crate) struct Sending {
    pub(crate) place: Place,
    pub(crate) source: Source,
    pub(crate) fields: FileFields,
    pub(crate) watcher: Option<Watcher>,
}

impl Sending {
    pub(crate) async fn run(self, files: Arc<Files>) -> Result<Uploaded, Error> {
        let target = self.place.upload_target()?;
        let mut fields = self.fields;
        fields.check().map_err(|error| Error::Setting {
            name: "the file",
            reason: error.to_string(),
        })?;
        let content = self.source.open().await?;
        fields.size = content.size();
        let way = Way {
            files: &files,
            target,
            fields,
            watcher: self.watcher,
        };
        match content {
            Content::Kept(kept @ Kept::Small(_)) => way.by_hashes(kept).await,
            content if files.is_v1() => way.in_one_pass(content).await,
            content => way.by_hashes(content.kept().await?).await,
        }
    }
}

/// One upload on its way.
struct Way<'a> {
    files: &'a Files,
    target: String,
    fields: FileFields,
    watcher: Option<Watcher>,
}

/// Where the bytes go.
struct Goal {
    method: Method,
    url: Url,
}

impl Way<'_> {
    async fn by_hashes(mut self, kept: Kept) -> Result<Uploaded, Error> {
        let handshake = kept.handshake().await?;
        self.fields.size = Some(handshake.size);
        let request = UploadRequest::Handshake {
            hash: handshake.md5,
            challenge: handshake.challenge,
            fields: self.fields.clone(),
        };
        let mut uploaded = Uploaded {
            md5: Some(handshake.md5),
            sha256: None,
            size: handshake.size,
            already: true,
        };
        if let Kept::Small(bytes) = &kept {
            uploaded.sha256 = Some(Digester::of(bytes).sha256);
        }
        let mut tries = Tries::new(&self.files.pace);
        loop {
            match self.announce(&request, &kept, &mut uploaded).await {
                Ok(()) => return Ok(uploaded),
                Err(trouble) => tries.pause(&self.files.server, trouble).await?,
            }
        }
    }

    async fn announce(
        &self,
        request: &UploadRequest,
        kept: &Kept,
        uploaded: &mut Uploaded,
    ) -> Result<(), Trouble> {
        let text = self.ask(request).await?;
        if text.is_empty() && !self.files.is_v1() {
            // So says the original's newest of a file that it lists already.
            return Ok(());
        }
        let answer: UploadAnswer = self.read(&text)?;
        if answer.done {
            return Ok(());
        }
        let goal = self.goal(answer)?;
        // Whoever finds it there now, after all, finds what was sent before.
        uploaded.already = false;
        if let Kept::Small(bytes) = kept {
            let moved = Moved::new(Some(bytes.len() as u64), self.watcher.clone());
            let request = self.request(goal, Some(bytes.len() as u64))?;
            let response = self.send(request.body(bytes.clone()), &moved).await?;
            self.files.judge(response, IDLE).await?;
            moved.add(bytes.len() as u64);
        } else {
            let mut content = Content::Kept(kept.clone());
            let (fed, _) = self.put(goal, &mut content).await?;
            uploaded.sha256 = Some(fed.sha256);
        }
        Ok(())
    }

    async fn in_one_pass(self, mut content: Content) -> Result<Uploaded, Error> {
        let mut tries = Tries::new(&self.files.pace);
        loop {
            match self.pass(&mut content, &mut tries).await {
                Ok(uploaded) => return Ok(uploaded),
                Err(Trouble::Again { error, .. } | Trouble::Mismatch(error))
                    if matches!(content, Content::Reader(_)) =>
                {
                    // It was read, and is not there again.
                    return Err(error);
                }
                Err(trouble) => tries.pause(&self.files.server, trouble).await?,
            }
        }
    }

    async fn pass(&self, content: &mut Content, tries: &mut Tries) -> Result<Uploaded, Trouble> {
        let fields = self.fields.clone();
        let open = UploadRequest::OnePass { fields };
        let answer: UploadAnswer = self.insist(&open, tries).await?;
        let goal = self.goal(answer)?;
        let (fed, text) = self.put(goal, content).await?;
        let ReceiptAnswer { receipt, size } = self.read(&text)?;
        if size != fed.size {
            return Err(Trouble::Mismatch(Error::Mismatch {
                server: self.files.server.clone(),
                reason: format!("it took {size} bytes of {}", fed.size),
            }));
        }
        let close = UploadRequest::Close {
            receipt,
            size,
            sha256: fed.sha256,
            fields: FileFields {
                size: Some(size),
                ..self.fields.clone()
            },
        };
        let answer: UploadAnswer = self.insist(&close, tries).await?;
        if !answer.done {
            return Err(self.files.unexpected("an upload that is not done").into());
        }
        Ok(Uploaded {
            md5: answer.md5.as_deref().and_then(Md5Sum::from_base64),
            sha256: Some(fed.sha256),
            size,
            already: false,
        })
    }

    /// Asks until there is an answer: it is the same however often this is asked (`UP-14`).
    async fn insist(
        &self,
        request: &UploadRequest,
        tries: &mut Tries,
    ) -> Result<UploadAnswer, Trouble> {
        loop {
            match self.ask(request).await {
                Err(Trouble::Again { error, after })
                    // Then only the bytes can help.
                    if error.code() != Code::UploadGone.as_str() =>
                {
                    let trouble = Trouble::Again { error, after };
                    tries.pause(&self.files.server, trouble).await?;
                }
                answer => return self.read(&answer?),
            }
        }
    }

    async fn ask(&self, request: &UploadRequest) -> Result<String, Trouble> {
        let body = serde_json::to_vec(request)
            .map_err(|error| Error::System(format!("no request: {error}")))?;
        let method = Method::PUT;
        self.files.ask(&method, &self.target, &body.into()).await
    }

    fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, Trouble> {
        serde_json::from_str(text).map_err(|error| {
            let what = format!("something unexpected ({error})");
            self.files.unexpected(what).into()
        })
    }

    fn goal(&self, answer: UploadAnswer) -> Result<Goal, Error> {
        let Some(url) = answer.url else {
            return Err(self.files.unexpected("no address for the bytes"));
        };
        let method = match answer.method.as_deref() {
            None | Some("PUT") => Method::PUT,
            Some("POST") => Method::POST,
            Some(_) => return Err(self.files.unexpected("a method that sends no bytes")),
        };
        let url = self.files.goal(&url)?;
        Ok(Goal { method, url })
    }

    /// Reads and sends; and gives what was sent, and the answer.
    async fn put(&self, goal: Goal, content: &mut Content) -> Result<(Fed, String), Trouble> {
        let size = content.size();
        let request = self.request(goal, size)?;
        let moved = Moved::new(size, self.watcher.clone());
        let Feed { pieces, fed } = content.feed();
        let body = body_of(pieces, moved.clone());
        let answer = match self.send(request.body(body), &moved).await {
            // Refused or not: of a body that is refused nothing more is of interest.
            Ok(response) => Ok(self.files.judge(response, IDLE).await?),
            Err(trouble) => Err(trouble),
        };
        // The body was sent, or was given up because it could not be read.
        let fed = fed
            .await
            .unwrap_or_else(|error| Err(Error::System(error.to_string())))?;
        let text = answer?;
        if !fed.is_whole {
            let cause = "it answered before it had all bytes".to_owned();
            return Err(self.files.no_answer(cause));
        }
        Ok((fed, text))
    }

    fn request(&self, goal: Goal, size: Option<u64>) -> Result<RequestBuilder, Error> {
        let Goal { method, url } = goal;
        let request = self.files.client(&url)?.request(method, url);
        let request = request.header(CONTENT_TYPE, OCTET_STREAM);
        Ok(match size {
            Some(size) => request.header(CONTENT_LENGTH, size),
            None => request,
        })
    }

    async fn send(&self, request: RequestBuilder, moved: &Moved) -> Result<Response, Trouble> {
        match moved.unless_idle(request.send()).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(self.files.no_answer(why(error, IDLE))),
            None => {
                let cause = format!("nothing moved for {} s", IDLE.as_secs());
                Err(self.files.no_answer(cause))
            }
        }
    }
}

pub(crate) fn body_of(pieces: mpsc::Receiver<io::Result<Bytes>>, moved: Arc<Moved>) -> Body {
    Body::wrap_stream(stream::unfold(
        (pieces, moved),
        |(mut pieces, moved)| async move {
            let piece = pieces.recv().await?;
            if let Ok(piece) = &piece {
                moved.add(piece.len() as u64);
            }
            Some((piece, (pieces, moved)))
        },
    ))
}
