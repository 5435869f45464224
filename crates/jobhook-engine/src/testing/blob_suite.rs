//! The contract of a blob store, case by case: the cases of
//! [`blob_suite!`](crate::blob_suite), each on a fresh one.

#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    reason = "test code: a failure is to stop the test"
)]
#![allow(missing_docs, reason = "the name of a case is its sentence")]

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, LocalBoxFuture};
use futures_util::{StreamExt, TryStreamExt};
use jobhook_protocol::Sha256Sum;
use sha2::{Digest, Sha256};

use crate::blob::{BlobError, BlobName, BlobStore, BlobWriter, PIECE};
use crate::clock::{Clock, SystemClock};

const MIB: usize = 1 << 20;
/// More than any blob store gathers before it sends something on its way.
const BIG: usize = 20 * MIB + 12_345;

/// A blob store, and what cases do with it.
#[derive(Clone, Debug)]
pub struct Shelf {
    blobs: Arc<dyn BlobStore>,
}

/// Content of which no two stretches are the same.
pub fn content(seed: u32, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut bytes = Vec::with_capacity(len + 4);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// A sum for a name: that of the beginning. A blob store takes what it is told, and a debug
/// build takes long over the rest.
pub fn sum(content: &[u8]) -> Sha256Sum {
    let beginning = &content[..content.len().min(1_000)];
    Sha256Sum(Sha256::digest(beginning).into())
}

impl Shelf {
    pub fn new(blobs: Arc<dyn BlobStore>) -> Shelf {
        Shelf { blobs }
    }

    /// Begins a blob, and writes something into it.
    async fn begin(&self, content: &Bytes) -> Box<dyn BlobWriter> {
        let mut writer = self.blobs.begin().await.unwrap();
        // In pieces, as they come from the network.
        let mut rest = content.clone();
        while !rest.is_empty() {
            let chunks = (0..4).map(|_| rest.split_to(rest.len().min(60_000)));
            writer.write(chunks.collect()).await.unwrap();
        }
        writer
    }

    /// Writes a blob.
    pub async fn put(&self, content: &[u8]) -> BlobName {
        let content = Bytes::copy_from_slice(content);
        let writer = self.begin(&content).await;
        writer.finish(&sum(&content)).await.unwrap()
    }

    /// Reads a part of a blob.
    pub async fn part(&self, name: &BlobName, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let pieces = self.blobs.read(name, range).await?;
        let add = |mut all: Vec<u8>, piece: Bytes| {
            assert!(piece.len() <= PIECE, "a piece of {} bytes", piece.len());
            all.extend_from_slice(&piece);
            future::ready(Ok(all))
        };
        pieces.try_fold(Vec::new(), add).await
    }

    /// The names of all blobs.
    pub async fn names(&self) -> Vec<BlobName> {
        let listed = self.blobs.list(None, usize::MAX).await.unwrap();
        listed.into_iter().map(|(name, _)| name).collect()
    }

    #[track_caller]
    fn holds(&self, name: &BlobName, content: &Bytes) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let read = self.part(name, 0..content.len() as u64).await.unwrap();
            assert!(read == *content, "what was written reads back, at {at}");
        }
    }
}

/// Runs a case on a fresh blob store; `open` gets a directory of its own.
pub async fn run<B: BlobStore>(open: impl AsyncFn(&Path) -> B, case: impl AsyncFnOnce(Shelf)) {
    let directory = tempfile::tempdir().unwrap();
    case(Shelf::new(Arc::new(open(directory.path()).await))).await;
}

/// Where a blob store is kept while a case opens it as often as it likes.
pub struct Place {
    open: Box<dyn Fn() -> LocalBoxFuture<'static, Shelf>>,
}

impl Place {
    /// Opens the blob store that was let go here, or a new one.
    pub async fn open(&self) -> Shelf {
        (self.open)().await
    }
}

/// Runs a case on a place where the blob store keeps what it holds.
pub async fn run_reopening<B: BlobStore>(
    open: impl AsyncFn(&Path) -> B + 'static,
    case: impl AsyncFnOnce(Place),
) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let open = Arc::new(open);
    let kept = Arc::clone(&directory);
    case(Place {
        open: Box::new(move || {
            let (open, directory) = (Arc::clone(&open), Arc::clone(&directory));
            Box::pin(async move { Shelf::new(Arc::new(open(directory.path()).await)) })
        }),
    })
    .await;
    drop(kept);
}

/// Runs every case of the contract against a blob store, one named test a case.
///
/// `open` is an `async fn(&Path) -> impl BlobStore`; the path is a directory of the case's own.
/// `blob_suite!(open, reopens)` also runs the cases of those that hold, when they are opened
/// again, what they held before.
#[macro_export]
macro_rules! blob_suite {
    ($open:path) => {
        $crate::blob_suite! { @run run $open =>
            what_is_written_reads_back
            an_empty_blob_is_a_blob
            many_small_pieces_are_one_content
            any_part_can_be_read
            what_lies_beyond_the_end_is_not_found
            a_big_blob_comes_in_bounded_pieces
            nothing_is_seen_before_it_is_finished
            what_is_dropped_leaves_nothing
            the_same_content_twice_is_two_blobs
            what_is_deleted_is_gone_and_may_be_deleted_again
            what_is_deleted_while_it_is_read_is_never_wrong
            a_list_comes_in_pages_in_the_order_of_names
            a_blob_is_listed_with_the_time_of_its_end
            a_name_is_safe_everywhere
            a_name_that_was_not_made_here_names_nothing
            clearing_removes_what_was_begun_and_nothing_that_was_finished
            many_at_once_do_not_mix
        }
    };
    ($open:path, reopens) => {
        $crate::blob_suite!($open);
        $crate::blob_suite! { @run run_reopening $open =>
            what_was_finished_is_there_after_reopening
            what_was_begun_is_not_there_after_reopening
        }
    };
    (@run $run:ident $open:path => $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                use $crate::testing::blob_suite::{self, $run};
                $run($open, blob_suite::$case).await;
            }
        )+
    };
}

pub async fn what_is_written_reads_back(shelf: Shelf) {
    for len in [1, 63, 64, 4096, 65_537, MIB, 3 * MIB + 1] {
        let content = content(1, len);
        let name = shelf.put(&content).await;
        shelf.holds(&name, &content).await;
    }
}

pub async fn an_empty_blob_is_a_blob(shelf: Shelf) {
    let name = shelf.put(b"").await;
    assert_eq!(shelf.part(&name, 0..0).await.unwrap(), b"");
    assert_eq!(shelf.names().await, [name]);
}

pub async fn many_small_pieces_are_one_content(shelf: Shelf) {
    let whole = content(2, 70_001);
    let mut writer = shelf.blobs.begin().await.unwrap();
    let ones: Vec<Bytes> = (0..5_000).map(|at| whole.slice(at..=at)).collect();
    writer.write(Vec::new()).await.unwrap();
    writer.write(ones).await.unwrap();
    writer
        .write(vec![Bytes::new(), whole.slice(5_000..)])
        .await
        .unwrap();
    let name = writer.finish(&sum(&whole)).await.unwrap();
    shelf.holds(&name, &whole).await;
}

pub async fn any_part_can_be_read(shelf: Shelf) {
    let whole = content(3, 3 * MIB);
    let name = shelf.put(&whole).await;
    let end = whole.len() as u64;
    for range in [
        0..1,
        0..0,
        end..end,
        999..1_000_001,
        end - 1..end,
        1..end,
        5..5,
    ] {
        let read = shelf.part(&name, range.clone()).await.unwrap();
        let place = |at: u64| usize::try_from(at).unwrap();
        let wanted = &whole[place(range.start)..place(range.end)];
        assert!(read == wanted, "{range:?}");
    }
}

pub async fn what_lies_beyond_the_end_is_not_found(shelf: Shelf) {
    let name = shelf.put(b"12345").await;
    for range in [0..6, 5..6, 6..6, 6..7, u64::MAX - 1..u64::MAX] {
        let read = shelf.part(&name, range.clone()).await;
        assert!(matches!(read, Err(BlobError::NotFound)), "{range:?}");
    }
}

/// How large the pieces are is looked at in [`Shelf::part`].
pub async fn a_big_blob_comes_in_bounded_pieces(shelf: Shelf) {
    let content = content(4, BIG);
    let name = shelf.put(&content).await;
    shelf.holds(&name, &content).await;
}

pub async fn nothing_is_seen_before_it_is_finished(shelf: Shelf) {
    let (small, big) = (content(5, 1_000), content(6, BIG));
    let writers = [shelf.begin(&small).await, shelf.begin(&big).await];
    assert_eq!(shelf.names().await, []);
    let mut names = Vec::new();
    for (writer, content) in writers.into_iter().zip([&small, &big]) {
        names.push(writer.finish(&sum(content)).await.unwrap());
    }
    names.sort();
    assert_eq!(shelf.names().await, names);
}

pub async fn what_is_dropped_leaves_nothing(shelf: Shelf) {
    let kept = shelf.put(b"kept").await;
    for len in [0, 1_000, BIG] {
        drop(shelf.begin(&content(7, len)).await);
        assert_eq!(shelf.names().await, slice::from_ref(&kept));
    }
}

pub async fn the_same_content_twice_is_two_blobs(shelf: Shelf) {
    let content = content(8, 100);
    let (one, other) = (shelf.put(&content).await, shelf.put(&content).await);
    assert_ne!(one, other);
    shelf.blobs.delete(&one).await.unwrap();
    assert!(matches!(
        shelf.part(&one, 0..1).await,
        Err(BlobError::NotFound)
    ));
    shelf.holds(&other, &content).await;
}

pub async fn what_is_deleted_is_gone_and_may_be_deleted_again(shelf: Shelf) {
    let name = shelf.put(b"a").await;
    for _ in 0..2 {
        shelf.blobs.delete(&name).await.unwrap();
        assert!(matches!(
            shelf.part(&name, 0..1).await,
            Err(BlobError::NotFound)
        ));
        assert!(matches!(
            shelf.part(&name, 0..0).await,
            Err(BlobError::NotFound)
        ));
        assert_eq!(shelf.names().await, []);
    }
}

pub async fn what_is_deleted_while_it_is_read_is_never_wrong(shelf: Shelf) {
    let whole = content(9, BIG);
    let name = shelf.put(&whole).await;
    let mut pieces = shelf.blobs.read(&name, 0..BIG as u64).await.unwrap();
    let mut read = pieces.next().await.unwrap().unwrap().to_vec();
    shelf.blobs.delete(&name).await.unwrap();
    let ended = loop {
        match pieces.next().await {
            Some(Ok(piece)) => read.extend_from_slice(&piece),
            Some(Err(_)) => break false,
            None => break true,
        }
    };
    assert!(whole.starts_with(&read), "what came is what was written");
    assert!(
        !ended || read.len() == BIG,
        "{} bytes and no error",
        read.len()
    );
}

pub async fn a_list_comes_in_pages_in_the_order_of_names(shelf: Shelf) {
    let mut written = BTreeSet::new();
    for seed in 0..25 {
        written.insert(shelf.put(&content(seed, 10)).await);
    }
    let mut listed: Vec<BlobName> = Vec::new();
    for wanted in [10, 10, 5] {
        let page = shelf.blobs.list(listed.last(), 10).await.unwrap();
        assert_eq!(page.len(), wanted);
        listed.extend(page.into_iter().map(|(name, _)| name));
    }
    assert_eq!(listed, Vec::from_iter(written));
    // One that was deleted meanwhile is a place to go on from, too.
    shelf.blobs.delete(&listed[3]).await.unwrap();
    let next = shelf.blobs.list(Some(&listed[3]), 1).await.unwrap();
    assert_eq!(next[0].0, listed[4]);
}

pub async fn a_blob_is_listed_with_the_time_of_its_end(shelf: Shelf) {
    shelf.put(b"a").await;
    let (_, at) = shelf.blobs.list(None, 1).await.unwrap()[0];
    let now = SystemClock.now();
    // Clocks of file systems are coarse, and those of other machines a little off.
    let minute = Duration::from_secs(60);
    assert!(now.since(at) < minute && at.since(now) < minute, "{at:?}");
}

pub async fn a_name_is_safe_everywhere(shelf: Shelf) {
    let BlobName(name) = shelf.put(b"a").await;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    assert!(name.chars().all(plain), "{name}");
    assert!((1..=200).contains(&name.len()), "{name}");
    for part in name.split('/') {
        assert!(!["", ".", ".."].contains(&part), "{name}");
    }
}

pub async fn a_name_that_was_not_made_here_names_nothing(shelf: Shelf) {
    let name = shelf.put(b"a").await;
    let BlobName(text) = &name;
    let foreign = [
        String::new(),
        "..".to_owned(),
        "/etc/passwd".to_owned(),
        format!("../{text}"),
        format!("x/../{text}"),
        format!("./{text}"),
        format!("/{text}"),
        format!("{text}/"),
        format!("{text}\0"),
        format!("{text} "),
        format!("{text}%2e"),
        text[1..].to_owned(),
        text.to_uppercase().replace('.', "\u{ff0e}"),
        "a".repeat(4096),
    ];
    for text in foreign {
        let foreign = BlobName(text);
        let read = shelf.part(&foreign, 0..0).await;
        assert!(matches!(read, Err(BlobError::NotFound)), "{foreign:?}");
        shelf.blobs.delete(&foreign).await.unwrap();
        // Where it would stand, were it one.
        let listed = shelf.blobs.list(Some(&foreign), 10).await.unwrap();
        assert_eq!(!listed.is_empty(), name > foreign, "{foreign:?}");
    }
    assert_eq!(shelf.part(&name, 0..1).await.unwrap(), b"a");
}

pub async fn clearing_removes_what_was_begun_and_nothing_that_was_finished(shelf: Shelf) {
    let whole = content(10, BIG);
    let kept = shelf.put(&whole).await;
    // As one that died leaves it: nobody is there any more to drop it.
    std::mem::forget(shelf.begin(&whole).await);
    for _ in 0..2 {
        shelf.blobs.clear_unfinished().await.unwrap();
        assert_eq!(shelf.names().await, slice::from_ref(&kept));
        shelf.holds(&kept, &whole).await;
    }
}

pub async fn many_at_once_do_not_mix(shelf: Shelf) {
    let writing = (0..24).map(|seed| {
        let shelf = shelf.clone();
        tokio::spawn(async move {
            let content = content(seed, 100_000 * (1 + seed as usize % 8));
            (shelf.put(&content).await, content)
        })
    });
    let written = future::try_join_all(writing).await.unwrap();
    let names: BTreeSet<_> = written.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(shelf.names().await, Vec::from_iter(names));
    for (name, content) in &written {
        shelf.holds(name, content).await;
    }
}

pub async fn what_was_finished_is_there_after_reopening(place: Place) {
    let content = content(11, 2 * MIB);
    let name = place.open().await.put(&content).await;
    let shelf = place.open().await;
    shelf.blobs.clear_unfinished().await.unwrap();
    shelf.holds(&name, &content).await;
    assert_eq!(shelf.names().await, [name]);
}

pub async fn what_was_begun_is_not_there_after_reopening(place: Place) {
    let whole = content(12, BIG);
    std::mem::forget(place.open().await.begin(&whole).await);
    let shelf = place.open().await;
    assert_eq!(shelf.names().await, []);
    shelf.blobs.clear_unfinished().await.unwrap();
    assert_eq!(shelf.names().await, []);
    let name = shelf.put(&whole).await;
    shelf.holds(&name, &whole).await;
}
