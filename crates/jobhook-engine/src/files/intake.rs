//! Bytes on their way in (clauses `UP-6` to `UP-10`, `UP-12`): counted, hashed and written in one
//! pass, in constant memory, and kept only if they are what was announced.
//!
//! ```text
//! chunks ─▶ gathered ─▶ batch ─┬─▶ digests   (a thread)
//!                              └─▶ blob      (another)     while the next batch is gathered
//! ```
//!
//! What is small at its end goes to the store with the row that names it: a commit that many share
//! has it on the disk, where a blob would be made, synced and renamed for itself.

use bytes::Bytes;
use jobhook_protocol::{Digester, Digests, Sha256Sum, Status};
use tokio::task::JoinHandle;

use super::Files;
use super::error::{FilesError, unexpected};
use super::room::Share;
use super::token::{By, Purpose, Put};
use crate::attempt::AttemptRef;
use crate::blob::{BlobError, BlobName, BlobWriter};
use crate::clock::Timestamp;
use crate::file::{Arrived, Content, Origin};
use crate::hook::Disbelief;
use crate::write::{Refusal, Stage, Write, Written};

/// How many bytes are hashed and written at once, where not many transfers are under way.
const BATCH: usize = 1 << 20;

/// How many bytes all transfers together gather, as long as each may have [`LEAST`] of them.
const TOGETHER: usize = 64 << 20;

/// How many bytes each transfer gathers in any case.
const LEAST: usize = 64 << 10;

/// So many bytes are hashed where they stand: a thread would take longer to wake.
const AT_ONCE: usize = 64 << 10;

/// So many chunks are made one: each costs memory of its own, however short it is, and how long
/// they are is the sender's choice.
const LOOSE: usize = 1024;

/// After how many bytes it is asked anew whether there is room.
const ASKED_EVERY: u64 = 16 << 20;

/// One transfer of bytes to the server. One that is dropped leaves nothing.
#[must_use = "what was pushed is kept only by `finish`"]
pub struct Intake {
    files: Files,
    purpose: End,
    work: Work,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// How many of those that are gathered were made of many.
    packed: usize,
    received: u64,
    /// How many bytes there may be, and what it means if there are more.
    most: u64,
    announced: Option<u64>,
    share: Share,
    asked_at: u64,
}

/// What is done with the bytes at the end.
enum End {
    /// They are attached.
    Attach(Put),
    /// They wait for a close of this attempt's job, or for a launch.
    Stage(Option<By>),
}

/// What has become of a transfer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The file is attached.
    Attached,
    /// They wait to be used.
    Staged {
        /// What it takes to use them.
        receipt: String,
        /// How many they are.
        size: u64,
        /// Of them.
        sha256: Sha256Sum,
    },
}

/// Who holds the writer and the digests.
enum Work {
    Here(Box<State>),
    Away(JoinHandle<Result<Box<State>, BlobError>>),
    /// It failed.
    Lost,
}

/// Where the bytes are that have all come.
enum Source {
    /// On their way into a blob store.
    Blob(Box<dyn BlobWriter>),
    /// Here.
    Small(Bytes),
}

impl Source {
    /// Has a blob store keep them, or leaves that to the store.
    async fn arrive(self, digests: Digests, now: Timestamp) -> Result<Arrived, BlobError> {
        let (blob, bytes) = match self {
            Source::Blob(writer) => (writer.finish(&digests.sha256).await?, None),
            Source::Small(bytes) => (BlobName::small(now), Some(bytes)),
        };
        let content = Content {
            sha256: digests.sha256,
            md5: digests.md5,
            challenge: digests.challenge,
            size: digests.size,
            blob,
        };
        Ok(Arrived { content, bytes })
    }
}

struct State {
    writer: Box<dyn BlobWriter>,
    digester: Digester,
}

impl Files {
    /// Begins the transfer that a token is good for.
    ///
    /// - `announced`: how many bytes are to come, if that is known.
    ///
    /// # Errors
    ///
    /// [`FilesError`], before any byte is taken.
    pub async fn take(&self, token: &str, announced: Option<u64>) -> Result<Intake, FilesError> {
        let Purpose::Put(put) = self.unseal(token)? else {
            return Err(FilesError::InvalidToken);
        };
        self.may_speak(put.by.into()).await?;
        if let (Some(size), Some(announced)) = (put.size, announced)
            && size != announced
        {
            return Err(FilesError::Mismatch(format!(
                "the body has {announced} bytes, and {size} were announced"
            )));
        }
        let expected = put.size;
        let end = match put.handshake {
            Some(_) => End::Attach(put),
            None => End::Stage(Some(put.by)),
        };
        self.begin(end, expected, announced).await
    }

    /// Begins a transfer of bytes that an action is to be launched with.
    ///
    /// # Errors
    ///
    /// [`FilesError`], before any byte is taken.
    pub async fn stage(&self, announced: Option<u64>) -> Result<Intake, FilesError> {
        self.begin(End::Stage(None), None, announced).await
    }

    /// Whether the job of an attempt may still leave something.
    async fn may_speak(&self, by: AttemptRef) -> Result<(), FilesError> {
        let status = self.is_open(by).await?;
        if status.is_final() {
            return Err(Refusal::AlreadyFinal(status).into());
        }
        Ok(())
    }

    /// Makes sure that an attempt is not over; answers where its action stands.
    pub(super) async fn is_open(&self, by: AttemptRef) -> Result<Status, FilesError> {
        let standing = self.0.store.standing(by.action).await?;
        let standing = standing.ok_or(Refusal::NotFound)?;
        let (own, current) = (by.number, standing.attempt);
        if standing.open && current == own {
            return Ok(standing.status);
        }
        // The next attempt has its number before it begins.
        let has_begun = standing.open || standing.status.is_final();
        Err(FilesError::Over(if current > own && has_begun {
            Disbelief::Superseded { own, current }
        } else {
            Disbelief::Closed { own }
        }))
    }

    /// Whether one file may have so many bytes.
    pub(super) fn may_have(&self, bytes: u64) -> Result<(), FilesError> {
        let most = self.0.settings.max_file;
        if bytes > most {
            return Err(FilesError::TooLarge { most });
        }
        Ok(())
    }

    async fn begin(
        &self,
        purpose: End,
        expected: Option<u64>,
        announced: Option<u64>,
    ) -> Result<Intake, FilesError> {
        let announced = expected.or(announced);
        let bytes = announced.unwrap_or(0);
        self.may_have(bytes)?;
        let by = match &purpose {
            End::Attach(put) => Some(put.by),
            End::Stage(by) => *by,
        };
        let share = self.admit(by.map(AttemptRef::from), bytes).await?;
        let state = State {
            writer: self.0.settings.blobs.begin().await?,
            digester: Digester::new(),
        };
        Ok(Intake {
            files: self.clone(),
            purpose,
            work: Work::Here(Box::new(state)),
            gathered: Vec::new(),
            gathered_bytes: 0,
            packed: 0,
            received: 0,
            most: announced.unwrap_or(self.0.settings.max_file),
            announced,
            share,
            asked_at: 0,
        })
    }
}

impl Intake {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`FilesError`]; the transfer is to be dropped then.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), FilesError> {
        self.received += chunk.len() as u64;
        if self.received > self.most {
            return Err(match self.announced {
                Some(size) => FilesError::Mismatch(format!(
                    "the body has more than the {size} bytes that were announced"
                )),
                None => FilesError::TooLarge { most: self.most },
            });
        }
        self.share.arrive(chunk.len() as u64);
        if self.received - self.asked_at >= ASKED_EVERY {
            self.ask_for_room().await?;
        }
        self.gathered_bytes += chunk.len();
        self.gathered.push(chunk);
        if self.gathered.len() - self.packed >= LOOSE {
            let loose = self.gathered.split_off(self.packed);
            self.gathered.push(loose.concat().into());
            self.packed = self.gathered.len();
        }
        if self.gathered_bytes > enough(self.files.0.room.transfers()) {
            let state = self.state().await?;
            let batch = self.batch();
            self.work = Work::Away(tokio::spawn(work(state, batch)));
        }
        Ok(())
    }

    /// Ends the transfer: keeps the bytes if they are what was announced.
    ///
    /// # Errors
    ///
    /// [`FilesError`]; then nothing is kept.
    pub async fn finish(mut self) -> Result<Received, FilesError> {
        if let Some(size) = self.announced
            && self.received != size
        {
            return Err(FilesError::Mismatch(format!(
                "the body has {} bytes, and {size} were announced",
                self.received
            )));
        }
        if self.announced.is_none() && self.received > self.asked_at {
            self.ask_for_room().await?;
        }
        let (source, digests) = self.arrive().await?;
        // What is on its way counts until it is there.
        let Intake {
            files,
            purpose,
            share: _share,
            ..
        } = self;
        match purpose {
            End::Attach(put) => files.keep(&put, source, digests).await,
            End::Stage(by) => files.lay_by(by, source, digests).await,
        }
    }

    /// All bytes, with their sums.
    async fn arrive(&mut self) -> Result<(Source, Digests), FilesError> {
        let mut state = self.state().await?;
        let is_whole = self.gathered_bytes as u64 == self.received;
        if is_whole && self.files.may_be_small(self.received).await? {
            // It takes its room on the disk with the commit.
            self.share.stay_in_memory();
            let bytes = Bytes::from(self.batch().concat());
            let digests = Digester::of(&bytes);
            return Ok((Source::Small(bytes), digests));
        }
        if self.gathered_bytes > 0 {
            let batch = self.batch();
            state = work(state, batch).await?;
        }
        let State { writer, digester } = *state;
        Ok((Source::Blob(writer), digester.finish()))
    }

    async fn ask_for_room(&mut self) -> Result<(), FilesError> {
        self.asked_at = self.received;
        match self.announced {
            // It was counted as a whole when it began.
            Some(_) => self.files.has_disk(0).await,
            None => self.files.has_room_for_what_came().await,
        }
    }

    fn batch(&mut self) -> Vec<Bytes> {
        self.gathered_bytes = 0;
        self.packed = 0;
        std::mem::take(&mut self.gathered)
    }

    /// The writer and the digests, once they are done with what they were given.
    async fn state(&mut self) -> Result<Box<State>, FilesError> {
        match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Here(state) => Ok(state),
            Work::Away(task) => Ok(joined(task.await)??),
            Work::Lost => Err(lost().into()),
        }
    }
}

impl Files {
    /// Attaches bytes that are all here, if they are what was announced.
    async fn keep(
        &self,
        put: &Put,
        source: Source,
        digests: Digests,
    ) -> Result<Received, FilesError> {
        if let Some((md5, challenge)) = put.handshake {
            if digests.md5 != md5 {
                return Err(FilesError::Mismatch(format!(
                    "the bytes have the MD5 {}, and {md5} was announced",
                    digests.md5
                )));
            }
            if digests.challenge != challenge {
                return Err(FilesError::Mismatch(
                    "the challenge that was announced is not that of these bytes".into(),
                ));
            }
        }
        let (by, allowed) = (put.by.into(), put.allowed());
        let fields = put.fields();
        if self.0.store.content(digests.sha256).await?.is_some() {
            let origin = Origin::Stored(digests.sha256);
            let attached = self.attach(by, &allowed, origin, fields.clone());
            match attached.await {
                Ok(_) => return Ok(Received::Attached),
                // It was forgotten meanwhile; but the bytes are here.
                Err(FilesError::Refused(Refusal::NoContent)) => {}
                Err(error) => return Err(error),
            }
        }
        let origin = Origin::Arrived(source.arrive(digests, self.now()).await?);
        self.attach(by, &allowed, origin, fields).await?;
        Ok(Received::Attached)
    }

    /// Lays bytes by that are all here, until they are closed or launched with.
    async fn lay_by(
        &self,
        by: Option<By>,
        source: Source,
        digests: Digests,
    ) -> Result<Received, FilesError> {
        let (size, sha256) = (digests.size, digests.sha256);
        let at = self.now();
        let arrived = source.arrive(digests, at).await?;
        let blob = arrived.content.blob.clone();
        let stage = Write::Stage(Box::new(Stage { arrived, at }));
        match self.0.batcher.write(stage).await? {
            Ok(Written::Done) => {}
            Ok(other) => return Err(unexpected(&other)),
            Err(refusal) => {
                self.discard(&blob).await;
                return Err(refusal.into());
            }
        }
        Ok(Received::Staged {
            receipt: self.receipt(by, &blob),
            size,
            sha256,
        })
    }
}

/// How many bytes are a batch, with so many transfers under way.
fn enough(transfers: usize) -> usize {
    (TOGETHER / transfers.max(1)).clamp(LEAST, BATCH)
}

async fn work(state: Box<State>, batch: Vec<Bytes>) -> Result<Box<State>, BlobError> {
    let State {
        mut writer,
        mut digester,
    } = *state;
    let size: usize = batch.iter().map(Bytes::len).sum();
    if size <= AT_ONCE {
        batch.iter().for_each(|chunk| digester.update(chunk));
        writer.write(batch).await?;
        return Ok(Box::new(State { writer, digester }));
    }
    let hashed = batch.clone();
    let hashing = tokio::task::spawn_blocking(move || {
        hashed.iter().for_each(|chunk| digester.update(chunk));
        digester
    });
    writer.write(batch).await?;
    let digester = joined(hashing.await)?;
    Ok(Box::new(State { writer, digester }))
}

/// A panic goes on where it was waited for; a task that was never run belonged to a runtime that is
/// shutting down.
fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, BlobError> {
    match outcome {
        Ok(value) => Ok(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(lost()),
    }
}

fn lost() -> BlobError {
    BlobError::Unavailable("the transfer has failed before".into())
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake")
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_transfers_there_are_the_less_each_gathers() {
        assert_eq!([0, 1, 64].map(enough), [BATCH; 3]);
        assert_eq!(enough(128), BATCH / 2);
        assert_eq!([1024, 100_000].map(enough), [LEAST; 2]);
    }
}
