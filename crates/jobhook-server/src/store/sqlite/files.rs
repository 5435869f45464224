//! How contents, objects and files lie in tables, and how they are read.

use std::collections::BTreeMap;

use bytes::Bytes;
use jobhook_engine::blob::BlobName;
use jobhook_engine::file::{
    Content, File, FileFields, KeptContent, Object, ObjectRef, PropertyRef, Staged, Volume,
};
use jobhook_engine::ledger::{Row, Rows, Wanted};
use jobhook_engine::store::StoreError;
use jobhook_protocol::{Json, Md5Sum, Sha256Sum};
use rusqlite::{Connection, params};

use super::columns::{self, Reader, damaged, signed, time};
use super::read::each;
use super::{limit_of, run};

/// The columns that [`read_content`] reads, of a table called `c`.
macro_rules! content_columns {
    () => {
        "c.sha256, c.md5, c.challenge, c.size, c.blob"
    };
}

/// The columns that [`read_file`] reads, of tables called `f` and `c`.
macro_rules! file_columns {
    () => {
        concat!(
            "f.store, f.id, f.property, f.number, f.name, f.mimetype, f.metadata, f.attempt, \
             f.attached_at, ",
            content_columns!()
        )
    };
}

const KEPT: &str = concat!(
    "SELECT ",
    content_columns!(),
    ", c.idle_since FROM contents AS c WHERE c.sha256 = ?"
);
/// A third would not say more.
const CONTENTS: &str = concat!(
    "SELECT ",
    content_columns!(),
    " FROM contents AS c INDEXED BY contents_md5 WHERE c.md5 = ? AND c.challenge = ? \
     ORDER BY c.sha256 LIMIT 2"
);
const STAGED: &str = concat!(
    "SELECT ",
    content_columns!(),
    ", c.at FROM staged AS c WHERE c.blob = ?"
);
const SMALL: &str = "SELECT bytes FROM small WHERE blob = ?";
const STORED: &str = "SELECT count, bytes, small FROM stored WHERE one = 1";
const WANTED: &str = "SELECT value FROM json_each(?) \
    WHERE EXISTS (SELECT 1 FROM contents INDEXED BY contents_blob WHERE blob = value) \
    OR EXISTS (SELECT 1 FROM staged WHERE blob = value)";
const OBJECT: &str =
    "SELECT store, id, created_at, files, bytes FROM objects WHERE store = ? AND id = ?";
const OBJECTS: &str = "SELECT store, id, created_at, files, bytes FROM objects \
    WHERE store = ? AND id > ? ORDER BY id LIMIT ?";
const FILE: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM files AS f CROSS JOIN contents AS c ON c.sha256 = f.content \
     WHERE f.store = ? AND f.id = ? AND f.property = ? AND f.number = ?"
);
const FILES: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM files AS f CROSS JOIN contents AS c ON c.sha256 = f.content \
     WHERE f.store = ? AND f.id = ? AND (f.property, f.number) > (?, ?) \
     ORDER BY f.property, f.number LIMIT ?"
);
const OF_PROPERTY: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM files AS f CROSS JOIN contents AS c ON c.sha256 = f.content \
     WHERE f.store = ? AND f.id = ? AND f.property = ? ORDER BY f.number"
);
const WITH_CONTENT: &str = concat!(
    "SELECT ",
    file_columns!(),
    " FROM files AS f INDEXED BY files_content CROSS JOIN contents AS c ON c.sha256 = f.content \
     WHERE f.content = ? AND f.name IS ? AND f.store = ? AND f.id = ? AND f.property = ?"
);
const INSERT_CONTENT: &str = "INSERT INTO contents (sha256, md5, challenge, size, blob, idle_since) \
    VALUES (?, ?, ?, ?, ?, ?)";
const IDLE_CONTENT: &str = "UPDATE contents SET idle_since = ?2 WHERE sha256 = ?1";
const INSERT_STAGED: &str = "INSERT INTO staged (sha256, md5, challenge, size, blob, at) \
    VALUES (?, ?, ?, ?, ?, ?)";
const PUT_SMALL: &str = "INSERT INTO small (blob, bytes) VALUES (?, ?) \
    ON CONFLICT (blob) DO UPDATE SET bytes = excluded.bytes";
const DELETE_STAGED: &str = "DELETE FROM staged WHERE blob = ?";
const INSERT_OBJECT: &str =
    "INSERT INTO objects (store, id, created_at, files, bytes) VALUES (?, ?, ?, ?, ?)";
const COUNT_OBJECT: &str = "UPDATE objects SET files = ?3, bytes = ?4 WHERE store = ?1 AND id = ?2";
const INSERT_FILE: &str = "INSERT INTO files (store, id, property, number, content, name, \
    mimetype, metadata, attempt, attached_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) fn contents(
    connection: &Connection,
    md5: Md5Sum,
    challenge: Md5Sum,
) -> Result<Vec<Content>, StoreError> {
    each(connection, CONTENTS, [md5.0, challenge.0], read_content)
}

pub(super) fn content(
    connection: &Connection,
    sha256: Sha256Sum,
) -> Result<Option<Content>, StoreError> {
    let found = each(connection, KEPT, [sha256.0], read_content)?;
    Ok(found.into_iter().next())
}

pub(super) fn staged(
    connection: &Connection,
    blob: &BlobName,
) -> Result<Option<Staged>, StoreError> {
    let found = each(connection, STAGED, [&blob.0], read_staged)?;
    Ok(found.into_iter().next())
}

pub(super) fn small(connection: &Connection, blob: &BlobName) -> Result<Option<Bytes>, StoreError> {
    let read = |row: &mut Reader<'_>| row.bytes().map(Bytes::copy_from_slice);
    let found = each(connection, SMALL, [&blob.0], read)?;
    Ok(found.into_iter().next())
}

pub(super) fn stored(connection: &Connection) -> Result<Volume, StoreError> {
    let read = |row: &mut Reader<'_>| {
        Ok(Volume {
            count: row.number()?,
            bytes: row.number()?,
            small: row.number()?,
        })
    };
    let found = each(connection, STORED, [], read)?;
    let missing = || damaged("what is stored", "its row is missing");
    found.into_iter().next().ok_or_else(missing)
}

pub(super) fn wanted(
    connection: &Connection,
    blobs: &[BlobName],
) -> Result<Vec<BlobName>, StoreError> {
    let names: Vec<&str> = blobs.iter().map(|blob| blob.0.as_str()).collect();
    let names = columns::json(&names)?;
    each(connection, WANTED, [names], |row| row.get().map(BlobName))
}

pub(super) fn object(
    connection: &Connection,
    at: &ObjectRef,
) -> Result<Option<Object>, StoreError> {
    let found = each(connection, OBJECT, [&at.store, &at.id], read_object)?;
    Ok(found.into_iter().next())
}

pub(super) fn objects(
    connection: &Connection,
    store: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Object>, StoreError> {
    let values = params![store, after.unwrap_or_default(), limit_of(limit)];
    each(connection, OBJECTS, values, read_object)
}

pub(super) fn file(
    connection: &Connection,
    at: &PropertyRef,
    index: u64,
) -> Result<Option<File>, StoreError> {
    let ObjectRef { store, id } = &at.object;
    let values = params![store, id, at.property, signed(index)];
    let found = each(connection, FILE, values, read_file)?;
    Ok(found.into_iter().next())
}

pub(super) fn files(
    connection: &Connection,
    object: &ObjectRef,
    after: Option<(String, u64)>,
    limit: usize,
) -> Result<Vec<File>, StoreError> {
    let (property, number) = after.map_or((String::new(), -1), |(property, index)| {
        (property, signed(index))
    });
    let ObjectRef { store, id } = object;
    let values = params![store, id, property, number, limit_of(limit)];
    each(connection, FILES, values, read_file)
}

pub(super) fn files_of(connection: &Connection, at: &PropertyRef) -> Result<Vec<File>, StoreError> {
    let ObjectRef { store, id } = &at.object;
    let values = params![store, id, at.property];
    each(connection, OF_PROPERTY, values, read_file)
}

pub(super) fn file_with(
    connection: &Connection,
    at: &PropertyRef,
    content: &Sha256Sum,
    name: Option<&str>,
) -> Result<Option<File>, StoreError> {
    let ObjectRef { store, id } = &at.object;
    let values = params![content.0, name, store, id, at.property];
    let found = each(connection, WITH_CONTENT, values, read_file)?;
    Ok(found.into_iter().next())
}

/// Loads what is wanted of them.
pub(super) fn load(
    connection: &Connection,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    for sha256 in &wanted.contents {
        if !rows.contents.contains_key(sha256)
            && let Some(kept) = each(connection, KEPT, [sha256.0], read_kept)?.pop()
        {
            rows.contents.insert(*sha256, Row::stored(kept));
        }
    }
    for blob in &wanted.staged {
        if !rows.staged.contains_key(blob)
            && let Some(staged) = staged(connection, blob)?
        {
            rows.staged.insert(blob.clone(), Row::stored(Some(staged)));
        }
    }
    for at in &wanted.objects {
        if !rows.objects.contains_key(at)
            && let Some(object) = object(connection, at)?
        {
            rows.objects.insert(at.clone(), Row::stored(object));
        }
    }
    Ok(())
}

/// Writes what changed of them.
pub(super) fn flush(connection: &Connection, rows: &mut Rows) -> Result<(), StoreError> {
    for row in rows.contents.values_mut() {
        match row.change() {
            None => continue,
            Some((kept, None)) => insert_content(connection, kept)?,
            Some((kept, Some(_))) => {
                let values = params![kept.content.sha256.0, time(kept.idle_since)];
                run(connection, IDLE_CONTENT, values)?;
            }
        }
        row.mark_stored();
    }
    for (blob, row) in &mut rows.staged {
        let Some((now, before)) = row.change() else {
            continue;
        };
        if before.is_some_and(Option::is_some) {
            run(connection, DELETE_STAGED, [&blob.0])?;
        }
        if let Some(staged) = now {
            insert_staged(connection, staged)?;
        }
        row.mark_stored();
    }
    // Last, for a row that goes takes them with it.
    for (blob, bytes) in rows.small.drain() {
        run(connection, PUT_SMALL, params![blob.0, &bytes[..]])?;
    }
    for row in rows.objects.values_mut() {
        let Some((object, before)) = row.change() else {
            continue;
        };
        let ObjectRef { store, id } = &object.at;
        let (files, bytes) = (columns::json(&object.files)?, signed(object.bytes));
        if before.is_none() {
            let values = params![store, id, object.created_at.0, files, bytes];
            run(connection, INSERT_OBJECT, values)?;
        } else {
            run(connection, COUNT_OBJECT, params![store, id, files, bytes])?;
        }
        row.mark_stored();
    }
    for file in rows.files.drain(..) {
        insert_file(connection, &file)?;
    }
    Ok(())
}

fn insert_content(connection: &Connection, kept: &KeptContent) -> Result<(), StoreError> {
    let content = &kept.content;
    run(
        connection,
        INSERT_CONTENT,
        params![
            content.sha256.0,
            content.md5.0,
            content.challenge.0,
            signed(content.size),
            content.blob.0,
            time(kept.idle_since),
        ],
    )
}

fn insert_staged(connection: &Connection, staged: &Staged) -> Result<(), StoreError> {
    let content = &staged.content;
    run(
        connection,
        INSERT_STAGED,
        params![
            content.sha256.0,
            content.md5.0,
            content.challenge.0,
            signed(content.size),
            content.blob.0,
            staged.at.0,
        ],
    )
}

fn insert_file(connection: &Connection, file: &File) -> Result<(), StoreError> {
    run(
        connection,
        INSERT_FILE,
        params![
            file.at.object.store,
            file.at.object.id,
            file.at.property,
            signed(file.index),
            file.content.sha256.0,
            file.fields.name,
            file.fields.mimetype,
            file.fields.metadata.as_ref().map(Json::as_str),
            file.attempt,
            file.attached_at.0,
        ],
    )
}

fn sum<const N: usize>(row: &mut Reader<'_>) -> Result<[u8; N], StoreError> {
    let bytes = row.bytes()?;
    bytes.try_into().map_err(|error| damaged("a sum", error))
}

fn read_content(row: &mut Reader<'_>) -> Result<Content, StoreError> {
    Ok(Content {
        sha256: Sha256Sum(sum(row)?),
        md5: Md5Sum(sum(row)?),
        challenge: Md5Sum(sum(row)?),
        size: row.number()?,
        blob: BlobName(row.get()?),
    })
}

fn read_kept(row: &mut Reader<'_>) -> Result<KeptContent, StoreError> {
    Ok(KeptContent {
        content: read_content(row)?,
        idle_since: row.optional_time()?,
    })
}

fn read_staged(row: &mut Reader<'_>) -> Result<Staged, StoreError> {
    Ok(Staged {
        content: read_content(row)?,
        at: row.time()?,
    })
}

fn read_object(row: &mut Reader<'_>) -> Result<Object, StoreError> {
    let at = ObjectRef {
        store: row.get()?,
        id: row.get()?,
    };
    Ok(Object {
        at,
        created_at: row.time()?,
        files: row.json()?.unwrap_or_else(BTreeMap::new),
        bytes: row.number()?,
    })
}

fn read_file(row: &mut Reader<'_>) -> Result<File, StoreError> {
    let object = ObjectRef {
        store: row.get()?,
        id: row.get()?,
    };
    let at = object.property(row.text()?);
    let index = row.number()?;
    let name = row.get()?;
    let mimetype = row.get()?;
    let metadata = row.get::<Option<String>>()?.map(Json::from_text);
    let metadata = metadata.transpose();
    Ok(File {
        fields: FileFields {
            name,
            mimetype,
            metadata: metadata.map_err(|error| damaged(&at, error))?,
        },
        at,
        index,
        attempt: row.get()?,
        attached_at: row.time()?,
        content: read_content(row)?,
    })
}

/// What the triggers of `small` look for.
#[cfg(test)]
const NAMED: &str = "SELECT NOT EXISTS (SELECT 1 FROM contents INDEXED BY contents_blob \
    WHERE blob = ?1) AND NOT EXISTS (SELECT 1 FROM staged WHERE blob = ?1)";

#[cfg(test)]
pub(super) fn statements() -> Vec<String> {
    [
        KEPT,
        CONTENTS,
        STAGED,
        SMALL,
        STORED,
        WANTED,
        OBJECT,
        OBJECTS,
        FILE,
        FILES,
        OF_PROPERTY,
        WITH_CONTENT,
        INSERT_CONTENT,
        IDLE_CONTENT,
        INSERT_STAGED,
        PUT_SMALL,
        NAMED,
        DELETE_STAGED,
        INSERT_OBJECT,
        COUNT_OBJECT,
        INSERT_FILE,
    ]
    .map(str::to_owned)
    .into()
}
