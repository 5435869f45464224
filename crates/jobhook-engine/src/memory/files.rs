//! What a store in memory does about files.

use std::collections::BTreeSet;

use jobhook_protocol::{Md5Sum, Sha256Sum};

use super::tables::Tables;
use crate::blob::BlobName;
use crate::clock::Timestamp;
use crate::file::{Content, File, Object, ObjectRef, PropertyRef, Volume};
use crate::ledger::{Row, Rows, Wanted};

impl Tables {
    pub(super) fn contents_with(&self, md5: Md5Sum, challenge: Md5Sum) -> Vec<Content> {
        let contents = self.contents.values().map(|kept| &kept.content);
        let fitting =
            contents.filter(|content| content.md5 == md5 && content.challenge == challenge);
        fitting.take(2).cloned().collect()
    }

    pub(super) fn stored(&self) -> Volume {
        let contents = self.contents.values().map(|kept| &kept.content);
        let staged = self.staged.values().map(|staged| &staged.content);
        let mut stored = Volume::default();
        for content in contents.chain(staged) {
            stored.count += 1;
            stored.bytes += content.size;
        }
        let small = self.small.values().map(|bytes| bytes.len() as u64);
        stored.small = small.sum();
        stored
    }

    pub(super) fn objects_of(&self, store: &str, after: Option<&str>, limit: usize) -> Vec<Object> {
        let fitting = self.objects.values().filter(|object| {
            object.at.store == store && after.is_none_or(|after| object.at.id.as_str() > after)
        });
        fitting.take(limit).cloned().collect()
    }

    pub(super) fn of_property(&self, property: &PropertyRef) -> impl Iterator<Item = &File> {
        let range = (property.clone(), 0)..=(property.clone(), u64::MAX);
        self.files.range(range).map(|(_, file)| file)
    }

    pub(super) fn files_after(
        &self,
        object: &ObjectRef,
        after: Option<(&str, u64)>,
        limit: usize,
    ) -> Vec<File> {
        let fitting = self.files.values().filter(|file| {
            file.at.object == *object
                && after.is_none_or(|after| (file.at.property.as_str(), file.index) > after)
        });
        fitting.take(limit).cloned().collect()
    }

    /// Takes an object away with its files; contents that no other file has are idle from now on.
    pub(super) fn remove_object(&mut self, at: &ObjectRef, now: Timestamp) -> bool {
        let Some(_) = self.objects.remove(at) else {
            return false;
        };
        let (gone, kept) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|((property, _), _)| property.object == *at);
        self.files = kept;
        let sums = |file: &File| file.content.sha256;
        let used: BTreeSet<Sha256Sum> = self.files.values().map(sums).collect();
        for sha256 in gone
            .values()
            .map(sums)
            .filter(|sha256| !used.contains(sha256))
        {
            if let Some(kept) = self.contents.get_mut(&sha256) {
                kept.idle_since = Some(now);
            }
        }
        true
    }

    pub(super) fn forget_unused(
        &mut self,
        idle_before: Timestamp,
        staged_before: Timestamp,
        limit: usize,
    ) -> Vec<BlobName> {
        let idle = self
            .contents
            .values()
            .filter_map(|kept| Some((kept.idle_since?, kept)));
        let mut idle: Vec<_> = idle
            .filter(|(since, _)| *since <= idle_before)
            .map(|(since, kept)| (since, kept.content.sha256, kept.content.blob.clone()))
            .collect();
        idle.sort_unstable();
        idle.truncate(limit);
        let staged = self
            .staged
            .values()
            .filter(|staged| staged.at <= staged_before);
        let mut staged: Vec<_> = staged
            .map(|staged| (staged.at, staged.content.blob.clone()))
            .collect();
        staged.sort_unstable();
        staged.truncate(limit - idle.len());

        for (_, sha256, blob) in &idle {
            self.contents.remove(sha256);
            self.drop_bytes(blob);
        }
        for (_, blob) in &staged {
            self.staged.remove(blob);
            self.drop_bytes(blob);
        }
        let idle = idle.into_iter().map(|(_, _, blob)| blob);
        idle.chain(staged.into_iter().map(|(_, blob)| blob))
            .collect()
    }

    /// The bytes of a small blob go with the last row that names it.
    fn drop_bytes(&mut self, blob: &BlobName) {
        if self.wanted(std::slice::from_ref(blob)).is_empty() {
            self.small.remove(blob);
        }
    }

    pub(super) fn wanted(&self, blobs: &[BlobName]) -> Vec<BlobName> {
        let contents = self.contents.values().map(|kept| &kept.content.blob);
        let wanted: BTreeSet<&BlobName> = contents.chain(self.staged.keys()).collect();
        blobs
            .iter()
            .filter(|blob| wanted.contains(blob))
            .cloned()
            .collect()
    }

    pub(super) fn load_files(&self, wanted: &Wanted, rows: &mut Rows) {
        for sha256 in &wanted.contents {
            if let Some(kept) = self.contents.get(sha256) {
                rows.contents
                    .entry(*sha256)
                    .or_insert_with(|| Row::stored(kept.clone()));
            }
        }
        for blob in &wanted.staged {
            if let Some(staged) = self.staged.get(blob) {
                rows.staged
                    .entry(blob.clone())
                    .or_insert_with(|| Row::stored(Some(staged.clone())));
            }
        }
        for at in &wanted.objects {
            if let Some(object) = self.objects.get(at) {
                rows.objects
                    .entry(at.clone())
                    .or_insert_with(|| Row::stored(object.clone()));
            }
        }
    }

    pub(super) fn flush_files(&mut self, rows: &mut Rows) {
        for (sha256, row) in &mut rows.contents {
            if let Some((kept, _)) = row.change() {
                self.contents.insert(*sha256, kept.clone());
                row.mark_stored();
            }
        }
        for (blob, row) in &mut rows.staged {
            if let Some((staged, _)) = row.change() {
                match staged {
                    Some(staged) => drop(self.staged.insert(blob.clone(), staged.clone())),
                    None => {
                        self.staged.remove(blob);
                        self.drop_bytes(blob);
                    }
                }
                row.mark_stored();
            }
        }
        self.small.extend(rows.small.drain());
        for (at, row) in &mut rows.objects {
            if let Some((object, _)) = row.change() {
                self.objects.insert(at.clone(), object.clone());
                row.mark_stored();
            }
        }
        for file in rows.files.drain(..) {
            self.files.insert((file.at.clone(), file.index), file);
        }
    }
}
