//! A real S3 server shows the contract, and what is beyond it.

use jobhook_engine::testing::blob_suite::{Shelf, content, sum};
use tokio::sync::OnceCell;

use super::moto::{Moto, settings};
use super::*;

/// The server of this test. It ends with the process.
static SERVER: OnceCell<Moto> = OnceCell::const_new();

async fn open(directory: &std::path::Path) -> S3Blobs {
    let moto = SERVER.get_or_init(Moto::start).await;
    // Opened again in the same directory, it has the same objects.
    let prefix = directory.file_name().unwrap().to_str().unwrap();
    S3Blobs::open(&moto.settings(prefix.trim_start_matches('.'))).unwrap()
}

jobhook_engine::blob_suite!(open, reopens);

/// Begins a blob of several parts.
async fn begun(blobs: &S3Blobs) -> Box<dyn BlobWriter> {
    let mut writer = blobs.begin().await.unwrap();
    writer.write(vec![content(1, 20 << 20)]).await.unwrap();
    writer
}

#[tokio::test]
async fn a_direct_address_answers_with_the_type_and_name_that_were_bound() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let name = Shelf::new(Arc::new(blobs.clone())).put(b"a,b\n1,2\n").await;
    let terms = DirectTerms {
        content_type: "text/csv".to_owned(),
        content_disposition: "attachment; filename=\"a b.csv\"; filename*=UTF-8''%C3%A9.csv"
            .to_owned(),
        lasts: Duration::from_secs(60),
    };
    let address = blobs.direct(&name, &terms).await.unwrap().unwrap();
    assert!(address.contains("X-Amz-Expires=60"), "{address}");
    let answer = reqwest::get(&address).await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), terms.content_type);
    assert_eq!(header("content-disposition"), terms.content_disposition);
    assert_eq!(answer.bytes().await.unwrap(), "a,b\n1,2\n");

    let foreign = BlobName("../check".to_owned());
    let refused = blobs.direct(&foreign, &terms).await;
    assert!(matches!(refused, Err(BlobError::NotFound)), "{refused:?}");
}

#[tokio::test]
async fn without_direct_there_is_no_direct_address() {
    let settings = S3Files {
        direct: false,
        ..settings("http://127.0.0.1:1", "jobs", "")
    };
    let blobs = S3Blobs::open(&settings).unwrap();
    let terms = DirectTerms {
        content_type: String::new(),
        content_disposition: String::new(),
        lasts: Duration::from_secs(60),
    };
    let address = blobs.direct(&BlobName("0".repeat(32)), &terms).await;
    assert_eq!(address.unwrap(), None);
}

#[tokio::test]
async fn the_address_has_the_bucket_where_the_service_wants_it() {
    let address = async |endpoint: Option<&str>, path_style| {
        let settings = S3Files {
            endpoint: endpoint.map(str::to_owned),
            path_style,
            ..settings("http://127.0.0.1:1", "jobs", "a")
        };
        let blobs = S3Blobs::open(&settings).unwrap();
        let key = blobs.bucket.key(&BlobName("0".repeat(32))).unwrap();
        let signing = blobs
            .bucket
            .s3
            .signed_url(Method::GET, &key, Duration::from_secs(1));
        let url = signing.await.unwrap();
        url[..url::Position::AfterPath].to_owned()
    };
    let name = "0".repeat(32);
    let own = Some("https://s3.example.org");
    for (endpoint, path_style, wanted) in [
        (None, None, "https://jobs.s3.us-east-1.amazonaws.com"),
        (None, Some(true), "https://s3.us-east-1.amazonaws.com/jobs"),
        (own, None, "https://s3.example.org/jobs"),
        (own, Some(false), "https://jobs.s3.example.org"),
    ] {
        let url = address(endpoint, path_style).await;
        assert_eq!(url, format!("{wanted}/a/content/{name}"));
    }
}

#[tokio::test]
async fn what_a_dead_server_had_begun_is_aborted() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    std::mem::forget(begun(&blobs).await);
    let other = S3Blobs::open(&SERVER.get().unwrap().settings("other")).unwrap();
    let theirs = begun(&other).await;
    assert_eq!(unfinished::count(&blobs.bucket).await, 1);
    blobs.clear_unfinished().await.unwrap();
    assert_eq!(unfinished::count(&blobs.bucket).await, 0);
    // What another server has begun in the same bucket goes on.
    let name = theirs.finish(&sum(b"")).await.unwrap();
    assert_eq!(other.list(None, 10).await.unwrap()[0].0, name);
    assert_eq!(blobs.list(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_dropped_is_aborted() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    let writer = begun(&blobs).await;
    assert_eq!(unfinished::count(&blobs.bucket).await, 1);
    drop(writer);
    while unfinished::count(&blobs.bucket).await > 0 {}
}

#[tokio::test]
async fn a_bucket_that_can_be_used_is_found_so_and_stays_empty() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = open(directory.path()).await;
    blobs.check().await.unwrap();
    assert_eq!(blobs.list(None, 10).await.unwrap(), []);
    let left = blobs.bucket.page(None, None).await.unwrap();
    assert_eq!(left.result.objects, []);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_told_with_the_reason() {
    // The first request, which makes the bucket, is the last that needs no right.
    let strict = Moto::start_with(&[("INITIAL_NO_AUTH_ACTION_COUNT", "1")]).await;
    let free = Moto::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let check = async |address: &str, bucket: &str| {
        let blobs = S3Blobs::open(&settings(address, bucket, "")).unwrap();
        blobs.check().await.unwrap_err()
    };
    let error = check(free.address(), "others").await;
    assert!(matches!(error, S3Error::NoBucket { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        "files.s3: there is no bucket `others` at this endpoint and in this region"
    );
    let error = check(strict.address(), "jobs").await;
    assert!(matches!(error, S3Error::Denied { .. }), "{error:?}");
    let error = check(&nowhere, "jobs").await;
    assert!(matches!(error, S3Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn ten_thousand_parts_are_enough_for_the_largest_file() {
    let most: u64 = (0..10_000).map(|part| upload::part_size(part) as u64).sum();
    let largest = crate::config::Files::default().max_file;
    assert!(most > largest, "{most} bytes");
}

#[test]
fn nothing_secret_is_shown() {
    let blobs = S3Blobs::open(&settings("http://127.0.0.1:1", "jobs", "")).unwrap();
    assert_eq!(
        format!("{blobs:?}"),
        "S3Blobs { bucket: \"jobs\", prefix: \"content/\", .. }"
    );
}
