//! Files: what is uploaded is staged, attached, and counted with its object.
//!
//! Everything that may refuse is asked first, and only then is anything changed. The rows of a
//! content, of what is staged and of an object are in [`Rows`]; the files that a batch adds are
//! there too until they are flushed, so whoever looks for a file asks both.

mod launch;

use bytes::Bytes;
use jobhook_protocol::Sha256Sum;

use super::{Answer, Row, Rows, Transaction, Wanted};
use crate::attempt::AttemptRef;
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{
    ACTIONS, Arrived, Attach, Attached, Content, File, KeptContent, Object, ObjectLimits,
    ObjectRef, Origin, PropertyRef, Staged,
};
use crate::store::StoreError;
use crate::write::{Refusal, Stage, Write, Written};

/// Why a write came to nothing: it was refused, or the store failed.
enum Obstacle {
    Refusal(Refusal),
    Store(StoreError),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Obstacle {
        Obstacle::Refusal(refusal)
    }
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Obstacle {
        Obstacle::Store(error)
    }
}

/// Whether a write is about files. A launch without any is not.
pub(super) fn concerns(write: &Write) -> bool {
    match write {
        Write::Stage(_) | Write::Unstage { .. } | Write::Attach(_) | Write::PutObject(_) => true,
        Write::Insert(new) => !new.files.is_empty() || new.inputs_of.is_some(),
        _ => false,
    }
}

pub(super) async fn apply(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    write: &Write,
    now: Timestamp,
) -> Result<Answer, StoreError> {
    let written = match write {
        Write::Stage(stage) => self::stage(transaction, rows, stage).await,
        Write::Unstage { blob } => unstage(transaction, rows, blob).await,
        Write::Attach(attach) => self::attach(transaction, rows, attach, now)
            .await
            .map(|attached| Written::Attached(Box::new(attached))),
        Write::PutObject(at) => put_object(transaction, rows, at, now)
            .await
            .map(|object| Written::Object(Box::new(object))),
        Write::Insert(new) => launch::insert(transaction, rows, new, now).await,
        _ => Err(Refusal::NoObject.into()),
    };
    match written {
        Ok(written) => Ok(Ok(written)),
        Err(Obstacle::Refusal(refusal)) => Ok(Err(refusal)),
        Err(Obstacle::Store(error)) => Err(error),
    }
}

async fn stage(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    stage: &Stage,
) -> Result<Written, Obstacle> {
    let Arrived { content, bytes } = &stage.arrived;
    let blob = &content.blob;
    if staged(transaction, rows, blob).await?.is_none() {
        let new = Some(Staged {
            content: content.clone(),
            at: stage.at,
        });
        match rows.staged.get_mut(blob) {
            Some(row) => *row.edit() = new,
            None => drop(rows.staged.insert(blob.clone(), Row::new(new))),
        }
        rows.keep_bytes(blob, bytes.as_ref());
    }
    Ok(Written::Done)
}

async fn unstage(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    blob: &BlobName,
) -> Result<Written, Obstacle> {
    let staged = staged(transaction, rows, blob).await?;
    staged.ok_or(Refusal::NoContent)?;
    rows.drop_staged(blob);
    rows.drop_bytes(blob);
    Ok(Written::Done)
}

async fn attach(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    attach: &Attach,
    now: Timestamp,
) -> Result<Attached, Obstacle> {
    if let Some(by) = attach.by {
        may_still_write(transaction, rows, by).await?;
    }
    let at = &attach.to;
    let object = match object(transaction, rows, &at.object).await? {
        Some(object) => object,
        None if attach.create && at.object.store != ACTIONS => Object::new(at.object.clone(), now),
        None => return Err(Refusal::NoObject.into()),
    };
    let content = content_of(transaction, rows, &attach.origin).await?;
    let name = attach.fields.name.as_deref();
    let attached = file_with(transaction, rows, at, &content.sha256, name).await?;
    if attached.is_none() {
        within(&attach.most, &object, [&content])?;
    }

    // Nothing refuses any more.
    let is_new = !rows.contents.contains_key(&content.sha256);
    let kept = rows.keep(content);
    let arrived = match &attach.origin {
        Origin::Stored(_) => None,
        Origin::Arrived(Arrived { content, bytes }) => {
            if is_new {
                rows.keep_bytes(&kept.blob, bytes.as_ref());
            }
            Some(&content.blob)
        }
        Origin::Staged(blob) => {
            rows.drop_staged(blob);
            Some(blob)
        }
    };
    let surplus = arrived.filter(|blob| **blob != kept.blob).cloned();
    if let (Origin::Staged(_), Some(surplus)) = (&attach.origin, &surplus) {
        rows.drop_bytes(surplus);
    }
    let file = attached.unwrap_or_else(|| {
        let file = File {
            at: at.clone(),
            index: object.count(&at.property),
            content: kept,
            fields: attach.fields.clone(),
            attempt: attach.by.map(|by| by.number),
            attached_at: now,
        };
        rows.add_file(object, file.clone());
        file
    });
    Ok(Attached { file, surplus })
}

/// A job may attach as long as its attempt is open and its action is not final.
async fn may_still_write(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    by: AttemptRef,
) -> Result<(), Obstacle> {
    let wanted = Wanted {
        actions: vec![by.action],
        attempts: vec![by],
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    let (action, _) = rows.open_attempt(by)?;
    match action.get().status {
        status if status.is_final() => Err(Refusal::AlreadyFinal(status).into()),
        _ => Ok(()),
    }
}

async fn put_object(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    at: &ObjectRef,
    now: Timestamp,
) -> Result<Object, Obstacle> {
    match object(transaction, rows, at).await? {
        Some(object) => Ok(object),
        None if at.store == ACTIONS => Err(Refusal::NoObject.into()),
        None => {
            let object = Object::new(at.clone(), now);
            rows.objects.insert(at.clone(), Row::new(object.clone()));
            Ok(object)
        }
    }
}

/// The object as it is. An action is one as long as it is there, and has a row once it has files.
async fn object(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    at: &ObjectRef,
) -> Result<Option<Object>, StoreError> {
    let id = at.action();
    let wanted = Wanted {
        actions: id.into_iter().collect(),
        objects: vec![at.clone()],
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    let object = rows.objects.get(at).map(|row| row.get().clone());
    if at.store != ACTIONS {
        return Ok(object);
    }
    let action = id.and_then(|id| rows.actions.get(&id)).map(Row::get);
    Ok(action.map(|action| object.unwrap_or_else(|| Object::new(at.clone(), action.created_at))))
}

/// What is to be attached: the content that is stored, where one has its SHA-256.
async fn content_of(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    origin: &Origin,
) -> Result<Content, Obstacle> {
    let arrived = match origin {
        Origin::Stored(sha256) => {
            let stored = content(transaction, rows, sha256).await?;
            return Ok(stored.ok_or(Refusal::NoContent)?);
        }
        Origin::Arrived(arrived) => arrived.content.clone(),
        Origin::Staged(blob) => {
            let staged = staged(transaction, rows, blob).await?;
            staged.ok_or(Refusal::NoContent)?.content
        }
    };
    let stored = content(transaction, rows, &arrived.sha256).await?;
    Ok(stored.unwrap_or(arrived))
}

async fn content(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    sha256: &Sha256Sum,
) -> Result<Option<Content>, StoreError> {
    let wanted = Wanted {
        contents: vec![*sha256],
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    let row = rows.contents.get(sha256);
    Ok(row.map(|row| row.get().content.clone()))
}

async fn staged(
    transaction: &mut dyn Transaction,
    rows: &mut Rows,
    blob: &BlobName,
) -> Result<Option<Staged>, StoreError> {
    let wanted = Wanted {
        staged: vec![blob.clone()],
        ..Wanted::default()
    };
    transaction.load(&wanted, rows).await?;
    Ok(rows.staged.get(blob).and_then(|row| row.get().clone()))
}

/// The file of a property that has this content under this name.
async fn file_with(
    transaction: &mut dyn Transaction,
    rows: &Rows,
    property: &PropertyRef,
    content: &Sha256Sum,
    name: Option<&str>,
) -> Result<Option<File>, StoreError> {
    let added = rows.files.iter().find(|file| {
        file.content.sha256 == *content
            && file.at == *property
            && file.fields.name.as_deref() == name
    });
    match added {
        Some(file) => Ok(Some(file.clone())),
        None => transaction.file_with(property, content, name).await,
    }
}

/// Whether an object may have these contents, too.
fn within<'c>(
    most: &ObjectLimits,
    object: &Object,
    contents: impl IntoIterator<Item = &'c Content>,
) -> Result<(), Refusal> {
    let (mut files, mut bytes) = (object.files.values().sum::<u64>(), object.bytes);
    for content in contents {
        files = files.saturating_add(1);
        bytes = bytes.saturating_add(content.size);
    }
    if files > most.files {
        Err(Refusal::TooManyFiles { limit: most.files })
    } else if bytes > most.bytes {
        Err(Refusal::TooManyBytes { limit: most.bytes })
    } else {
        Ok(())
    }
}

impl Rows {
    /// Makes a content one that is stored and used; answers it as it is stored.
    ///
    /// - `content`: its row is loaded, if there is one.
    fn keep(&mut self, content: Content) -> Content {
        let row = self.contents.entry(content.sha256).or_insert_with(|| {
            Row::new(KeptContent {
                content,
                idle_since: None,
            })
        });
        if row.get().idle_since.is_some() {
            row.edit().idle_since = None;
        }
        row.get().content.clone()
    }

    /// The store is to keep the bytes of a small blob, with the row that now names it.
    fn keep_bytes(&mut self, blob: &BlobName, bytes: Option<&Bytes>) {
        debug_assert_eq!(blob.is_small(), bytes.is_some(), "{blob}");
        if let Some(bytes) = bytes {
            self.small.insert(blob.clone(), bytes.clone());
        }
    }

    /// What this batch had it keep of a blob that nothing names now.
    fn drop_bytes(&mut self, blob: &BlobName) {
        let mut contents = self.contents.values();
        if !contents.any(|row| row.get().content.blob == *blob) {
            self.small.remove(blob);
        }
    }

    /// What was staged, and is loaded, belongs to something now or is not wanted.
    fn drop_staged(&mut self, blob: &BlobName) {
        if let Some(row) = self.staged.get_mut(blob) {
            *row.edit() = None;
        }
    }

    /// Adds a file to an object, and counts it.
    ///
    /// - `object`: as it is now.
    fn add_file(&mut self, object: Object, file: File) {
        let object = self
            .objects
            .entry(object.at.clone())
            .or_insert_with(|| Row::new(object))
            .edit();
        *object.files.entry(file.at.property.clone()).or_default() += 1;
        object.bytes = object.bytes.saturating_add(file.content.size);
        self.files.push(file);
    }
}
