//! Uploads in parts that somebody had begun who is gone: found, and aborted.

use std::time::Duration;

use jobhook_engine::blob::BlobError;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};

use super::{Bucket, failed};

/// An upload that was begun.
#[derive(Debug, PartialEq, Eq)]
struct Unfinished<'a> {
    key: &'a str,
    id: &'a str,
}

/// Aborts all there are. Where they cannot be listed, that is left to the bucket's own rules.
pub(super) async fn clear(bucket: &Bucket) -> Result<(), BlobError> {
    let mut last = None;
    loop {
        let Some(page) = page(bucket).await? else {
            return Ok(());
        };
        // The first of them is there again where aborting does not help.
        let uploads = begun(&page);
        let first = uploads.first().map(|upload| upload.id.to_owned());
        if first.is_none() || first == last {
            return Ok(());
        }
        last = first;
        for Unfinished { key, id } in uploads {
            let aborted = bucket
                .s3
                .abort_multipart(&Path::from(key), &id.to_owned())
                .await;
            match aborted {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

/// What the service answers to the question for unfinished uploads.
async fn page(bucket: &Bucket) -> Result<Option<String>, BlobError> {
    let unavailable =
        |error: Box<dyn std::error::Error + Send + Sync>| BlobError::Unavailable(error);
    let query = SignedUrlOptions::default()
        .with_query([("uploads", ""), ("prefix", bucket.prefix.as_str())]);
    let url = bucket
        .s3
        .signed_url_opts(Method::GET, &Path::ROOT, Duration::from_secs(60), &query)
        .await
        .map_err(failed)?;
    let request: HttpRequest = http::Request::get(url.as_str())
        .body(HttpRequestBody::empty())
        .map_err(|error| unavailable(error.into()))?;
    let answer = bucket.http.execute(request).await;
    let answer = answer.map_err(|error| unavailable(error.into()))?;
    if !answer.status().is_success() {
        tracing::warn!(
            status = %answer.status(),
            "The bucket `{}` does not list unfinished uploads; a lifecycle rule may abort them",
            bucket.name
        );
        return Ok(None);
    }
    let body = answer.into_body().bytes().await;
    let body = body.map_err(|error| unavailable(error.into()))?;
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

/// How many there are.
#[cfg(test)]
pub(super) async fn count(bucket: &Bucket) -> usize {
    let page = page(bucket).await.unwrap().expect("they can be listed");
    begun(&page).len()
}

/// Reads key and id of each upload. Of the XML there may be, only this much is understood:
/// our keys have no character that is escaped in it, and ids have none either.
fn begun(xml: &str) -> Vec<Unfinished<'_>> {
    let inner = |text: &'_ str, tag: &str| -> Option<Range> {
        let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        let end = start + text[start..].find(&format!("</{tag}>"))?;
        Some(start..end)
    };
    let mut uploads = Vec::new();
    let mut rest = xml;
    while let Some(range) = inner(rest, "Upload") {
        let upload = &rest[range.clone()];
        if let (Some(key), Some(id)) = (inner(upload, "Key"), inner(upload, "UploadId")) {
            uploads.push(Unfinished {
                key: &upload[key],
                id: &upload[id],
            });
        }
        rest = &rest[range.end..];
    }
    uploads
}

type Range = std::ops::Range<usize>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_read_from_what_a_service_lists() {
        let xml = "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Prefix>a/</Prefix>\
            <Upload><Key>a/1</Key><UploadId>x.-_</UploadId><Owner><ID>o</ID></Owner></Upload>\n\
            <Upload>\n<UploadId>y</UploadId>\n<Key>a/2</Key></Upload><Upload><Key>a</Key></Upload>\
            </ListMultipartUploadsResult>";
        let upload = |key, id| Unfinished { key, id };
        assert_eq!(begun(xml), [upload("a/1", "x.-_"), upload("a/2", "y")]);
        assert_eq!(begun("<Upload><Key>a"), []);
    }
}
