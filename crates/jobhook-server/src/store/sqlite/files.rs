//! How files lie in tables.

use jobhook_engine::blob::BlobName;
use jobhook_engine::clock::Timestamp;
use jobhook_engine::file::{Content, File, Object, ObjectRef, PropertyRef, Staged};
use jobhook_engine::ledger::{Rows, Wanted};
use jobhook_engine::store::StoreError;
use jobhook_protocol::{Md5Sum, Sha256Sum};
use rusqlite::Connection;

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this store keeps no files".into()))
}

pub(super) fn contents(_: &Connection, _: Md5Sum, _: Md5Sum) -> Result<Vec<Content>, StoreError> {
    Ok(Vec::new())
}

pub(super) fn content(_: &Connection, _: Sha256Sum) -> Result<Option<Content>, StoreError> {
    Ok(None)
}

pub(super) fn staged(_: &Connection, _: &BlobName) -> Result<Option<Staged>, StoreError> {
    Ok(None)
}

pub(super) fn stored_bytes(_: &Connection) -> Result<u64, StoreError> {
    Ok(0)
}

pub(super) fn object(_: &Connection, _: &ObjectRef) -> Result<Option<Object>, StoreError> {
    Ok(None)
}

pub(super) fn objects(
    _: &Connection,
    _: &str,
    _: Option<&str>,
    _: usize,
) -> Result<Vec<Object>, StoreError> {
    Ok(Vec::new())
}

pub(super) fn file(_: &Connection, _: &PropertyRef, _: u64) -> Result<Option<File>, StoreError> {
    Ok(None)
}

pub(super) fn files(
    _: &Connection,
    _: &ObjectRef,
    _: Option<(String, u64)>,
    _: usize,
) -> Result<Vec<File>, StoreError> {
    Ok(Vec::new())
}

pub(super) fn file_with(
    _: &Connection,
    _: &PropertyRef,
    _: &Sha256Sum,
    _: Option<&str>,
) -> Result<Option<File>, StoreError> {
    Ok(None)
}

pub(super) fn files_of(_: &Connection, _: &PropertyRef) -> Result<Vec<File>, StoreError> {
    Ok(Vec::new())
}

pub(super) fn drop_object(
    _: &mut Connection,
    _: &ObjectRef,
    _: Timestamp,
) -> rusqlite::Result<bool> {
    Ok(false)
}

pub(super) fn forget_unused(
    _: &mut Connection,
    _: Timestamp,
    _: Timestamp,
    _: usize,
) -> rusqlite::Result<Vec<BlobName>> {
    Ok(Vec::new())
}

pub(super) fn wanted(_: &Connection, blobs: &[BlobName]) -> Result<Vec<BlobName>, StoreError> {
    Ok(blobs.to_vec())
}

pub(super) fn load(_: &Connection, _: &Wanted, _: &mut Rows) -> Result<(), StoreError> {
    Ok(())
}

pub(super) fn flush(_: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
    let nothing = rows.contents.is_empty()
        && rows.staged.is_empty()
        && rows.objects.is_empty()
        && rows.files.is_empty();
    if nothing { Ok(()) } else { not_yet() }
}
