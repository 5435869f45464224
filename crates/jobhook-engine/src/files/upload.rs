//! Uploading: what a job asks before it sends bytes, and after (clauses `UP-1` to `UP-5`,
//! `UP-11`, `UP-13`, `UP-14`).

use jobhook_protocol::file::OCTET_STREAM;
use jobhook_protocol::{Access, Md5Sum, Sha256Sum, Status, UploadRequest};

use super::error::{FilesError, unexpected};
use super::rights::{Allowed, Target};
use super::token::{By, Purpose, Put, Receipt};
use super::{Files, token};
use crate::attempt::AttemptRef;
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Attach, Attached, File, FileFields, Origin, PropertyRef};
use crate::hook::Proven;
use crate::write::{Refusal, Write, Written};

/// Where the bytes of an upload go.
const PATH: &str = "/upload/data";

/// How many files are looked through at once for one that is there already.
const PAGE: usize = 1_000;

/// What becomes of a question for an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The file is attached.
    Done {
        /// Of its content.
        md5: Md5Sum,
    },
    /// The bytes are wanted.
    Send {
        /// Where.
        url: String,
        /// Of the content, where it was announced.
        md5: Option<Md5Sum>,
        /// When the address ceases to be good.
        expires: Timestamp,
    },
}

impl Files {
    /// Opens or closes an upload of a job.
    ///
    /// # Errors
    ///
    /// [`FilesError`]; nothing is attached then.
    pub async fn upload(
        &self,
        proven: Proven,
        target: Target<'_>,
        request: UploadRequest,
    ) -> Result<Opened, FilesError> {
        let by = proven.attempt();
        let (status, allowed) = self.allowed(by, target, Access::Write).await?;
        if status.is_final() {
            return Err(Refusal::AlreadyFinal(status).into());
        }
        let needs_signature = !matches!(request, UploadRequest::Handshake { .. });
        if needs_signature && !proven.is_signed() {
            return Err(FilesError::SignatureRequired);
        }
        match request {
            UploadRequest::Handshake {
                hash,
                challenge,
                fields,
            } => {
                let size = fields.size;
                let fields = stored(fields);
                let known = self.known(hash, challenge, size).await?;
                if let Some(sha256) = known {
                    let origin = Origin::Stored(sha256);
                    match self.attach(by, &allowed, origin, fields.clone()).await {
                        Ok(_) => return Ok(Opened::Done { md5: hash }),
                        // It was forgotten meanwhile.
                        Err(FilesError::Refused(Refusal::NoContent)) => {}
                        Err(error) => return Err(error),
                    }
                }
                self.send_to(by, allowed, Some((hash, challenge)), size, fields)
                    .await
            }
            UploadRequest::OnePass { fields } => {
                let size = fields.size;
                self.send_to(by, allowed, None, size, stored(fields)).await
            }
            UploadRequest::Close {
                receipt,
                size,
                sha256,
                fields,
            } => {
                let blob = self.receipt_of(by, &receipt)?;
                self.close(by, &allowed, blob, (size, sha256), stored(fields))
                    .await
            }
        }
    }

    /// The property that a job may use, with where its action stands.
    pub(super) async fn allowed(
        &self,
        by: AttemptRef,
        target: Target<'_>,
        wanted: Access,
    ) -> Result<(Status, Allowed), FilesError> {
        let standing = self.0.store.standing(by.action).await?;
        let standing = standing.ok_or(FilesError::NotFound)?;
        let stores = &self.0.settings.stores;
        let allowed = target.allowed(stores, by.action, &standing.grants, wanted)?;
        Ok((standing.status, allowed))
    }

    /// The one content that has these hashes, and this size if it was announced. The challenge
    /// shows that who names it has the bytes; a pair that names two contents shows nothing.
    async fn known(
        &self,
        md5: Md5Sum,
        challenge: Md5Sum,
        size: Option<u64>,
    ) -> Result<Option<Sha256Sum>, FilesError> {
        let found = self.0.store.contents(md5, challenge).await?;
        Ok(match found.as_slice() {
            [one] if size.is_none_or(|size| size == one.size) => Some(one.sha256),
            _ => None,
        })
    }

    async fn send_to(
        &self,
        by: AttemptRef,
        allowed: Allowed,
        handshake: Option<(Md5Sum, Md5Sum)>,
        size: Option<u64>,
        fields: FileFields,
    ) -> Result<Opened, FilesError> {
        let bytes = size.unwrap_or(0);
        self.may_have(bytes)?;
        self.has_room(bytes).await?;
        self.fits(&allowed.property, bytes).await?;
        let put = Put {
            by: by.into(),
            to: allowed.property.into(),
            create: allowed.create,
            handshake,
            size,
            name: fields.name,
            mimetype: fields.mimetype,
            metadata: fields.metadata,
        };
        let (url, expires) = self.address(PATH, by, Purpose::Put(put)).await?;
        Ok(Opened::Send {
            url,
            md5: handshake.map(|(md5, _)| md5),
            expires,
        })
    }

    /// Whether an object has room for one more file of so many bytes. The ledger judges this
    /// again when the file is attached; here it saves sending the bytes.
    async fn fits(&self, property: &PropertyRef, bytes: u64) -> Result<(), FilesError> {
        let most = self.0.settings.object;
        let Some(object) = self.0.store.object(&property.object).await? else {
            return Ok(());
        };
        if object.files.values().sum::<u64>() >= most.files {
            return Err(Refusal::TooManyFiles { limit: most.files }.into());
        }
        if object.bytes.saturating_add(bytes) > most.bytes {
            return Err(Refusal::TooManyBytes { limit: most.bytes }.into());
        }
        Ok(())
    }

    fn receipt_of(&self, by: AttemptRef, receipt: &str) -> Result<BlobName, FilesError> {
        match self.unseal(receipt) {
            Ok(Purpose::Close(receipt)) if receipt.by == Some(By::from(by)) => Ok(receipt.blob()),
            Err(FilesError::TokenExpired) => Err(FilesError::Gone),
            _ => Err(FilesError::InvalidToken),
        }
    }

    async fn close(
        &self,
        by: AttemptRef,
        allowed: &Allowed,
        blob: BlobName,
        (size, sha256): (u64, Sha256Sum),
        fields: FileFields,
    ) -> Result<Opened, FilesError> {
        let Some(staged) = self.0.store.staged(&blob).await? else {
            // Maybe the answer to a close was lost.
            let closed = self.find(by, &allowed.property, sha256, &fields).await?;
            let md5 = closed.ok_or(FilesError::Gone)?.content.md5;
            return Ok(Opened::Done { md5 });
        };
        let content = staged.content;
        if (content.size, content.sha256) != (size, sha256) {
            self.unstage(blob).await?;
            return Err(FilesError::Mismatch(format!(
                "{} bytes with the SHA-256 {} arrived, and not {size} with {sha256}",
                content.size, content.sha256
            )));
        }
        let attached = self.attach(by, allowed, Origin::Staged(blob), fields).await;
        match attached {
            Ok(_) => Ok(Opened::Done { md5: content.md5 }),
            Err(FilesError::Refused(Refusal::NoContent)) => Err(FilesError::Gone),
            Err(error) => Err(error),
        }
    }

    /// A file that an attempt has attached before.
    async fn find(
        &self,
        by: AttemptRef,
        property: &PropertyRef,
        sha256: Sha256Sum,
        fields: &FileFields,
    ) -> Result<Option<File>, FilesError> {
        let (store, mut after) = (&self.0.store, None);
        loop {
            let from = after.map(|index| (property.property.as_str(), index));
            let page = store.files(&property.object, from, PAGE).await?;
            let is_last = page.len() < PAGE;
            let mut last = None;
            for file in page {
                let is_it = file.at == *property
                    && file.content.sha256 == sha256
                    && file.fields.name == fields.name
                    && file.attempt == Some(by.number);
                if is_it {
                    return Ok(Some(file));
                }
                last = Some(file);
            }
            match last {
                Some(file) if !is_last && file.at.property <= property.property => {
                    after = Some(file.index);
                }
                _ => return Ok(None),
            }
        }
    }

    /// Forgets what an action was launched with and is still staged: its content was stored already,
    /// and a receipt is good for one launch. What fails is left to the sweep.
    pub(crate) async fn forget_surplus(&self, blobs: Vec<BlobName>) {
        for blob in blobs {
            let forgotten = match self.0.store.staged(&blob).await {
                Ok(None) => Ok(()),
                Ok(Some(_)) => self.unstage(blob).await,
                Err(error) => Err(error.into()),
            };
            match forgotten {
                Ok(()) | Err(FilesError::Gone) => {}
                Err(error) => {
                    tracing::warn!(%error, "What a launch brought twice stays for a while")
                }
            }
        }
    }

    async fn unstage(&self, blob: BlobName) -> Result<(), FilesError> {
        let unstage = Write::Unstage { blob: blob.clone() };
        match self.0.batcher.write(unstage).await? {
            Ok(_) => self.discard(&blob).await,
            // It was taken, or forgotten, by somebody else.
            Err(_) => return Err(FilesError::Gone),
        }
        Ok(())
    }

    /// Attaches a content in one step.
    pub(super) async fn attach(
        &self,
        by: AttemptRef,
        allowed: &Allowed,
        origin: Origin,
        fields: FileFields,
    ) -> Result<File, FilesError> {
        let attach = Attach {
            to: allowed.property.clone(),
            origin,
            fields,
            by: Some(by),
            most: self.0.settings.object,
            create: allowed.create,
        };
        self.write_attach(attach).await
    }

    pub(super) async fn write_attach(&self, attach: Attach) -> Result<File, FilesError> {
        let arrived = match &attach.origin {
            Origin::Arrived(arrived) => Some(arrived.content.blob.clone()),
            _ => None,
        };
        // Where the store fails it is not known whether the row is there: the sweep finds out.
        match self
            .0
            .batcher
            .write(Write::Attach(Box::new(attach)))
            .await?
        {
            Ok(Written::Attached(attached)) => {
                let Attached { file, surplus } = *attached;
                if let Some(surplus) = surplus {
                    self.discard(&surplus).await;
                }
                Ok(file)
            }
            Ok(other) => Err(unexpected(&other)),
            Err(refusal) => {
                if let Some(arrived) = arrived {
                    self.discard(&arrived).await;
                }
                Err(refusal.into())
            }
        }
    }

    /// What a receipt of [`stage`](Files::stage) stands for.
    ///
    /// # Errors
    ///
    /// [`FilesError::InvalidToken`], or [`FilesError::Gone`] if it is too old.
    pub fn launched_with(&self, receipt: &str) -> Result<BlobName, FilesError> {
        match self.unseal(receipt) {
            Ok(Purpose::Launch(receipt)) => Ok(receipt.blob()),
            Err(FilesError::TokenExpired) => Err(FilesError::Gone),
            _ => Err(FilesError::InvalidToken),
        }
    }

    pub(super) fn receipt(&self, by: Option<By>, blob: &BlobName) -> String {
        let receipt = Receipt {
            by,
            blob: blob.0.clone(),
        };
        let purpose = match by {
            Some(_) => Purpose::Close(receipt),
            None => Purpose::Launch(receipt),
        };
        self.seal(purpose, super::TO_CLOSE).0
    }
}

impl token::Put {
    pub(super) fn allowed(&self) -> Allowed {
        Allowed {
            property: self.to.clone().into(),
            create: self.create,
        }
    }
}

/// The fields of a file as they are kept.
pub fn stored(fields: jobhook_protocol::FileFields) -> FileFields {
    FileFields {
        name: fields.name,
        mimetype: fields.mimetype.unwrap_or_else(|| OCTET_STREAM.to_owned()),
        metadata: fields.metadata,
    }
}
